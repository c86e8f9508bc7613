//! Routes bound to the ports they decide about, every reference resolved.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::document::{DocumentId, Key, Kind};
use crate::link::{Origins, missing_service, names};
use crate::mesh::Mesh;
use crate::model::grpc_route::{GrpcMatch, GrpcRule};
use crate::model::route::{BackendKind, BackendRef, Filters, Match, ParentRef, Rule};
use crate::model::service::{Protocol, Service};
use crate::problem::{Conflict, Problem, Reason};

/// A route as it applies to one port of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundRoute {
    /// `HTTPRoute` or `GRPCRoute`.
    pub kind: Kind,
    /// The route.
    pub key: Key,
    /// Host names it answers to; the Service's own names without any.
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
    /// Where to. Without a redirect at least one; all weights may be zero.
    pub backends: Vec<Backend>,
    /// How long it may take, when the rule says so; zero for ever.
    pub timeout: Option<Duration>,
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
}

/// Where the connections to a tcp port go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundTcpRoute {
    /// The route.
    pub key: Key,
    /// At least one, not all with the weight 0.
    pub backends: Vec<Backend>,
}

/// Where the connections to a tls port go that begin with certain server names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundTlsRoute {
    /// The route.
    pub key: Key,
    /// The server names, at least one; `*.` in front stands for any number of labels.
    pub hostnames: Vec<String>,
    /// At least one, not all with the weight 0.
    pub backends: Vec<Backend>,
}

/// What became of a route at one port of a parent, as in Gateway API's condition `Accepted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The Service.
    pub service: Key,
    /// Its port.
    pub port: u16,
    /// The route that decides about the port in its place, when it is not accepted there.
    pub overruled_by: Option<DocumentId>,
}

/// Which routes decide about which ports.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bindings {
    requests: BTreeMap<Key, BTreeMap<u16, Vec<Arc<BoundRoute>>>>,
    connections: BTreeMap<Key, BTreeMap<u16, Arc<BoundTcpRoute>>>,
    server_names: BTreeMap<Key, BTreeMap<u16, Vec<Arc<BoundTlsRoute>>>>,
    attachments: BTreeMap<DocumentId, Vec<Attachment>>,
}

impl Bindings {
    pub(crate) fn of(&self, service: &Key, port: u16) -> &[Arc<BoundRoute>] {
        self.requests.get(service).and_then(|ports| ports.get(&port)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn of_connections(&self, service: &Key, port: u16) -> Option<&Arc<BoundTcpRoute>> {
        self.connections.get(service)?.get(&port)
    }

    pub(crate) fn of_tls(&self, service: &Key, port: u16) -> &[Arc<BoundTlsRoute>] {
        self.server_names.get(service).and_then(|ports| ports.get(&port)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn attachments(&self, route: &DocumentId) -> &[Attachment] {
        self.attachments.get(route).map_or(&[], Vec::as_slice)
    }

    fn bind_requests(&mut self, service: Key, port: u16, route: BoundRoute) {
        let ports = self.requests.entry(service).or_default();
        ports.entry(port).or_default().push(Arc::new(route));
    }

    fn attach(&mut self, route: DocumentId, attachment: Attachment) {
        self.attachments.entry(route).or_default().push(attachment);
    }

    /// GAMMA: of the kinds of routes at a port the most specific decides alone.
    fn settle_requests(&mut self) {
        let mut attached = Vec::new();
        for (service, ports) in &mut self.requests {
            for (port, routes) in ports {
                let winner = routes.iter().find(|route| route.kind == Kind::GrpcRoute);
                let winner = winner.map(|route| route.id());
                for route in &*routes {
                    let overruled_by = winner.clone().filter(|_| route.kind != Kind::GrpcRoute);
                    let attachment =
                        Attachment { service: service.clone(), port: *port, overruled_by };
                    attached.push((route.id(), attachment));
                }
                if winner.is_some() {
                    routes.retain(|route| route.kind == Kind::GrpcRoute);
                }
            }
        }
        for (route, attachment) in attached {
            self.attach(route, attachment);
        }
    }
}

/// Binds every route, or records why it cannot be.
pub(crate) fn bind(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) -> Bindings {
    let mut bindings = Bindings::default();
    let mut owners = own_names(mesh);
    for (key, route) in &mesh.routes {
        let rules: Vec<RequestRule<'_>> = route.rules.iter().map(RequestRule::of_http).collect();
        let heads = (route.parent_refs.as_slice(), route.hostnames.as_slice());
        let binder = Binder::new(mesh, origins, (Kind::HttpRoute, key), heads);
        binder.bind_requests(&rules, &mut owners, &mut bindings, problems);
    }
    for (key, route) in &mesh.grpc_routes {
        let rules: Vec<RequestRule<'_>> = route.rules.iter().map(RequestRule::of_grpc).collect();
        let heads = (route.parent_refs.as_slice(), route.hostnames.as_slice());
        let binder = Binder::new(mesh, origins, (Kind::GrpcRoute, key), heads);
        binder.bind_requests(&rules, &mut owners, &mut bindings, problems);
    }
    bindings.settle_requests();
    for (key, route) in &mesh.tcp_routes {
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

/// A rule of either kind of route for requests.
struct RequestRule<'a> {
    matches: Cow<'a, [Match]>,
    filters: &'a Filters,
    backend_refs: &'a [BackendRef],
    timeout: Option<Duration>,
}

impl<'a> RequestRule<'a> {
    fn of_http(rule: &'a Rule) -> Self {
        Self {
            matches: rule.matches.as_slice().into(),
            filters: &rule.filters,
            backend_refs: &rule.backend_refs,
            timeout: rule.timeouts.request,
        }
    }

    fn of_grpc(rule: &'a GrpcRule) -> Self {
        Self {
            matches: rule.matches.iter().map(GrpcMatch::to_http).collect(),
            filters: &rule.filters,
            backend_refs: &rule.backend_refs,
            timeout: None,
        }
    }
}

struct Binder<'a> {
    mesh: &'a Mesh,
    origins: &'a Origins,
    kind: Kind,
    key: &'a Key,
    parent_refs: &'a [ParentRef],
    hostnames: &'a [String],
    problems: Vec<Problem>,
}

impl<'a> Binder<'a> {
    fn new(
        mesh: &'a Mesh,
        origins: &'a Origins,
        (kind, key): (Kind, &'a Key),
        (parent_refs, hostnames): (&'a [ParentRef], &'a [String]),
    ) -> Self {
        Self { mesh, origins, kind, key, parent_refs, hostnames, problems: Vec::new() }
    }

    fn refuse(&mut self, field: String, reason: impl Into<Reason>) {
        let id = DocumentId::new(self.kind, self.key.clone());
        self.problems.push(self.origins.problem(id, field, reason.into()));
    }

    /// What was wrong, once: a rule has the same problem for every port it is bound to.
    fn finish(self, problems: &mut Vec<Problem>) {
        let mut seen: Vec<Problem> = Vec::new();
        for problem in self.problems {
            if !seen.contains(&problem) {
                seen.push(problem);
            }
        }
        problems.append(&mut seen);
    }

    fn bind_requests(
        mut self,
        rules: &[RequestRule<'_>],
        owners: &mut BTreeMap<String, DocumentId>,
        bindings: &mut Bindings,
        problems: &mut Vec<Problem>,
    ) {
        for (service, port) in self.parents() {
            self.claim_hostnames(&service, owners);
            let rules = rules.iter().enumerate();
            let rules: Vec<Option<BoundRule>> =
                rules.map(|(index, rule)| self.rule(index, rule, &service, port)).collect();
            if let Some(rules) = rules.into_iter().collect() {
                let route = BoundRoute {
                    kind: self.kind,
                    key: self.key.clone(),
                    hostnames: self.hostnames.to_vec(),
                    rules,
                };
                bindings.bind_requests(service, port, route);
            }
        }
        self.finish(problems);
    }

    fn bind_connections(
        mut self,
        backend_refs: &[BackendRef],
        bindings: &mut Bindings,
        problems: &mut Vec<Problem>,
    ) {
        for (service, port) in self.parents() {
            let Some(backends) = self.backends(0, backend_refs, port) else { continue };
            let ports = bindings.connections.entry(service.clone()).or_default();
            // Nothing tells connections apart, so the first route by name takes them all.
            let first = ports
                .entry(port)
                .or_insert_with(|| Arc::new(BoundTcpRoute { key: self.key.clone(), backends }));
            let overruled_by = (first.key != *self.key)
                .then(|| DocumentId::new(Kind::TcpRoute, first.key.clone()));
            let id = DocumentId::new(self.kind, self.key.clone());
            bindings.attach(id, Attachment { service, port, overruled_by });
        }
        self.finish(problems);
    }

    fn bind_server_names(
        mut self,
        backend_refs: &[BackendRef],
        bindings: &mut Bindings,
        problems: &mut Vec<Problem>,
    ) {
        for (service, port) in self.parents() {
            let Some(backends) = self.backends(0, backend_refs, port) else { continue };
            let ports = bindings.server_names.entry(service.clone()).or_default();
            let routes = ports.entry(port).or_default();
            for (index, hostname) in self.hostnames.iter().enumerate() {
                let owner = routes.iter().find(|route| route.hostnames.contains(hostname));
                if let Some(owner) = owner {
                    let owner = Box::new(DocumentId::new(Kind::TlsRoute, owner.key.clone()));
                    let conflict = Conflict::ServerName { hostname: hostname.clone(), owner };
                    self.refuse(format!("spec.hostnames[{index}]"), conflict);
                }
            }
            let hostnames = self.hostnames.to_vec();
            routes.push(Arc::new(BoundTlsRoute { key: self.key.clone(), hostnames, backends }));
            let id = DocumentId::new(self.kind, self.key.clone());
            bindings.attach(id, Attachment { service, port, overruled_by: None });
        }
        self.finish(problems);
    }

    /// Which ports this kind of route can decide about.
    fn fits(&self, protocol: Protocol) -> bool {
        match self.kind {
            Kind::GrpcRoute => protocol.is_http2(),
            Kind::TcpRoute => protocol == Protocol::Tcp,
            Kind::TlsRoute => protocol == Protocol::Tls,
            _ => protocol.is_http(),
        }
    }

    /// Every port the route is attached to, once.
    fn parents(&mut self) -> Vec<(Key, u16)> {
        let mut bound: Vec<(Key, u16)> = Vec::new();
        for (index, parent) in self.parent_refs.iter().enumerate() {
            let key = Key::new(&self.key.namespace, &parent.name);
            let field = format!("spec.parentRefs[{index}]");
            if let Some(reason) = missing_service(self.mesh, self.origins, &key) {
                self.refuse(format!("{field}.name"), reason);
                continue;
            }
            let Some(service) = self.mesh.services.get(&key) else { continue };
            for port in self.parent_ports(&field, parent, service) {
                if !bound.contains(&(key.clone(), port)) {
                    bound.push((key.clone(), port));
                }
            }
        }
        bound
    }

    /// A host name leads to one Service only, or the order of documents would decide.
    fn claim_hostnames(&mut self, service: &Key, owners: &mut BTreeMap<String, DocumentId>) {
        let claimant = DocumentId::new(Kind::Service, service.clone());
        for (index, hostname) in self.hostnames.iter().enumerate() {
            // Callers in the same namespace dial a Service by its bare name.
            let sibling = Key::new(&service.namespace, hostname);
            let owner = if self.mesh.services.contains_key(&sibling) {
                DocumentId::new(Kind::Service, sibling.clone())
            } else {
                owners.entry(hostname.clone()).or_insert_with(|| claimant.clone()).clone()
            };
            if owner != claimant {
                let conflict =
                    Conflict::Hostname { hostname: hostname.clone(), owner: Box::new(owner) };
                self.refuse(format!("spec.hostnames[{index}]"), conflict);
            } else if !hostname.contains('.') && sibling != *service {
                let expected =
                    "a host name with a dot, or the name of the parent Service".to_owned();
                let reason = Reason::Invalid { found: hostname.clone(), expected };
                self.refuse(format!("spec.hostnames[{index}]"), reason);
            }
        }
    }

    fn parent_ports(&mut self, field: &str, parent: &ParentRef, service: &Service) -> Vec<u16> {
        if let Some(number) = parent.port.filter(|number| service.port(*number).is_none()) {
            self.refuse(format!("{field}.port"), no_port(service, number));
            return Vec::new();
        }
        if let Some(section) = &parent.section_name
            && !service.ports.iter().any(|port| port.name.as_ref() == Some(section))
        {
            let existing = service.ports.iter().filter_map(|port| port.name.clone()).collect();
            let reason = Reason::Dangling { kind: "port", name: section.clone(), existing };
            self.refuse(format!("{field}.sectionName"), reason);
            return Vec::new();
        }
        let ports: Vec<u16> = service
            .ports
            .iter()
            .filter(|port| parent.port.is_none_or(|number| number == port.port))
            .filter(|port| parent.section_name.is_none() || parent.section_name == port.name)
            .filter(|port| self.fits(port.protocol))
            .map(|port| port.port)
            .collect();
        if ports.is_empty() {
            let service = parent.name.clone();
            let conflict = match (self.kind, parent.port) {
                (Kind::GrpcRoute, _) => Conflict::NoGrpcPort { service },
                (Kind::TcpRoute, _) => Conflict::NoStreamPort { service, protocol: "tcp" },
                (Kind::TlsRoute, _) => Conflict::NoStreamPort { service, protocol: "tls" },
                (_, Some(port)) => Conflict::TcpPort { service, port },
                (_, None) => Conflict::NoHttpPort { service },
            };
            self.refuse(field.to_owned(), conflict);
        }
        ports
    }

    fn rule(
        &mut self,
        index: usize,
        rule: &RequestRule<'_>,
        service: &Key,
        port: u16,
    ) -> Option<BoundRule> {
        let mut backends = self.backends(index, rule.backend_refs, port)?;
        if backends.is_empty() && rule.filters.redirect.is_none() {
            let weight = BackendRef::DEFAULT_WEIGHT;
            backends.push(Backend { service: service.clone(), subset: None, port, weight });
        }
        let matches =
            if rule.matches.is_empty() { vec![Match::default()] } else { rule.matches.to_vec() };
        Some(BoundRule { matches, filters: rule.filters.clone(), backends, timeout: rule.timeout })
    }

    fn backends(&mut self, rule: usize, refs: &[BackendRef], port: u16) -> Option<Vec<Backend>> {
        let backends = refs.iter().enumerate();
        let backends: Vec<Option<Backend>> = backends
            .map(|(backend, reference)| {
                let field = format!("spec.rules[{rule}].backendRefs[{backend}]");
                self.backend(&field, reference, port)
            })
            .collect();
        backends.into_iter().collect()
    }

    fn backend(&mut self, field: &str, reference: &BackendRef, dialled: u16) -> Option<Backend> {
        let namespace = reference.namespace.as_ref().unwrap_or(&self.key.namespace);
        let key = Key::new(namespace, &reference.name);
        let (service, subset) = match reference.kind {
            BackendKind::Service => (key, None),
            BackendKind::Subset => match self.mesh.subsets.get(&key) {
                Some(subset) => (Key::new(namespace, &subset.service), Some(key.name)),
                None if self.origins.is_unread(Kind::Subset, &key) => return None,
                None => {
                    let existing = names(self.mesh.subsets.keys(), namespace);
                    let reason = Reason::Dangling { kind: "Subset", name: key.name, existing };
                    self.refuse(format!("{field}.name"), reason);
                    return None;
                }
            },
        };
        let Some(target) = self.mesh.services.get(&service) else {
            // That a Subset has no Service is the Subset's problem, reported there.
            if subset.is_none()
                && let Some(reason) = missing_service(self.mesh, self.origins, &service)
            {
                self.refuse(format!("{field}.name"), reason);
            }
            return None;
        };
        let port = self.backend_port(field, reference, target, dialled)?;
        Some(Backend { service, subset, port, weight: reference.weight })
    }

    fn backend_port(
        &mut self,
        field: &str,
        reference: &BackendRef,
        target: &Service,
        dialled: u16,
    ) -> Option<u16> {
        let port = match (reference.port, target.ports.as_slice()) {
            (Some(number), _) => target.port(number),
            (None, [only]) => Some(only),
            (None, _) => target.port(dialled),
        };
        let service = target.metadata.name.clone();
        // What speaks another HTTP can be reached; bytes and requests cannot be exchanged.
        let is_stream = matches!(self.kind, Kind::TcpRoute | Kind::TlsRoute);
        let (field, reason) = match (port, reference.port) {
            (Some(port), _) if port.protocol.is_http() != is_stream => return Some(port.port),
            (Some(port), _) if is_stream => {
                (field.to_owned(), Conflict::HttpPort { service, port: port.port }.into())
            }
            (Some(port), _) => {
                (field.to_owned(), Conflict::TcpPort { service, port: port.port }.into())
            }
            (None, Some(number)) => (format!("{field}.port"), no_port(target, number)),
            (None, None) => {
                let ports = target.ports.iter().map(|port| port.port.to_string()).collect();
                (field.to_owned(), Conflict::AmbiguousPort { service, ports }.into())
            }
        };
        self.refuse(field, reason);
        None
    }
}

fn no_port(service: &Service, number: u16) -> Reason {
    let existing = service.ports.iter().map(|port| port.port.to_string()).collect();
    Reason::Dangling { kind: "port", name: number.to_string(), existing }
}
