//! `local_ratelimit` of HTTP: how often requests may come.

use std::{collections::HashSet, sync::Arc};

use http::StatusCode;
use weft_limit::{Buckets, DescriptorRate, Fill, Rates};
use weft_proto::pb::envoy::{
    config::core::v3::RuntimeFractionalPercent,
    extensions::{
        common::ratelimit::v3::{LocalRateLimitDescriptor, VhRateLimitsOptions},
        filters::http::local_ratelimit::v3 as wire,
    },
};
use weft_route::{Denominator, Fraction};

use super::descriptors::{self, DescriptorRule};
use crate::{
    cluster::optional,
    headers::{self, HeaderMutations, HeaderProgram},
    network_filter::{self, TokenRate},
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// Values of a description with any value for a key that have buckets, unless something else is said.
const MOST_VALUES: u32 = 20;

/// How often requests may come, with what is left of it now in all workers.
#[derive(Debug)]
pub struct LocalRateLimit {
    /// `stat_prefix`.
    pub stat_prefix: Box<str>,
    /// `token_bucket` and `descriptors`.
    pub rates: Rates,
    /// The buckets that all connections share.
    pub buckets: Buckets,
    /// `local_rate_limit_per_downstream_connection`: each connection has buckets of its own instead.
    pub is_per_connection: bool,
    /// `rate_limits`: how requests are described, in place of what their routes say.
    pub descriptors: Option<Arc<[DescriptorRule]>>,
    /// `stage` of the descriptions of routes.
    pub stage: u32,
    /// `vh_rate_limits`.
    pub host_descriptors: HostDescriptors,
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
    let most_values = optional(message.max_dynamic_descriptors.as_ref()).unwrap_or(MOST_VALUES);
    let rates = Rates {
        default: rate.map(fill),
        by_descriptor: by_descriptor(message, at, notes)?,
        always_takes_default: scalar::bool_or(
            message.always_consume_default_token_bucket.as_ref(),
            true,
        ),
        most_values: usize::try_from(most_values).unwrap_or(usize::MAX),
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
        buckets: Buckets::new(&rates),
        rates,
        is_per_connection: message.local_rate_limit_per_downstream_connection,
        descriptors: own_descriptors(message, at, notes),
        stage: message.stage,
        host_descriptors: match VhRateLimitsOptions::try_from(message.vh_rate_limits) {
            Ok(VhRateLimitsOptions::Include) => HostDescriptors::Include,
            Ok(VhRateLimitsOptions::Ignore) => HostDescriptors::Ignore,
            // Any other number was refused before.
            Ok(VhRateLimitsOptions::Override) | Err(_) => HostDescriptors::WithoutOwn,
        },
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
) -> Option<Vec<DescriptorRate>> {
    let mut seen = HashSet::new();
    let read = |(index, descriptor): (usize, &LocalRateLimitDescriptor)| {
        let at = at.item("descriptors", index);
        let bucket = descriptor.token_bucket.as_ref();
        let rate = network_filter::token_rate(bucket, &at.field("token_bucket"), notes)?;
        let any = |value: &str| Some(value).filter(|value| !value.is_empty()).map(Box::from);
        let entries: Vec<(Box<str>, Option<Box<str>>)> = descriptor
            .entries
            .iter()
            .map(|entry| (entry.key.as_str().into(), any(&entry.value)))
            .collect();
        if !seen.insert(entries.clone()) {
            let entries = descriptor.entries.iter();
            let shown: Vec<_> = entries.map(|it| format!("{}={}", it.key, it.value)).collect();
            return notes.refuse(&at, Problem::Duplicate(shown.join(", ")));
        }
        Some(DescriptorRate { entries, fill: fill(rate), is_shadow: descriptor.shadow_mode })
    };
    message.descriptors.iter().enumerate().map(read).collect()
}

/// How requests are described for this limit alone. What only a service can do is refused.
fn own_descriptors(
    message: &wire::LocalRateLimit,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Arc<[DescriptorRule]>> {
    if message.rate_limits.is_empty() {
        return None;
    }
    for (index, rule) in message.rate_limits.iter().enumerate() {
        let at = at.item("rate_limits", index);
        if rule.limit.is_some() {
            let at = at.field("limit");
            notes.unsupported::<()>(
                &at,
                "a limit that requests bring with them",
                "token_bucket is",
            );
        }
        if rule.hits_addend.as_ref().is_some_and(|hits| hits.is_negative_hits) {
            let at = at.field("hits_addend");
            let what = "giving tokens back";
            notes.unsupported::<()>(&at.field("is_negative_hits"), what, "false is");
        }
    }
    Some(descriptors::read(&message.rate_limits, at, notes))
}

fn fill(rate: TokenRate) -> Fill {
    let TokenRate { most, tokens, interval } = rate;
    Fill { most, tokens, interval }
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
    if message.local_cluster_rate_limit.is_some() {
        let what = "a limit that a cluster shares";
        let at = at.field("local_cluster_rate_limit");
        notes.unsupported::<()>(&at, what, "token_bucket and descriptors are");
    }
}
