//! The limits of a policy that a rate limit service counts, as a filter.

use weft_config::model::RateLimitPolicy;
use weft_config::model::rate_limit::{
    FailureMode, GlobalLimit, LimitEntry, LimitHeaders, LimitMode,
};
use weft_config::{Key, Mesh};
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::envoy::config::ratelimit::v3::RateLimitServiceConfig;
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::config::route::v3::rate_limit::Action;
use weft_proto::pb::envoy::config::route::v3::rate_limit::action::{
    ActionSpecifier, GenericKey, QueryParameters, RemoteAddress, RequestHeaders,
};
use weft_proto::pb::envoy::extensions::filters::http::ratelimit::v3 as global;
use weft_proto::pb::envoy::r#type::v3::HttpStatus;

use crate::cluster::cluster_name;
use crate::wire::{duration, of_hundred};

/// The cluster of the service that counts for a policy, if one does.
pub(crate) fn cluster(mesh: &Mesh, policy: &RateLimitPolicy) -> Option<String> {
    let (service, port) = mesh.limit_service(policy)?;
    Some(cluster_name(&service, port))
}

/// The filter of a policy for which a service counts.
pub(crate) fn filter(mesh: &Mesh, policy: &RateLimitPolicy) -> Option<global::RateLimit> {
    let (said, cluster_name) = (policy.global.as_ref()?, cluster(mesh, policy)?);
    let Key { namespace, name } = policy.metadata.key();
    let grpc = core::grpc_service::EnvoyGrpc { cluster_name, ..Default::default() };
    let service = core::GrpcService {
        target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(grpc)),
        ..Default::default()
    };
    Some(global::RateLimit {
        domain: said.domain.clone(),
        timeout: said.timeout.map(duration),
        failure_mode_deny: said.failure_mode == FailureMode::Closed,
        // gRPC clients would take `UNAVAILABLE` for a reason to try again.
        rate_limited_as_resource_exhausted: true,
        rate_limit_service: Some(RateLimitServiceConfig {
            grpc_service: Some(service),
            transport_api_version: core::ApiVersion::V3.into(),
        }),
        enable_x_ratelimit_headers: match policy.headers {
            Some(LimitHeaders::XRateLimit) => {
                global::rate_limit::XRateLimitHeadersRfcVersion::DraftVersion03
            }
            Some(LimitHeaders::Standard) | None => {
                global::rate_limit::XRateLimitHeadersRfcVersion::Off
            }
        }
        .into(),
        rate_limited_status: policy.status.map(|code| HttpStatus { code: i32::from(code) }),
        stat_prefix: format!("{namespace}.{name}"),
        filter_enforced: (policy.mode == LimitMode::Observe).then(|| of_hundred(0)),
        rate_limits: described(said),
        ..Default::default()
    })
}

/// The key of what the action gives.
pub(crate) fn key(entry: &LimitEntry) -> &str {
    match entry {
        LimitEntry::Header(name) | LimitEntry::QueryParameter(name) => name,
        LimitEntry::RemoteAddress {} => "remote_address",
        LimitEntry::Value { key, .. } => key,
    }
}

fn described(said: &GlobalLimit) -> Vec<route::RateLimit> {
    let descriptors = said.descriptors.iter().map(|descriptor| route::RateLimit {
        actions: descriptor.entries.iter().map(action).collect(),
        ..Default::default()
    });
    descriptors.collect()
}

/// The action that describes a request by this.
pub(crate) fn action(entry: &LimitEntry) -> Action {
    let specifier = match entry {
        LimitEntry::Header(name) => ActionSpecifier::RequestHeaders(RequestHeaders {
            header_name: name.clone(),
            descriptor_key: name.clone(),
            skip_if_absent: false,
        }),
        LimitEntry::QueryParameter(name) => ActionSpecifier::QueryParameters(QueryParameters {
            query_parameter_name: name.clone(),
            descriptor_key: name.clone(),
            skip_if_absent: false,
        }),
        LimitEntry::RemoteAddress {} => ActionSpecifier::RemoteAddress(RemoteAddress {}),
        LimitEntry::Value { key, value } => ActionSpecifier::GenericKey(GenericKey {
            descriptor_key: key.clone(),
            descriptor_value: value.clone(),
            ..Default::default()
        }),
    };
    Action { action_specifier: Some(specifier) }
}
