//! Places within the limits of a cluster (`circuit_breakers`), which hold over all workers.

use std::sync::Arc;

use weft_balance::{ActiveConnection, EndpointState};
use weft_compile::{Cluster, Priority};
use weft_telemetry::{Gauge, GaugeGuard, UnderWay};

/// A place that is taken until this is dropped.
pub(crate) type Place = GaugeGuard<Arc<Cluster>>;

/// What a cluster may have only so much of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limited {
    Connections,
    PendingRequests,
    Requests,
    Retries,
    Pools,
}

/// Takes a place, if there is one left.
pub(crate) fn take(cluster: &Arc<Cluster>, what: Limited, priority: Priority) -> Option<Place> {
    let limits = cluster.circuit_breakers.of(priority);
    let most = match what {
        Limited::Connections => limits.max_connections.into(),
        Limited::PendingRequests => limits.max_pending_requests.into(),
        Limited::Requests => limits.max_requests.into(),
        Limited::Retries => cluster.most_retries(priority),
        Limited::Pools => limits.max_connection_pools.map_or(u64::MAX, u64::from),
    };
    GaugeGuard::raise_below(Arc::clone(cluster), gauge(what, priority), most)
}

/// Takes a place, be there one left or not.
pub(crate) fn take_anyway(cluster: &Arc<Cluster>, what: Limited, priority: Priority) -> Place {
    GaugeGuard::raise(Arc::clone(cluster), gauge(what, priority))
}

fn gauge(what: Limited, priority: Priority) -> fn(&Arc<Cluster>) -> &Gauge {
    fn default(cluster: &Arc<Cluster>) -> &UnderWay {
        &cluster.stats.default_priority
    }
    fn high(cluster: &Arc<Cluster>) -> &UnderWay {
        &cluster.stats.high_priority
    }
    match (what, priority) {
        (Limited::Connections, Priority::Default) => |cluster| &default(cluster).connections,
        (Limited::Connections, Priority::High) => |cluster| &high(cluster).connections,
        (Limited::PendingRequests, Priority::Default) => {
            |cluster| &default(cluster).pending_requests
        }
        (Limited::PendingRequests, Priority::High) => |cluster| &high(cluster).pending_requests,
        (Limited::Requests, Priority::Default) => |cluster| &default(cluster).requests,
        (Limited::Requests, Priority::High) => |cluster| &high(cluster).requests,
        (Limited::Retries, Priority::Default) => |cluster| &default(cluster).retries,
        (Limited::Retries, Priority::High) => |cluster| &high(cluster).retries,
        (Limited::Pools, Priority::Default) => |cluster| &default(cluster).pools,
        (Limited::Pools, Priority::High) => |cluster| &high(cluster).pools,
    }
}

/// What has as many connections as it may.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Full {
    Cluster,
    Endpoint,
}

/// Takes a place for a connection to this endpoint, if there is one left in the cluster and there.
pub(crate) fn take_connection(
    cluster: &Arc<Cluster>,
    endpoint: &Arc<EndpointState>,
    priority: Priority,
) -> Result<(Place, ActiveConnection), Full> {
    let place = take(cluster, Limited::Connections, priority).ok_or(Full::Cluster)?;
    let most = cluster.circuit_breakers.of(priority).max_connections_per_host;
    Ok((place, endpoint.begin_connection_below(most).ok_or(Full::Endpoint)?))
}
