//! One route at a time: what it is attached to, and where it leads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::request::RequestRule;
use super::{
    Attachment, Backend, Bindings, BoundMirror, BoundRoute, BoundRule, BoundTcpRoute,
    BoundTlsRoute, Place,
};
use crate::document::{DocumentId, Key, Kind};
use crate::link::{Origins, missing_service, names};
use crate::mesh::Mesh;
use crate::model::RateLimitPolicy;
use crate::model::rate_limit::RateLimitTarget;
use crate::model::route::{BackendKind, BackendRef, Filters, Match, ParentKind, ParentRef};
use crate::model::service::{Protocol, Service};
use crate::problem::{Conflict, Problem, Reason};

/// Where a route is attached, and for which host names.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) place: Place,
    pub(super) parent: DocumentId,
    pub(super) port: u16,
    pub(super) parent_ref: usize,
    pub(super) hostnames: Vec<String>,
}

impl Spot {
    fn attachment(&self, overruled_by: Option<DocumentId>) -> Attachment {
        let listener = match &self.place {
            Place::Listener(_, name) => Some(name.clone()),
            Place::Port(..) => None,
        };
        Attachment {
            parent: self.parent.clone(),
            port: self.port,
            listener,
            parent_ref: self.parent_ref,
            overruled_by,
        }
    }

    /// The port that callers of the parent dial; who calls a Gateway dials no Service.
    fn dialled(&self) -> Option<(&Key, u16)> {
        match &self.place {
            Place::Port(service, port) => Some((service, *port)),
            Place::Listener(..) => None,
        }
    }
}

pub(super) struct Binder<'a> {
    pub(super) mesh: &'a Mesh,
    pub(super) origins: &'a Origins,
    pub(super) kind: Kind,
    pub(super) key: &'a Key,
    parent_refs: &'a [ParentRef],
    pub(super) hostnames: &'a [String],
    problems: Vec<Problem>,
}

impl<'a> Binder<'a> {
    pub(super) fn new(
        mesh: &'a Mesh,
        origins: &'a Origins,
        (kind, key): (Kind, &'a Key),
        (parent_refs, hostnames): (&'a [ParentRef], &'a [String]),
    ) -> Self {
        Self { mesh, origins, kind, key, parent_refs, hostnames, problems: Vec::new() }
    }

    pub(super) fn refuse(&mut self, field: String, reason: impl Into<Reason>) {
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

    pub(super) fn bind_requests(
        mut self,
        rules: &[RequestRule<'_>],
        owners: &mut BTreeMap<String, DocumentId>,
        bindings: &mut Bindings,
        problems: &mut Vec<Problem>,
    ) {
        for spot in self.spots() {
            if let Some((service, _)) = spot.dialled() {
                self.claim_hostnames(service, owners);
            }
            let rules = rules.iter().enumerate();
            let rules: Vec<Option<BoundRule>> =
                rules.map(|(index, rule)| self.rule(index, rule, spot.dialled())).collect();
            let Some(rules) = rules.into_iter().collect() else { continue };
            let id = DocumentId::new(self.kind, self.key.clone());
            bindings.attach(id, spot.attachment(None));
            let route = BoundRoute {
                kind: self.kind,
                key: self.key.clone(),
                hostnames: spot.hostnames,
                rules,
            };
            bindings.requests.entry(spot.place).or_default().push(Arc::new(route));
        }
        self.finish(problems);
    }

    pub(super) fn bind_connections(
        mut self,
        backend_refs: &[BackendRef],
        bindings: &mut Bindings,
        problems: &mut Vec<Problem>,
    ) {
        for spot in self.spots() {
            let Some(backends) = self.backends(0, backend_refs, spot.dialled()) else { continue };
            // Nothing tells connections apart, so the first route takes them all.
            let first = bindings
                .connections
                .entry(spot.place.clone())
                .or_insert_with(|| Arc::new(BoundTcpRoute { key: self.key.clone(), backends }));
            let overruled_by = (first.key != *self.key)
                .then(|| DocumentId::new(Kind::TcpRoute, first.key.clone()));
            let id = DocumentId::new(self.kind, self.key.clone());
            bindings.attach(id, spot.attachment(overruled_by));
        }
        self.finish(problems);
    }

    pub(super) fn bind_server_names(
        mut self,
        backend_refs: &[BackendRef],
        bindings: &mut Bindings,
        problems: &mut Vec<Problem>,
    ) {
        for spot in self.spots() {
            let Some(backends) = self.backends(0, backend_refs, spot.dialled()) else { continue };
            let routes = bindings.server_names.entry(spot.place.clone()).or_default();
            for (index, hostname) in self.hostnames.iter().enumerate() {
                let owner = routes.iter().find(|route| route.hostnames.contains(hostname));
                if let Some(owner) = owner {
                    let owner = Box::new(DocumentId::new(Kind::TlsRoute, owner.key.clone()));
                    let conflict = Conflict::ServerName { hostname: hostname.clone(), owner };
                    self.refuse(format!("spec.hostnames[{index}]"), conflict);
                }
            }
            let hostnames = spot.hostnames.clone();
            routes.push(Arc::new(BoundTlsRoute { key: self.key.clone(), hostnames, backends }));
            let id = DocumentId::new(self.kind, self.key.clone());
            bindings.attach(id, spot.attachment(None));
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

    /// Every place the route is attached to, once.
    fn spots(&mut self) -> Vec<Spot> {
        let mut spots: Vec<Spot> = Vec::new();
        for (index, parent) in self.parent_refs.iter().enumerate() {
            let found = match parent.kind {
                ParentKind::Service => self.ports(index, parent),
                ParentKind::Gateway => self.listeners(index, parent),
            };
            for spot in found {
                if !spots.iter().any(|known| known.place == spot.place) {
                    spots.push(spot);
                }
            }
        }
        spots
    }

    /// The ports of the Service that `parent` names.
    fn ports(&mut self, index: usize, parent: &ParentRef) -> Vec<Spot> {
        let key = Key::new(&self.key.namespace, &parent.name);
        let field = format!("spec.parentRefs[{index}]");
        if let Some(reason) = missing_service(self.mesh, self.origins, &key) {
            self.refuse(format!("{field}.name"), reason);
            return Vec::new();
        }
        let Some(service) = self.mesh.services.get(&key) else { return Vec::new() };
        self.parent_ports(&field, parent, service)
            .into_iter()
            .map(|port| Spot {
                place: Place::Port(key.clone(), port),
                parent: DocumentId::new(Kind::Service, key.clone()),
                port,
                parent_ref: index,
                hostnames: self.hostnames.to_vec(),
            })
            .collect()
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
        dialled: Option<(&Key, u16)>,
    ) -> Option<BoundRule> {
        let mirrors = self.mirrors(index, rule.filters, dialled);
        let mut backends = self.backends(index, rule.backend_refs, dialled)?;
        if let Some((service, port)) = dialled
            && backends.is_empty()
            && rule.filters.redirect.is_none()
        {
            backends.push(Backend {
                service: service.clone(),
                subset: None,
                port,
                weight: BackendRef::DEFAULT_WEIGHT,
                filters: Filters::default(),
            });
        }
        let matches =
            if rule.matches.is_empty() { vec![Match::default()] } else { rule.matches.to_vec() };
        Some(BoundRule {
            matches,
            filters: rule.filters.clone(),
            backends,
            mirrors: mirrors?,
            timeout: rule.timeouts.request,
            try_timeout: rule.timeouts.backend_request,
            retry: rule.retry.cloned(),
            split_on: rule.split_on.to_vec(),
            rate_limit: self.rate_limit(rule.name),
        })
    }

    /// How often requests of a rule may come: as is said of it or, without that, of the route.
    fn rate_limit(&self, rule: Option<&str>) -> Option<Arc<RateLimitPolicy>> {
        let of = |rule| {
            let target = RateLimitTarget::of_route(self.kind, &self.key.name, rule)?;
            self.mesh.rate_limit(&self.key.namespace, &target)
        };
        rule.and_then(|rule| of(Some(rule))).or_else(|| of(None)).cloned()
    }

    fn mirrors(
        &mut self,
        rule: usize,
        filters: &Filters,
        dialled: Option<(&Key, u16)>,
    ) -> Option<Vec<BoundMirror>> {
        let port = dialled.map(|(_, port)| port);
        let field = format!("spec.rules[{rule}].filters");
        let mirrors: Vec<Option<BoundMirror>> = filters
            .mirrors
            .iter()
            .map(|mirror| {
                let to = self.backend(&field, &mirror.backend_ref, port)?;
                Some(BoundMirror {
                    to,
                    share: mirror.share,
                    max_active: mirror.max_active,
                    compare: mirror.compare.clone(),
                })
            })
            .collect();
        let mirrors: Option<Vec<BoundMirror>> = mirrors.into_iter().collect();
        let mirrors = mirrors?;
        for (index, mirror) in mirrors.iter().enumerate() {
            let mut before = mirrors.iter().take(index);
            let twice = before.find(|other| other.to == mirror.to);
            if twice.is_some_and(|it| it.is_beyond_others() || mirror.is_beyond_others()) {
                self.refuse(field, Conflict::MirrorTwice);
                return None;
            }
        }
        Some(mirrors)
    }

    fn backends(
        &mut self,
        rule: usize,
        refs: &[BackendRef],
        dialled: Option<(&Key, u16)>,
    ) -> Option<Vec<Backend>> {
        let port = dialled.map(|(_, port)| port);
        let backends = refs.iter().enumerate();
        let backends: Vec<Option<Backend>> = backends
            .map(|(backend, reference)| {
                let field = format!("spec.rules[{rule}].backendRefs[{backend}]");
                self.backend(&field, reference, port)
            })
            .collect();
        backends.into_iter().collect()
    }

    fn backend(
        &mut self,
        field: &str,
        reference: &BackendRef,
        dialled: Option<u16>,
    ) -> Option<Backend> {
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
        let filters = reference.filters.clone();
        Some(Backend { service, subset, port, weight: reference.weight, filters })
    }

    fn backend_port(
        &mut self,
        field: &str,
        reference: &BackendRef,
        target: &Service,
        dialled: Option<u16>,
    ) -> Option<u16> {
        let port = match (reference.port, target.ports.as_slice()) {
            (Some(number), _) => target.port(number),
            (None, [only]) => Some(only),
            (None, _) => dialled.and_then(|port| target.port(port)),
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
