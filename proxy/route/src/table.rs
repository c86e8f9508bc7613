//! Virtual hosts and their routes, compiled.

use crate::{
    error::RouteError,
    hosts::{HostTable, HostTableBuilder, without_port},
    path_index::PathIndex,
    request::RequestView,
    rule::RouteMatch,
};

/// `route.v3.VirtualHost`, as far as matching goes. `A` is what a route does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualHostSpec<A> {
    /// For people and statistics; need not be unique.
    pub name: String,
    /// Exact, `*suffix`, `prefix*` or `*`; at least one.
    pub domains: Vec<String>,
    /// `require_tls`.
    pub require_tls: TlsRequirement,
    /// In order: the first that matches is taken.
    pub routes: Vec<RouteSpec<A>>,
}

/// `route.v3.VirtualHost.TlsRequirementType`: who must come over https.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsRequirement {
    /// Nobody.
    #[default]
    None,
    /// Whoever is not internal.
    ExternalOnly,
    /// Everybody.
    All,
}

impl TlsRequirement {
    fn is_unmet_by(self, request: &RequestView<'_>) -> bool {
        let asked = match self {
            Self::None => return false,
            Self::ExternalOnly => !request.is_internal,
            Self::All => true,
        };
        asked && request.scheme != "https"
    }
}

/// `route.v3.Route`, as far as matching goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec<A> {
    /// For people; need not be unique.
    pub name: Option<String>,
    /// Which requests.
    pub matcher: RouteMatch,
    /// What to do with them.
    pub action: A,
}

/// Settings of a whole `route.v3.RouteConfiguration` that change how hosts are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostOptions {
    /// `ignore_port_in_host_matching`: a port in the authority is not looked at.
    pub ignore_port_in_host_matching: bool,
}

/// Routes by virtual host; immutable.
#[derive(Debug)]
pub struct RouteTable<A> {
    options: HostOptions,
    hosts: HostTable,
    vhosts: Box<[VirtualHost<A>]>,
}

#[derive(Debug)]
struct VirtualHost<A> {
    name: Box<str>,
    require_tls: TlsRequirement,
    routes: Box<[Route<A>]>,
    index: Option<Box<PathIndex>>,
}

/// A compiled route.
#[derive(Debug)]
pub struct Route<A> {
    /// For people.
    pub name: Option<Box<str>>,
    /// Which requests.
    pub rule: RouteMatch,
    /// What to do with them.
    pub action: A,
}

/// Where a request belongs.
#[derive(Debug)]
pub enum Outcome<'a, A> {
    /// No virtual host has the authority.
    NoHost,
    /// The virtual host of this name is for https only, and this is not.
    NeedsTls(&'a str),
    /// The virtual host of this name has no route for the request.
    NoRoute(&'a str),
    /// A route matches.
    Matched {
        /// Name of the virtual host.
        vhost: &'a str,
        /// Its first route that matches.
        route: &'a Route<A>,
    },
}

impl<A> RouteTable<A> {
    /// Compiles virtual hosts.
    ///
    /// # Errors
    /// When domains are not unique, or a virtual host could never be chosen.
    pub fn compile(
        specs: Vec<VirtualHostSpec<A>>,
        options: HostOptions,
    ) -> Result<Self, RouteError> {
        let mut hosts = HostTableBuilder::new();
        for spec in &specs {
            hosts.add(&spec.name, &spec.domains)?;
            if u32::try_from(spec.routes.len()).is_err() {
                return Err(RouteError::TooMany { what: "routes", count: spec.routes.len() });
            }
        }
        let hosts = hosts.finish();
        let vhosts = specs.into_iter().map(VirtualHost::compile).collect();
        Ok(Self { options, hosts, vhosts })
    }

    /// Finds the route of a request. Never allocates, but for expressions too large to be an
    /// automaton.
    #[inline]
    pub fn find(&self, request: &RequestView<'_>) -> Outcome<'_, A> {
        let authority = if self.options.ignore_port_in_host_matching {
            without_port(request.authority)
        } else {
            request.authority
        };
        let found = self.hosts.find(authority).and_then(|at| self.vhosts.get(at as usize));
        let Some(vhost) = found else { return Outcome::NoHost };
        if vhost.require_tls.is_unmet_by(request) {
            return Outcome::NeedsTls(&vhost.name);
        }
        match vhost.find(request) {
            Some(route) => Outcome::Matched { vhost: &vhost.name, route },
            None => Outcome::NoRoute(&vhost.name),
        }
    }

    /// Every route with the name of its virtual host, in order.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &Route<A>)> {
        self.vhosts
            .iter()
            .flat_map(|vhost| vhost.routes.iter().map(|route| (vhost.name.as_ref(), route)))
    }
}

impl<A> VirtualHost<A> {
    fn compile(spec: VirtualHostSpec<A>) -> Self {
        let routes: Box<[Route<A>]> = spec
            .routes
            .into_iter()
            .map(|route| Route {
                name: route.name.map(String::into_boxed_str),
                rule: route.matcher,
                action: route.action,
            })
            .collect();
        let index = PathIndex::build(&routes);
        let require_tls = spec.require_tls;
        Self { name: spec.name.into_boxed_str(), require_tls, routes, index }
    }

    #[inline]
    fn find(&self, request: &RequestView<'_>) -> Option<&Route<A>> {
        if request.is_connect() {
            return self.routes.iter().find(|route| route.rule.matches(request));
        }
        let path = request.path();
        match &self.index {
            Some(index) => index.find(&self.routes, request, path),
            None => self
                .routes
                .iter()
                .find(|route| route.rule.path.matches(path) && route.rule.conditions_hold(request)),
        }
    }
}
