//! Routes bound to the ports they decide about, every reference resolved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::document::{DocumentId, Key, Kind};
use crate::link::{Origins, missing_service, names};
use crate::mesh::Mesh;
use crate::model::HttpRoute;
use crate::model::route::{BackendKind, BackendRef, Filters, Match, ParentRef, Rule};
use crate::model::service::Service;
use crate::problem::{Conflict, Problem, Reason};

/// A route as it applies to one port of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundRoute {
    /// The route.
    pub key: Key,
    /// Host names it answers to; the Service's own names without any.
    pub hostnames: Vec<String>,
    /// Its rules, in the order written.
    pub rules: Vec<BoundRule>,
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
    /// The Service port, one that speaks HTTP.
    pub port: u16,
    /// Its share relative to its neighbours.
    pub weight: u32,
}

/// Which routes decide about which ports.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bindings(BTreeMap<Key, BTreeMap<u16, Vec<Arc<BoundRoute>>>>);

impl Bindings {
    pub(crate) fn of(&self, service: &Key, port: u16) -> &[Arc<BoundRoute>] {
        self.0.get(service).and_then(|ports| ports.get(&port)).map_or(&[], Vec::as_slice)
    }
}

/// Binds every route, or records why it cannot be.
pub(crate) fn bind(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) -> Bindings {
    let mut bindings = Bindings::default();
    let mut owners = own_names(mesh);
    for (key, route) in &mesh.routes {
        let mut binder = Binder { mesh, origins, key, route, problems: Vec::new() };
        for (service, port) in binder.parents(&mut owners) {
            if let Some(rules) = binder.rules(&service, port) {
                let route =
                    BoundRoute { key: key.clone(), hostnames: route.hostnames.clone(), rules };
                let ports = bindings.0.entry(service).or_default();
                ports.entry(port).or_default().push(Arc::new(route));
            }
        }
        // A rule has the same problem for every port it is bound to.
        let mut seen: Vec<Problem> = Vec::new();
        for problem in binder.problems {
            if !seen.contains(&problem) {
                seen.push(problem);
            }
        }
        problems.append(&mut seen);
    }
    bindings
}

/// The names by which Services are dialled from everywhere, with their owners.
fn own_names(mesh: &Mesh) -> BTreeMap<String, Key> {
    mesh.services
        .keys()
        .map(|key| (format!("{}.{}", key.name, key.namespace), key.clone()))
        .collect()
}

struct Binder<'a> {
    mesh: &'a Mesh,
    origins: &'a Origins,
    key: &'a Key,
    route: &'a HttpRoute,
    problems: Vec<Problem>,
}

impl Binder<'_> {
    fn refuse(&mut self, field: String, reason: impl Into<Reason>) {
        let id = DocumentId::new(Kind::HttpRoute, self.key.clone());
        self.problems.push(self.origins.problem(id, field, reason.into()));
    }

    /// Every port the route is attached to, once.
    fn parents(&mut self, owners: &mut BTreeMap<String, Key>) -> Vec<(Key, u16)> {
        let route = self.route;
        let mut bound: Vec<(Key, u16)> = Vec::new();
        for (index, parent) in route.parent_refs.iter().enumerate() {
            let key = Key::new(&self.key.namespace, &parent.name);
            let field = format!("spec.parentRefs[{index}]");
            if let Some(reason) = missing_service(self.mesh, self.origins, &key) {
                self.refuse(format!("{field}.name"), reason);
                continue;
            }
            let Some(service) = self.mesh.services.get(&key) else { continue };
            self.claim_hostnames(&key, owners);
            for port in self.parent_ports(&field, parent, service) {
                if !bound.contains(&(key.clone(), port)) {
                    bound.push((key.clone(), port));
                }
            }
        }
        bound
    }

    /// A host name leads to one Service only, or the order of documents would decide.
    fn claim_hostnames(&mut self, service: &Key, owners: &mut BTreeMap<String, Key>) {
        let route = self.route;
        for (index, hostname) in route.hostnames.iter().enumerate() {
            // Callers in the same namespace dial a Service by its bare name.
            let sibling = Key::new(&service.namespace, hostname);
            let owner = if self.mesh.services.contains_key(&sibling) {
                &sibling
            } else {
                &*owners.entry(hostname.clone()).or_insert_with(|| service.clone())
            };
            if owner != service {
                let conflict =
                    Conflict::Hostname { hostname: hostname.clone(), owner: owner.to_string() };
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
            .filter(|port| port.protocol.is_http())
            .map(|port| port.port)
            .collect();
        if ports.is_empty() {
            let conflict = match parent.port {
                Some(port) => Conflict::TcpPort { service: parent.name.clone(), port },
                None => Conflict::NoHttpPort { service: parent.name.clone() },
            };
            self.refuse(field.to_owned(), conflict);
        }
        ports
    }

    fn rules(&mut self, service: &Key, port: u16) -> Option<Vec<BoundRule>> {
        let route = self.route;
        let rules = route.rules.iter().enumerate();
        let rules: Vec<Option<BoundRule>> =
            rules.map(|(index, rule)| self.rule(index, rule, service, port)).collect();
        rules.into_iter().collect()
    }

    fn rule(&mut self, index: usize, rule: &Rule, service: &Key, port: u16) -> Option<BoundRule> {
        let backends = rule.backend_refs.iter().enumerate();
        let backends: Vec<Option<Backend>> = backends
            .map(|(backend, reference)| {
                let field = format!("spec.rules[{index}].backendRefs[{backend}]");
                self.backend(&field, reference, port)
            })
            .collect();
        let mut backends: Vec<Backend> = backends.into_iter().collect::<Option<_>>()?;
        if backends.is_empty() && rule.filters.redirect.is_none() {
            let weight = BackendRef::DEFAULT_WEIGHT;
            backends.push(Backend { service: service.clone(), subset: None, port, weight });
        }
        let matches =
            if rule.matches.is_empty() { vec![Match::default()] } else { rule.matches.clone() };
        let timeout = rule.timeouts.request;
        Some(BoundRule { matches, filters: rule.filters.clone(), backends, timeout })
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
        let (field, reason) = match (port, reference.port) {
            (Some(port), _) if port.protocol.is_http() => return Some(port.port),
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
