//! `ratelimit` of HTTP: requests about which a service is asked.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use weft_proto::pb::{
    envoy::{
        config::{
            core::v3::{GrpcService as GrpcMessage, RuntimeFractionalPercent},
            ratelimit::v3::RateLimitServiceConfig,
        },
        extensions::filters::http::ratelimit::v3 as wire,
        r#type::v3::HttpStatus,
    },
    google::protobuf,
};
use weft_route::{Denominator, Fraction};

use super::{
    descriptors::{self, DescriptorRule},
    local_rate_limit::HostDescriptors,
};
use crate::{
    api_source::{self, GrpcService},
    headers::{self, HeaderMutations, HeaderProgram},
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// What a service is asked about requests, and what becomes of its answers.
#[derive(Debug)]
pub struct GlobalRateLimit {
    /// `rate_limit_service`.
    pub service: GrpcService,
    /// `domain` of the limits.
    pub domain: Box<str>,
    /// `timeout` of a call (20 ms by default); 0 is none.
    pub timeout: Option<Duration>,
    /// `request_type`: which requests are asked about.
    pub of: RequestType,
    /// `stage` of the descriptions of routes.
    pub stage: u32,
    /// `rate_limits`: how requests are described, in place of what their routes say.
    pub descriptors: Option<Arc<[DescriptorRule]>>,
    /// `filter_enabled`: the share of requests that are asked about (all by default).
    pub enabled: Fraction,
    /// `filter_enforced`: the share of those over a limit that are refused (all by default).
    pub enforced: Fraction,
    /// `failure_mode_deny`, or `failure_mode_deny_percent`: the share of requests that are refused
    /// where the service does not answer (none by default).
    pub denied_on_error: Fraction,
    /// `status_on_error` of those (500 by default).
    pub status_on_error: StatusCode,
    /// `rate_limited_status` (429 by default).
    pub status: StatusCode,
    /// `rate_limited_as_resource_exhausted`: gRPC clients are told `RESOURCE_EXHAUSTED` in place of
    /// `UNAVAILABLE`.
    pub as_resource_exhausted: bool,
    /// `enable_x_ratelimit_headers`: answers say what is left.
    pub says_what_is_left: bool,
    /// Unless `disable_x_envoy_ratelimited_header`: answers to requests over a limit say that they are.
    pub marks_refusals: bool,
    /// `response_headers_to_add`, of refusals.
    pub of_refusals: HeaderProgram,
    /// `stat_prefix`.
    pub stat_prefix: Box<str>,
}

/// `request_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestType {
    /// `internal`: those of the own network.
    Internal,
    /// `external`: all others.
    External,
    /// `both`.
    Both,
}

/// `RateLimitPerRoute`.
#[derive(Debug)]
pub struct RouteRateLimit {
    /// `vh_rate_limits`.
    pub host_descriptors: HostDescriptors,
    /// `rate_limits`: how requests are described, in place of what is said elsewhere.
    pub descriptors: Option<Arc<[DescriptorRule]>>,
    /// `domain`, in place of the filter's.
    pub domain: Option<Box<str>>,
}

/// As long as Envoy waits.
const TIMEOUT: Duration = Duration::from_millis(20);

/// Reads the filter.
pub(super) fn read(
    message: &wire::RateLimit,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<GlobalRateLimit> {
    let at_service = at.field("rate_limit_service");
    let service = service(message.rate_limit_service.as_ref(), &at_service, notes)?;
    let timeout = timeout(message.timeout.as_ref(), &at.field("timeout"), notes)?;
    if message.domain.is_empty() {
        return notes.refuse(&at.field("domain"), Problem::Missing);
    }
    if message.enable_retry_after_header {
        let at = at.field("enable_retry_after_header");
        notes.unsupported::<()>(&at, "retry-after of a service's answers", "false is");
    }
    let set = headers::sets(&message.response_headers_to_add, "response_headers_to_add", at, notes);
    let of_refusals = HeaderProgram::new(&[HeaderMutations { remove: Box::default(), set }]);
    let status = status(
        message.rate_limited_status.as_ref(),
        StatusCode::TOO_MANY_REQUESTS,
        &at.field("rate_limited_status"),
        notes,
    )?;
    let at_error = at.field("status_on_error");
    let on_error = StatusCode::INTERNAL_SERVER_ERROR;
    Some(GlobalRateLimit {
        service,
        domain: message.domain.as_str().into(),
        timeout,
        of: match &*message.request_type {
            "internal" => RequestType::Internal,
            "external" => RequestType::External,
            // The schema bounds the others.
            _ => RequestType::Both,
        },
        stage: message.stage,
        descriptors: own_descriptors(&message.rate_limits, at, notes),
        enabled: share(message.filter_enabled.as_ref(), 100, &at.field("filter_enabled"), notes)?,
        enforced: share(
            message.filter_enforced.as_ref(),
            100,
            &at.field("filter_enforced"),
            notes,
        )?,
        denied_on_error: share(
            message.failure_mode_deny_percent.as_ref(),
            if message.failure_mode_deny { 100 } else { 0 },
            &at.field("failure_mode_deny_percent"),
            notes,
        )?,
        status_on_error: self::status(
            message.status_on_error.as_ref(),
            on_error,
            &at_error,
            notes,
        )?,
        status: if status.as_u16() < 400 { StatusCode::TOO_MANY_REQUESTS } else { status },
        as_resource_exhausted: message.rate_limited_as_resource_exhausted,
        // The one draft there is; any other number was refused before.
        says_what_is_left: message.enable_x_ratelimit_headers != 0,
        marks_refusals: !message.disable_x_envoy_ratelimited_header,
        of_refusals,
        stat_prefix: message.stat_prefix.as_str().into(),
    })
}

/// Reads what a route says to the filter.
pub(super) fn of_route(
    message: &wire::RateLimitPerRoute,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<RouteRateLimit> {
    use wire::rate_limit_per_route::{OverrideOptions, VhRateLimitsOptions as Options};
    if message.override_option != OverrideOptions::Default as i32 {
        let at = at.field("override_option");
        return notes.unsupported(&at, "another rule of precedence", "DEFAULT is");
    }
    Some(RouteRateLimit {
        host_descriptors: match Options::try_from(message.vh_rate_limits) {
            Ok(Options::Include) => HostDescriptors::Include,
            Ok(Options::Ignore) => HostDescriptors::Ignore,
            // Any other number was refused before.
            Ok(Options::Override) | Err(_) => HostDescriptors::WithoutOwn,
        },
        descriptors: own_descriptors(&message.rate_limits, at, notes),
        domain: Some(message.domain.as_str()).filter(|domain| !domain.is_empty()).map(Box::from),
    })
}

fn own_descriptors(
    messages: &[weft_proto::pb::envoy::config::route::v3::RateLimit],
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Arc<[DescriptorRule]>> {
    (!messages.is_empty()).then(|| descriptors::read(messages, at, notes))
}

/// How long an answer is waited for: 20 ms by default, and with 0 for ever.
pub(crate) fn timeout(
    message: Option<&protobuf::Duration>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<Duration>> {
    let timeout = match message {
        None => TIMEOUT,
        Some(timeout) => scalar::duration(timeout, at, notes)?,
    };
    Some(Some(timeout).filter(|timeout| !timeout.is_zero()))
}

/// Whom to ask.
pub(crate) fn service(
    message: Option<&RateLimitServiceConfig>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<GrpcService> {
    let Some(message) = message else { return notes.refuse(at, Problem::Missing) };
    let version = message.transport_api_version;
    api_source::version(version, &at.field("transport_api_version"), notes);
    let at = at.field("grpc_service");
    let Some(service) = &message.grpc_service else { return notes.refuse(&at, Problem::Missing) };
    if retries(service) {
        let at = at.field("retry_policy");
        return notes.unsupported(&at, "asking again", "a longer timeout of the filter is");
    }
    api_source::service(service, &at, notes)
}

fn retries(service: &GrpcMessage) -> bool {
    use weft_proto::pb::envoy::config::core::v3::grpc_service::TargetSpecifier;
    service.retry_policy.is_some()
        || matches!(&service.target_specifier,
            Some(TargetSpecifier::EnvoyGrpc(grpc)) if grpc.retry_policy.is_some())
}

fn status(
    message: Option<&HttpStatus>,
    default: StatusCode,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<StatusCode> {
    let Some(message) = message else { return Some(default) };
    let code = u16::try_from(message.code).ok().filter(|code| (200..600).contains(code));
    match code.and_then(|code| StatusCode::from_u16(code).ok()) {
        Some(status) => Some(status),
        None => notes.refuse(&at.field("code"), Problem::UnknownEnum(message.code)),
    }
}

/// There is no runtime layer, so the default of a key holds.
fn share(
    message: Option<&RuntimeFractionalPercent>,
    default: u32,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Fraction> {
    match message {
        None => Some(Fraction { numerator: default, denominator: Denominator::Hundred }),
        Some(share) => scalar::fraction(share, at, notes),
    }
}
