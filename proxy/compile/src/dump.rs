//! A view of everything held, for `/config_dump`, `/clusters` and CSDS.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use weft_resources::{ResourceType, Warning, name_of_key};

use crate::{
    catalog::Catalog,
    clusters,
    compiler::Compiler,
    entry::{Entry, Refusal, Version},
    references::WantedNames,
    report,
    tables::Cluster,
    update::Source,
};

/// Everything held, by type.
#[derive(Clone, Debug)]
pub struct Dump {
    /// One for each type, in the order of [`ResourceType::ALL`].
    pub types: Vec<TypeDump>,
}

impl Dump {
    /// The resources of a type.
    pub fn of(&self, kind: ResourceType) -> &[ResourceDump] {
        self.types
            .iter()
            .find(|dump| dump.resource_type == kind)
            .map_or(&[], |dump| dump.resources.as_slice())
    }
}

/// All resources of a type.
#[derive(Clone, Debug)]
pub struct TypeDump {
    /// The type.
    pub resource_type: ResourceType,
    /// In the order of their names.
    pub resources: Vec<ResourceDump>,
}

/// A resource by its name.
#[derive(Clone, Debug)]
pub struct ResourceDump {
    /// The name.
    pub name: Arc<str>,
    /// What it is held under: the name, qualified where it does not come by ADS.
    pub key: Arc<str>,
    /// Where it comes from.
    pub source: Source,
    /// What serves.
    pub active: Option<VersionDump>,
    /// What waits until what it refers to is there.
    pub warming: Option<VersionDump>,
    /// The newest version, if it was refused.
    pub refused: Option<RefusedDump>,
    /// All of that in a word.
    pub status: ResourceStatus,
}

/// A good version.
#[derive(Clone, Debug)]
pub struct VersionDump {
    /// Its version.
    pub version: Arc<str>,
    /// The encoded resource as it was received.
    pub value: Bytes,
    /// When it was received.
    pub last_updated: SystemTime,
    /// What of it is not followed.
    pub warnings: Vec<Warning>,
}

/// A version that was refused.
#[derive(Clone, Debug)]
pub struct RefusedDump {
    /// Its version.
    pub version: Arc<str>,
    /// The encoded resource as it was received.
    pub value: Bytes,
    /// When it was received.
    pub last_update_attempt: SystemTime,
    /// Why it was refused.
    pub details: String,
}

/// `envoy.admin.v3.ClientResourceStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceStatus {
    /// Subscribed to, no answer yet.
    Requested,
    /// The server does not have it, or did not say in time.
    DoesNotExist,
    /// The newest version is in use, or about to be.
    Acked,
    /// The newest version was refused.
    Nacked,
}

/// A warm cluster.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it came by CDS.
    pub added_via_api: bool,
    /// The name of its endpoints, if they come by EDS.
    pub eds_service_name: Option<Arc<str>>,
    /// As published, with its hosts (`cluster.balancer.hosts()`).
    pub cluster: Arc<Cluster>,
}

impl Compiler {
    /// Everything held now.
    pub fn dump(&self) -> Dump {
        let types = ResourceType::ALL
            .into_iter()
            .map(|resource_type| {
                let resources = match resource_type {
                    ResourceType::Cluster => resources(&self.clusters.catalog, None),
                    ResourceType::Assignment => {
                        resources(&self.assignments.catalog, Some(&self.wanted.assignments))
                    }
                    ResourceType::Listener => resources(&self.listeners.catalog, None),
                    ResourceType::RouteConfiguration => {
                        resources(&self.route_configs.catalog, Some(&self.wanted.route_configs))
                    }
                };
                TypeDump { resource_type, resources }
            })
            .collect();
        Dump { types }
    }

    /// The clusters published last, in the order of their names.
    pub fn cluster_views(&self) -> Vec<ClusterView> {
        self.clusters
            .catalog
            .iter()
            .filter_map(|(name, entry)| {
                let active = entry.active.as_ref()?;
                Some(ClusterView {
                    name: Arc::clone(name),
                    added_via_api: entry.source == Source::Dynamic,
                    eds_service_name: clusters::eds_name(&active.value)
                        .map(name_of_key)
                        .map(Arc::from),
                    cluster: self.clusters.published_by_name(name)?,
                })
            })
            .collect()
    }
}

fn resources<T>(catalog: &Catalog<T>, wanted: Option<&WantedNames>) -> Vec<ResourceDump> {
    let mut dumps: Vec<_> = catalog.iter().map(|(name, entry)| resource(name, entry)).collect();
    let awaited = wanted.into_iter().flat_map(WantedNames::iter);
    for (name, _) in awaited.filter(|(name, _)| catalog.get(name).is_none()) {
        dumps.push(resource(name, &Entry::<T>::new(Source::Dynamic)));
    }
    dumps.sort_by(|a, b| a.key.cmp(&b.key));
    dumps
}

fn resource<T>(key: &Arc<str>, entry: &Entry<T>) -> ResourceDump {
    let status = if entry.refused.is_some() {
        ResourceStatus::Nacked
    } else if entry.is_known() {
        ResourceStatus::Acked
    } else if entry.missing.is_some() {
        ResourceStatus::DoesNotExist
    } else {
        ResourceStatus::Requested
    };
    ResourceDump {
        name: plain(key),
        key: Arc::clone(key),
        source: entry.source,
        active: entry.active.as_ref().map(version),
        warming: entry.warming.as_deref().map(version),
        refused: entry.refused.as_deref().map(refused),
        status,
    }
}

fn plain(key: &Arc<str>) -> Arc<str> {
    match name_of_key(key) {
        name if name.len() == key.len() => Arc::clone(key),
        name => Arc::from(name),
    }
}

fn version<T>(version: &Version<T>) -> VersionDump {
    VersionDump {
        version: Arc::clone(&version.version),
        value: version.bytes.clone(),
        last_updated: version.updated,
        warnings: version.warnings.clone(),
    }
}

fn refused(refusal: &Refusal) -> RefusedDump {
    RefusedDump {
        version: Arc::clone(&refusal.version),
        value: refusal.bytes.clone(),
        last_update_attempt: refusal.at,
        details: report::join(&refusal.reasons),
    }
}
