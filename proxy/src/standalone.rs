//! The mesh from files, translated inside the proxy: no control plane.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use weft_compile::{ResourceType, Source as Origin, Update, Upsert};
use weft_config::{Mesh, Problems, Source};
use weft_proto::pb::envoy::config::core::v3::Node;
use weft_translate::{NodeError, Workloads, translate};

/// A mesh that cannot be run from.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// A file or folder cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is written is not a mesh.
    #[error("{0}")]
    Invalid(Problems),
    /// The flags do not make a node.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// Reads files, and the `.yaml`, `.yml` and `.json` files of folders.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Mesh, MeshError> {
    let mut sources = Vec::new();
    for path in paths {
        let unreadable = |source| MeshError::Unreadable { path: path.clone(), source };
        for file in files_of(path).map_err(unreadable)? {
            let text = fs::read_to_string(&file)
                .map_err(|source| MeshError::Unreadable { path: file.clone(), source })?;
            sources.push(Source::new(file.display().to_string(), text));
        }
    }
    Mesh::parse(&sources).map_err(MeshError::Invalid)
}

fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let is_mesh = file
            .extension()
            .and_then(|ending| ending.to_str())
            .is_some_and(|ending| matches!(ending, "yaml" | "yml" | "json"));
        if is_mesh && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
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
