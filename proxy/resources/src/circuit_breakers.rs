//! `envoy.config.cluster.v3.CircuitBreakers`: how much a cluster may have under way at a time.

use weft_proto::pb::envoy::config::{
    cluster::v3::{self as wire, circuit_breakers},
    core::v3::RoutingPriority,
};

use crate::cluster::optional;

/// Envoy's default for each limit but that of retries.
const DEFAULT: u32 = 1024;
/// Envoy's default for retries.
const RETRIES: u32 = 3;

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
    /// `max_retries`, or `retry_budget`: requests that are tried again.
    pub retries: RetryLimit,
    /// `track_remaining`: metrics say how much is left.
    pub track_remaining: bool,
}

/// How many requests may be tried again at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryLimit {
    /// `max_retries`: so many, 3 by default.
    Number(u32),
    /// `retry_budget`: a share of the requests under way.
    Budget {
        /// `budget_percent` in parts of a million, 20 % by default.
        per_million: u32,
        /// `min_retry_concurrency`: so many in any case, 3 by default.
        least: u32,
    },
}

impl RetryLimit {
    /// The limit while so many requests are under way or wait for a connection.
    #[must_use]
    pub fn most(self, under_way: u64) -> u64 {
        match self {
            Self::Number(most) => most.into(),
            Self::Budget { per_million, least } => {
                let share = under_way.saturating_mul(per_million.into()) / 1_000_000;
                share.max(least.into())
            }
        }
    }
}

impl Default for CircuitBreakers {
    fn default() -> Self {
        Self {
            max_connections: DEFAULT,
            max_pending_requests: DEFAULT,
            max_requests: DEFAULT,
            retries: RetryLimit::Number(RETRIES),
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
        retries: retries(thresholds),
        track_remaining: thresholds.track_remaining,
    }
}

fn retries(message: &circuit_breakers::Thresholds) -> RetryLimit {
    let Some(budget) = &message.retry_budget else {
        return RetryLimit::Number(optional(message.max_retries.as_ref()).unwrap_or(RETRIES));
    };
    let percent = budget.budget_percent.map_or(20.0, |percent| percent.value);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
    let per_million = (percent.clamp(0.0, 100.0) * 10_000.0) as u32;
    let least = optional(budget.min_retry_concurrency.as_ref()).unwrap_or(RETRIES);
    RetryLimit::Budget { per_million, least }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_share_and_a_minimum() {
        let budget = RetryLimit::Budget { per_million: 200_000, least: 3 };
        assert_eq!([0, 14, 15, 100].map(|under_way| budget.most(under_way)), [3, 3, 3, 20]);
        assert_eq!(RetryLimit::Number(7).most(1_000), 7);
    }
}
