//! `envoy.config.cluster.v3.Cluster`.

use std::{sync::Arc, time::Duration};

use weft_proto::pb::{envoy::config::cluster::v3 as wire, google::protobuf};

use crate::{
    assignment::{self, Assignment, HealthStatus},
    balancing::{self, Balancing},
    circuit_breakers::{self, CircuitBreakers},
    config_source::{self, ConfigSource, FetchTimeout, Origin},
    custom_cluster::{self, OriginalDestination},
    dns::{self, Dns, DnsKind},
    dynamic_hosts::DynamicHosts,
    health_check::{self, HealthCheck},
    hedging::{self, Hedging},
    http2_options::Http2Options,
    key_format::KeyFormat,
    name::{AssignmentName, ClusterName},
    outlier_detection::{self, OutlierDetection},
    path::At,
    problem::{Notes, Problem},
    protocol_options::{self, HttpOptions, UpstreamProtocol},
    retry_policy::RetryPolicy,
    scalar,
    subsets::{self, SubsetConfig},
    transport::{self, UpstreamProxyProtocol},
    upstream_connection::{self, FamilyOrder, SourceAddresses, TcpKeepalive},
};

/// Envoy's default `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Envoy's default `per_connection_buffer_limit_bytes`.
const BUFFER_LIMIT: u32 = 1024 * 1024;

/// A group of endpoints that requests can be sent to.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// `name`.
    pub name: ClusterName,
    /// `type`: where the endpoints come from.
    pub discovery: Discovery,
    /// How to connect to them.
    pub connection: ConnectionSettings,
    /// How one of them is chosen.
    pub balancing: Balancing,
    /// `circuit_breakers`.
    pub circuit_breakers: CircuitBreakers,
    /// `health_checks`, if there are any.
    pub health_check: Option<HealthCheck>,
    /// `ignore_health_on_host_removal`: an endpoint that is not listed any more goes even while its
    /// checks pass.
    pub ignore_health_on_removal: bool,
    /// `common_lb_config.ignore_new_hosts_until_first_hc`: an endpoint that was not checked yet is
    /// as good as not there.
    pub ignore_new_until_checked: bool,
    /// `outlier_detection`, if there is any.
    pub outlier_detection: Option<OutlierDetection>,
    /// `HttpProtocolOptions.retry_policy`: holds in place of what routes say.
    pub retry: Option<Arc<RetryPolicy>>,
    /// `common_lb_config.close_connections_on_host_set_change`: connections to all endpoints drain
    /// whenever one comes or goes.
    pub drain_on_host_set_change: bool,
    /// `common_lb_config.override_host_status`: the states in which an endpoint takes requests that
    /// ask for it; `None` for those in which any endpoint does.
    pub override_statuses: Option<Box<[HealthStatus]>>,
    /// `lb_subset_config`: what its endpoints are divided by, if they are.
    pub subsets: Option<SubsetConfig>,
    /// `weft.hedging` of `metadata`: when requests are sent to a second endpoint as well.
    pub hedging: Option<Hedging>,
}

/// Where a cluster's endpoints come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Discovery {
    /// `STATIC`: from `load_assignment`.
    Static(Assignment),
    /// `EDS`.
    Eds {
        /// The key, by [`Origin::key`], of `eds_cluster_config.service_name`, or else of the
        /// cluster's name.
        name: AssignmentName,
        /// Where the endpoints come from.
        origin: Origin,
        /// How long to wait for the endpoints before serving without any.
        fetch_timeout: FetchTimeout,
    },
    /// `STRICT_DNS`, `LOGICAL_DNS` and `envoy.clusters.dns`.
    Dns(Dns),
    /// `ORIGINAL_DST`.
    OriginalDestination(OriginalDestination),
    /// `envoy.clusters.dynamic_forward_proxy`: the hosts that requests name.
    Dynamic(Arc<DynamicHosts>),
    /// `envoy.clusters.aggregate`: the priorities of these clusters, one after the other.
    Aggregate(Vec<ClusterName>),
}

/// What decides whether an existing upstream connection can still be used after an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// `connect_timeout` (5 s by default).
    pub connect_timeout: Duration,
    /// Protocol spoken upstream.
    pub protocol: UpstreamProtocol,
    /// `HttpProtocolOptions.common_http_protocol_options.idle_timeout` (1 h by default).
    pub idle_timeout: Option<Duration>,
    /// `max_requests_per_connection`, if set.
    pub max_requests_per_connection: Option<u32>,
    /// `HttpProtocolOptions.common_http_protocol_options.max_connection_duration`: a connection of
    /// this age takes no more requests.
    pub max_connection_duration: Option<Duration>,
    /// `HttpProtocolOptions.common_http_protocol_options.max_stream_duration`: a request with its
    /// response may take this long from when it has a connection.
    pub max_stream_duration: Option<Duration>,
    /// `HttpProtocolOptions.common_http_protocol_options.max_response_headers_kb` in bytes (60 KiB by
    /// default).
    pub max_head_bytes: u32,
    /// `HttpProtocolOptions.common_http_protocol_options.max_headers_count`: fields of a response
    /// (100 by default).
    pub max_headers_count: u32,
    /// `header_key_format` of HTTP/1, if that is spoken.
    pub key_format: KeyFormat,
    /// How HTTP/2 is spoken, if it is.
    pub http2: Http2Options,
    /// `per_connection_buffer_limit_bytes` (1 MiB by default): no more of a response is read ahead.
    pub buffer_limit: u32,
    /// `upstream_connection_options.tcp_keepalive`; `None` leaves keep-alive off.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// `upstream_connection_options.happy_eyeballs_config`.
    pub family_order: FamilyOrder,
    /// `upstream_bind_config`.
    pub sources: SourceAddresses,
    /// `transport_socket` of the type `upstream_proxy_protocol`.
    pub proxy_protocol: Option<UpstreamProxyProtocol>,
}

/// Reads a cluster.
pub(crate) fn read(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> Option<Cluster> {
    if message.name.is_empty() {
        notes.refuse::<()>(&at.field("name"), Problem::Missing);
    }
    let name = ClusterName::from(message.name.as_str());
    let discovery = discovery(message, at, notes);
    let balancing = balancing::of_cluster(message, at, notes);
    let connect_at = at.field("connect_timeout");
    let connect_timeout =
        scalar::duration_or(message.connect_timeout.as_ref(), CONNECT_TIMEOUT, &connect_at, notes);
    let proxy_protocol = match &message.transport_socket {
        Some(socket) => transport::of_cluster(socket, &at.field("transport_socket"), notes)?,
        None => None,
    };
    let sources = upstream_connection::sources(message, at, notes);
    let HttpOptions {
        protocol,
        idle_timeout,
        max_requests_per_connection,
        max_connection_duration,
        max_stream_duration,
        max_head_bytes,
        max_headers_count,
        key_format,
        http2,
        retry,
    } = protocol_options::of_cluster(message, at, notes)?;
    let connection = ConnectionSettings {
        connect_timeout,
        protocol,
        idle_timeout,
        max_requests_per_connection,
        max_connection_duration,
        max_stream_duration,
        max_head_bytes,
        max_headers_count,
        key_format,
        http2,
        buffer_limit: optional(message.per_connection_buffer_limit_bytes.as_ref())
            .unwrap_or(BUFFER_LIMIT),
        tcp_keepalive: upstream_connection::tcp_keepalive(
            message
                .upstream_connection_options
                .as_ref()
                .and_then(|options| options.tcp_keepalive.as_ref()),
        ),
        family_order: upstream_connection::family_order(message),
        sources,
        proxy_protocol,
    };
    let (discovery, balancing) = (discovery?, balancing?);
    custom_cluster::check_policy(&discovery, &balancing, at, notes);
    outlier_detection::check_endpoints(message, &discovery, at, notes);
    Some(Cluster {
        name,
        discovery,
        connection,
        balancing,
        circuit_breakers: circuit_breakers::of_cluster(message, at, notes),
        health_check: health_check::of_cluster(message, at, notes),
        ignore_health_on_removal: message.ignore_health_on_host_removal,
        ignore_new_until_checked: message
            .common_lb_config
            .as_ref()
            .is_some_and(|config| config.ignore_new_hosts_until_first_hc),
        outlier_detection: outlier_detection::of_cluster(message, at, notes),
        retry,
        drain_on_host_set_change: message
            .common_lb_config
            .as_ref()
            .is_some_and(|config| config.close_connections_on_host_set_change),
        override_statuses: override_statuses(message, at, notes),
        subsets: subsets::of_cluster(message, at, notes),
        hedging: hedging::of_cluster(message, at, notes),
    })
}

fn override_statuses(
    message: &wire::Cluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Box<[HealthStatus]>> {
    let set = message.common_lb_config.as_ref()?.override_host_status.as_ref()?;
    let at = at.field("common_lb_config");
    let at = at.field("override_host_status");
    Some(at.each("statuses", &set.statuses, notes, |status, at, notes| {
        HealthStatus::read(*status, at, notes)
    }))
}

fn discovery(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> Option<Discovery> {
    use wire::cluster::{ClusterDiscoveryType, DiscoveryType};
    let kind = match &message.cluster_discovery_type {
        // Not set is STATIC, as for any enum in proto3.
        None => Ok(DiscoveryType::Static),
        Some(ClusterDiscoveryType::Type(number)) => {
            DiscoveryType::try_from(*number).map_err(|_| *number)
        }
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            match custom_cluster::built_in(&custom.name) {
                Some(kind) if custom.typed_config.is_none() => Ok(kind),
                _ => return custom_cluster::read(message, custom, at, notes),
            }
        }
    };
    match kind {
        Ok(DiscoveryType::Static) => static_endpoints(message, at, notes),
        Ok(DiscoveryType::Eds) => eds(message, at, notes),
        Ok(DiscoveryType::StrictDns) => {
            dns::by_fields(message, DnsKind::Strict, at, notes).map(Discovery::Dns)
        }
        Ok(DiscoveryType::LogicalDns) => {
            dns::by_fields(message, DnsKind::Logical, at, notes).map(Discovery::Dns)
        }
        Ok(DiscoveryType::OriginalDst) => {
            let found = custom_cluster::original_destination(message, at, notes);
            found.map(Discovery::OriginalDestination)
        }
        Err(number) => notes.refuse(&at.field("type"), Problem::UnknownEnum(number)),
    }
}

fn static_endpoints(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> Option<Discovery> {
    if message.eds_cluster_config.is_some() {
        notes.refuse::<()>(&at.field("eds_cluster_config"), Problem::Conflict("type STATIC"));
    }
    let Some(endpoints) = &message.load_assignment else {
        let name = AssignmentName::from(message.name.as_str());
        return Some(Discovery::Static(Assignment::empty(name)));
    };
    assignment::read(endpoints, &at.field("load_assignment"), notes).map(Discovery::Static)
}

fn eds(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> Option<Discovery> {
    if message.load_assignment.is_some() {
        notes.refuse::<()>(&at.field("load_assignment"), Problem::Conflict("type EDS"));
    }
    let at = at.field("eds_cluster_config");
    let Some(config) = &message.eds_cluster_config else {
        return notes.refuse(&at, Problem::Missing);
    };
    let source = config.eds_config.as_ref();
    let ConfigSource { origin, fetch_timeout } =
        config_source::read(source, &at.field("eds_config"), notes)?;
    let name = match config.service_name.as_str() {
        "" => message.name.as_str(),
        service => service,
    };
    let name = AssignmentName::from(origin.key(name));
    Some(Discovery::Eds { name, origin, fetch_timeout })
}

/// A `UInt32Value` as an option.
pub(crate) fn optional(value: Option<&protobuf::UInt32Value>) -> Option<u32> {
    value.map(|value| value.value)
}
