//! What the mesh means a proxy to have.

use std::collections::BTreeMap;

use weft_config::{Key, Mesh};
use weft_control_admin::api;
use weft_translate::{Instance, Workloads};

use super::{ExplainError, table};

/// Names of resources, by the type's abbreviation.
pub type Names = BTreeMap<&'static str, Vec<String>>;

/// The names of all that a sidecar of `service` is to have, or of one that only calls.
///
/// # Errors
/// When the caller cannot be one.
pub fn meant(mesh: &Mesh, workloads: &Workloads, service: &Key) -> Result<Names, ExplainError> {
    let resources = table::resources(mesh, workloads, service, super::OUTBOUND)?;
    let types = [
        ("CDS", &resources.clusters),
        ("EDS", &resources.endpoints),
        ("LDS", &resources.listeners),
        ("RDS", &resources.routes),
    ];
    let names = types.map(|(of, collection)| {
        (of, collection.iter().map(|(name, _)| name.to_string()).collect())
    });
    Ok(names.into())
}

/// Instances by Service, out of what a control plane lists.
pub fn workloads<'a>(listed: impl IntoIterator<Item = &'a api::Workload>) -> Workloads {
    let mut by_service: BTreeMap<Key, Vec<Instance>> = BTreeMap::new();
    for workload in listed.into_iter().filter(|workload| workload.phase != "draining") {
        let Ok(address) = workload.address.parse() else { continue };
        let key = Key::new(&workload.namespace, &workload.service);
        by_service.entry(key).or_default().push(Instance {
            name: workload.instance.clone(),
            address,
            labels: workload.labels.clone(),
            zone: workload.zone.clone(),
            healthy: workload.phase == "serving",
        });
    }
    let mut workloads = Workloads::new();
    for (service, instances) in by_service {
        workloads.set(service, instances);
    }
    workloads
}
