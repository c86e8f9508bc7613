//! A cluster with its endpoints.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use foldhash::{fast::RandomState, quality::FixedState};
use weft_balance::{
    Alarm, Balancer, Condition, Decay, DropOverload, DropOverloads, Group, Hashing, Host, Locality,
    OnPanic, Policy, Settings, Statuses, Subsets, Verdict, Zones,
};
use weft_resources::{
    Assignment, Cluster as Resource, Discovery, DynamicHosts, HashTable, Limits, Picker,
};
use weft_telemetry::{ClusterStats, UnderWay};

use crate::{
    checks::Checks,
    dynamic_hosts::HostCache,
    hedges::Hedges,
    hosts::{Made, health, hosts},
    names::Names,
    outliers::Outliers,
    subsets,
    tables::{Cluster, ClusterId},
};

/// What a cluster is built from.
pub(crate) struct Parts<'a> {
    pub(crate) id: ClusterId,
    pub(crate) stats: Arc<ClusterStats>,
    pub(crate) resource: &'a Resource,
    pub(crate) resource_bytes: &'a [u8],
    /// `None` for endpoints that do not exist on the server.
    pub(crate) assignment: Option<&'a Assignment>,
    pub(crate) assignment_bytes: &'a [u8],
    pub(crate) names: &'a Names,
    /// The cluster of this name in the tables before.
    pub(crate) previous: Option<&'a Cluster>,
    /// Of an aggregate: clusters with endpoints of their own, in order.
    pub(crate) members: Vec<Arc<Cluster>>,
    /// Rings when a decision about its endpoints is due.
    pub(crate) alarm: Arc<Alarm>,
    /// Rings when a request names a host that is to be looked up.
    pub(crate) named: &'a Arc<Alarm>,
    /// Where this proxy is, if it knows.
    pub(crate) own: Option<&'a Locality>,
    /// Where this proxy is, and how many of its healthy peers are where.
    pub(crate) place: Option<(Arc<Locality>, BTreeMap<Locality, u64>)>,
}

/// Builds a cluster, with the endpoints of the previous one where address and connection settings
/// are the same.
pub(crate) fn build(parts: Parts<'_>) -> Cluster {
    let Parts { id, stats, resource, assignment, names, previous, members, .. } = parts;
    let before = previous;
    let previous = previous.filter(|previous| *previous.connection == resource.connection);
    let connection = previous
        .map_or_else(|| Arc::new(resource.connection.clone()), |p| Arc::clone(&p.connection));
    let Made { hosts, targets } = match assignment {
        None => Made::default(),
        Some(assignment) => {
            let made = hosts(resource, assignment, names, before, previous.is_some());
            match previous {
                // With identities of their own connections to the old ones drain.
                Some(previous) if drains(resource, previous, &made.hosts) => {
                    hosts(resource, assignment, names, before, false)
                }
                _ => made,
            }
        }
    };
    for host in &hosts {
        let there = parts.own.zip(host.locality.as_deref());
        host.endpoint.set_crosses_zones(there.and_then(|(own, there)| own.crosses_to(there)));
    }
    let is_ready = before.is_some_and(|before| before.is_ready)
        || !hosts.iter().any(|host| host.standing.has(Verdict::Unchecked));
    let checks = resource.health_check.as_ref().map(|settings| {
        let same = before.and_then(|before| before.checks.as_ref()).map(|it| &it.settings);
        let settings = match same.filter(|same| ***same == *settings) {
            Some(same) => Arc::clone(same),
            None => Arc::new(settings.clone()),
        };
        Checks::new(settings, targets, Arc::clone(&parts.alarm))
    });
    count_members(&stats, &hosts);
    let (balancer, subsets) = balancers(resource, assignment, hosts, &members, parts.place);
    stats.lb_subsets_active.set(subsets.as_ref().map_or(0, |subsets| subsets.count() as u64));
    note_limits(&stats.default_priority, &resource.circuit_breakers.default);
    note_limits(&stats.high_priority, &resource.circuit_breakers.high);
    Cluster {
        id,
        name: resource.name.to_shared(),
        stats,
        connection,
        circuit_breakers: resource.circuit_breakers,
        checks,
        is_ready,
        slow_start: resource.balancing.slow_start,
        retry: resource.retry.clone(),
        latencies: match resource.balancing.picker {
            Picker::PeakEwma { decay } => Some(Decay::over(decay)),
            _ => None,
        },
        outliers: resource
            .outlier_detection
            .clone()
            .map(|settings| Outliers::new(settings, parts.alarm)),
        hedges: hedges(resource, before),
        drop_overloads: drop_overloads(assignment),
        balancer,
        subsets,
        live: resource.override_statuses.as_ref().map_or_else(Statuses::default, |statuses| {
            statuses.iter().map(|status| health(*status)).collect()
        }),
        members: members.into_boxed_slice(),
        original_destination: match &resource.discovery {
            Discovery::OriginalDestination(found) => Some(found.clone()),
            _ => None,
        },
        dynamic_hosts: match &resource.discovery {
            Discovery::Dynamic(settings) => Some(host_cache(settings, before, parts.named)),
            _ => None,
        },
        hash: hash(&[parts.resource_bytes, parts.assignment_bytes]),
    }
}

/// With what was seen of answers so far, unless something else is to be gone by.
fn hedges(resource: &Resource, before: Option<&Cluster>) -> Option<Arc<Hedges>> {
    let settings = resource.hedging.as_ref()?;
    let known = before.and_then(|before| before.hedges.as_ref());
    Some(match known.filter(|known| known.settings() == settings) {
        Some(known) => Arc::clone(known),
        None => Arc::new(Hedges::new(settings.clone())),
    })
}

/// The hosts that are known already, unless they are to be found in another way.
fn host_cache(
    settings: &Arc<DynamicHosts>,
    before: Option<&Cluster>,
    named: &Arc<Alarm>,
) -> Arc<HostCache> {
    let known = before.and_then(|before| before.dynamic_hosts.as_ref());
    match known.filter(|known| **known.settings() == **settings) {
        Some(known) => Arc::clone(known),
        None => Arc::new(HostCache::new(Arc::clone(settings), Arc::clone(named))),
    }
}

fn note_limits(under_way: &UnderWay, limits: &Limits) {
    let Limits { max_connections, max_pending_requests, max_requests, .. } = *limits;
    let retries = u32::try_from(limits.retries.most(0)).unwrap_or(u32::MAX);
    under_way.set_limits(max_connections, max_pending_requests, max_requests, retries);
    under_way.limit_pools(limits.max_connection_pools);
    under_way.track_remaining(limits.track_remaining);
}

fn balancers(
    resource: &Resource,
    assignment: Option<&Assignment>,
    hosts: Vec<Host>,
    members: &[Arc<Cluster>],
    place: Option<(Arc<Locality>, BTreeMap<Locality, u64>)>,
) -> (Balancer, Option<Box<Subsets>>) {
    let settings = settings(resource, assignment);
    if members.is_empty() {
        let policy = policy(resource.balancing.picker);
        let group = Group::new(policy, settings.overprovisioning, hosts);
        let zones = resource.balancing.zone_aware.zip(place).map(|(rule, (own, peers))| Zones {
            own,
            peers,
            enabled: rule.enabled.into(),
            least_endpoints: rule.least_endpoints,
            own_only: rule.own_only,
        });
        let group = Group { zones, ..group };
        let subsets = resource.subsets.as_ref();
        let subsets = subsets.map(|it| Box::new(subsets::divide(it, &group, settings)));
        return (Balancer::of_groups(vec![group], settings), subsets);
    }
    let groups = members.iter().map(|member| member.balancer.to_group()).collect();
    (Balancer::of_groups(groups, settings), None)
}

fn count_members(stats: &ClusterStats, hosts: &[Host]) {
    let of = |condition| hosts.iter().filter(|host| host.condition() == condition).count() as u64;
    stats.membership_total.set(hosts.len() as u64);
    stats.membership_healthy.set(of(Condition::Healthy));
    stats.membership_degraded.set(of(Condition::Degraded));
    stats.membership_excluded.set(of(Condition::Excluded));
}

fn policy(picker: Picker) -> Policy {
    match picker {
        // A cluster that provides for itself has no endpoints to choose among here.
        Picker::RoundRobin | Picker::ClusterProvided => Policy::RoundRobin,
        Picker::LeastRequest { choices, bias } => Policy::LeastRequest { choices, bias },
        Picker::PeakEwma { decay } => Policy::PeakEwma { decay: Decay::over(decay) },
        Picker::Random => Policy::Random,
        Picker::Hashed(hashing) => {
            let placed = match hashing.table {
                HashTable::Ring { least, most } => Hashing::Ring { least, most },
                HashTable::Maglev { size } => Hashing::Maglev { size },
            };
            match hashing.bound {
                None => Policy::Hashed(placed),
                Some(factor) => Policy::HashedWithin(placed, factor),
            }
        }
    }
}

fn settings(resource: &Resource, assignment: Option<&Assignment>) -> Settings {
    let default = Settings::default();
    Settings {
        overprovisioning: assignment
            .map_or(default.overprovisioning, |found| found.overprovisioning_factor),
        panic_threshold: resource.balancing.panic_threshold.into(),
        on_panic: if resource.balancing.fail_on_panic { OnPanic::Fail } else { OnPanic::UseAll },
    }
}

fn drop_overloads(assignment: Option<&Assignment>) -> DropOverloads {
    let shares = assignment.into_iter().flat_map(|found| &found.drop_overloads);
    let share = |share: &weft_resources::DropOverload| DropOverload {
        category: Arc::clone(&share.category),
        per_million: share.per_million,
    };
    DropOverloads::new(shares.map(share).collect())
}

/// Tells versions of configuration apart for people and dumps; nothing is decided by it.
pub(crate) fn hash(parts: &[&[u8]]) -> u64 {
    use std::hash::BuildHasher;
    FixedState::with_seed(0).hash_one(parts)
}

/// Whether connections to all endpoints are to drain because one has come or gone.
fn drains(resource: &Resource, previous: &Cluster, hosts: &[Host]) -> bool {
    let carried = || {
        let before: HashSet<_, RandomState> =
            previous.balancer.hosts().iter().map(|host| host.endpoint.id()).collect();
        hosts.iter().filter(|host| before.contains(&host.endpoint.id())).count()
    };
    resource.drain_on_host_set_change
        && (hosts.len() != previous.balancer.hosts().len() || carried() != hosts.len())
}
