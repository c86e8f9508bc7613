//! `local_ratelimit`: requests that come too often are refused.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use weft_compile::{FilterSettings, LocalRateLimit, RouteFilter, RouteFilters};
use weft_format::View;
use weft_limit::{Buckets, Described, TokenBucket};

use super::{Coming, descriptors, inject, limit_headers, most_specific, view};
use crate::{
    downstream::Connection,
    local_reply::Answer,
    mutation::{self, Side},
};

/// gRPC's status of what there is no more of.
const RESOURCE_EXHAUSTED: u16 = 8;

/// The settings for a request: the most specific ones of its route, or else those of the filter.
pub(super) fn settings<'a>(
    always: &'a Arc<LocalRateLimit>,
    own: Option<&'a RouteFilter>,
) -> &'a Arc<LocalRateLimit> {
    let most_specific = most_specific(own, |settings| match settings {
        FilterSettings::LocalRateLimit(limit) => Some(limit),
        _ => None,
    });
    most_specific.unwrap_or(always)
}

/// The buckets of one connection, by the limits that they are of.
#[derive(Debug, Default)]
pub(crate) struct OwnBuckets(RefCell<Vec<(Arc<LocalRateLimit>, Rc<Buckets>)>>);

impl OwnBuckets {
    fn of(&self, limit: &Arc<LocalRateLimit>) -> Rc<Buckets> {
        let mut all = self.0.borrow_mut();
        if let Some((_, found)) = all.iter().find(|(known, _)| Arc::ptr_eq(known, limit)) {
            return Rc::clone(found);
        }
        // Those of configurations that are gone are held by nobody else.
        all.retain(|(known, _)| Arc::strong_count(known) > 1);
        let made = Rc::new(Buckets::new(&limit.rates));
        all.push((Arc::clone(limit), Rc::clone(&made)));
        made
    }
}

/// A bucket of which the answer to a request says what is left in it.
#[derive(Debug)]
pub(super) struct Limited {
    tokens: Arc<TokenBucket>,
    limit: Arc<LocalRateLimit>,
    /// In the fields that Envoy has for that,
    by_draft_03: bool,
    /// in those of the standard to be, or in both.
    by_standard: bool,
}

impl Limited {
    /// Says what is left.
    pub(super) fn say_what_is_left(&self, headers: &mut HeaderMap) {
        let now = Instant::now();
        if self.by_draft_03 {
            self.say_by_draft_03(headers, now);
        }
        if self.by_standard {
            let fields = limit_headers::of_bucket(&self.limit.stat_prefix, &self.tokens, now);
            for (name, value) in fields.into_iter().flatten() {
                headers.append(name, value);
            }
        }
    }

    /// By draft-polli-ratelimit-headers-03, as Envoy writes them.
    fn say_by_draft_03(&self, headers: &mut HeaderMap, now: Instant) {
        let Self { tokens, .. } = self;
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

/// Takes tokens for a request. What its answer tells, and that answer if it is refused.
pub(super) fn limit(
    limit: &Arc<LocalRateLimit>,
    said: &RouteFilters,
    by_standard: bool,
    connection: &Connection,
    coming: &mut Coming,
) -> (Option<Limited>, Option<Answer>) {
    let worker = &connection.worker;
    if limit.buckets.limit_nothing() || !limit.enabled.includes(worker.random_u64()) {
        return (None, None);
    }
    let stats = worker.rate_stats(&connection.chain.registry, &limit.stat_prefix);
    stats.enabled.inc();
    let described = described(limit, said, connection, coming);
    let now = Instant::now();
    let taken = match limit.is_per_connection {
        true => connection.own_buckets.of(limit).take(&described, now),
        false => limit.buckets.take(&described, now),
    };
    if taken.noted {
        stats.shadow_mode.inc();
    }
    let by_draft_03 = taken.tells_what_is_left.unwrap_or(limit.says_what_is_left);
    let limited = taken.bucket.filter(|_| by_draft_03 || by_standard).map(|tokens| {
        let limit = Arc::clone(limit);
        Limited { tokens, limit, by_draft_03, by_standard }
    });
    if taken.enough {
        stats.ok.inc();
        return (limited, None);
    }
    stats.rate_limited.inc();
    if limit.enforced.includes(worker.random_u64()) {
        stats.enforced.inc();
        return (limited, Some(refusal(limit, &view(connection, coming))));
    }
    let mut headers = coming.parts.headers.clone();
    let view = view(connection, coming);
    mutation::apply(&limit.when_not_enforced, &mut headers, Side::Request, &view);
    coming.parts.headers = headers;
    (None, None)
}

/// How a request is described as far as the limit goes by that.
fn described(
    limit: &LocalRateLimit,
    said: &RouteFilters,
    connection: &Connection,
    coming: &Coming,
) -> Vec<Described> {
    if !limit.buckets.look_at_descriptions() {
        return Vec::new();
    }
    let own = limit.descriptors.as_deref();
    let rules = descriptors::rules(own, said, limit.stage, limit.host_descriptors);
    let tables = connection.worker.tables();
    let found =
        descriptors::described(&rules, inject::cluster(&tables, coming), connection, coming);
    let described = found.into_iter().map(|it| Described {
        entries: it.entries,
        tokens: it.hits.unwrap_or(1),
        tells_what_is_left: it.rule.tells_what_is_left,
    });
    described.collect()
}

/// The answer to a request without a token.
fn refusal(limit: &LocalRateLimit, view: &View<'_>) -> Answer {
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
