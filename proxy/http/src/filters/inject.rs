//! `fault`: requests that wait, or fail, on purpose.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use weft_compile::{
    Aborted, Action, Cluster, FaultRules, FilterSettings, HttpChain, Injection, RouteFilter, Tables,
};
use weft_route::Fraction;
use weft_telemetry::GaugeGuard;

use super::{Coming, most_specific};
use crate::local_reply::Answer;

const DELAY: HeaderName = HeaderName::from_static("x-envoy-fault-delay-request");
const DELAY_SHARE: HeaderName = HeaderName::from_static("x-envoy-fault-delay-request-percentage");
const RESPONSE: HeaderName = HeaderName::from_static("x-envoy-fault-throughput-response");
const RESPONSE_SHARE: HeaderName =
    HeaderName::from_static("x-envoy-fault-throughput-response-percentage");
const ABORT: HeaderName = HeaderName::from_static("x-envoy-fault-abort-request");
const GRPC_ABORT: HeaderName = HeaderName::from_static("x-envoy-fault-abort-grpc-request");
const ABORT_SHARE: HeaderName = HeaderName::from_static("x-envoy-fault-abort-request-percentage");

/// A request that something is done to, among those that may be.
pub(super) type Active = GaugeGuard<Arc<HttpChain>>;

/// The rules for a request: the most specific ones of its route, or else those of the filter.
pub(super) fn rules<'a>(always: &'a FaultRules, own: Option<&'a RouteFilter>) -> &'a FaultRules {
    let most_specific = most_specific(own, |settings| match settings {
        FilterSettings::Fault(rules) => Some(rules),
        _ => None,
    });
    most_specific.unwrap_or(always)
}

/// Whether they hold for a request.
pub(super) fn hold(rules: &FaultRules, tables: &Tables, coming: &Coming) -> bool {
    if let Some(name) = &rules.upstream_cluster
        && cluster(tables, coming) != Some(name)
    {
        return false;
    }
    if rules.headers.is_empty() {
        return true;
    }
    let Some(view) = coming.request_view() else { return false };
    rules.headers.iter().all(|matcher| matcher.matches(&view))
}

/// The name of the cluster that a request goes to.
pub(super) fn cluster<'t>(tables: &'t Tables, coming: &Coming) -> Option<&'t str> {
    target(tables, coming).map(|cluster| &*cluster.name)
}

/// The cluster that a request goes to, if it is there.
pub(super) fn target<'t>(tables: &'t Tables, coming: &Coming) -> Option<&'t Arc<Cluster>> {
    let Action::Forward(to) = &coming.place.entry()?.action else { return None };
    let (id, _) = to.target.choose(tables, &coming.parts.headers, coming.number);
    tables.cluster(id?)
}

/// A place among the requests that something may be done to at once.
pub(super) fn begin(rules: &FaultRules, chain: &Arc<HttpChain>) -> Option<Active> {
    let active = GaugeGuard::raise_below(
        Arc::clone(chain),
        |chain| &chain.stats.fault_active,
        rules.max_active.unwrap_or(u64::MAX),
    );
    if active.is_none() {
        chain.stats.fault_overflow.inc();
    }
    active
}

/// How long a request waits, for a random number.
pub(super) fn delay(rules: &FaultRules, headers: &HeaderMap, random: u64) -> Option<Duration> {
    let delay = rules.delay.as_ref()?;
    if !share(delay, headers, &DELAY_SHARE).includes(random) {
        return None;
    }
    let asked = || number(headers.get(DELAY)?).map(Duration::from_millis);
    delay.fixed.or_else(asked).filter(|delay| !delay.is_zero())
}

/// How many KiB of the answer to a request go on in a second, for a random number.
pub(super) fn response_limit(rules: &FaultRules, headers: &HeaderMap, random: u64) -> Option<u64> {
    let limit = rules.response_limit.as_ref()?;
    if !share(limit, headers, &RESPONSE_SHARE).includes(random) {
        return None;
    }
    limit.fixed.or_else(|| number(headers.get(RESPONSE)?)).filter(|kib| *kib > 0)
}

/// What a request is answered in place of its upstream, for a random number.
pub(super) fn abort(rules: &FaultRules, headers: &HeaderMap, random: u64) -> Option<Answer> {
    let abort = rules.abort.as_ref()?;
    if !share(abort, headers, &ABORT_SHARE).includes(random) {
        return None;
    }
    let (status, grpc_code) = match abort.fixed.or_else(|| asked(headers))? {
        Aborted::Http(status) => (status, None),
        Aborted::Grpc(code) => (StatusCode::OK, Some(code)),
    };
    let body = Bytes::from_static(b"fault filter abort");
    let answer = Answer::direct(status, body, HeaderMap::new());
    Some(Answer { details: "fault_filter_abort", flags: "FI", grpc_code, ..answer })
}

/// What the headers of a request ask for: a status of HTTP before one of gRPC.
fn asked(headers: &HeaderMap) -> Option<Aborted> {
    let status = headers.get(ABORT).and_then(number).and_then(|number| u16::try_from(number).ok());
    let status = status.filter(|status| (200..600).contains(status));
    if let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) {
        return Some(Aborted::Http(status));
    }
    u16::try_from(number(headers.get(GRPC_ABORT)?)?).ok().map(Aborted::Grpc)
}

/// The share of requests; where headers decide what is done they may make it smaller.
fn share<T>(rule: &Injection<T>, headers: &HeaderMap, by: &HeaderName) -> Fraction {
    let asked = headers.get(by).filter(|_| rule.fixed.is_none());
    let asked = asked.and_then(number).and_then(|number| u32::try_from(number).ok());
    let numerator = asked.map_or(rule.share.numerator, |asked| asked.min(rule.share.numerator));
    Fraction { numerator, ..rule.share }
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use weft_route::Denominator;

    use super::*;

    fn rules(share: u32) -> FaultRules {
        let share = Fraction { numerator: share, denominator: Denominator::Hundred };
        FaultRules {
            delay: Some(Injection { fixed: None, share }),
            abort: Some(Injection { fixed: None, share }),
            response_limit: Some(Injection { fixed: None, share }),
            upstream_cluster: None,
            headers: Box::default(),
            max_active: None,
        }
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let of = |text| HeaderValue::from_static(text);
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), of(value))).collect()
    }

    #[test]
    fn headers_say_how_long_and_make_the_share_smaller() {
        let delay = |fields: &[_], random| delay(&rules(50), &headers(fields), random);
        let asked = ("x-envoy-fault-delay-request", "7");
        assert_eq!(delay(&[asked], 49), Some(Duration::from_millis(7)));
        assert_eq!(delay(&[asked], 50), None);
        let fewer = ("x-envoy-fault-delay-request-percentage", "10");
        assert_eq!(delay(&[asked, fewer], 10), None);
        let more = ("x-envoy-fault-delay-request-percentage", "100");
        assert_eq!(delay(&[asked, more], 50), None);
        for nothing in ["", "0", "-1", "7ms", "99999999999999999999999"] {
            assert_eq!(delay(&[("x-envoy-fault-delay-request", nothing)], 0), None, "{nothing}");
        }
    }

    #[test]
    fn headers_say_how_much_of_an_answer_goes_on() {
        let limit = |fields: &[_], random| response_limit(&rules(50), &headers(fields), random);
        let asked = ("x-envoy-fault-throughput-response", "7");
        assert_eq!((limit(&[asked], 49), limit(&[asked], 50)), (Some(7), None));
        let fewer = ("x-envoy-fault-throughput-response-percentage", "10");
        assert_eq!(limit(&[asked, fewer], 10), None);
        assert_eq!(limit(&[("x-envoy-fault-throughput-response", "0")], 0), None);
        assert_eq!(limit(&[], 0), None);
    }

    #[test]
    fn a_status_of_http_comes_before_one_of_grpc() {
        let abort = |fields: &[_]| {
            abort(&rules(100), &headers(fields), 0).map(|it| (it.status.as_u16(), it.grpc_code))
        };
        let grpc = ("x-envoy-fault-abort-grpc-request", "5");
        assert_eq!(abort(&[("x-envoy-fault-abort-request", "418"), grpc]), Some((418, None)));
        assert_eq!(abort(&[("x-envoy-fault-abort-request", "600"), grpc]), Some((200, Some(5))));
        assert_eq!(abort(&[("x-envoy-fault-abort-request", "199")]), None);
        assert_eq!(abort(&[]), None);
    }
}
