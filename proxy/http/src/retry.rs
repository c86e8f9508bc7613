//! Whether a request is sent once more, and when.
//!
//! What was provably not processed is sent again without being asked to, a few times. Everything
//! else is the policy's to say: of the route, or of the caller by `x-envoy-retry-on` and its like,
//! which only callers inside the mesh can set.

mod asked;
mod told;

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::Frame;
use weft_compile::{Cluster, Hedges, Priority, RetryHosts, RetryOn, RetryPolicy};
use weft_route::RequestView;

pub(crate) use asked::Asked;
use told::{Pushback, pushback, told_pause};

use crate::{
    deadline::Told,
    fault::{Fault, Processed},
    forward::{Rivals, Slow},
    upstream::{self, Failure, Limited, Place},
};

/// Bytes of a request's body that are kept for another try. A longer one is sent once.
pub(crate) const REPLAYED: usize = 64 * 1024;

const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// How long one try may take until the head of its response has come.
pub(crate) fn per_try_timeout(
    policy: Option<&RetryPolicy>,
    asked: Option<&Asked>,
) -> Option<Duration> {
    asked.and_then(|asked| asked.per_try_timeout).or_else(|| policy?.per_try_timeout)
}

/// What is still to be tried of a request that has a policy.
#[derive(Debug)]
pub(crate) struct Retries {
    policy: Option<Arc<RetryPolicy>>,
    asked: Option<Box<Asked>>,
    on: RetryOn,
    left: u32,
    done: u32,
    /// What each try is told of the time it has.
    pub(crate) told: Told,
    /// Its place within `max_retries` while it is tried again.
    pub(crate) held: Option<Place>,
    /// Whether a try that takes too long goes on beside the next one.
    pub(crate) hedges: bool,
    /// Those that do.
    pub(crate) rivals: Rivals,
    /// What is done about tries that are slow.
    pub(crate) slow: Option<Slow>,
    /// Whether the latest try was sent while another one went on.
    pub(crate) is_beside: bool,
    /// What has come behind the head of the response that is judged.
    pub(crate) first: Option<Box<Frame<Bytes>>>,
    priority: Priority,
}

/// A request is to be sent once more after this long.
pub(crate) type Pause = Duration;

impl Retries {
    /// `None` where neither the route nor the caller asks for retries.
    pub(crate) fn new(
        policy: Option<&Arc<RetryPolicy>>,
        asked: Option<Box<Asked>>,
        priority: Priority,
        told: Told,
        hedges: Option<&Arc<Hedges>>,
        request: &RequestView<'_>,
    ) -> Option<Box<Self>> {
        let own = asked.as_ref().map_or(RetryOn::NOTHING, |asked| asked.on);
        let policy = policy.filter(|policy| {
            let matchers = &policy.request_headers;
            matchers.is_empty() || matchers.iter().any(|matcher| matcher.matches(request))
        });
        let hedges = hedges.filter(|hedges| hedges.are_for(request));
        let on = policy.map_or(RetryOn::NOTHING, |policy| policy.on) | own;
        let per_try = asked.as_ref().and_then(|asked| asked.per_try_timeout);
        let retries = asked.as_ref().and_then(|asked| asked.retries);
        let left = retries.unwrap_or_else(|| policy.map_or(1, |policy| policy.retries));
        if on.is_nothing()
            && left > 0
            && per_try.is_none()
            && policy.is_none_or(|it| it.per_try_timeout.or(it.per_try_idle).is_none())
            && hedges.is_none()
        {
            return None;
        }
        let policy = policy.cloned();
        Some(Box::new(Self {
            policy,
            asked,
            on,
            left,
            done: 0,
            told,
            held: None,
            hedges: false,
            rivals: Rivals::default(),
            slow: hedges.map(Slow::new),
            is_beside: false,
            first: None,
            priority,
        }))
    }

    /// The same where the route says this of hedging, unless the caller said something else.
    pub(crate) fn hedging(mut self: Box<Self>, by_route: bool) -> Box<Self> {
        let asked = self.asked.as_ref().and_then(|asked| asked.hedges);
        self.hedges = asked.unwrap_or(by_route);
        self
    }

    /// Whether all is said about what is tried again. Otherwise it is what is tried again of any
    /// request.
    pub(crate) fn decides(&self) -> bool {
        self.hedges || self.left == 0 || !self.on.is_nothing()
    }

    /// How long one try may take until the head of its response has come.
    pub(crate) fn per_try_timeout(&self) -> Option<Duration> {
        per_try_timeout(self.policy.as_deref(), self.asked.as_deref())
    }

    /// How long nothing of a try's response may come.
    pub(crate) fn per_try_idle(&self) -> Option<Duration> {
        self.policy.as_ref()?.per_try_idle
    }

    /// Which endpoints the request is not sent to once more.
    pub(crate) fn omitted(&self) -> Option<&RetryHosts> {
        self.policy.as_ref()?.omitted.as_deref()
    }

    /// After how many tries it is looked anew which priorities they went to, where those are avoided.
    pub(crate) fn priorities_every(&self) -> Option<NonZeroU32> {
        self.policy.as_ref()?.priorities_every
    }

    /// After a try without a response.
    pub(crate) fn after_failure(
        &mut self,
        cluster: &Arc<Cluster>,
        failure: Failure,
        random: u64,
    ) -> Option<Pause> {
        // A try that goes on is not given up, so no condition has to allow the next one: it begins at once.
        let hedges = matches!(failure.fault, Fault::PerTryTimeout) && !self.rivals.is_empty();
        if !hedges && !self.wants_after_failure(failure) {
            return None;
        }
        let pause = self.once_more(cluster, None, random)?;
        if !hedges {
            return Some(pause);
        }
        cluster.stats.upstream_rq_hedge.inc();
        self.is_beside = true;
        Some(Pause::ZERO)
    }

    /// After a try with a response, of which the head has come.
    pub(crate) fn after_head(
        &mut self,
        cluster: &Arc<Cluster>,
        head: &Response<()>,
        random: u64,
    ) -> Option<Pause> {
        if !self.wants_after_head(head) {
            if self.done > 0 {
                cluster.stats.upstream_rq_retry_success.inc();
            }
            return None;
        }
        self.once_more(cluster, Some(head.headers()), random)
    }

    /// Whether the body of the request is kept for another try.
    pub(crate) fn may_try_again(&self) -> bool {
        self.slow.is_some() || self.left > 0 && (self.hedges || !self.on.is_nothing())
    }

    /// Whether trailers behind a head could ask for another try.
    pub(crate) fn judges_trailers(&self) -> bool {
        self.left > 0 && self.on.has_any(RetryOn::ANY_GRPC)
    }

    /// The trailers that came in place of a body.
    fn trailers(&self) -> Option<&HeaderMap> {
        self.first.as_ref()?.trailers_ref()
    }

    fn wants_after_failure(&self, failure: Failure) -> bool {
        let broken = RetryOn::SERVER_ERROR | RetryOn::GATEWAY_ERROR | RetryOn::RESET;
        match failure.processed {
            Processed::No => is_safe_after(failure),
            // What may have been done would be done twice: only the policy knows whether it may.
            Processed::Yes | Processed::Unknown => {
                !failure.fault.is_final() && self.on.has_any(broken)
            }
        }
    }

    fn wants_after_head(&self, head: &Response<()>) -> bool {
        let on = |condition| self.on.has_any(condition);
        // Nearly no response asks for anything, so the name that decides over all is looked for last.
        let wanted = self.asks_for_another(head);
        if (wanted || on(RetryOn::RATE_LIMITED)) && head.headers().contains_key(RATE_LIMITED) {
            return on(RetryOn::RATE_LIMITED);
        }
        wanted
    }

    fn asks_for_another(&self, head: &Response<()>) -> bool {
        let (status, headers) = (head.status(), head.headers());
        let on = |condition| self.on.has_any(condition);
        let gateway =
            [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        (status.is_server_error() && on(RetryOn::SERVER_ERROR))
            || (gateway.contains(&status) && on(RetryOn::GATEWAY_ERROR))
            || (status == StatusCode::CONFLICT && on(RetryOn::RETRIABLE_4XX))
            || (on(RetryOn::STATUS_CODES) && self.lists(status.as_u16()))
            || (on(RetryOn::HEADERS) && self.finds_header(headers))
            || (on(RetryOn::ANY_GRPC)
                && (grpc_condition(headers).is_some_and(on)
                    || self.trailers().and_then(grpc_condition).is_some_and(on)))
    }

    fn lists(&self, status: u16) -> bool {
        let of_policy =
            self.policy.as_ref().is_some_and(|policy| policy.statuses.contains(&status));
        of_policy || self.asked.as_ref().is_some_and(|asked| asked.statuses.contains(&status))
    }

    fn finds_header(&self, headers: &HeaderMap) -> bool {
        let of_policy = self.policy.as_ref().is_some_and(|policy| {
            policy.headers.iter().any(|matcher| matcher.matches_fields(headers))
        });
        let asked = self.asked.as_ref();
        of_policy
            || asked.is_some_and(|asked| asked.names.iter().any(|name| headers.contains_key(name)))
    }

    /// Takes one of the retries that are left, and a place within those of the cluster.
    fn once_more(
        &mut self,
        cluster: &Arc<Cluster>,
        told: Option<&HeaderMap>,
        random: u64,
    ) -> Option<Pause> {
        // A place of an earlier retry is free now.
        self.held = None;
        if self.left == 0 {
            cluster.stats.upstream_rq_retry_limit_exceeded.inc();
            return None;
        }
        let pushback = self.trailers().and_then(pushback).or_else(|| told.and_then(pushback));
        if pushback == Some(Pushback::Never) {
            return None;
        }
        self.left -= 1;
        self.held = upstream::take(cluster, Limited::Retries, self.priority);
        if self.held.is_none() {
            cluster.stats.upstream_rq_retry_overflow.inc();
            return None;
        }
        cluster.stats.upstream_rq_retry.inc();
        self.done += 1;
        if let Some(Pushback::After(pause)) = pushback {
            cluster.stats.upstream_rq_retry_backoff_ratelimited.inc();
            return Some(pause);
        }
        let told = self.policy.as_ref().and_then(|policy| policy.told.as_ref()).zip(told);
        if let Some(pause) =
            told.and_then(|(rule, headers)| told_pause(rule, headers, SystemTime::now(), random))
        {
            cluster.stats.upstream_rq_retry_backoff_ratelimited.inc();
            return Some(pause);
        }
        cluster.stats.upstream_rq_retry_backoff_exponential.inc();
        let backoff = self.policy.as_ref().map(|policy| policy.backoff).unwrap_or_default();
        Some(backoff.pause(self.done - 1, random))
    }
}

/// Whether a request that failed like this may be sent again without being asked to.
pub(crate) fn is_safe_after(Failure { fault, processed }: Failure) -> bool {
    match processed {
        Processed::No => !fault.is_final(),
        Processed::Yes | Processed::Unknown => false,
    }
}

/// Whether this head of a gRPC response leaves it to trailers how the call went.
pub(crate) fn leaves_open(head: &Response<()>) -> bool {
    let headers = head.headers();
    let kind = headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    kind.starts_with(b"application/grpc")
        && !headers.contains_key(GRPC_STATUS)
        && !headers.contains_key(CONTENT_LENGTH)
}

/// Whether the answer of another endpoint is worth waiting for, as it may be better.
pub(crate) fn is_failure(head: &Response<()>) -> bool {
    head.status().is_server_error() || grpc_condition(head.headers()).is_some()
}

/// The condition that a `grpc-status` in the head fulfils: of a response without messages.
fn grpc_condition(headers: &HeaderMap) -> Option<RetryOn> {
    match headers.get(GRPC_STATUS)?.as_bytes() {
        b"1" => Some(RetryOn::GRPC_CANCELLED),
        b"4" => Some(RetryOn::GRPC_DEADLINE_EXCEEDED),
        b"8" => Some(RetryOn::GRPC_RESOURCE_EXHAUSTED),
        b"13" => Some(RetryOn::GRPC_INTERNAL),
        b"14" => Some(RetryOn::GRPC_UNAVAILABLE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Breaker, SetBy};

    fn request() -> RequestView<'static> {
        static NONE: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
        RequestView {
            authority: "a",
            path_and_query: "/",
            method: "GET",
            scheme: "http",
            is_internal: true,
            headers: &NONE,
            random: 0,
        }
    }

    const TOLD: Told = Told { whole: None, per_try: None, as_header: false, as_grpc: false };

    fn retries(on: &str) -> Box<Retries> {
        let policy = RetryPolicy {
            on: RetryOn::list(on).0,
            statuses: Box::new([418]),
            ..RetryPolicy::default()
        };
        Retries::new(Some(&Arc::new(policy)), None, Priority::Default, TOLD, None, &request())
            .unwrap()
    }

    fn head(status: u16, fields: &[(&'static str, &'static str)]) -> Response<()> {
        let mut head = Response::builder().status(status);
        for (name, value) in fields {
            head = head.header(*name, *value);
        }
        head.body(()).unwrap()
    }

    #[test]
    fn each_condition_knows_its_responses() {
        let wants = |on: &str, head: &Response<()>| retries(on).wants_after_head(head);
        let busy = head(503, &[]);
        assert!(wants("5xx", &busy) && wants("gateway-error", &busy));
        assert!(!wants("reset,connect-failure,refused-stream,unavailable", &busy));
        let failed = head(500, &[]);
        assert!(wants("5xx", &failed) && !wants("gateway-error", &failed));
        assert!(
            wants("retriable-4xx", &head(409, &[])) && !wants("retriable-4xx", &head(404, &[]))
        );
        assert!(wants("retriable-status-codes", &head(418, &[])));
        assert!(!wants("retriable-status-codes", &busy));
        let unavailable = head(200, &[("grpc-status", "14")]);
        assert!(wants("unavailable", &unavailable) && !wants("cancelled,5xx", &unavailable));
        let limited = head(503, &[("x-envoy-ratelimited", "true")]);
        assert!(!wants("5xx", &limited) && wants("envoy-ratelimited", &limited));
    }

    #[test]
    fn each_condition_knows_its_failures() {
        let wants = |on: &str, failure| retries(on).wants_after_failure(failure);
        let reset = Failure::unknown(Fault::UpstreamReset);
        assert!(wants("reset", reset) && wants("5xx", reset) && wants("gateway-error", reset));
        assert!(!wants("connect-failure,refused-stream,retriable-4xx", reset));
        let unsent = Failure::unsent(Fault::UpstreamClosed);
        assert!(wants("retriable-4xx", unsent), "what was not processed, under any condition");
        let refused = Failure::unsent(Fault::UpstreamRefused);
        assert!(wants("refused-stream", refused) && wants("connect-failure", refused));
        let torn = Failure::answered(Fault::UpstreamProtocol);
        assert!(wants("reset", torn) && !wants("connect-failure,refused-stream", torn));
        let late = Failure::unknown(Fault::PerTryTimeout);
        assert!(wants("5xx", late) && !wants("refused-stream", late));
        for final_fault in [
            Fault::RequestTimeout(SetBy::Route),
            Fault::UpstreamOverflow(Breaker::Requests),
            Fault::ClientGone,
        ] {
            assert!(!wants("5xx,reset,gateway-error", Failure::unsent(final_fault)));
        }
    }

    #[test]
    fn trailers_without_a_body_are_judged_as_a_head_is() {
        let mut unavailable = retries("unavailable");
        let call = head(200, &[("content-type", "application/grpc+proto")]);
        assert!(unavailable.judges_trailers() && !retries("5xx").judges_trailers());
        assert!(leaves_open(&call));
        for other in [
            head(200, &[("content-type", "text/plain")]),
            head(200, &[("content-type", "application/grpc"), ("grpc-status", "0")]),
            head(200, &[("content-type", "application/grpc"), ("content-length", "7")]),
        ] {
            assert!(!leaves_open(&other), "{other:?}");
        }
        assert!(!unavailable.wants_after_head(&call));
        let trailers = head(200, &[("grpc-status", "14")]).headers().clone();
        unavailable.first = Some(Box::new(Frame::trailers(trailers)));
        assert!(unavailable.wants_after_head(&call));
        unavailable.first = Some(Box::new(Frame::data(Bytes::from_static(b"message"))));
        assert!(!unavailable.wants_after_head(&call));
        unavailable.left = 0;
        assert!(!unavailable.judges_trailers(), "nothing would come of it");
    }

    #[test]
    fn callers_inside_may_ask_for_more() {
        let mut fields = HeaderMap::new();
        assert!(Asked::take(&mut fields).is_none());
        for (name, value) in [
            ("x-envoy-retry-on", "retriable-headers, retriable-status-codes"),
            ("x-envoy-retry-grpc-on", "internal"),
            ("x-envoy-max-retries", "3"),
            ("x-envoy-retriable-status-codes", "404, 410"),
            ("x-envoy-retriable-header-names", "x-again"),
            ("x-envoy-upstream-rq-timeout-ms", "0"),
            ("x-envoy-upstream-rq-per-try-timeout-ms", "40"),
            ("x-envoy-original-path", "/"),
        ] {
            fields.insert(name, value.parse().unwrap());
        }
        let asked = Asked::take(&mut fields);
        assert_eq!(fields.len(), 1, "the wishes end here");
        assert_eq!(asked.as_ref().unwrap().timeout, Some(None));
        let retries = Retries::new(None, asked, Priority::Default, TOLD, None, &request()).unwrap();
        assert_eq!(retries.left, 3);
        assert_eq!(retries.per_try_timeout(), Some(Duration::from_millis(40)));
        assert!(retries.wants_after_head(&head(410, &[])));
        assert!(retries.wants_after_head(&head(200, &[("x-again", "")])));
        assert!(retries.wants_after_head(&head(200, &[("grpc-status", "13")])));
        assert!(!retries.wants_after_head(&head(503, &[])));
    }

    #[test]
    fn without_conditions_only_what_is_safe_goes_again() {
        let of = |policy: Option<RetryPolicy>| {
            let policy = policy.map(Arc::new);
            Retries::new(policy.as_ref(), None, Priority::Default, TOLD, None, &request())
        };
        assert!(of(None).is_none());
        assert!(of(Some(RetryPolicy::default())).is_none());
        let per_try_timeout = Some(Duration::from_secs(1));
        let limited = of(Some(RetryPolicy { per_try_timeout, ..RetryPolicy::default() })).unwrap();
        assert!(!limited.may_try_again() && !limited.decides());
        assert_eq!(limited.per_try_timeout(), per_try_timeout);
        let never = of(Some(RetryPolicy { retries: 0, ..RetryPolicy::default() })).unwrap();
        assert!(never.decides(), "none were asked for");
        assert!(retries("reset").decides() && limited.hedging(true).decides());
    }

    #[test]
    fn only_what_was_not_processed_goes_again_unasked() {
        assert!(is_safe_after(Failure::unsent(Fault::ConnectFailed)));
        assert!(is_safe_after(Failure::unsent(Fault::UpstreamClosed)));
        assert!(!is_safe_after(Failure::unknown(Fault::UpstreamClosed)));
        assert!(!is_safe_after(Failure::answered(Fault::UpstreamClosed)));
        assert!(
            !is_safe_after(Failure::unsent(Fault::UpstreamOverflow(Breaker::Requests))),
            "a limit of ours"
        );
    }
}
