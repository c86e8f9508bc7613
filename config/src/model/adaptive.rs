//! Adaptive concurrency: as many requests at once as their latencies allow.

use std::time::Duration;

use serde::Serialize;

use super::policy::duration;

/// The sidecars of a Service let as many requests at once come to their application as it answers
/// as quickly as when it is idle. What is one too many is answered 503 at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdaptiveConcurrency {
    /// Never fewer than these; 3 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_concurrent: Option<u32>,
    /// Never more than these, and no fewer than `min_concurrent`; 1000 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// How long an idle application takes; more than zero. Without it that is measured once in a
    /// while, with few requests at once.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub idle_latency: Option<Duration>,
}

impl AdaptiveConcurrency {
    /// [`min_concurrent`](Self::min_concurrent) where nothing is said.
    pub const MIN: u32 = 3;
    /// [`max_concurrent`](Self::max_concurrent) where nothing is said.
    pub const MAX: u32 = 1000;
}
