//! Clusters: one per HTTP or TCP port of a Service, and one per Subset and port.

use std::net::SocketAddr;
use std::time::Duration;

use weft_config::Key;
use weft_config::model::policy::{
    BalancingPolicy, CircuitBreaker, ConnectionPool, EgressHost, HashOn, OutlierDetection,
    RetryBudget, TrafficSettings, Zones,
};
use weft_config::model::service::{Protocol, Service};
use weft_proto::pb::envoy::config::cluster::v3 as cluster;
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::envoy::config::endpoint::v3 as endpoint;
use weft_proto::pb::envoy::extensions::upstreams::http::v3 as http;
use weft_proto::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use weft_proto::pb::envoy::r#type::v3::Percent;

use crate::balancing::balance;
use crate::health::check;
use crate::listener::INBOUND;
use crate::wire::{ads, any, bool_value, duration, uint32};

/// The cluster of a node's peers, which tells proxies how much of their requests a zone can carry.
pub const PEERS: &str = "peers";

/// How long connecting to an endpoint may take. A mesh has no long ways: what has not answered a
/// SYN, and two repetitions of it, in this time is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The cluster of all endpoints of a Service port: `<service>.<namespace>:<port>`.
pub fn cluster_name(service: &Key, port: u16) -> String {
    format!("{}.{}:{port}", service.name, service.namespace)
}

/// The cluster of a Subset's endpoints: `<service>.<namespace>/<subset>:<port>`.
pub fn subset_cluster_name(service: &Key, subset: &str, port: u16) -> String {
    format!("{}.{}/{subset}:{port}", service.name, service.namespace)
}

/// The cluster of a host outside of the mesh: `egress/<host>:<port>`.
pub(crate) fn egress_cluster_name(host: &EgressHost) -> String {
    format!("egress/{}:{}", host.host, host.port)
}

/// Where the endpoints of a cluster come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    /// EDS, by the name of the cluster.
    Discovery,
    /// Every address of a name.
    Dns { host: &'a str, port: u16 },
}

impl<'a> Source<'a> {
    /// That of a port of a Service.
    pub(crate) fn of(service: &'a Service, port: u16) -> Self {
        service.dns().map_or(Self::Discovery, |name| Self::Dns {
            host: &name.host,
            port: name.port.unwrap_or(port),
        })
    }
}

/// A cluster as Envoy and weft-proxy take it.
pub(crate) fn envoy(
    name: &str,
    protocol: Protocol,
    source: Source<'_>,
    settings: &TrafficSettings,
) -> cluster::Cluster {
    let mut cluster = from_source(name, source, cluster::cluster::DiscoveryType::StrictDns);
    if matches!(source, Source::Dns { .. }) {
        // A name often has IPv6 addresses that nothing listens on; one that has no others works.
        cluster.dns_lookup_family = cluster::cluster::DnsLookupFamily::V4Preferred.into();
    }
    cluster.connect_timeout = Some(duration(settings.timeouts.connect.unwrap_or(CONNECT_TIMEOUT)));
    balance(&mut cluster, &settings.load_balancer, source == Source::Discovery);
    if let Some(assignment) = &mut cluster.load_assignment {
        assignment.policy = crate::endpoint::policy(settings);
    }
    let prefers = !settings.high_priority.is_empty();
    cluster.circuit_breakers = breakers(settings.circuit_breaker, settings.retries.budget, prefers);
    cluster.outlier_detection = settings.outlier_detection.map(outliers);
    cluster.metadata = settings.hedging.as_ref().map(crate::hedging::metadata);
    cluster.health_checks =
        settings.health_check.iter().filter_map(|it| check(it, protocol)).collect();
    let common = common_options(settings.connection_pool);
    if protocol.is_http2() {
        with_http(&mut cluster, explicit_http2(), common);
    } else if common.is_some() {
        with_http(&mut cluster, explicit_http1(), common);
    }
    cluster
}

/// A cluster as proxyless gRPC clients take it: they speak HTTP/2 anyway.
pub(crate) fn grpc(name: &str, source: Source<'_>, settings: &TrafficSettings) -> cluster::Cluster {
    use cluster::cluster::LbPolicy;
    let mut cluster = from_source(name, source, cluster::cluster::DiscoveryType::LogicalDns);
    cluster.lb_policy = match &settings.load_balancer.policy {
        Some(BalancingPolicy::LeastRequest | BalancingPolicy::PeakEwma(_)) => {
            LbPolicy::LeastRequest
        }
        // Equal calls go to the same endpoint by a ring as well; gRPC has no other way (gRFC A42).
        Some(BalancingPolicy::RingHash(_) | BalancingPolicy::Maglev(_)) => LbPolicy::RingHash,
        Some(BalancingPolicy::RoundRobin | BalancingPolicy::Random) | None => LbPolicy::RoundRobin,
    }
    .into();
    let limits = CircuitBreaker {
        max_requests: settings.circuit_breaker.max_requests,
        ..Default::default()
    };
    cluster.circuit_breakers = breakers(limits, RetryBudget::default(), false);
    // gRFC A50 knows shares of failures, and nothing of failures in a row.
    let outliers_by_share = settings.outlier_detection.filter(|it| it.failure_percentage.is_some());
    cluster.outlier_detection = outliers_by_share.map(outliers);
    cluster
}

/// The settings that [`grpc`] cannot express, because gRPC clients have nothing of the kind (gRFC
/// A32, A42, A44, A48, A50).
pub(crate) fn ignored_by_grpc(settings: &TrafficSettings) -> Vec<&'static str> {
    let (breaker, pool) = (settings.circuit_breaker, settings.connection_pool);
    let (retries, outliers) = (&settings.retries, settings.outlier_detection.unwrap_or_default());
    let policy = settings.load_balancer.policy.as_ref();
    let hash_on = policy.map_or(&[][..], |policy| policy.hash_on());
    let peak_ewma = matches!(policy, Some(BalancingPolicy::PeakEwma(_)));
    let zones = settings.load_balancer.spread.zones;
    let by_header = hash_on.iter().all(|on| matches!(on, HashOn::Header(_)));
    let of_grpc = retries.on.iter().flatten().all(|condition| condition.is_of_grpc());
    let in_a_row =
        outliers.consecutive_errors.is_some() || outliers.consecutive_gateway_errors.is_some();
    [
        ("timeouts.connect", settings.timeouts.connect.is_some()),
        ("retries.on, but for statuses of gRPC", !of_grpc),
        ("retries.codes", retries.codes.is_some()),
        ("retries.methods", retries.methods.is_some()),
        ("retries.perTryTimeout", retries.per_try_timeout.is_some()),
        ("retries.perTryIdleTimeout", retries.per_try_idle_timeout.is_some()),
        ("retries.headers", retries.headers.is_some()),
        ("retries.maxRetryAfter", retries.max_retry_after.is_some()),
        ("retries.budget", retries.budget != RetryBudget::default()),
        ("loadBalancer.policy: Random", policy == Some(&BalancingPolicy::Random)),
        ("loadBalancer.policy: PeakEWMA, but as LeastRequest", peak_ewma),
        ("loadBalancer.hashOn, but for headers", !by_header),
        ("loadBalancer.slowStart", settings.load_balancer.spread.slow_start.is_some()),
        ("loadBalancer.panicThreshold", settings.load_balancer.spread.panic_threshold.is_some()),
        ("outlierDetection by errors in a row", in_a_row),
        ("healthCheck", settings.health_check.is_some()),
        ("timeouts.streamIdle", settings.timeouts.stream_idle.is_some()),
        ("circuitBreaker.maxConnections", breaker.max_connections.is_some()),
        ("circuitBreaker.maxPending", breaker.max_pending.is_some()),
        ("circuitBreaker.maxRetries", breaker.max_retries.is_some()),
        (
            "circuitBreaker.maxConnectionsPerEndpoint",
            breaker.max_connections_per_endpoint.is_some(),
        ),
        ("connectionPool.maxRequestsPerConnection", pool.max_requests_per_connection.is_some()),
        ("connectionPool.idleTimeout", pool.idle_timeout.is_some()),
        ("connectionPool.maxConnectionDuration", pool.max_connection_duration.is_some()),
        ("loadBalancer.zones: PreferOwn", zones == Some(Zones::PreferOwn)),
        ("hedging", settings.hedging.is_some()),
        ("adaptiveConcurrency", settings.adaptive_concurrency.is_some()),
        ("highPriority", !settings.high_priority.is_empty()),
        ("stickiness", settings.stickiness.is_some()),
        ("fault with a match", settings.fault.as_ref().is_some_and(|it| it.matched.is_some())),
    ]
    .into_iter()
    .filter_map(|(field, is_set)| is_set.then_some(field))
    .collect()
}

#[expect(deprecated, reason = "what took its place is not known to Envoy before 1.34")]
fn from_source(
    name: &str,
    source: Source<'_>,
    by_name: cluster::cluster::DiscoveryType,
) -> cluster::Cluster {
    let base = cluster::Cluster {
        name: name.to_owned(),
        connect_timeout: Some(duration(CONNECT_TIMEOUT)),
        ..Default::default()
    };
    match source {
        Source::Discovery => cluster::Cluster {
            cluster_discovery_type: Some(kind(cluster::cluster::DiscoveryType::Eds)),
            eds_cluster_config: Some(cluster::cluster::EdsClusterConfig {
                eds_config: Some(ads()),
                ..Default::default()
            }),
            ..base
        },
        Source::Dns { host, port } => cluster::Cluster {
            cluster_discovery_type: Some(kind(by_name)),
            load_assignment: Some(endpoint::ClusterLoadAssignment {
                cluster_name: name.to_owned(),
                endpoints: vec![endpoint::LocalityLbEndpoints {
                    lb_endpoints: vec![crate::endpoint::named_endpoint(host, port)],
                    ..Default::default()
                }],
                ..Default::default()
            }),
            respect_dns_ttl: true,
            ..base
        },
    }
}

/// Requests of high priority are counted by themselves, with the same limits: the others take nothing
/// of what they may have.
fn breakers(
    limits: CircuitBreaker,
    budget: RetryBudget,
    prefers: bool,
) -> Option<cluster::CircuitBreakers> {
    use cluster::circuit_breakers::thresholds;
    let retry_budget = (budget != RetryBudget::default()).then(|| thresholds::RetryBudget {
        budget_percent: budget.percent.map(|percent| Percent { value: f64::from(percent) }),
        min_retry_concurrency: budget.min_concurrent.map(uint32),
        ..Default::default()
    });
    let is_empty = limits.is_empty() && retry_budget.is_none();
    let per_host =
        limits.max_connections_per_endpoint.map(|most| cluster::circuit_breakers::Thresholds {
            max_connections: Some(uint32(most)),
            ..Default::default()
        });
    let thresholds = cluster::circuit_breakers::Thresholds {
        max_connections: limits.max_connections.map(uint32),
        max_pending_requests: limits.max_pending.map(uint32),
        max_requests: limits.max_requests.map(uint32),
        max_retries: limits.max_retries.map(uint32),
        retry_budget,
        ..Default::default()
    };
    let high = cluster::circuit_breakers::Thresholds {
        priority: core::RoutingPriority::High.into(),
        ..thresholds
    };
    (!is_empty).then(|| cluster::CircuitBreakers {
        thresholds: [thresholds].into_iter().chain(prefers.then_some(high)).collect(),
        per_host_thresholds: per_host.into_iter().collect(),
    })
}

/// Judges by what is asked for only, and always leaves out one endpoint if it deserves it: ten
/// percent of three endpoints would be none.
fn outliers(it: OutlierDetection) -> cluster::OutlierDetection {
    const ALWAYS: u32 = 100;
    const NEVER: u32 = 0;
    let share = it.failure_percentage;
    cluster::OutlierDetection {
        consecutive_5xx: it.consecutive_errors.map(uint32),
        consecutive_gateway_failure: it.consecutive_gateway_errors.map(uint32),
        enforcing_consecutive_gateway_failure: it
            .consecutive_gateway_errors
            .map(|_| uint32(ALWAYS)),
        failure_percentage_threshold: share.map(|share| uint32(share.threshold)),
        failure_percentage_request_volume: share.and_then(|share| share.request_volume).map(uint32),
        failure_percentage_minimum_hosts: share.and_then(|share| share.minimum_hosts).map(uint32),
        enforcing_failure_percentage: share.map(|_| uint32(ALWAYS)),
        enforcing_success_rate: Some(uint32(NEVER)),
        interval: it.interval.map(duration),
        base_ejection_time: it.base_ejection_time.map(duration),
        max_ejection_percent: it.max_ejection_percent.map(uint32),
        always_eject_one_host: Some(bool_value(true)),
        ..Default::default()
    }
}

fn common_options(pool: ConnectionPool) -> Option<core::HttpProtocolOptions> {
    (pool != ConnectionPool::default()).then(|| core::HttpProtocolOptions {
        idle_timeout: pool.idle_timeout.map(duration),
        max_connection_duration: pool.max_connection_duration.map(duration),
        max_requests_per_connection: pool.max_requests_per_connection.map(uint32),
        ..Default::default()
    })
}

/// The cluster of the instances of the node's own Service: its peers, by the endpoints of a port.
pub(crate) fn peers(of: &str) -> cluster::Cluster {
    let mut cluster =
        from_source(PEERS, Source::Discovery, cluster::cluster::DiscoveryType::StrictDns);
    if let Some(discovery) = &mut cluster.eds_cluster_config {
        of.clone_into(&mut discovery.service_name);
    }
    cluster
}

/// The cluster of the application beside a sidecar.
pub(crate) fn inbound(app: SocketAddr, speaks: Inbound) -> cluster::Cluster {
    let mut cluster = cluster::Cluster {
        name: INBOUND.to_owned(),
        cluster_discovery_type: Some(kind(cluster::cluster::DiscoveryType::Static)),
        connect_timeout: Some(duration(CONNECT_TIMEOUT)),
        load_assignment: Some(endpoint::ClusterLoadAssignment {
            cluster_name: INBOUND.to_owned(),
            endpoints: vec![endpoint::LocalityLbEndpoints {
                lb_endpoints: vec![crate::endpoint::lb_endpoint(app, None)],
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    match speaks {
        Inbound::Http1 | Inbound::Tcp => {}
        Inbound::Http2 => with_http(&mut cluster, explicit_http2(), None),
        Inbound::AsCalled => with_http(&mut cluster, as_called(), None),
    }
    cluster
}

/// What the application beside a sidecar speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inbound {
    Tcp,
    Http1,
    Http2,
    /// Whatever the caller speaks.
    AsCalled,
}

impl Inbound {
    /// What the ports of a Service say: a sidecar has one inbound port for all of them.
    pub(crate) fn of(service: &Service) -> Self {
        let all = |test: fn(Protocol) -> bool| service.ports.iter().all(|port| test(port.protocol));
        if all(|protocol| !protocol.is_http()) {
            Self::Tcp
        } else if all(|protocol| protocol == Protocol::Http) {
            Self::Http1
        } else if all(Protocol::is_http2) {
            Self::Http2
        } else {
            Self::AsCalled
        }
    }
}

fn kind(kind: cluster::cluster::DiscoveryType) -> cluster::cluster::ClusterDiscoveryType {
    cluster::cluster::ClusterDiscoveryType::Type(kind.into())
}

fn with_http(
    cluster: &mut cluster::Cluster,
    options: http::http_protocol_options::UpstreamProtocolOptions,
    common: Option<core::HttpProtocolOptions>,
) {
    let options = http::HttpProtocolOptions {
        common_http_protocol_options: common,
        upstream_protocol_options: Some(options),
        ..Default::default()
    };
    // One entry only: the order of a protobuf map is not defined, and bytes must not vary.
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned();
    cluster.typed_extension_protocol_options = [(name, any(&options))].into();
}

fn explicit_http1() -> http::http_protocol_options::UpstreamProtocolOptions {
    explicit(ProtocolConfig::HttpProtocolOptions(core::Http1ProtocolOptions::default()))
}

fn explicit_http2() -> http::http_protocol_options::UpstreamProtocolOptions {
    explicit(ProtocolConfig::Http2ProtocolOptions(core::Http2ProtocolOptions::default()))
}

fn explicit(config: ProtocolConfig) -> http::http_protocol_options::UpstreamProtocolOptions {
    use http::http_protocol_options::{ExplicitHttpConfig, UpstreamProtocolOptions};
    UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
        protocol_config: Some(config),
    })
}

fn as_called() -> http::http_protocol_options::UpstreamProtocolOptions {
    use http::http_protocol_options::{UpstreamProtocolOptions, UseDownstreamHttpConfig};
    UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
        http_protocol_options: Some(core::Http1ProtocolOptions::default()),
        http2_protocol_options: Some(core::Http2ProtocolOptions::default()),
        ..Default::default()
    })
}
