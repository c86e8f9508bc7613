//! `envoy.config.cluster.v3.CircuitBreakers`: how much a cluster may have under way at a time.

use weft_proto::pb::envoy::config::{
    cluster::v3::{self as wire, circuit_breakers},
    core::v3::RoutingPriority,
};

use crate::cluster::optional;

/// Envoy's default for each limit.
const DEFAULT: u32 = 1024;

/// Limits of a cluster, over all workers together. A request above one is answered with 503 and
/// `x-envoy-overloaded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitBreakers {
    /// `max_connections`. A worker without any connection to an endpoint may always open one, as
    /// in Envoy: what it waits for would never come otherwise.
    pub max_connections: u32,
    /// `max_pending_requests`: those that wait for a connection.
    pub max_pending_requests: u32,
    /// `max_requests`: those that were sent, until the end of their responses.
    pub max_requests: u32,
    /// `track_remaining`: metrics say how much is left.
    pub track_remaining: bool,
}

impl Default for CircuitBreakers {
    fn default() -> Self {
        Self {
            max_connections: DEFAULT,
            max_pending_requests: DEFAULT,
            max_requests: DEFAULT,
            track_remaining: false,
        }
    }
}

/// Reads the limits of requests of default priority: the first entry for it counts, as in Envoy.
/// No route gives its requests a high priority, so the limits for those hold for nobody.
pub(crate) fn of_cluster(message: &wire::Cluster) -> CircuitBreakers {
    let is_default = |thresholds: &&circuit_breakers::Thresholds| {
        thresholds.priority == RoutingPriority::Default as i32
    };
    let thresholds =
        message.circuit_breakers.iter().flat_map(|breakers| &breakers.thresholds).find(is_default);
    let Some(thresholds) = thresholds else { return CircuitBreakers::default() };
    let limit = |value| optional(value).unwrap_or(DEFAULT);
    CircuitBreakers {
        max_connections: limit(thresholds.max_connections.as_ref()),
        max_pending_requests: limit(thresholds.max_pending_requests.as_ref()),
        max_requests: limit(thresholds.max_requests.as_ref()),
        track_remaining: thresholds.track_remaining,
    }
}
