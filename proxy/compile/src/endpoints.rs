//! A cluster with its endpoints.

use std::{collections::HashMap, sync::Arc};

use foldhash::{fast::RandomState, quality::FixedState};
use weft_balance::{
    Balancer, EndpointAddress, EndpointState, Health, Host, Locality, Policy, Settings,
};
use weft_resources::{
    Address, Assignment, Cluster as Resource, HealthStatus, LocalityEndpoints, LocalityWeights,
    Picker,
};
use weft_telemetry::ClusterStats;

use crate::tables::{Cluster, ClusterId};

/// What a cluster is built from.
pub(crate) struct Parts<'a> {
    pub(crate) id: ClusterId,
    pub(crate) stats: Arc<ClusterStats>,
    pub(crate) resource: &'a Resource,
    pub(crate) resource_bytes: &'a [u8],
    /// `None` for endpoints that do not exist on the server.
    pub(crate) assignment: Option<&'a Assignment>,
    pub(crate) assignment_bytes: &'a [u8],
    /// The cluster of this name in the tables before.
    pub(crate) previous: Option<&'a Cluster>,
}

/// Builds a cluster, with the endpoints of the previous one where address and connection settings
/// are the same.
pub(crate) fn build(parts: Parts<'_>) -> Cluster {
    let Parts { id, stats, resource, resource_bytes, assignment, assignment_bytes, previous } =
        parts;
    let previous = previous.filter(|previous| *previous.connection == resource.connection);
    let connection = previous
        .map_or_else(|| Arc::new(resource.connection.clone()), |p| Arc::clone(&p.connection));
    let hosts = match assignment {
        None => Vec::new(),
        Some(assignment) => hosts(assignment, resource, previous),
    };
    let healthy = hosts.iter().filter(|host| host.health.is_healthy()).count();
    stats.membership_total.set(hosts.len() as u64);
    stats.membership_healthy.set(healthy as u64);
    let policy = match resource.balancing.picker {
        Picker::RoundRobin => Policy::RoundRobin,
        Picker::LeastRequest { choices } => Policy::LeastRequest { choices },
    };
    let settings = Settings {
        overprovisioning: assignment.map_or(140, |found| found.overprovisioning_factor),
        panic_threshold: resource.balancing.panic_threshold.into(),
    };
    Cluster {
        id,
        name: resource.name.to_shared(),
        stats,
        connection,
        balancer: Balancer::with_settings(policy, settings, hosts),
        hash: hash(&[resource_bytes, assignment_bytes]),
    }
}

/// Tells versions of configuration apart for people and dumps; nothing is decided by it.
pub(crate) fn hash(parts: &[&[u8]]) -> u64 {
    use std::hash::BuildHasher;
    FixedState::with_seed(0).hash_one(parts)
}

fn hosts(assignment: &Assignment, cluster: &Resource, previous: Option<&Cluster>) -> Vec<Host> {
    let known: HashMap<&EndpointAddress, &Arc<EndpointState>, RandomState> = previous
        .into_iter()
        .flat_map(|previous| previous.balancer.hosts())
        .map(|host| (host.endpoint.address(), &host.endpoint))
        .collect();
    let count = assignment.localities.iter().map(|group| group.endpoints.len()).sum();
    let mut hosts = Vec::with_capacity(count);
    for group in &assignment.localities {
        let LocalityEndpoints { locality, priority, weight, endpoints } = group;
        let locality = Arc::new(Locality {
            region: locality.region.clone(),
            zone: locality.zone.clone(),
            sub_zone: locality.sub_zone.clone(),
        });
        let locality_weight = match cluster.balancing.localities {
            LocalityWeights::Ignored => None,
            LocalityWeights::Followed => *weight,
        };
        hosts.extend(endpoints.iter().map(|endpoint| {
            let address = address(&endpoint.address);
            let carried = known.get(&address).map(|endpoint| Arc::clone(endpoint));
            Host {
                endpoint: carried.unwrap_or_else(|| EndpointState::new(address)),
                weight: endpoint.weight,
                health: health(endpoint.health),
                priority: *priority,
                locality: Some(Arc::clone(&locality)),
                locality_weight,
            }
        }));
    }
    hosts
}

fn address(address: &Address) -> EndpointAddress {
    match address {
        Address::Ip(address) => EndpointAddress::Ip(*address),
        Address::Pipe(path) => EndpointAddress::Pipe(path.clone()),
    }
}

fn health(status: HealthStatus) -> Health {
    match status {
        HealthStatus::Unknown => Health::Unknown,
        HealthStatus::Healthy => Health::Healthy,
        HealthStatus::Unhealthy => Health::Unhealthy,
        HealthStatus::Draining => Health::Draining,
        HealthStatus::Timeout => Health::Timeout,
        HealthStatus::Degraded => Health::Degraded,
    }
}
