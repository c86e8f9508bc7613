//! `local_ratelimit`: requests that come too often are refused.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use weft_compile::{FilterSettings, LocalRateLimit, RouteFilter};
use weft_format::View;
use weft_telemetry::HttpRateStats;

use crate::{
    local_reply::Answer,
    mutation::{self, Side},
};

/// gRPC's status of what there is no more of.
const RESOURCE_EXHAUSTED: u16 = 8;

/// The settings for a request: the most specific ones of its route, or else those of the filter.
pub(super) fn settings(
    always: &Arc<LocalRateLimit>,
    own: Option<&RouteFilter>,
) -> Arc<LocalRateLimit> {
    let levels = own.map_or(&[][..], |own| &own.levels);
    let most_specific = levels.iter().rev().find_map(|level| match &**level {
        FilterSettings::LocalRateLimit(limit) => Some(limit),
        _ => None,
    });
    Arc::clone(most_specific.unwrap_or(always))
}

/// What is said of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing limits it.
    Nothing,
    /// It took a token.
    Passes,
    /// There was no token, and that is only noted.
    Noted,
    /// There was no token.
    Refused,
}

/// Takes a token for a request, for two random numbers.
pub(super) fn ask(
    limit: &LocalRateLimit,
    stats: &HttpRateStats,
    now: Instant,
    (enabled, enforced): (u64, u64),
) -> Said {
    let Some(tokens) = limit.tokens.as_ref().filter(|_| limit.enabled.includes(enabled)) else {
        return Said::Nothing;
    };
    stats.enabled.inc();
    if tokens.take(now) {
        stats.ok.inc();
        return Said::Passes;
    }
    stats.rate_limited.inc();
    if !limit.enforced.includes(enforced) {
        return Said::Noted;
    }
    stats.enforced.inc();
    Said::Refused
}

/// The answer to a request without a token.
pub(super) fn refusal(limit: &LocalRateLimit, view: &View<'_>) -> Answer {
    let mut headers = HeaderMap::new();
    mutation::apply(&limit.of_refusals, &mut headers, Side::Response, view);
    let body = Bytes::from_static(b"local_rate_limited");
    Answer {
        details: "local_rate_limited",
        flags: "RL",
        grpc_code: limit.as_resource_exhausted.then_some(RESOURCE_EXHAUSTED),
        ..Answer::direct(limit.status, body, headers)
    }
}

/// Says what is left (draft-polli-ratelimit-headers-03, as Envoy writes them).
pub(super) fn say_what_is_left(limit: &LocalRateLimit, headers: &mut HeaderMap, now: Instant) {
    let Some(tokens) = limit.tokens.as_ref().filter(|_| limit.says_what_is_left) else { return };
    let wait = tokens.wait(now);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    for (name, number) in [
        ("x-ratelimit-limit", tokens.most()),
        ("x-ratelimit-remaining", tokens.left(now)),
        ("x-ratelimit-reset", seconds),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(number));
    }
}
