//! How long a request may take, by its route and by what a gRPC client asks for.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use weft_compile::{Forward, StreamLimit};

use crate::fault::Fault;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Digits a `grpc-timeout` may have.
const DIGITS: usize = 8;

/// What holds for a request where its route has nothing to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// The route's timeout, which a tunnel does not have.
    pub(crate) timeout: Option<Duration>,
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
    let timeout = timing.timeout.map(|timeout| (timeout, Fault::RequestTimeout));
    let limit = stream_limit(&to.stream_limit, timing.limit, is_grpc, fields);
    let limit = limit.map(|limit| (limit, Fault::StreamDuration));
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
) -> Option<Duration> {
    let asked = limit.grpc_max.and_then(|cap| Some((cap, parse(fields.get(GRPC_TIMEOUT)?)?)));
    let left = match asked {
        None => limit.limit.or(default).filter(|limit| !limit.is_zero())?,
        Some((cap, asked)) => {
            let capped = if cap.is_zero() { asked } else { asked.min(cap) };
            capped.saturating_sub(limit.grpc_offset.unwrap_or_default())
        }
    };
    if is_grpc {
        fields.insert(GRPC_TIMEOUT, print(left));
    }
    Some(left)
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
        (limit.map(|limit| u64::try_from(limit.as_millis()).unwrap()), told)
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
