//! Virtual hosts and their routes, compiled.

use std::borrow::Cow;

use http::HeaderName;

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

/// Settings of a whole `route.v3.RouteConfiguration` that change what hosts and paths are compared
/// with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchOptions {
    /// `ignore_port_in_host_matching`: a port in the authority is not looked at.
    pub ignore_port_in_host_matching: bool,
    /// `vhost_header`: the header that domains are compared with instead of the authority.
    pub vhost_header: Option<HeaderName>,
    /// `ignore_path_parameters_in_path_matching`: what follows a `;` in a segment of the path is not
    /// looked at.
    pub ignore_path_parameters: bool,
}

impl MatchOptions {
    /// What domains are compared with; `None` where the request does not say it.
    #[inline]
    fn authority<'a>(&self, request: &RequestView<'a>) -> Option<&'a [u8]> {
        let said = match &self.vhost_header {
            None => request.authority.as_bytes(),
            Some(name) => request.headers.get(name)?.as_bytes(),
        };
        Some(if self.ignore_port_in_host_matching { without_port(said) } else { said })
    }

    #[inline]
    fn path<'a>(&self, request: &RequestView<'a>) -> Cow<'a, str> {
        let path = request.path();
        if self.ignore_path_parameters { without_parameters(path) } else { Cow::Borrowed(path) }
    }
}

/// The path without what follows a `;` in each of its segments.
fn without_parameters(path: &str) -> Cow<'_, str> {
    match path.split_once(';') {
        None => Cow::Borrowed(path),
        Some((before, after)) if !after.contains('/') => Cow::Borrowed(before),
        Some(_) => {
            let bare = |segment: &'_ str| segment.find(';').unwrap_or(segment.len());
            let segments = path.split_inclusive('/').map(|segment| {
                let end = if segment.ends_with('/') { "/" } else { "" };
                let text = segment.strip_suffix('/').unwrap_or(segment);
                (text.get(..bare(text)).unwrap_or(text), end)
            });
            Cow::Owned(segments.flat_map(|(text, end)| [text, end]).collect())
        }
    }
}

/// Routes by virtual host; immutable.
#[derive(Debug)]
pub struct RouteTable<A> {
    options: MatchOptions,
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
        options: MatchOptions,
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
        let authority = self.options.authority(request);
        let found = match authority {
            Some(authority) => self.hosts.find(authority),
            None => self.hosts.only_any(),
        };
        let found = found.and_then(|at| self.vhosts.get(at as usize));
        let Some(vhost) = found else { return Outcome::NoHost };
        if vhost.require_tls.is_unmet_by(request) {
            return Outcome::NeedsTls(&vhost.name);
        }
        match vhost.find(request, &self.options.path(request)) {
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
    fn find(&self, request: &RequestView<'_>, path: &str) -> Option<&Route<A>> {
        if request.is_connect() {
            return self.routes.iter().find(|route| route.rule.matches(request));
        }
        match &self.index {
            Some(index) => index.find(&self.routes, request, path),
            None => self
                .routes
                .iter()
                .find(|route| route.rule.path.matches(path) && route.rule.conditions_hold(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::path::PathMatch;

    fn table(options: MatchOptions) -> RouteTable<()> {
        let exact = PathMatch::Exact { value: "/cart".into(), case_sensitive: true };
        let route = RouteSpec { name: None, matcher: RouteMatch::path(exact), action: () };
        let host = |domain: &str| VirtualHostSpec {
            name: domain.to_owned(),
            domains: vec![domain.to_owned()],
            require_tls: TlsRequirement::None,
            routes: vec![route.clone()],
        };
        RouteTable::compile(vec![host("a"), host("b"), host("*")], options).unwrap()
    }

    fn found(table: &RouteTable<()>, path_and_query: &str, told: Option<&'static str>) -> String {
        let told =
            told.map(|told| (HeaderName::from_static("x-for"), HeaderValue::from_static(told)));
        let outcome = table.find(&RequestView {
            authority: "a",
            path_and_query,
            method: "GET",
            scheme: "http",
            is_internal: false,
            headers: &HeaderMap::from_iter(told),
            random: 0,
        });
        match outcome {
            Outcome::NoHost => "no host".into(),
            Outcome::NeedsTls(name) | Outcome::NoRoute(name) => format!("no route of {name}"),
            Outcome::Matched { vhost, .. } => vhost.into(),
        }
    }

    #[test]
    fn a_header_may_say_the_virtual_host() {
        let plain = table(MatchOptions::default());
        assert_eq!(found(&plain, "/cart", Some("b")), "a");
        let name = Some(HeaderName::from_static("x-for"));
        let by_header = table(MatchOptions { vhost_header: name, ..MatchOptions::default() });
        assert_eq!(found(&by_header, "/cart", Some("b")), "b");
        assert_eq!(found(&by_header, "/cart", Some("c")), "*");
        assert_eq!(found(&by_header, "/cart", None), "no host");
    }

    #[test]
    fn path_parameters_may_be_left_out() {
        let plain = table(MatchOptions::default());
        assert_eq!(found(&plain, "/cart;id=1?q", None), "no route of a");
        let cut = table(MatchOptions { ignore_path_parameters: true, ..MatchOptions::default() });
        assert_eq!(found(&cut, "/cart;id=1;x?q", None), "a");
        assert_eq!(found(&cut, "/cart;id=1/x;y?q", None), "no route of a");
        assert_eq!(without_parameters("/a;1/b;2;3/;4/c"), "/a/b//c");
        assert_eq!(found(&cut, "/cart?q;r", None), "a");
        assert_eq!(found(&cut, "/carts;id=1", None), "no route of a");
    }
}
