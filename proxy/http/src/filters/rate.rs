//! `local_ratelimit`: requests that come too often are refused.

use std::{cmp::Reverse, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;
use weft_compile::{FilterSettings, LocalRateLimit, RouteFilter};
use weft_format::View;
use weft_limit::TokenBucket;
use weft_telemetry::HttpRateStats;

use super::{descriptors::Descriptor, most_specific};
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
    let most_specific = most_specific(own, |settings| match settings {
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

/// A request that was asked for a token and whose answer says what is left in the bucket: that of the
/// request's description, or that of all.
#[derive(Debug)]
pub(super) struct Limited {
    limit: Arc<LocalRateLimit>,
    descriptor: Option<Descriptor>,
}

impl Limited {
    fn tokens(&self) -> Option<&TokenBucket> {
        match &self.descriptor {
            Some(descriptor) => self.limit.by_descriptor.get(&**descriptor),
            None => self.limit.tokens.as_ref(),
        }
    }

    /// Says what is left (draft-polli-ratelimit-headers-03, as Envoy writes them).
    pub(super) fn say_what_is_left(&self, headers: &mut HeaderMap) {
        let Some(tokens) = self.tokens() else { return };
        let now = Instant::now();
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
}

/// Takes tokens for a request that is described like this, for two random numbers.
pub(super) fn ask(
    limit: &Arc<LocalRateLimit>,
    descriptors: Vec<Descriptor>,
    stats: &HttpRateStats,
    now: Instant,
    (enabled, enforced): (u64, u64),
) -> (Said, Option<Limited>) {
    let limits_nothing = limit.tokens.is_none() && limit.by_descriptor.is_empty();
    if limits_nothing || !limit.enabled.includes(enabled) {
        return (Said::Nothing, None);
    }
    stats.enabled.inc();
    let limited = |descriptor| {
        limit.says_what_is_left.then(|| Limited { limit: Arc::clone(limit), descriptor })
    };
    match take(limit, descriptors, now) {
        Ok(descriptor) => {
            stats.ok.inc();
            (Said::Passes, limited(descriptor))
        }
        Err(descriptor) => {
            stats.rate_limited.inc();
            if !limit.enforced.includes(enforced) {
                return (Said::Noted, None);
            }
            stats.enforced.inc();
            (Said::Refused, limited(descriptor))
        }
    }
}

/// Takes a token of each bucket that has to do with a request, of those that fill up slowest first.
/// Which bucket says what is left; `Err` where it is empty.
fn take(
    limit: &LocalRateLimit,
    descriptors: Vec<Descriptor>,
    now: Instant,
) -> Result<Option<Descriptor>, Option<Descriptor>> {
    let mut matched: SmallVec<[(Descriptor, &TokenBucket); 4]> = descriptors
        .into_iter()
        .filter_map(|descriptor| {
            let tokens = limit.by_descriptor.get(&*descriptor)?;
            Some((descriptor, tokens))
        })
        .collect();
    matched.sort_by_key(|(_, tokens)| Reverse(tokens.pace()));
    if let Some(empty) = matched.iter().position(|(_, tokens)| !tokens.take(now)) {
        return Err(Some(matched.swap_remove(empty).0));
    }
    let asks_all = matched.is_empty() || limit.always_takes_default;
    if asks_all && limit.tokens.as_ref().is_some_and(|tokens| !tokens.take(now)) {
        return Err(None);
    }
    Ok(matched.into_iter().next().map(|(descriptor, _)| descriptor))
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
