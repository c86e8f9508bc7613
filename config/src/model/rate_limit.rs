//! `RateLimitPolicy`: how often requests may come.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeMap};

pub use super::global_limit::{
    FailureMode, GlobalLimit, LimitDescriptor, LimitEntry, LimitService,
};
use super::policy::{is_default, time};
pub use super::request_match::RequestMatch;
use super::{Metadata, Resource};
use crate::document::Kind;

/// How often requests may come: to each instance of a Service, to each proxy of a Gateway, or by a
/// route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitPolicy {
    /// Name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// Whose requests it is about, in its own namespace.
    pub target_ref: RateLimitTarget,
    /// A request needs a token of every limit that is about it; at least one without `global`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<RateLimit>,
    /// Limits that all proxies share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global: Option<GlobalLimit>,
    /// What becomes of requests above a limit.
    #[serde(skip_serializing_if = "is_default")]
    pub mode: LimitMode,
    /// The status of refusals, 400 to 599; 429 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers by which answers say what is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<LimitHeaders>,
}

impl Resource for RateLimitPolicy {
    const KIND: Kind = Kind::RateLimitPolicy;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// What a rate limit is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RateLimitTarget {
    /// All requests to the Service of this name, counted beside each of its instances.
    Service(String),
    /// All that comes in by the Gateway of this name, counted in each of its proxies.
    Gateway(String),
    /// What an HTTPRoute decides about, counted wherever it does.
    HttpRoute(RouteTarget),
    /// What a GRPCRoute decides about, counted wherever it does.
    GrpcRoute(RouteTarget),
}

/// A route, or one rule of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteTarget {
    /// Its name.
    pub name: String,
    /// Only the rule of this name; its limits take the place of those of the route.
    pub rule: Option<String>,
}

impl RateLimitTarget {
    /// The kind and name of the target.
    pub fn parts(&self) -> (Kind, &str) {
        match self {
            Self::Service(name) => (Kind::Service, name),
            Self::Gateway(name) => (Kind::Gateway, name),
            Self::HttpRoute(route) => (Kind::HttpRoute, &route.name),
            Self::GrpcRoute(route) => (Kind::GrpcRoute, &route.name),
        }
    }

    /// The rule of a route, if it is about one alone.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Service(_) | Self::Gateway(_) => None,
            Self::HttpRoute(route) | Self::GrpcRoute(route) => route.rule.as_deref(),
        }
    }

    /// A route for requests, or one rule of it.
    pub(crate) fn of_route(kind: Kind, name: &str, rule: Option<&str>) -> Option<Self> {
        let route = RouteTarget { name: name.to_owned(), rule: rule.map(str::to_owned) };
        match kind {
            Kind::HttpRoute => Some(Self::HttpRoute(route)),
            Kind::GrpcRoute => Some(Self::GrpcRoute(route)),
            _ => None,
        }
    }
}

impl Serialize for RateLimitTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, name) = self.parts();
        let group = match self {
            Self::Service(_) => "weft.dev",
            Self::Gateway(_) | Self::HttpRoute(_) | Self::GrpcRoute(_) => {
                "gateway.networking.k8s.io"
            }
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("group", group)?;
        map.serialize_entry("kind", kind.as_str())?;
        map.serialize_entry("name", name)?;
        if let Some(rule) = self.rule() {
            map.serialize_entry("sectionName", rule)?;
        }
        map.end()
    }
}

/// So many requests in such a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// A name for people, once per policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many requests, at least one.
    pub requests: u32,
    /// In which time, at least 50 ms.
    #[serde(serialize_with = "time")]
    pub per: Duration,
    /// How many may come at once after a quiet time, at least `requests`; as many without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Only requests like this; all without it.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matched: Option<RequestMatch>,
    /// What tells callers apart, each of whom may send as many; all of them together without any.
    /// Never a value that is always the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<LimitEntry>,
}

/// What becomes of requests above a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum LimitMode {
    /// They are refused.
    #[default]
    Enforce,
    /// They are counted and go on.
    Observe,
}

/// Headers by which answers say what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LimitHeaders {
    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers); by weft-proxy
    /// alone.
    Standard,
    /// `x-ratelimit-limit`, `x-ratelimit-remaining` and `x-ratelimit-reset`, as Envoy writes them
    /// (draft-polli-ratelimit-headers-03).
    XRateLimit,
}
