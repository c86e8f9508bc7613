//! What documents say about each other, routes aside: references that must exist, and
//! claims that must not collide.

mod rate_limits;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::binding::own_names;
use crate::document::{DocumentId, Key, Kind};
use crate::mesh::Mesh;
use crate::model::policy::{PolicyTarget, Probe};
use crate::problem::{Conflict, Problem, Reason};
use crate::tree::Node;

/// Where the documents of a change came from.
#[derive(Default)]
pub(crate) struct Origins {
    by_id: BTreeMap<DocumentId, (Option<Arc<str>>, Node)>,
    /// Documents that exist but have problems of their own: a reference to one of them
    /// does not dangle.
    unread: BTreeSet<DocumentId>,
}

impl Origins {
    pub(crate) fn add(&mut self, id: DocumentId, source: Option<Arc<str>>, tree: Node) {
        self.by_id.entry(id).or_insert((source, tree));
    }

    pub(crate) fn mark_unread(&mut self, id: DocumentId) {
        self.unread.insert(id);
    }

    /// `file:line:column` of a document, when it was seen.
    pub(crate) fn place(&self, id: &DocumentId) -> Option<String> {
        let (source, tree) = self.by_id.get(id)?;
        let source = source.as_deref().unwrap_or("another document");
        Some(tree.at.map_or_else(|| source.to_owned(), |position| format!("{source}:{position}")))
    }

    /// A problem with a field of a document.
    pub(crate) fn problem(&self, id: DocumentId, field: String, reason: Reason) -> Problem {
        let origin = self.by_id.get(&id);
        Problem {
            source: origin.and_then(|(source, _)| source.clone()),
            position: origin.and_then(|(_, tree)| tree.locate(&field)),
            document: Some(id),
            field,
            reason,
        }
    }

    /// Documents of a kind that are there, with problems that keep them from being used.
    fn unread(&self, kind: Kind) -> impl Iterator<Item = &Key> {
        self.unread.iter().filter(move |id| id.kind == kind).map(|id| &id.key)
    }

    /// Whether a document is there, with problems that keep it from being used.
    pub(crate) fn is_unread(&self, kind: Kind, key: &Key) -> bool {
        !self.unread.is_empty() && self.unread.contains(&DocumentId::new(kind, key.clone()))
    }
}

/// Why `name` is no Service of `namespace`; `None` when it is one.
pub(crate) fn missing_service(mesh: &Mesh, origins: &Origins, key: &Key) -> Option<Reason> {
    if mesh.services.contains_key(key) || origins.is_unread(Kind::Service, key) {
        return None;
    }
    Some(Reason::Dangling {
        kind: "Service",
        name: key.name.clone(),
        existing: names(mesh.services.keys().chain(origins.unread(Kind::Service)), &key.namespace),
    })
}

/// The names within a namespace.
pub(crate) fn names<'a>(keys: impl Iterator<Item = &'a Key>, namespace: &str) -> Vec<String> {
    keys.filter(|key| key.namespace == namespace).map(|key| key.name.clone()).collect()
}

/// Records every problem between documents that are no routes.
pub(crate) fn link(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) {
    link_services_named(mesh, origins, problems);
    link_dependencies(mesh, origins, problems);
    link_listeners(mesh, origins, problems);
    link_hostnames(mesh, origins, problems);
    link_policies(mesh, origins, problems);
    link_checks(mesh, origins, problems);
    rate_limits::link(mesh, origins, problems);
}

fn link_services_named(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) {
    let services_named =
        mesh.subsets.iter().map(|(key, subset)| (Kind::Subset, key, &subset.service)).chain(
            mesh.workloads.iter().map(|(key, workload)| (Kind::Workload, key, &workload.service)),
        );
    for (kind, key, service) in services_named {
        let service = Key::new(&key.namespace, service);
        if let Some(reason) = missing_service(mesh, origins, &service) {
            let id = DocumentId::new(kind, key.clone());
            problems.push(origins.problem(id, "spec.service".to_owned(), reason));
        }
    }
    for (key, subset) in &mesh.subsets {
        let service = mesh.services.get(&Key::new(&key.namespace, &subset.service));
        if service.is_some_and(|service| service.dns().is_some()) {
            let id = DocumentId::new(Kind::Subset, key.clone());
            let conflict = Conflict::SubsetOfDns { service: subset.service.clone() };
            problems.push(origins.problem(id, "spec.service".to_owned(), conflict.into()));
        }
    }
}

fn link_dependencies(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) {
    for (key, service) in &mesh.services {
        for (index, it) in service.dependencies.iter().flatten().enumerate() {
            if let Some(reason) = missing_service(mesh, origins, &it.key(&key.namespace)) {
                let id = DocumentId::new(Kind::Service, key.clone());
                let field = format!("spec.dependencies[{index}].name");
                problems.push(origins.problem(id, field, reason));
            }
        }
    }
}

fn link_listeners(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) {
    let mut listeners: BTreeMap<SocketAddr, String> = BTreeMap::new();
    for (key, service) in &mesh.services {
        for (index, port) in service.ports.iter().enumerate() {
            let Some(address) = port.listen else { continue };
            if let Some(owner) = listeners.get(&address) {
                let conflict =
                    Conflict::ListenAddress { address: address.to_string(), owner: owner.clone() };
                let id = DocumentId::new(Kind::Service, key.clone());
                problems.push(origins.problem(
                    id,
                    format!("spec.ports[{index}].listen"),
                    conflict.into(),
                ));
            } else {
                listeners.insert(address, format!("{key}:{}", port.port));
            }
        }
    }
}

/// A host name leads to one Service only, or to one host outside of the mesh.
fn link_hostnames(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) {
    let owners = own_names(mesh);
    let mut check = |id: &DocumentId, field: String, hostname: &String| {
        let reason = match owners.get(hostname) {
            Some(owner) if owner != id => {
                Conflict::Hostname { hostname: hostname.clone(), owner: Box::new(owner.clone()) }
                    .into()
            }
            _ if !hostname.contains('.') && *hostname != id.key.name => Reason::Invalid {
                found: hostname.clone(),
                expected: "a host name with a dot".to_owned(),
            },
            _ => return,
        };
        problems.push(origins.problem(id.clone(), field, reason));
    };
    for (key, service) in &mesh.services {
        let id = DocumentId::new(Kind::Service, key.clone());
        for (index, hostname) in service.hostnames.iter().enumerate() {
            check(&id, format!("spec.hostnames[{index}]"), hostname);
        }
    }
    if let Some(config) = mesh.config() {
        let id = DocumentId::new(Kind::MeshConfig, config.metadata.key());
        for (index, host) in config.egress.hosts().iter().enumerate() {
            check(&id, format!("spec.egress.hosts[{index}].host"), &host.host);
        }
    }
}

/// Every policy has a target, and every target one policy.
fn link_policies(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) {
    let mut owners: BTreeMap<(&str, &PolicyTarget), DocumentId> = BTreeMap::new();
    for (key, policy) in &mesh.policies {
        let id = DocumentId::new(Kind::TrafficPolicy, key.clone());
        let (kind, name) = policy.target_ref.parts();
        let target = Key::new(&key.namespace, name);
        let missing = match &policy.target_ref {
            PolicyTarget::Service(_) => missing_service(mesh, origins, &target),
            PolicyTarget::Subset(_) => {
                let exists =
                    mesh.subsets.contains_key(&target) || origins.is_unread(Kind::Subset, &target);
                (!exists).then(|| Reason::Dangling {
                    kind: "Subset",
                    name: name.to_owned(),
                    existing: names(mesh.subsets.keys(), &key.namespace),
                })
            }
        };
        if let Some(reason) = missing {
            problems.push(origins.problem(id, "spec.targetRef.name".to_owned(), reason));
        } else if let Some(owner) = owners.get(&(&*key.namespace, &policy.target_ref)) {
            let target = DocumentId::new(kind, target).to_string();
            let conflict = Conflict::SecondPolicy { target, owner: owner.to_string() };
            problems.push(origins.problem(id, "spec.targetRef".to_owned(), conflict.into()));
        } else {
            owners.insert((&key.namespace, &policy.target_ref), id);
        }
    }
}

/// A policy that has endpoints asked in gRPC is about some that speak it, and one with faults about
/// a Service.
fn link_checks(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) {
    for (key, policy) in &mesh.policies {
        if let (PolicyTarget::Subset(_), Some(_)) = (&policy.target_ref, &policy.settings.fault) {
            let id = DocumentId::new(Kind::TrafficPolicy, key.clone());
            let field = "spec.fault".to_owned();
            problems.push(origins.problem(id, field, Conflict::FaultOfSubset.into()));
        }
        if let (PolicyTarget::Subset(_), Some(_)) =
            (&policy.target_ref, &policy.settings.stickiness)
        {
            let id = DocumentId::new(Kind::TrafficPolicy, key.clone());
            let field = "spec.stickiness".to_owned();
            problems.push(origins.problem(id, field, Conflict::StickySubset.into()));
        }
        if let (PolicyTarget::Subset(_), Some(_)) =
            (&policy.target_ref, &policy.settings.adaptive_concurrency)
        {
            let id = DocumentId::new(Kind::TrafficPolicy, key.clone());
            let field = "spec.adaptiveConcurrency".to_owned();
            problems.push(origins.problem(id, field, Conflict::AdaptiveSubset.into()));
        }
        let probe = policy.settings.health_check.as_ref().map(|check| &check.probe);
        let service = match &policy.target_ref {
            PolicyTarget::Service(name) => Some(name),
            PolicyTarget::Subset(name) => {
                let subset = mesh.subsets.get(&Key::new(&key.namespace, name));
                subset.map(|subset| &subset.service)
            }
        };
        let service = service.and_then(|name| mesh.services.get(&Key::new(&key.namespace, name)));
        let Some((Probe::Grpc(_), service)) = probe.zip(service) else { continue };
        if !service.ports.iter().any(|port| port.protocol.is_http2()) {
            let id = DocumentId::new(Kind::TrafficPolicy, key.clone());
            let conflict = Conflict::GrpcCheck { service: service.metadata.name.clone() };
            problems.push(origins.problem(id, "spec.healthCheck.grpc".to_owned(), conflict.into()));
        }
    }
}
