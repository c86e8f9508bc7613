//! How often requests may come: filters for each policy, with what is left of its limits in them.

use std::iter;

use weft_config::Mesh;
use weft_config::model::RateLimitPolicy;
use weft_config::model::rate_limit::{LimitHeaders, LimitMode, RateLimit, RateLimitTarget};
use weft_config::{BoundRoute, Key};
use weft_proto::limits::RateLimitHeaders;
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::config::route::v3::rate_limit::Action;
use weft_proto::pb::envoy::config::route::v3::rate_limit::action::{
    ActionSpecifier, GenericKey, HeaderValueMatch,
};
use weft_proto::pb::envoy::extensions::common::ratelimit::v3 as common;
use weft_proto::pb::envoy::extensions::filters::http::local_ratelimit::v3 as local;
use weft_proto::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use weft_proto::pb::envoy::r#type::v3::{HttpStatus, TokenBucket};
use weft_proto::pb::google::protobuf::Any;

use crate::global_limit;
use crate::request_match;
use crate::wire::{any, duration, of_hundred, uint32};

/// What tells the limits of a policy apart.
const LIMIT: &str = "limit";

/// The filter that has limits say what is left.
const TELLER: &str = "rate_limit_headers";

/// How many callers of a limit are told apart at once; of more, those who came last.
const MOST_CALLERS: u32 = 10_000;

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

/// Puts filters before the others of a connection manager: those of `always`, which are about every
/// request, and those that only some routes turn on.
pub(crate) fn with_limits(
    mesh: &Mesh,
    manager: &mut hcm::HttpConnectionManager,
    always: Option<&RateLimitPolicy>,
    of_routes: &[&RateLimitPolicy],
) {
    let tells = |policy: &RateLimitPolicy| policy.headers == Some(LimitHeaders::Standard);
    let always_tells = always.is_some_and(tells);
    let teller = (always_tells || of_routes.iter().any(|policy| tells(policy)))
        .then(|| teller(!always_tells));
    let always = always.into_iter().flat_map(|policy| filters(mesh, policy, true));
    let of_routes = of_routes.iter().flat_map(|policy| filters(mesh, policy, false));
    let filters = teller.into_iter().chain(always).chain(of_routes);
    manager.http_filters.splice(..0, filters);
}

/// What a route says so that the filters of its policy are asked.
pub(crate) fn of_route(policy: &RateLimitPolicy) -> impl Iterator<Item = (String, Any)> {
    let on = any(&route::FilterConfig { config: Some(Any::default()), ..Default::default() });
    let own = (!policy.limits.is_empty()).then(|| own_name(policy));
    let shared = policy.global.is_some().then(|| shared_name(policy));
    let tells = (policy.headers == Some(LimitHeaders::Standard)).then(|| TELLER.to_owned());
    own.into_iter().chain(shared).chain(tells).map(move |name| (name, on.clone()))
}

/// Has the limits behind it say what is left, in the fields of the standard. Envoy does not know it,
/// and steps over it.
fn teller(disabled: bool) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: TELLER.to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(any(&RateLimitHeaders {}))),
        is_optional: true,
        disabled,
    }
}

/// The filter that counts by itself.
fn own_name(policy: &RateLimitPolicy) -> String {
    format!("rate_limit/{}", policy.metadata.key())
}

/// The filter that asks a rate limit service.
fn shared_name(policy: &RateLimitPolicy) -> String {
    format!("rate_limit_service/{}", policy.metadata.key())
}

/// What a proxy refuses by itself nobody is asked about.
fn filters(mesh: &Mesh, policy: &RateLimitPolicy, always: bool) -> Vec<hcm::HttpFilter> {
    let own = (!policy.limits.is_empty()).then(|| (own_name(policy), any(&limits(policy))));
    let shared = global_limit::filter(mesh, policy);
    let shared = shared.map(|config| (shared_name(policy), any(&config)));
    let filters = own.into_iter().chain(shared).map(|(name, config)| hcm::HttpFilter {
        name,
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(config)),
        disabled: !always,
        ..Default::default()
    });
    filters.collect()
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
            Some(LimitHeaders::Standard) | None => common::XRateLimitHeadersRfcVersion::Off,
        }
        .into(),
        ..Default::default()
    };
    let callers = policy.limits.iter().any(|limit| !limit.by.is_empty());
    match policy.limits.as_slice() {
        [only] if only.matched.is_none() && only.by.is_empty() => {
            local::LocalRateLimit { token_bucket: Some(bucket(only)), ..config }
        }
        several => local::LocalRateLimit {
            rate_limits: several.iter().enumerate().map(described).collect(),
            descriptors: several.iter().enumerate().map(described_bucket).collect(),
            max_dynamic_descriptors: callers.then(|| uint32(MOST_CALLERS)),
            ..config
        },
    }
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
    let by = limit.by.iter().map(global_limit::action);
    route::RateLimit { actions: iter::once(action).chain(by).collect(), ..Default::default() }
}

fn described_bucket((index, limit): (usize, &RateLimit)) -> common::LocalRateLimitDescriptor {
    let entry =
        common::rate_limit_descriptor::Entry { key: LIMIT.to_owned(), value: value(index, limit) };
    // No value stands for any, and each that comes has a bucket of its own.
    let by = limit.by.iter().map(|entry| common::rate_limit_descriptor::Entry {
        key: global_limit::key(entry).to_owned(),
        value: String::new(),
    });
    common::LocalRateLimitDescriptor {
        entries: iter::once(entry).chain(by).collect(),
        token_bucket: Some(bucket(limit)),
        ..Default::default()
    }
}

/// The name of a limit or, without one, its place.
fn value(index: usize, limit: &RateLimit) -> String {
    limit.name.clone().unwrap_or_else(|| format!("[{index}]"))
}
