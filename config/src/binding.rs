//! Routes bound to what they decide about, ports of Services and listeners of Gateways, every
//! reference resolved.

mod binder;
mod gateway;
mod request;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use binder::Binder;
use gateway::have_common;
use request::RequestRoute;

use crate::document::{DocumentId, Key, Kind};
use crate::link::Origins;
use crate::mesh::Mesh;
use crate::model::balancing::HashOn;
use crate::model::mirror::Comparison;
use crate::model::route::{Filters, Match, RouteRetry, Share};
use crate::model::{Metadata, RateLimitPolicy};
use crate::problem::Problem;

/// A route as it applies to one port of a Service, or to one listener of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundRoute {
    /// `HTTPRoute` or `GRPCRoute`.
    pub kind: Kind,
    /// The route.
    pub key: Key,
    /// Host names it answers to; the Service's own names without any, or every name that comes to
    /// the Gateway.
    pub hostnames: Vec<String>,
    /// Its rules, in the order written.
    pub rules: Vec<BoundRule>,
}

impl BoundRoute {
    /// The document it comes from.
    pub fn id(&self) -> DocumentId {
        DocumentId::new(self.kind, self.key.clone())
    }
}

/// A rule with its destinations resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundRule {
    /// Any of these, at least one.
    pub matches: Vec<Match>,
    /// Changes on the way; with a redirect there are no backends.
    pub filters: Filters,
    /// Where to. All weights may be zero, and at a Gateway there may be none: the answer is 500.
    pub backends: Vec<Backend>,
    /// Where copies go, one for each `RequestMirror` among the filters.
    pub mirrors: Vec<BoundMirror>,
    /// How long it may take, when the rule says so; zero for ever.
    pub timeout: Option<Duration>,
    /// How long one try may take, when the rule says so; zero for as long as the whole.
    pub try_timeout: Option<Duration>,
    /// What is tried again, when the rule says so.
    pub retry: Option<RouteRetry>,
    /// What makes requests equal that go to the same of its backends; chance without any.
    pub split_on: Vec<HashOn>,
    /// How often its requests may come.
    pub rate_limit: Option<Arc<RateLimitPolicy>>,
}

impl BoundRule {
    /// Everywhere that requests go, and copies of them.
    pub fn destinations(&self) -> impl Iterator<Item = &Backend> {
        self.backends.iter().chain(self.mirrors.iter().map(|mirror| &mirror.to))
    }
}

/// Where copies of requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundMirror {
    /// The destination.
    pub to: Backend,
    /// Of how many requests; of all without it.
    pub share: Option<Share>,
    /// How many of them may be under way at once.
    pub max_active: Option<u32>,
    /// What is compared of the answers.
    pub compare: Option<Comparison>,
}

impl BoundMirror {
    /// Whether only Weft's proxies do all that it asks for.
    pub fn is_beyond_others(&self) -> bool {
        self.max_active.is_some() || self.compare.is_some()
    }
}

/// A destination that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The Service.
    pub service: Key,
    /// Only the endpoints of this Subset.
    pub subset: Option<String>,
    /// The Service port; it speaks HTTP if the route is for requests.
    pub port: u16,
    /// Its share relative to its neighbours.
    pub weight: u32,
    /// Changes of headers for it alone.
    pub filters: Filters,
}

/// Where the connections to a tcp port or listener go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundTcpRoute {
    /// The route.
    pub key: Key,
    /// At least one, not all with the weight 0.
    pub backends: Vec<Backend>,
}

/// Where the connections to a tls port or listener go that begin with certain server names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundTlsRoute {
    /// The route.
    pub key: Key,
    /// The server names, at least one; `*.` in front stands for any number of labels.
    pub hostnames: Vec<String>,
    /// At least one, not all with the weight 0.
    pub backends: Vec<Backend>,
}

/// The routes of one listener of a Gateway, the oldest first. Host names are those that both the
/// route and the listener have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerRoutes {
    /// What decides about requests.
    pub requests: Vec<Arc<BoundRoute>>,
    /// What decides about connections.
    pub connections: Option<Arc<BoundTcpRoute>>,
    /// What decides about connections by server name, no name in two of them.
    pub server_names: Vec<Arc<BoundTlsRoute>>,
}

/// What became of a route at one port of a parent, as in Gateway API's condition `Accepted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The Service or Gateway.
    pub parent: DocumentId,
    /// Its port.
    pub port: u16,
    /// The listener of a Gateway.
    pub listener: Option<String>,
    /// Which of the route's `parentRefs` led here first.
    pub parent_ref: usize,
    /// The route that decides in its place, when it is not accepted there.
    pub overruled_by: Option<DocumentId>,
}

/// Where a route is attached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Port(Key, u16),
    Listener(Key, String),
}

/// Which routes decide about what.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bindings {
    requests: BTreeMap<Place, Vec<Arc<BoundRoute>>>,
    connections: BTreeMap<Place, Arc<BoundTcpRoute>>,
    server_names: BTreeMap<Place, Vec<Arc<BoundTlsRoute>>>,
    attachments: BTreeMap<DocumentId, Vec<Attachment>>,
    has_cors: bool,
}

impl Bindings {
    pub(crate) fn of(&self, service: &Key, port: u16) -> &[Arc<BoundRoute>] {
        let place = Place::Port(service.clone(), port);
        self.requests.get(&place).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn of_connections(&self, service: &Key, port: u16) -> Option<&Arc<BoundTcpRoute>> {
        self.connections.get(&Place::Port(service.clone(), port))
    }

    pub(crate) fn of_tls(&self, service: &Key, port: u16) -> &[Arc<BoundTlsRoute>] {
        let place = Place::Port(service.clone(), port);
        self.server_names.get(&place).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn of_listener(&self, gateway: &Key, listener: &str) -> ListenerRoutes {
        let place = Place::Listener(gateway.clone(), listener.to_owned());
        ListenerRoutes {
            requests: self.requests.get(&place).cloned().unwrap_or_default(),
            connections: self.connections.get(&place).cloned(),
            server_names: self.server_names.get(&place).cloned().unwrap_or_default(),
        }
    }

    pub(crate) fn has_cors(&self) -> bool {
        self.has_cors
    }

    pub(crate) fn attachments(&self, route: &DocumentId) -> &[Attachment] {
        self.attachments.get(route).map_or(&[], Vec::as_slice)
    }

    fn attach(&mut self, route: DocumentId, attachment: Attachment) {
        self.attachments.entry(route).or_default().push(attachment);
    }

    fn overrule(&mut self, route: &DocumentId, place: &Place, by: DocumentId) {
        let attachments = self.attachments.get_mut(route).map_or(&mut [][..], Vec::as_mut_slice);
        let here = |attachment: &&mut Attachment| match place {
            Place::Port(key, port) => {
                attachment.listener.is_none()
                    && (&attachment.parent.key, attachment.port) == (key, *port)
            }
            Place::Listener(key, name) => {
                attachment.parent.key == *key && attachment.listener.as_ref() == Some(name)
            }
        };
        if let Some(attachment) = attachments.iter_mut().find(here) {
            attachment.overruled_by = Some(by);
        }
    }

    /// Of different kinds of routes for requests one decides alone: at a Service the more specific
    /// (GAMMA), at a listener, per host name, the one that came first.
    fn settle_requests(&mut self) {
        let mut overruled = Vec::new();
        for (place, routes) in &mut self.requests {
            let mut accepted: Vec<Arc<BoundRoute>> = Vec::new();
            let calls = routes.iter().find(|route| route.kind == Kind::GrpcRoute).cloned();
            for route in std::mem::take(routes) {
                let winner = match place {
                    Place::Port(..) => calls.iter().find(|winner| winner.kind != route.kind),
                    Place::Listener(..) => accepted.iter().find(|winner| {
                        winner.kind != route.kind
                            && have_common(&winner.hostnames, &route.hostnames)
                    }),
                };
                match winner {
                    Some(winner) => overruled.push((route.id(), place.clone(), winner.id())),
                    None => accepted.push(route),
                }
            }
            *routes = accepted;
        }
        for (route, place, winner) in overruled {
            self.overrule(&route, &place, winner);
        }
    }
}

/// Gateway API: of routes that are otherwise equal the oldest decides, then the first by name. What
/// does not say when it was created counts as the newest.
fn age(metadata: &Metadata) -> impl Ord + use<'_> {
    let created = metadata.creation_timestamp.as_deref();
    (created.is_none(), created, &metadata.namespace, &metadata.name)
}

/// Binds every route, or records why it cannot be.
pub(crate) fn bind(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) -> Bindings {
    let mut bindings = Bindings::default();
    let mut owners = own_names(mesh);
    for route in RequestRoute::all_of(mesh) {
        let heads = (route.parent_refs, route.hostnames);
        let binder = Binder::new(mesh, origins, (route.kind, &route.key), heads);
        binder.bind_requests(&route.rules, &mut owners, &mut bindings, problems);
    }
    bindings.settle_requests();
    let mut rules = bindings.requests.values().flatten().flat_map(|route| &route.rules);
    bindings.has_cors = rules.any(|rule| rule.filters.cors.is_some());
    let mut tcp: Vec<_> = mesh.tcp_routes.iter().collect();
    tcp.sort_by(|(_, a), (_, b)| age(&a.metadata).cmp(&age(&b.metadata)));
    for (key, route) in tcp {
        let heads = (route.parent_refs.as_slice(), [].as_slice());
        let binder = Binder::new(mesh, origins, (Kind::TcpRoute, key), heads);
        let [rule] = &route.rules;
        binder.bind_connections(&rule.backend_refs, &mut bindings, problems);
    }
    for (key, route) in &mesh.tls_routes {
        let heads = (route.parent_refs.as_slice(), route.hostnames.as_slice());
        let binder = Binder::new(mesh, origins, (Kind::TlsRoute, key), heads);
        let [rule] = &route.rules;
        binder.bind_server_names(&rule.backend_refs, &mut bindings, problems);
    }
    bindings
}

/// The names by which Services are dialled from everywhere, and those of hosts outside of the
/// mesh, with their owners.
pub(crate) fn own_names(mesh: &Mesh) -> BTreeMap<String, DocumentId> {
    let mut names = BTreeMap::new();
    for (key, service) in &mesh.services {
        let id = DocumentId::new(Kind::Service, key.clone());
        names.insert(format!("{}.{}", key.name, key.namespace), id.clone());
        for hostname in &service.hostnames {
            names.entry(hostname.clone()).or_insert_with(|| id.clone());
        }
    }
    if let Some(config) = mesh.config() {
        let id = DocumentId::new(Kind::MeshConfig, config.metadata.key());
        for host in config.egress.hosts() {
            names.entry(host.host.clone()).or_insert_with(|| id.clone());
        }
    }
    names
}
