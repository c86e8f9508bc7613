//! Whose configuration is remembered where.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::cli::RunArgs;

/// The place of one proxy's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    /// What makes this proxy another one than its neighbours: after a restart it is the same.
    identity: String,
}

impl Place {
    pub(super) fn new(folder: PathBuf, identity: String) -> Self {
        Self { folder, identity }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// The file: proxies that share a folder do not share it.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join(format!("{:.32}.last-known-good", self.identity))
    }
}

/// Where the configuration of a proxy with these flags is remembered, if it is. A sidecar's always
/// is unless told otherwise; that of a bootstrap, which says itself what it is about, when asked to.
pub(crate) fn place(args: &RunArgs) -> Option<Place> {
    if args.no_last_known_good {
        return None;
    }
    let sidecar = &args.sidecar;
    if sidecar.control_plane.is_none() && args.state_dir.is_none() {
        return None;
    }
    let Some(folder) = args.state_dir.clone().or_else(super::default_folder) else {
        tracing::info!(
            "no last known good configuration is kept: there is no home folder and no --state-dir"
        );
        return None;
    };
    let bootstrap = args.config_path.as_ref().and_then(|path| std::fs::read(path).ok());
    let texts = [
        format!("{:?}", sidecar.control_plane),
        format!("{:?} {:?}", sidecar.namespace, sidecar.service),
        format!("{:?} {:?} {:?}", sidecar.instance, sidecar.port, sidecar.zone),
        format!("{} {} {}", sidecar.inbound, sidecar.outbound, sidecar.admin),
        format!("{:?} {:?}", args.service_node, args.service_cluster),
        format!("{:?} {:?}", args.config_yaml, bootstrap),
    ];
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    let identity = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Place::new(folder, identity))
}
