//! How far requests are spread when endpoints are new, or not well.

use std::time::Duration;

use serde::Serialize;

use super::policy::{is_default, time};

/// How far requests are spread when endpoints are new, or not well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// New endpoints take less at first.
    pub slow_start: Option<SlowStart>,
    /// Below so many well endpoints of a hundred, requests go to those that are not well, too;
    /// never with 0.
    pub panic_threshold: Option<u32>,
    /// What zones mean.
    pub zones: Option<Zones>,
}

/// What zones mean to a proxy that knows its own, and its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Zones {
    /// Requests stay in their zone as far as its endpoints can carry them.
    PreferOwn,
    /// Nothing.
    Any,
}

impl Spread {
    /// These settings, and where they say nothing, those of `base`.
    #[must_use]
    pub(crate) fn over(self, base: Self) -> Self {
        Self {
            slow_start: self.slow_start.or(base.slow_start),
            panic_threshold: self.panic_threshold.or(base.panic_threshold),
            zones: self.zones.or(base.zones),
        }
    }
}

/// What a zone takes of the requests, relative to the others. Zones that are not named have 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ZoneWeight {
    /// The zone.
    pub zone: String,
    /// Its weight, at least 1.
    pub weight: u32,
}

/// New endpoints take less at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlowStart {
    /// After how long they take their whole share; more than zero.
    #[serde(serialize_with = "time")]
    pub window: Duration,
    /// What they take at the least, of a hundred of their share.
    #[serde(skip_serializing_if = "is_default")]
    pub min_weight_percent: Option<u32>,
}
