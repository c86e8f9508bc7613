//! What documents say about each other, routes aside: references that must exist, and
//! claims that must not collide.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::document::{DocumentId, Key, Kind};
use crate::mesh::Mesh;
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
        existing: names(mesh.services.keys(), &key.namespace),
    })
}

/// The names within a namespace.
pub(crate) fn names<'a>(keys: impl Iterator<Item = &'a Key>, namespace: &str) -> Vec<String> {
    keys.filter(|key| key.namespace == namespace).map(|key| key.name.clone()).collect()
}

/// Records every problem between Services, Subsets and Workloads.
pub(crate) fn link(mesh: &Mesh, origins: &Origins, problems: &mut Vec<Problem>) {
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
