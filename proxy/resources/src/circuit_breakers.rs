//! `envoy.config.cluster.v3.CircuitBreakers`: how much a cluster may have under way at a time.

use weft_proto::pb::envoy::config::{
    cluster::v3::{self as wire, circuit_breakers},
    core::v3::RoutingPriority,
};

use crate::{cluster::optional, path::At, problem::Notes, scalar};

/// Envoy's default for each limit but that of retries.
const DEFAULT: u32 = 1024;
/// Envoy's default for retries.
const RETRIES: u32 = 3;

/// `envoy.config.core.v3.RoutingPriority`: by which of a cluster's limits a request counts. Requests
/// of different priorities share no connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// `DEFAULT`.
    #[default]
    Default,
    /// `HIGH`.
    High,
}

impl Priority {
    /// By its number on the wire; values that are not defined are refused before.
    pub(crate) fn of(number: i32) -> Self {
        if number == RoutingPriority::High as i32 { Self::High } else { Self::Default }
    }
}

/// Limits of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CircuitBreakers {
    /// For requests of default priority, and for raw connections.
    pub default: Limits,
    /// For requests of high priority.
    pub high: Limits,
}

impl CircuitBreakers {
    /// The limits for this priority.
    #[inline]
    #[must_use]
    pub fn of(&self, priority: Priority) -> &Limits {
        match priority {
            Priority::Default => &self.default,
            Priority::High => &self.high,
        }
    }
}

/// Limits of a cluster for one priority, over all workers together. A request above one is answered
/// with 503 and `x-envoy-overloaded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `max_connections`. A worker without any connection to an endpoint may always open one, as
    /// in Envoy: what it waits for would never come otherwise.
    pub max_connections: u32,
    /// `max_pending_requests`: those that wait for a connection.
    pub max_pending_requests: u32,
    /// `max_requests`: those that were sent, until the end of their responses.
    pub max_requests: u32,
    /// `max_retries`, or `retry_budget`: requests that are tried again.
    pub retries: RetryLimit,
    /// `per_host_thresholds.max_connections`: connections to one endpoint, those of both priorities
    /// together.
    pub max_connections_per_host: u32,
    /// `max_connection_pools`: pools with connections, or with requests that wait for one. Each worker
    /// has one for each endpoint, and one for each client where connections tell who that is.
    pub max_connection_pools: Option<u32>,
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: DEFAULT,
            max_pending_requests: DEFAULT,
            max_requests: DEFAULT,
            retries: RetryLimit::Number(RETRIES),
            max_connections_per_host: u32::MAX,
            max_connection_pools: None,
            track_remaining: false,
        }
    }
}

/// Reads the limits of a cluster.
pub(crate) fn of_cluster(
    message: &wire::Cluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> CircuitBreakers {
    let Some(breakers) = &message.circuit_breakers else { return CircuitBreakers::default() };
    let at = at.field("circuit_breakers");
    for (index, per_host) in breakers.per_host_thresholds.iter().enumerate() {
        refuse_others(per_host, &at.item("per_host_thresholds", index), notes);
    }
    CircuitBreakers {
        default: limits(breakers, Priority::Default),
        high: limits(breakers, Priority::High),
    }
}

/// The first entry for a priority counts, as in Envoy.
fn limits(breakers: &wire::CircuitBreakers, priority: Priority) -> Limits {
    let is_meant = |it: &&circuit_breakers::Thresholds| Priority::of(it.priority) == priority;
    let per_host = breakers.per_host_thresholds.iter().find(is_meant);
    let max_connections_per_host =
        per_host.and_then(|it| optional(it.max_connections.as_ref())).unwrap_or(u32::MAX);
    let Some(thresholds) = breakers.thresholds.iter().find(is_meant) else {
        return Limits { max_connections_per_host, ..Limits::default() };
    };
    let limit = |value| optional(value).unwrap_or(DEFAULT);
    Limits {
        max_connections: limit(thresholds.max_connections.as_ref()),
        max_pending_requests: limit(thresholds.max_pending_requests.as_ref()),
        max_requests: limit(thresholds.max_requests.as_ref()),
        retries: retries(thresholds),
        max_connections_per_host,
        max_connection_pools: optional(thresholds.max_connection_pools.as_ref()),
        track_remaining: thresholds.track_remaining,
    }
}

/// An endpoint has a limit of connections and no other, as in Envoy.
fn refuse_others(message: &circuit_breakers::Thresholds, at: &At<'_>, notes: &mut Notes) {
    let others = [
        ("max_pending_requests", message.max_pending_requests.is_some()),
        ("max_requests", message.max_requests.is_some()),
        ("max_retries", message.max_retries.is_some()),
        ("retry_budget", message.retry_budget.is_some()),
        ("track_remaining", message.track_remaining),
        ("max_connection_pools", message.max_connection_pools.is_some()),
    ];
    for (field, _) in others.into_iter().filter(|(_, is_set)| *is_set) {
        notes.unsupported::<()>(
            &at.field(field),
            "this limit for each endpoint",
            "max_connections is",
        );
    }
}

fn retries(message: &circuit_breakers::Thresholds) -> RetryLimit {
    let Some(budget) = &message.retry_budget else {
        return RetryLimit::Number(optional(message.max_retries.as_ref()).unwrap_or(RETRIES));
    };
    let percent = budget.budget_percent.map_or(20.0, |percent| percent.value);
    let per_million = scalar::per_million(percent);
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
