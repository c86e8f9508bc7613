//! Health checks, as proxies take them.

use weft_config::model::policy::{HealthCheck, HttpProbe, Probe};
use weft_config::model::service::Protocol;
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::envoy::config::core::v3::health_check::{
    GrpcHealthCheck, HealthChecker, HttpHealthCheck, TcpHealthCheck,
};
use weft_proto::pb::envoy::r#type::v3::{CodecClientType, Int64Range};

use crate::wire::{duration, uint32};

/// The checks of a cluster whose endpoints speak this; `None` when they cannot be asked so.
pub(crate) fn check(said: &HealthCheck, protocol: Protocol) -> Option<core::HealthCheck> {
    let checker = match &said.probe {
        // Other ports of a Service do not speak gRPC, and Envoy refuses to ask them.
        Probe::Grpc(_) if !protocol.is_http2() => return None,
        Probe::Http(probe) => HealthChecker::HttpHealthCheck(request(probe, protocol)),
        Probe::Grpc(probe) => HealthChecker::GrpcHealthCheck(GrpcHealthCheck {
            service_name: probe.service.clone().unwrap_or_default(),
            ..Default::default()
        }),
        Probe::Tcp => HealthChecker::TcpHealthCheck(TcpHealthCheck::default()),
    };
    Some(core::HealthCheck {
        timeout: Some(duration(said.timeout)),
        interval: Some(duration(said.interval)),
        // A cluster that nobody has called yet is about to be: otherwise Envoy asks once a minute.
        no_traffic_interval: Some(duration(said.interval)),
        healthy_threshold: Some(uint32(said.healthy_threshold)),
        unhealthy_threshold: Some(uint32(said.unhealthy_threshold)),
        health_checker: Some(checker),
        ..Default::default()
    })
}

fn request(probe: &HttpProbe, protocol: Protocol) -> HttpHealthCheck {
    let range = |status: &u16| Int64Range { start: (*status).into(), end: i64::from(*status) + 1 };
    let codec = if protocol.is_http2() { CodecClientType::Http2 } else { CodecClientType::Http1 };
    HttpHealthCheck {
        path: probe.path.clone(),
        host: probe.host.clone().unwrap_or_default(),
        expected_statuses: probe.statuses.iter().map(range).collect(),
        codec_client_type: codec.into(),
        ..Default::default()
    }
}
