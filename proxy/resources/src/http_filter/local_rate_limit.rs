//! `local_ratelimit` of HTTP: how often requests may come.

use std::{collections::HashMap, sync::Arc};

use http::StatusCode;
use weft_limit::{Fill, TokenBucket};
use weft_proto::pb::envoy::{
    config::core::v3::RuntimeFractionalPercent,
    extensions::{
        common::ratelimit::v3::VhRateLimitsOptions, filters::http::local_ratelimit::v3 as wire,
    },
};
use weft_route::{Denominator, Fraction};

use super::descriptors::{self, DescriptorRule};
use crate::{
    headers::{self, HeaderMutations, HeaderProgram},
    network_filter::{self, TokenRate},
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// `RateLimitDescriptor.Entry`: a key and a value.
pub type DescriptorEntry = (Box<str>, Box<str>);

/// How often requests may come, with what is left of it now in all workers.
#[derive(Debug)]
pub struct LocalRateLimit {
    /// `stat_prefix`.
    pub stat_prefix: Box<str>,
    /// `token_bucket`; without one nothing is limited.
    pub tokens: Option<TokenBucket>,
    /// `descriptors`: buckets of their own for requests that are described like this.
    pub by_descriptor: HashMap<Box<[DescriptorEntry]>, TokenBucket>,
    /// `rate_limits`: how requests are described, in place of what their routes say.
    pub descriptors: Option<Arc<[DescriptorRule]>>,
    /// `stage` of the descriptions of routes.
    pub stage: u32,
    /// `vh_rate_limits`.
    pub host_descriptors: HostDescriptors,
    /// `always_consume_default_token_bucket` (true by default): a request that has taken a token by
    /// its description takes one of all as well.
    pub always_takes_default: bool,
    /// `status` (429 by default).
    pub status: StatusCode,
    /// `filter_enabled`: the share of requests that take a token (none by default).
    pub enabled: Fraction,
    /// `filter_enforced`: the share of those without a token that are refused (none by default).
    pub enforced: Fraction,
    /// `request_headers_to_add_when_not_enforced`.
    pub when_not_enforced: HeaderProgram,
    /// `response_headers_to_add`, of refusals.
    pub of_refusals: HeaderProgram,
    /// `enable_x_ratelimit_headers`: answers say what is left.
    pub says_what_is_left: bool,
    /// `rate_limited_as_resource_exhausted`: gRPC clients are told `RESOURCE_EXHAUSTED` in place of
    /// `UNAVAILABLE`.
    pub as_resource_exhausted: bool,
}

/// `VhRateLimitsOptions`: when the `rate_limits` of virtual hosts count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostDescriptors {
    /// `OVERRIDE`: where a route has none of its own.
    WithoutOwn,
    /// `INCLUDE`: besides those of routes.
    Include,
    /// `IGNORE`: never.
    Ignore,
}

/// Reads the settings of a filter or of a route.
pub(super) fn read(
    message: &wire::LocalRateLimit,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<LocalRateLimit> {
    refuse_others(message, at, notes);
    let bucket = message.token_bucket.as_ref();
    let rate = match bucket {
        None => None,
        Some(_) => Some(network_filter::token_rate(bucket, &at.field("token_bucket"), notes)?),
    };
    let sets = |list, field, notes: &mut Notes| {
        let set = headers::sets(list, field, at, notes);
        HeaderProgram::new(&[HeaderMutations { remove: Box::default(), set }])
    };
    let when_not_enforced = sets(
        &message.request_headers_to_add_when_not_enforced,
        "request_headers_to_add_when_not_enforced",
        notes,
    );
    let of_refusals = sets(&message.response_headers_to_add, "response_headers_to_add", notes);
    Some(LocalRateLimit {
        stat_prefix: message.stat_prefix.as_str().into(),
        tokens: rate.map(tokens),
        by_descriptor: by_descriptor(message, at, notes)?,
        descriptors: (!message.rate_limits.is_empty())
            .then(|| descriptors::read(&message.rate_limits, at, notes)),
        stage: message.stage,
        host_descriptors: match VhRateLimitsOptions::try_from(message.vh_rate_limits) {
            Ok(VhRateLimitsOptions::Include) => HostDescriptors::Include,
            Ok(VhRateLimitsOptions::Ignore) => HostDescriptors::Ignore,
            // Any other number was refused before.
            Ok(VhRateLimitsOptions::Override) | Err(_) => HostDescriptors::WithoutOwn,
        },
        always_takes_default: scalar::bool_or(
            message.always_consume_default_token_bucket.as_ref(),
            true,
        ),
        status: status(message, at, notes)?,
        enabled: share(message.filter_enabled.as_ref(), &at.field("filter_enabled"), notes)?,
        enforced: share(message.filter_enforced.as_ref(), &at.field("filter_enforced"), notes)?,
        when_not_enforced,
        of_refusals,
        // The one draft there is; any other number was refused before.
        says_what_is_left: message.enable_x_ratelimit_headers != 0,
        as_resource_exhausted: message.rate_limited_as_resource_exhausted,
    })
}

fn by_descriptor(
    message: &wire::LocalRateLimit,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HashMap<Box<[DescriptorEntry]>, TokenBucket>> {
    let mut found = HashMap::new();
    for (index, descriptor) in message.descriptors.iter().enumerate() {
        let at = at.item("descriptors", index);
        let bucket = descriptor.token_bucket.as_ref();
        let rate = network_filter::token_rate(bucket, &at.field("token_bucket"), notes)?;
        let mut entries = Vec::with_capacity(descriptor.entries.len());
        for (index, entry) in descriptor.entries.iter().enumerate() {
            if entry.value.is_empty() {
                let at = at.item("entries", index);
                return notes.unsupported(&at.field("value"), "a value for all", "one value is");
            }
            entries.push((entry.key.as_str().into(), entry.value.as_str().into()));
        }
        let shown = || descriptor.entries.iter().map(|it| format!("{}={}", it.key, it.value));
        if found.insert(entries.into_boxed_slice(), tokens(rate)).is_some() {
            let shown: Vec<_> = shown().collect();
            return notes.refuse(&at, Problem::Duplicate(shown.join(", ")));
        }
    }
    Some(found)
}

/// A full bucket.
fn tokens(rate: TokenRate) -> TokenBucket {
    let TokenRate { most, tokens, interval } = rate;
    TokenBucket::new(Fill { most, tokens, interval })
}

/// Below 400 there is no error, and it is 429, as in Envoy.
fn status(message: &wire::LocalRateLimit, at: &At<'_>, notes: &mut Notes) -> Option<StatusCode> {
    let Some(status) = &message.status else { return Some(StatusCode::TOO_MANY_REQUESTS) };
    match u16::try_from(status.code) {
        Ok(..400) => Some(StatusCode::TOO_MANY_REQUESTS),
        Ok(code @ 400..600) => StatusCode::from_u16(code).ok(),
        _ => {
            let at = at.field("status");
            notes.refuse(&at.field("code"), Problem::UnknownEnum(status.code))
        }
    }
}

/// No request where it is not set, as in Envoy.
fn share(
    message: Option<&RuntimeFractionalPercent>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Fraction> {
    match message {
        None => Some(Fraction { numerator: 0, denominator: Denominator::Hundred }),
        Some(share) => scalar::fraction(share, at, notes),
    }
}

fn refuse_others(message: &wire::LocalRateLimit, at: &At<'_>, notes: &mut Notes) {
    let others = [
        (
            "local_rate_limit_per_downstream_connection",
            message.local_rate_limit_per_downstream_connection,
        ),
        ("local_cluster_rate_limit", message.local_cluster_rate_limit.is_some()),
    ];
    for (field, _) in others.into_iter().filter(|(_, is_set)| *is_set) {
        let what = "a limit of anything but all requests of a filter or a route";
        notes.unsupported::<()>(&at.field(field), what, "token_bucket and descriptors are");
    }
}
