//! How endpoints are chosen.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::policy::duration;
pub use super::spread::{SlowStart, Spread, ZoneWeight, Zones};
use crate::syntax::write_duration;

/// How endpoints are chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadBalancer {
    /// The algorithm.
    pub policy: Option<BalancingPolicy>,
    /// What becomes of new endpoints, and when some are not well.
    pub spread: Spread,
    /// What zones take of the requests, where that is not as they can carry; each zone once.
    pub zone_weights: Vec<ZoneWeight>,
}

/// An algorithm that chooses endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BalancingPolicy {
    /// In turn, by weight.
    RoundRobin,
    /// The one of two chosen by chance that has fewer requests under way.
    LeastRequest,
    /// The one of two chosen by chance where a request is expected to wait less, by the latency of
    /// answers and what is under way. Latencies are forgotten in this time, more than zero; in ten
    /// seconds without it.
    PeakEwma(Option<Duration>),
    /// By chance.
    Random,
    /// Equal requests to the same endpoint, by a ring; at least one thing they are told apart by.
    RingHash(Vec<HashOn>),
    /// Equal requests to the same endpoint, by a table: faster and more even than a ring, and more
    /// of them move when endpoints come and go. At least one thing they are told apart by.
    Maglev(Vec<HashOn>),
}

impl BalancingPolicy {
    /// Its name.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::RoundRobin => "RoundRobin",
            Self::LeastRequest => "LeastRequest",
            Self::PeakEwma(_) => "PeakEWMA",
            Self::Random => "Random",
            Self::RingHash(_) => "RingHash",
            Self::Maglev(_) => "Maglev",
        }
    }

    /// What requests are told apart by, if it makes a difference.
    pub fn hash_on(&self) -> &[HashOn] {
        match self {
            Self::RoundRobin | Self::LeastRequest | Self::PeakEwma(_) | Self::Random => &[],
            Self::RingHash(on) | Self::Maglev(on) => on,
        }
    }
}

impl Serialize for LoadBalancer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(policy) = &self.policy {
            map.serialize_entry("policy", policy.as_str())?;
            if !policy.hash_on().is_empty() {
                map.serialize_entry("hashOn", policy.hash_on())?;
            }
        }
        if let Some(BalancingPolicy::PeakEwma(Some(time))) = &self.policy {
            map.serialize_entry("decayTime", &write_duration(*time))?;
        }
        let Spread { slow_start, panic_threshold, zones } = &self.spread;
        if let Some(slow_start) = slow_start {
            map.serialize_entry("slowStart", slow_start)?;
        }
        if let Some(percent) = panic_threshold {
            map.serialize_entry("panicThreshold", percent)?;
        }
        if !self.zone_weights.is_empty() {
            map.serialize_entry("zoneWeights", &self.zone_weights)?;
        }
        if let Some(zones) = zones {
            map.serialize_entry("zones", zones)?;
        }
        map.end()
    }
}

/// Something that makes requests equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HashOn {
    /// The values of this header, its name in lower case.
    Header(String),
    /// A cookie.
    Cookie(HashCookie),
    /// The first value of this query parameter.
    QueryParameter(String),
    /// The address of the client, as far as the proxy that chooses knows it.
    SourceAddress {},
}

/// A cookie that makes requests equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HashCookie {
    /// Its name.
    pub name: String,
    /// With it, clients that have no such cookie are given one for so long; zero until they close.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub ttl: Option<Duration>,
    /// The path of a cookie that is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}
