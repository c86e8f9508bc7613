//! `ratelimit`: requests wait until a service has said whether they may go on.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use weft_balance::EndpointState;
use weft_compile::{
    Cluster, FilterSettings, GlobalRateLimit, HostDescriptors, Priority, RequestType, RouteFilter,
    RouteFilters, RouteRateLimit,
};
use weft_rls::{Answer as Said, Hits, Left, Question, Verdict};
use weft_telemetry::RateServiceStats;

use super::{
    Coming,
    descriptors::{self, Described},
    inject, limit_headers, most_specific, view,
};
use crate::{
    downstream::Connection,
    local_reply::Answer,
    mutation::{self, Side},
    rpc::{Call, Failed},
};

/// gRPC's status of what there is no more of.
const RESOURCE_EXHAUSTED: u16 = 8;
const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");

/// Fields for the client, until its answer comes by.
pub(super) type ForClient = Vec<(HeaderName, HeaderValue)>;

/// A request about which a service is asked.
pub(crate) struct Asking {
    stats: Arc<RateServiceStats>,
    call: Pin<Box<dyn Future<Output = Result<Said, Failed>>>>,
    /// What came of it.
    said: Option<Result<Said, Failed>>,
}

/// What was said of a request.
pub(crate) struct Told {
    stats: Arc<RateServiceStats>,
    said: Result<Said, Failed>,
}

impl Asking {
    /// Waits for the answer.
    pub(super) async fn answered(&mut self) {
        if self.said.is_none() {
            self.said = Some((&mut self.call).await);
        }
    }

    /// What came of it, once it was waited for.
    pub(super) fn told(self) -> Option<Box<Told>> {
        let Self { stats, said, .. } = self;
        said.map(|said| Box::new(Told { stats, said }))
    }
}

/// Asks about a request, where the limit goes by anything that describes it.
pub(super) fn ask(
    limit: &GlobalRateLimit,
    own: Option<&RouteFilter>,
    said: &RouteFilters,
    connection: &Connection,
    coming: &Coming,
) -> Option<Asking> {
    let worker = &connection.worker;
    let meant = match limit.of {
        RequestType::Both => true,
        RequestType::Internal => coming.origin.is_internal,
        RequestType::External => !coming.origin.is_internal,
    };
    if !meant || !limit.enabled.includes(worker.random_u64()) {
        return None;
    }
    let tables = worker.tables();
    // Only what goes to a cluster is limited, and counted there.
    let target = inject::target(&tables, coming)?;
    let route = most_specific(own, |settings| match settings {
        FilterSettings::GlobalRateLimit(route) => Some(route),
        _ => None,
    });
    let rules = rules(limit, route, said);
    let described = descriptors::described(&rules, Some(&target.name), connection, coming);
    if described.is_empty() {
        return None;
    }
    let described: Vec<_> = described.into_iter().map(question).collect();
    let domain = route.and_then(|route| route.domain.as_deref()).unwrap_or(&limit.domain);
    let body = Question { domain, descriptors: &described }.to_body();
    let (service, question) = (&limit.service, (weft_rls::PATH, body));
    let pool_of = |cluster: &Arc<Cluster>, endpoint: &Arc<EndpointState>| {
        connection.pool_for(cluster, endpoint, Priority::Default)
    };
    let call = Call::new((worker, pool_of), &tables, service, question, limit.timeout);
    let call = Box::pin(async move { Ok(Said::read(call?.answer().await?)?) });
    let stats = target.stats.rate_service(&limit.stat_prefix);
    Some(Asking { stats, call, said: None })
}

fn question(described: Described<'_>) -> weft_rls::Descriptor {
    let Described { entries, rule, hits } = described;
    let are_given_back = rule.hits.as_ref().is_some_and(|hits| hits.are_given_back);
    let hits = hits.map(|times| Hits { times, are_given_back });
    weft_rls::Descriptor { entries, limit: rule.limit, hits }
}

fn rules<'a>(
    limit: &'a GlobalRateLimit,
    route: Option<&'a RouteRateLimit>,
    said: &'a RouteFilters,
) -> descriptors::Rules<'a> {
    let own = route.and_then(|route| route.descriptors.as_deref());
    let of_host = route.map_or(HostDescriptors::WithoutOwn, |route| route.host_descriptors);
    descriptors::rules(own.or(limit.descriptors.as_deref()), said, limit.stage, of_host)
}

/// Goes by what was said of a request: it goes on, and its answer gets these fields, or it is refused.
pub(super) fn heed(
    limit: &GlobalRateLimit,
    told: Told,
    by_standard: bool,
    connection: &Connection,
    coming: &mut Coming,
) -> Result<ForClient, Box<Answer>> {
    let Told { stats, said } = told;
    let random = connection.worker.random_u64();
    let said = match said {
        Ok(said) => said,
        Err(failed) => {
            stats.error.inc();
            tracing::debug!(cluster = %limit.service.cluster, %failed, "rate limit service");
            if limit.denied_on_error.includes(random) {
                let answer = Answer::direct(limit.status_on_error, Bytes::new(), HeaderMap::new());
                return Err(Box::new(Answer {
                    details: "rate_limiter_error",
                    flags: "RLSE",
                    ..answer
                }));
            }
            stats.failure_mode_allowed.inc();
            return Ok(ForClient::new());
        }
    };
    let Said { verdict, left, mut for_client, for_upstream, body } = said;
    match verdict {
        Verdict::Within => stats.ok.inc(),
        Verdict::Over => {
            stats.over_limit.inc();
            if limit.marks_refusals {
                for_client.push((RATE_LIMITED, HeaderValue::from_static("true")));
            }
        }
    }
    if let Some(left) = left {
        if limit.says_what_is_left {
            say_what_is_left(&left, &mut for_client);
        }
        if by_standard {
            for_client.extend(limit_headers::of_service(&left).into_iter().flatten());
        }
    }
    if verdict == Verdict::Over && limit.enforced.includes(random) {
        return Err(Box::new(refusal(limit, (for_client, body), connection, coming)));
    }
    add(for_upstream, &mut coming.parts.headers);
    Ok(for_client)
}

fn refusal(
    limit: &GlobalRateLimit,
    (for_client, body): (ForClient, Bytes),
    connection: &Connection,
    coming: &Coming,
) -> Answer {
    let mut headers = HeaderMap::with_capacity(for_client.len());
    add(for_client, &mut headers);
    let view = view(connection, coming);
    mutation::apply(&limit.of_refusals, &mut headers, Side::Response, &view);
    Answer {
        details: "request_rate_limited",
        flags: "RL",
        grpc_code: limit.as_resource_exhausted.then_some(RESOURCE_EXHAUSTED),
        ..Answer::direct(limit.status, body, headers)
    }
}

/// Adds fields to those that are there.
pub(super) fn add(fields: ForClient, headers: &mut HeaderMap) {
    for (name, value) in fields {
        headers.append(name, value);
    }
}

/// Says what is left (draft-polli-ratelimit-headers-03, as Envoy writes them).
fn say_what_is_left(left: &Left, for_client: &mut ForClient) {
    let limit = HeaderValue::try_from(left.limit.as_str()).ok();
    for (name, value) in [
        ("x-ratelimit-limit", limit),
        ("x-ratelimit-remaining", Some(left.remaining.into())),
        ("x-ratelimit-reset", Some(left.reset.into())),
    ] {
        for_client.extend(value.map(|value| (HeaderName::from_static(name), value)));
    }
}
