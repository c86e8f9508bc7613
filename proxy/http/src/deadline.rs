//! How long a request may take, by its route and by what a gRPC client asks for.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use weft_compile::{Forward, GrpcTimeout, StreamLimit};

use crate::{
    fault::{Fault, SetBy},
    headers,
};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Digits a `grpc-timeout` may have.
const DIGITS: usize = 8;

/// How long the whole answer may take, as `asked` by a caller inside or as the route says, and
/// which of them it was.
pub(crate) fn timeout(
    to: &Forward,
    asked: Option<Option<Duration>>,
    is_grpc: bool,
    fields: &HeaderMap,
) -> Option<(Duration, SetBy)> {
    match (asked, to.grpc_timeout.filter(|_| is_grpc)) {
        (Some(asked), _) => asked.map(|limit| (limit, SetBy::Caller)),
        (None, None) => to.timeout.map(|limit| (limit, SetBy::Route)),
        (None, Some(rule)) => {
            let asked = fields.get(GRPC_TIMEOUT).and_then(parse);
            let limit = granted(rule, asked)?;
            let is_own = asked.is_none() || rule.max == Some(limit);
            Some((limit, if is_own { SetBy::Route } else { SetBy::GrpcTimeout }))
        }
    }
}

/// What is granted of what a gRPC client asks for, where no limit is asked for by 0, too.
fn granted(rule: GrpcTimeout, asked: Option<Duration>) -> Option<Duration> {
    let asked = asked.filter(|asked| !asked.is_zero());
    let left = asked.map(|asked| {
        // A limit never becomes none.
        asked.checked_sub(rule.offset).filter(|left| !left.is_zero()).unwrap_or(asked)
    });
    match (left, rule.max) {
        (Some(left), Some(max)) => Some(left.min(max)),
        (one, other) => one.or(other),
    }
}

/// The same for a caller outside, who may have less time than the route says, and never gets more.
pub(crate) fn at_most(
    timeout: Option<(Duration, SetBy)>,
    fields: &HeaderMap,
) -> Option<(Duration, SetBy)> {
    let expected = expected(fields).flatten().map(|limit| (limit, SetBy::Caller));
    timeout.into_iter().chain(expected).min_by_key(|(limit, _)| *limit)
}

/// What a proxy before this one has told of the time; `Some(None)` for no limit.
#[expect(clippy::option_option, reason = "not said, or no limit, or a limit")]
pub(crate) fn expected(fields: &HeaderMap) -> Option<Option<Duration>> {
    let millis: u64 = headers::expected_timeout(fields)?.to_str().ok()?.trim().parse().ok()?;
    Some(Some(Duration::from_millis(millis)).filter(|limit| !limit.is_zero()))
}

/// What the upstream is told of the time it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// For all tries.
    pub(crate) whole: Option<Duration>,
    /// For one try.
    pub(crate) per_try: Option<Duration>,
    /// By `x-envoy-expected-rq-timeout-ms`.
    pub(crate) as_header: bool,
    /// By `grpc-timeout`.
    pub(crate) as_grpc: bool,
}

impl Told {
    /// Says what is left when this much has passed, in milliseconds begun: whoever set the limit
    /// is to see it pass before those it told, as its error names the setting.
    pub(crate) fn tell(self, passed: Duration, fields: &mut HeaderMap) {
        const SHORTEST: Duration = Duration::from_millis(1);
        let passed = Duration::from_millis(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
        let left = self.whole.map(|whole| whole.saturating_sub(passed).max(SHORTEST));
        let left = match (self.per_try, left) {
            (Some(per_try), Some(left)) => per_try.min(left),
            (Some(left), None) | (None, Some(left)) => left,
            (None, None) => return,
        };
        if self.as_header {
            let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            headers::set_expected_timeout(fields, millis);
        }
        if self.as_grpc {
            fields.insert(GRPC_TIMEOUT, print(left));
        }
    }
}

/// What holds for a request where its route has nothing to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// The time for the answer, which a tunnel does not have.
    pub(crate) timeout: Option<(Duration, SetBy)>,
    /// The connection manager's `max_stream_duration`.
    pub(crate) limit: Option<Duration>,
}

/// When a request must have ended, and what is said if it has not: the nearer of the route's
/// timeout and its `max_stream_duration`. What the upstream is told of the time it has is brought
/// up to date.
pub(crate) fn of(
    to: &Forward,
    timing: Timing,
    began: Instant,
    is_grpc: bool,
    fields: &mut HeaderMap,
) -> Option<(Instant, Fault)> {
    let timeout = timing.timeout.map(|(timeout, by)| (timeout, Fault::RequestTimeout(by)));
    let limit = stream_limit(&to.stream_limit, timing.limit, is_grpc, fields);
    let limit = limit.map(|(limit, by)| (limit, Fault::StreamDuration(by)));
    let nearer = match (timeout, limit) {
        (Some(timeout), Some(limit)) => Some(if limit.0 < timeout.0 { limit } else { timeout }),
        (one, other) => one.or(other),
    };
    nearer.and_then(|(after, fault)| Some((began.checked_add(after)?, fault)))
}

fn stream_limit(
    limit: &StreamLimit,
    default: Option<Duration>,
    is_grpc: bool,
    fields: &mut HeaderMap,
) -> Option<(Duration, SetBy)> {
    let asked = limit.grpc_max.and_then(|cap| Some((cap, parse(fields.get(GRPC_TIMEOUT)?)?)));
    let (left, by) = match asked {
        None => {
            let by = if limit.limit.is_some() { SetBy::Route } else { SetBy::ConnectionManager };
            (limit.limit.or(default).filter(|limit| !limit.is_zero())?, by)
        }
        Some((cap, asked)) => {
            let is_capped = !cap.is_zero() && cap < asked;
            let capped = if is_capped { cap } else { asked };
            let by = if is_capped { SetBy::Route } else { SetBy::GrpcTimeout };
            (capped.saturating_sub(limit.grpc_offset.unwrap_or_default()), by)
        }
    };
    if is_grpc {
        fields.insert(GRPC_TIMEOUT, print(left));
    }
    Some((left, by))
}

/// Reads a `grpc-timeout`: up to eight digits and a unit.
fn parse(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        // Milliseconds are as fine as limits are; a limit is never shorter than what was asked for.
        b'u' => Some(Duration::from_millis(number.div_ceil(1_000))),
        b'n' => Some(Duration::from_millis(number.div_ceil(1_000_000))),
        _ => None,
    }
}

/// Writes a `grpc-timeout` in the finest unit that it fits.
fn print(limit: Duration) -> HeaderValue {
    const LARGEST: u128 = 99_999_999;
    let millis = limit.as_millis();
    let units = [(1, 'm'), (1_000, 'S'), (60_000, 'M'), (3_600_000, 'H')];
    let fits = units.into_iter().find(|(unit, _)| millis / unit <= LARGEST);
    let (number, unit) = fits.map_or((LARGEST, 'H'), |(size, unit)| (millis / size, unit));
    HeaderValue::try_from(format!("{number}{unit}")).unwrap_or(HeaderValue::from_static("0m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(limit: StreamLimit, asked: Option<&'static str>) -> (Option<u64>, Option<String>) {
        let mut fields = HeaderMap::new();
        if let Some(asked) = asked {
            fields.insert(GRPC_TIMEOUT, HeaderValue::from_static(asked));
        }
        let limit = stream_limit(&limit, None, true, &mut fields);
        let told = fields.get(GRPC_TIMEOUT).map(|told| told.to_str().unwrap().to_owned());
        (limit.map(|(limit, _)| u64::try_from(limit.as_millis()).unwrap()), told)
    }

    #[test]
    fn grpc_timeouts_are_capped_and_shortened() {
        let ms = |millis| Some(Duration::from_millis(millis));
        let plain = StreamLimit { limit: ms(500), ..StreamLimit::default() };
        assert_eq!(limited(plain, Some("1S")), (Some(500), Some("500m".into())), "not looked at");
        assert_eq!(limited(StreamLimit { limit: ms(0), ..plain }, None), (None, None));
        let capped = StreamLimit { grpc_max: ms(2_000), ..plain };
        assert_eq!(limited(capped, None), (Some(500), Some("500m".into())));
        assert_eq!(limited(capped, Some("1S")), (Some(1_000), Some("1000m".into())));
        assert_eq!(limited(capped, Some("1M")), (Some(2_000), Some("2000m".into())));
        assert_eq!(limited(capped, Some("1x")), (Some(500), Some("500m".into())), "unreadable");
        let open = StreamLimit { grpc_max: ms(0), grpc_offset: ms(100), ..plain };
        assert_eq!(limited(open, Some("1H")), (Some(3_599_900), Some("3599900m".into())));
        assert_eq!(limited(open, Some("50m")), (Some(0), Some("0m".into())));
    }

    #[test]
    fn what_grpc_clients_ask_for_is_granted_up_to_a_limit() {
        let ms = Duration::from_millis;
        let rule = |max, offset| GrpcTimeout { max, offset: ms(offset) };
        let capped = rule(Some(ms(500)), 100);
        assert_eq!(granted(capped, Some(ms(300))), Some(ms(200)));
        assert_eq!(granted(capped, Some(ms(900))), Some(ms(500)));
        assert_eq!(granted(capped, Some(ms(100))), Some(ms(100)), "an offset never ends it");
        assert_eq!(granted(capped, None), Some(ms(500)));
        assert_eq!(granted(capped, Some(ms(0))), Some(ms(500)));
        let open = rule(None, 0);
        assert_eq!(granted(open, Some(ms(900))), Some(ms(900)));
        assert_eq!(granted(open, None), None);
    }

    #[test]
    fn callers_outside_may_only_have_less_time() {
        let at_most = |route: Option<u64>, said: &'static str| {
            let said = HeaderValue::from_static(said);
            let fields = [(HeaderName::from_static("x-envoy-expected-rq-timeout-ms"), said)];
            let route = route.map(|millis| (Duration::from_millis(millis), SetBy::Route));
            at_most(route, &fields.into_iter().collect()).map(|(left, by)| (left.as_millis(), by))
        };
        assert_eq!(at_most(Some(500), "300"), Some((300, SetBy::Caller)));
        assert_eq!(at_most(Some(500), "700"), Some((500, SetBy::Route)));
        assert_eq!(at_most(None, "700"), Some((700, SetBy::Caller)));
        assert_eq!(at_most(Some(500), "0"), Some((500, SetBy::Route)), "no limit is no less");
        assert_eq!(at_most(None, "soon"), None);
    }

    #[test]
    fn the_upstream_is_told_what_is_left() {
        let ms = |millis| Some(Duration::from_millis(millis));
        let told = |whole, per_try, passed| {
            let mut fields = HeaderMap::new();
            let told = Told { whole, per_try, as_header: true, as_grpc: true };
            told.tell(Duration::from_millis(passed), &mut fields);
            let grpc = fields.remove(GRPC_TIMEOUT);
            let header = fields.into_iter().next().map(|(_, value)| value);
            header.zip(grpc).map(|(header, grpc)| {
                format!("{} {}", header.to_str().unwrap(), grpc.to_str().unwrap())
            })
        };
        assert_eq!(told(ms(500), None, 0), Some("500 500m".into()));
        assert_eq!(told(ms(500), ms(200), 0), Some("200 200m".into()));
        assert_eq!(told(ms(500), ms(200), 400), Some("100 100m".into()));
        assert_eq!(told(ms(500), ms(200), 600), Some("1 1m".into()), "0 would be no limit");
        let mut fields = HeaderMap::new();
        Told { whole: ms(500), per_try: None, as_header: true, as_grpc: false }
            .tell(Duration::from_micros(400), &mut fields);
        assert_eq!(headers::expected_timeout(&fields).unwrap(), "500", "not before our own");
        assert_eq!(told(None, ms(200), 600), Some("200 200m".into()));
        assert_eq!(told(None, None, 0), None);
    }

    #[test]
    fn units_are_those_of_grpc() {
        let parsed = |text: &'static str| parse(&HeaderValue::from_static(text));
        assert_eq!(parsed("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parsed("1u"), Some(Duration::from_millis(1)));
        assert_eq!(parsed("2000001n"), Some(Duration::from_millis(3)));
        for bad in ["", "S", "1", "123456789S", "-1S", "1 S", "1s"] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
        assert_eq!(print(Duration::from_secs(99_999_999 * 3600)), "99999999H");
        assert_eq!(print(Duration::from_millis(100_000_000)), "100000S");
        assert_eq!(print(Duration::MAX), "99999999H");
    }
}
