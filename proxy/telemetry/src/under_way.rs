//! What a cluster has under way for one priority, and how close that is to its limits.

use crate::{metric::Gauge, registry::Value};

/// `cluster.<name>.circuit_breakers.<priority>.*`. The gauges are what limits are held by.
#[derive(Debug, Default)]
pub struct UnderWay {
    /// Connections open now, and those being opened.
    pub connections: Gauge,
    /// Requests waiting for a connection now.
    pub pending_requests: Gauge,
    /// Requests waiting for the end of their response.
    pub requests: Gauge,
    /// Requests that are tried again now.
    pub retries: Gauge,
    /// Pools of connections that are in use, where there is a limit.
    pub pools: Gauge,
    max_connections: Gauge,
    max_pending_requests: Gauge,
    max_requests: Gauge,
    max_retries: Gauge,
    /// `u64::MAX` is no limit, as in Envoy.
    max_pools: Gauge,
    /// 1 when what is left is shown, too.
    tracks_remaining: Gauge,
}

/// Of each limit: what says that it is reached, and how much is left.
pub(crate) type Names = [(&'static str, &'static str); 5];

pub(crate) const DEFAULT: Names = [
    ("circuit_breakers.default.cx_open", "circuit_breakers.default.remaining_cx"),
    ("circuit_breakers.default.rq_pending_open", "circuit_breakers.default.remaining_pending"),
    ("circuit_breakers.default.rq_open", "circuit_breakers.default.remaining_rq"),
    ("circuit_breakers.default.rq_retry_open", "circuit_breakers.default.remaining_retries"),
    ("circuit_breakers.default.cx_pool_open", "circuit_breakers.default.remaining_cx_pools"),
];

pub(crate) const HIGH: Names = [
    ("circuit_breakers.high.cx_open", "circuit_breakers.high.remaining_cx"),
    ("circuit_breakers.high.rq_pending_open", "circuit_breakers.high.remaining_pending"),
    ("circuit_breakers.high.rq_open", "circuit_breakers.high.remaining_rq"),
    ("circuit_breakers.high.rq_retry_open", "circuit_breakers.high.remaining_retries"),
    ("circuit_breakers.high.cx_pool_open", "circuit_breakers.high.remaining_cx_pools"),
];

impl UnderWay {
    /// Notes the limits in force.
    pub fn set_limits(&self, connections: u32, pending_requests: u32, requests: u32, retries: u32) {
        self.max_connections.set(connections.into());
        self.max_pending_requests.set(pending_requests.into());
        self.max_requests.set(requests.into());
        self.max_retries.set(retries.into());
    }

    /// Notes how many pools there may be, if that is limited.
    pub fn limit_pools(&self, most: Option<u32>) {
        self.max_pools.set(most.map_or(u64::MAX, u64::from));
    }

    /// Whether `remaining_*` are shown (`track_remaining`).
    pub fn track_remaining(&self, tracks: bool) {
        self.tracks_remaining.set(tracks.into());
    }

    pub(crate) fn visit<'a>(&'a self, names: &Names, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let tracks_remaining = self.tracks_remaining.get() == 1;
        let used = [
            (&self.connections, &self.max_connections),
            (&self.pending_requests, &self.max_pending_requests),
            (&self.requests, &self.max_requests),
            (&self.retries, &self.max_retries),
            (&self.pools, &self.max_pools),
        ];
        for ((open, remaining), (used, most)) in names.iter().zip(used) {
            let left = most.get().saturating_sub(used.get());
            see(open, Value::Gauge(u64::from(left == 0)));
            if tracks_remaining {
                see(remaining, Value::Gauge(left));
            }
        }
    }
}
