//! How often requests may come: a filter for each policy, with what is left of its limits in it.

use weft_config::Mesh;
use weft_config::model::RateLimitPolicy;
use weft_config::model::rate_limit::{LimitHeaders, LimitMode, RateLimit, RateLimitTarget};
use weft_config::{BoundRoute, Key};
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::config::route::v3::rate_limit::Action;
use weft_proto::pb::envoy::config::route::v3::rate_limit::action::{
    ActionSpecifier, GenericKey, HeaderValueMatch,
};
use weft_proto::pb::envoy::extensions::common::ratelimit::v3 as common;
use weft_proto::pb::envoy::extensions::filters::http::local_ratelimit::v3 as local;
use weft_proto::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use weft_proto::pb::envoy::r#type::v3::{FractionalPercent, HttpStatus, TokenBucket};
use weft_proto::pb::google::protobuf::Any;

use crate::request_match;
use crate::wire::{any, duration, uint32};

/// What tells the limits of a policy apart.
const LIMIT: &str = "limit";

/// The policy for what comes to a Service or a Gateway.
pub(crate) fn of_target<'a>(
    mesh: &'a Mesh,
    key: &Key,
    target: fn(String) -> RateLimitTarget,
) -> Option<&'a RateLimitPolicy> {
    mesh.rate_limit(&key.namespace, &target(key.name.clone())).map(AsRef::as_ref)
}

/// The policies for any rule of these routes, each once.
pub(crate) fn of_routes<'a>(
    routes: impl Iterator<Item = &'a BoundRoute>,
) -> Vec<&'a RateLimitPolicy> {
    let rules = routes.flat_map(|route| &route.rules);
    let mut policies: Vec<_> = rules.filter_map(|rule| rule.rate_limit.as_deref()).collect();
    policies.sort_by_key(|policy| policy.metadata.key());
    policies.dedup_by_key(|policy| policy.metadata.key());
    policies
}

/// Puts filters before the others of a connection manager: `always`, which is about every request,
/// and those that only some routes turn on.
pub(crate) fn with_limits(
    manager: &mut hcm::HttpConnectionManager,
    always: Option<&RateLimitPolicy>,
    of_routes: &[&RateLimitPolicy],
) {
    let filters = always.map(|policy| filter(policy, true)).into_iter();
    let filters = filters.chain(of_routes.iter().map(|policy| filter(policy, false)));
    manager.http_filters.splice(..0, filters);
}

/// What a route says so that the filter of its policy is asked.
pub(crate) fn of_route(policy: &RateLimitPolicy) -> (String, Any) {
    let on = route::FilterConfig { config: Some(Any::default()), ..Default::default() };
    (name(policy), any(&on))
}

fn name(policy: &RateLimitPolicy) -> String {
    format!("rate_limit/{}", policy.metadata.key())
}

fn filter(policy: &RateLimitPolicy, always: bool) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: name(policy),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(any(&limits(policy)))),
        disabled: !always,
        ..Default::default()
    }
}

fn limits(policy: &RateLimitPolicy) -> local::LocalRateLimit {
    let Key { namespace, name } = policy.metadata.key();
    let config = local::LocalRateLimit {
        stat_prefix: format!("rate_limit.{namespace}.{name}"),
        status: policy.status.map(|code| HttpStatus { code: i32::from(code) }),
        filter_enabled: Some(of_hundred(100)),
        filter_enforced: Some(of_hundred(match policy.mode {
            LimitMode::Enforce => 100,
            LimitMode::Observe => 0,
        })),
        // gRPC clients would take `UNAVAILABLE` for a reason to try again.
        rate_limited_as_resource_exhausted: true,
        enable_x_ratelimit_headers: match policy.headers {
            Some(LimitHeaders::XRateLimit) => common::XRateLimitHeadersRfcVersion::DraftVersion03,
            None => common::XRateLimitHeadersRfcVersion::Off,
        }
        .into(),
        ..Default::default()
    };
    match policy.limits.as_slice() {
        [only] if only.matched.is_none() => {
            local::LocalRateLimit { token_bucket: Some(bucket(only)), ..config }
        }
        several => local::LocalRateLimit {
            rate_limits: several.iter().enumerate().map(described).collect(),
            descriptors: several.iter().enumerate().map(described_bucket).collect(),
            ..config
        },
    }
}

fn of_hundred(numerator: u32) -> core::RuntimeFractionalPercent {
    let share = FractionalPercent { numerator, ..Default::default() };
    core::RuntimeFractionalPercent { default_value: Some(share), ..Default::default() }
}

fn bucket(limit: &RateLimit) -> TokenBucket {
    TokenBucket {
        max_tokens: limit.burst.unwrap_or(limit.requests),
        tokens_per_fill: Some(uint32(limit.requests)),
        fill_interval: Some(duration(limit.per)),
    }
}

/// Says that a request is one that a limit is about.
fn described((index, limit): (usize, &RateLimit)) -> route::RateLimit {
    let (key, value) = (LIMIT.to_owned(), value(index, limit));
    let specifier = match &limit.matched {
        None => ActionSpecifier::GenericKey(GenericKey {
            descriptor_key: key,
            descriptor_value: value,
            ..Default::default()
        }),
        Some(matched) => ActionSpecifier::HeaderValueMatch(HeaderValueMatch {
            descriptor_key: key,
            descriptor_value: value,
            headers: request_match::headers(matched),
            ..Default::default()
        }),
    };
    let action = Action { action_specifier: Some(specifier) };
    route::RateLimit { actions: vec![action], ..Default::default() }
}

fn described_bucket((index, limit): (usize, &RateLimit)) -> common::LocalRateLimitDescriptor {
    let entry =
        common::rate_limit_descriptor::Entry { key: LIMIT.to_owned(), value: value(index, limit) };
    common::LocalRateLimitDescriptor {
        entries: vec![entry],
        token_bucket: Some(bucket(limit)),
        ..Default::default()
    }
}

/// The name of a limit or, without one, its place.
fn value(index: usize, limit: &RateLimit) -> String {
    limit.name.clone().unwrap_or_else(|| format!("[{index}]"))
}
