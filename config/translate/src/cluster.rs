//! Clusters: one per HTTP or TCP port of a Service, and one per Subset and port.

use std::net::SocketAddr;
use std::time::Duration;

use weft_config::Key;
use weft_config::model::service::{Protocol, Service};
use weft_proto::pb::envoy::config::cluster::v3 as cluster;
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::envoy::config::endpoint::v3 as endpoint;
use weft_proto::pb::envoy::extensions::upstreams::http::v3 as http;

use crate::listener::INBOUND;
use crate::wire::{ads, any, duration};

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

/// A cluster whose endpoints come by EDS, as Envoy and weft-proxy take it.
pub(crate) fn envoy(name: &str, protocol: Protocol) -> cluster::Cluster {
    let mut cluster = discovered(name);
    if protocol.is_http2() {
        with_http(&mut cluster, explicit_http2());
    }
    cluster
}

/// A cluster as proxyless gRPC clients take it: they speak HTTP/2 anyway.
pub(crate) fn grpc(name: &str) -> cluster::Cluster {
    discovered(name)
}

fn discovered(name: &str) -> cluster::Cluster {
    cluster::Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(kind(cluster::cluster::DiscoveryType::Eds)),
        eds_cluster_config: Some(cluster::cluster::EdsClusterConfig {
            eds_config: Some(ads()),
            ..Default::default()
        }),
        connect_timeout: Some(duration(CONNECT_TIMEOUT)),
        lb_policy: cluster::cluster::LbPolicy::RoundRobin.into(),
        ..Default::default()
    }
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
        Inbound::Http2 => with_http(&mut cluster, explicit_http2()),
        Inbound::AsCalled => with_http(&mut cluster, as_called()),
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
) {
    let options = http::HttpProtocolOptions {
        upstream_protocol_options: Some(options),
        ..Default::default()
    };
    // One entry only: the order of a protobuf map is not defined, and bytes must not vary.
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned();
    cluster.typed_extension_protocol_options = [(name, any(&options))].into();
}

fn explicit_http2() -> http::http_protocol_options::UpstreamProtocolOptions {
    use http::http_protocol_options::{
        ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config,
    };
    UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
        protocol_config: Some(explicit_http_config::ProtocolConfig::Http2ProtocolOptions(
            core::Http2ProtocolOptions::default(),
        )),
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
