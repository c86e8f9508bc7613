//! `TrafficPolicy`: how requests to a Service are treated. `MeshConfig`: what holds for all.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::adaptive::AdaptiveConcurrency;
pub use super::balancing::{
    BalancingPolicy, HashCookie, HashOn, LoadBalancer, SlowStart, Spread, ZoneWeight, Zones,
};
pub use super::fault::{Abort, AbortAnswer, Delay, Fault, GrpcStatus};
pub use super::health::{GrpcProbe, HealthCheck, HttpProbe, Probe};
use super::hedging::Hedging;
pub use super::outlier::{FailureShare, OutlierDetection};
pub use super::request_match::RequestMatch;
pub use super::retry::{Condition, Retries, RetryBudget};
use super::service::Protocol;
pub use super::share::Share;
use super::stickiness::Stickiness;
use super::{Metadata, Resource};
use crate::document::Kind;
use crate::syntax::write_duration;

/// Settings for the requests to a Service, or to one of its Subsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPolicy {
    /// Name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// What it is about, in its own namespace.
    pub target_ref: PolicyTarget,
    /// The settings.
    #[serde(flatten)]
    pub settings: TrafficSettings,
}

impl Resource for TrafficPolicy {
    const KIND: Kind = Kind::TrafficPolicy;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// What a policy is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyTarget {
    /// All requests to the Service of this name.
    Service(String),
    /// Those that go to this Subset; its settings win over those of the Service.
    Subset(String),
}

impl PolicyTarget {
    /// The kind and name of the target.
    pub fn parts(&self) -> (Kind, &str) {
        match self {
            Self::Service(name) => (Kind::Service, name),
            Self::Subset(name) => (Kind::Subset, name),
        }
    }
}

impl Serialize for PolicyTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, name) = self.parts();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("group", "weft.dev")?;
        map.serialize_entry("kind", kind.as_str())?;
        map.serialize_entry("name", name)?;
        map.end()
    }
}

/// Settings, each of which may be left to whatever is less specific.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficSettings {
    /// How long things may take.
    #[serde(skip_serializing_if = "is_default")]
    pub timeouts: TrafficTimeouts,
    /// What is tried again, when a route does not say.
    #[serde(skip_serializing_if = "is_default")]
    pub retries: Retries,
    /// Which requests go to a second endpoint as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedging: Option<Hedging>,
    /// How many requests go on at once at an application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive_concurrency: Option<AdaptiveConcurrency>,
    /// How endpoints are chosen.
    #[serde(skip_serializing_if = "is_default")]
    pub load_balancer: LoadBalancer,
    /// Which endpoints are left alone for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<OutlierDetection>,
    /// How endpoints are asked whether they are well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// How much may be under way to one cluster at once, from one proxy.
    #[serde(skip_serializing_if = "is_default")]
    pub circuit_breaker: CircuitBreaker,
    /// How connections are used.
    #[serde(skip_serializing_if = "is_default")]
    pub connection_pool: ConnectionPool,
    /// The share of requests that is not sent, whatever they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<Share>,
    /// What is done wrong on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Requests that are refused last, any of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub high_priority: Vec<RequestMatch>,
    /// The requests of one client go to one endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stickiness: Option<Stickiness>,
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How long things may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficTimeouts {
    /// A whole request, when its route does not say; zero for ever.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub request: Option<Duration>,
    /// Connecting to an endpoint; more than zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub connect: Option<Duration>,
    /// Silence within a request; zero for ever.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub stream_idle: Option<Duration>,
    /// A whole request, however much goes to and fro; more than zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub max_stream: Option<Duration>,
    /// The head of a request, once a connection has begun with it; more than zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub request_headers: Option<Duration>,
}

/// Limits to what is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pending: Option<u32>,
    /// Requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u32>,
    /// Retries; never along with a budget of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// Connections to one endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections_per_endpoint: Option<u32>,
}

impl CircuitBreaker {
    /// Whether it sets any limit.
    pub fn is_empty(&self) -> bool {
        is_default(self)
    }
}

/// How connections are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionPool {
    /// Requests that one connection carries before another takes its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests_per_connection: Option<u32>,
    /// How long a connection without requests is kept; zero for ever.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub idle_timeout: Option<Duration>,
    /// How old a connection may be that gets another request; more than zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub max_connection_duration: Option<Duration>,
}

impl TrafficSettings {
    /// These settings, and where they say nothing, those of `base`.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        let (breaker, pool) = (self.circuit_breaker, self.connection_pool);
        let (base_breaker, base_pool) = (base.circuit_breaker, base.connection_pool);
        Self {
            timeouts: TrafficTimeouts {
                request: self.timeouts.request.or(base.timeouts.request),
                connect: self.timeouts.connect.or(base.timeouts.connect),
                stream_idle: self.timeouts.stream_idle.or(base.timeouts.stream_idle),
                max_stream: self.timeouts.max_stream.or(base.timeouts.max_stream),
                request_headers: self.timeouts.request_headers.or(base.timeouts.request_headers),
            },
            retries: self.retries.over(base.retries),
            load_balancer: LoadBalancer {
                policy: self.load_balancer.policy.or(base.load_balancer.policy),
                spread: self.load_balancer.spread.over(base.load_balancer.spread),
                zone_weights: if self.load_balancer.zone_weights.is_empty() {
                    base.load_balancer.zone_weights
                } else {
                    self.load_balancer.zone_weights
                },
            },
            outlier_detection: self.outlier_detection.or(base.outlier_detection),
            health_check: self.health_check.or(base.health_check),
            circuit_breaker: CircuitBreaker {
                max_connections: breaker.max_connections.or(base_breaker.max_connections),
                max_pending: breaker.max_pending.or(base_breaker.max_pending),
                max_requests: breaker.max_requests.or(base_breaker.max_requests),
                max_retries: breaker.max_retries.or(base_breaker.max_retries),
                max_connections_per_endpoint: breaker
                    .max_connections_per_endpoint
                    .or(base_breaker.max_connections_per_endpoint),
            },
            connection_pool: ConnectionPool {
                max_requests_per_connection: pool
                    .max_requests_per_connection
                    .or(base_pool.max_requests_per_connection),
                idle_timeout: pool.idle_timeout.or(base_pool.idle_timeout),
                max_connection_duration: pool
                    .max_connection_duration
                    .or(base_pool.max_connection_duration),
            },
            hedging: self.hedging.or(base.hedging),
            adaptive_concurrency: self.adaptive_concurrency.or(base.adaptive_concurrency),
            high_priority: if self.high_priority.is_empty() {
                base.high_priority
            } else {
                self.high_priority
            },
            drop: self.drop.or(base.drop),
            fault: self.fault.or(base.fault),
            stickiness: self.stickiness.or(base.stickiness),
        }
    }
}

/// What holds for the whole mesh. There is at most one, named `default`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshConfig {
    /// Name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// The SPIFFE trust domain of its identities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_domain: Option<String>,
    /// Settings for every Service that has no policy of its own for them.
    #[serde(skip_serializing_if = "is_default")]
    pub defaults: TrafficSettings,
    /// What may be called outside of the mesh.
    #[serde(skip_serializing_if = "is_default")]
    pub egress: Egress,
}

impl Resource for MeshConfig {
    const KIND: Kind = Kind::MeshConfig;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// What may be called outside of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "policy")]
pub enum Egress {
    /// Nothing but Services. Anything else is answered 404.
    #[default]
    Deny,
    /// These hosts too. Anything else is answered 404.
    AllowList {
        /// The hosts, at least one.
        hosts: Vec<EgressHost>,
    },
    /// Whatever host a request names, looked up when it does.
    Allow {
        /// Hosts that are not spoken to over HTTP/1.1, or are to be found before they are asked for.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        hosts: Vec<EgressHost>,
    },
}

impl Egress {
    /// The hosts that are named here.
    pub fn hosts(&self) -> &[EgressHost] {
        match self {
            Self::Deny => &[],
            Self::AllowList { hosts } | Self::Allow { hosts } => hosts,
        }
    }

    /// Whether others may be called too.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

/// A host outside of the mesh, found by DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EgressHost {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What is spoken to it, one of those over HTTP.
    pub protocol: Protocol,
}

pub(super) fn time<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    write_duration(*value).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "the signature serde asks for")]
pub(super) fn duration<S: Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.map(write_duration).serialize(serializer)
}
