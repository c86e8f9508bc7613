//! The mesh from files, translated inside the proxy: no control plane.

use std::{path::PathBuf, sync::Arc};

use weft_compile::{ResourceType, Source as Origin, Update, Upsert};
use weft_config::{Mesh, Problems};
use weft_proto::pb::envoy::config::core::v3::Node;
use weft_translate::{NodeError, Workloads, translate};

use crate::files::{self, FilesError};

/// A mesh that cannot be run from.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// A file or folder cannot be read.
    #[error(transparent)]
    Unreadable(#[from] FilesError),
    /// What is written is not a mesh.
    #[error("{0}")]
    Invalid(Problems),
    /// The flags do not make a node.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// The mesh of files and folders, see [`files::read`].
pub(crate) fn read(paths: &[PathBuf]) -> Result<Mesh, MeshError> {
    Mesh::parse(&files::read(paths)?).map_err(MeshError::Invalid)
}

/// What this node would be sent by a control plane, in the order in which it is to be applied.
/// What the node cannot do of it comes beside.
pub(crate) fn updates(mesh: &Mesh, node: &Node) -> Result<(Vec<Update>, Vec<String>), MeshError> {
    let node = weft_translate::Node::from_xds(node)?;
    let resources = translate(mesh, &Workloads::new(), &node);
    let updates = [
        (ResourceType::Cluster, &resources.clusters),
        (ResourceType::Assignment, &resources.endpoints),
        (ResourceType::Listener, &resources.listeners),
        (ResourceType::RouteConfiguration, &resources.routes),
    ]
    .map(|(resource_type, collection)| Update {
        resource_type,
        version: Arc::from("mesh"),
        upserts: collection
            .iter()
            .map(|(name, resource)| Upsert {
                name: Arc::clone(name),
                version: Arc::clone(&resource.version),
                value: resource.value.clone(),
            })
            .collect(),
        removals: Vec::new(),
        full_state: false,
        source: Origin::Dynamic,
    });
    Ok((updates.into(), resources.notes.iter().map(ToString::to_string).collect()))
}
