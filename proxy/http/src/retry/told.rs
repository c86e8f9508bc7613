//! When an upstream says that it wants to be asked again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName};
use weft_compile::{ResetFormat, ToldBackoff};

const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// A gRPC server that asks for a longer rest does not want the call again.
const LONGEST_PUSHBACK: Duration = Duration::from_secs(300);

/// What a gRPC server says of another try (`grpc-retry-pushback-ms`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushback {
    /// Not before this long.
    After(Duration),
    /// Not at all: it says a negative number, nothing that is a number, or a time that is too long.
    Never,
}

pub(super) fn pushback(fields: &HeaderMap) -> Option<Pushback> {
    let said = fields.get(GRPC_PUSHBACK)?.to_str().ok().and_then(|text| text.parse().ok());
    let pause = said.map(Duration::from_millis).filter(|pause| *pause <= LONGEST_PUSHBACK);
    Some(pause.map_or(Pushback::Never, Pushback::After))
}

/// How long a response asks to rest, unless that is more than is followed, and up to half as long
/// again: all who were told the same do not come at the same time.
pub(super) fn told_pause(
    rule: &ToldBackoff,
    headers: &HeaderMap,
    now: SystemTime,
    random: u64,
) -> Option<Duration> {
    let read = |(name, format): &(HeaderName, ResetFormat)| {
        let number: u64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
        let said = Duration::from_secs(number);
        match format {
            ResetFormat::Seconds => Some(said),
            ResetFormat::UnixTimestamp => UNIX_EPOCH.checked_add(said)?.duration_since(now).ok(),
        }
    };
    let pause = rule.headers.iter().find_map(read)?;
    let is_followed = !pause.is_zero() && pause <= rule.most;
    let jitter = random % (u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX) / 2).max(1);
    is_followed.then(|| pause + Duration::from_nanos(jitter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        fields.iter().map(pair).collect()
    }

    #[test]
    fn servers_of_grpc_push_back() {
        let said = |value: &'static str| pushback(&named(&[("grpc-retry-pushback-ms", value)]));
        assert_eq!(pushback(&named(&[])), None);
        assert_eq!(said("0"), Some(Pushback::After(Duration::ZERO)));
        assert_eq!(said("1500"), Some(Pushback::After(Duration::from_millis(1500))));
        for never in ["-1", "", "soon", "300001", "99999999999999999999999"] {
            assert_eq!(said(never), Some(Pushback::Never), "{never:?}");
        }
    }

    #[test]
    fn responses_say_when_to_come_again() {
        let rule = ToldBackoff {
            headers: Box::new([
                (HeaderName::from_static("retry-after"), ResetFormat::Seconds),
                (HeaderName::from_static("x-reset"), ResetFormat::UnixTimestamp),
            ]),
            most: Duration::from_secs(60),
        };
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let pause =
            |fields: &[(&'static str, &'static str)]| told_pause(&rule, &named(fields), now, 0);
        assert_eq!(
            pause(&[("retry-after", "7"), ("x-reset", "1005")]),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            pause(&[("retry-after", "soon"), ("x-reset", "1005")]),
            Some(Duration::from_secs(5))
        );
        assert_eq!(pause(&[("x-reset", "999")]), None, "long past");
        assert_eq!(pause(&[("retry-after", "0")]), None, "now");
        assert_eq!(pause(&[("retry-after", "61")]), None, "too long");
        let late = told_pause(&rule, &named(&[("retry-after", "7")]), now, u64::MAX);
        let late = late.unwrap();
        assert!(late > Duration::from_secs(7) && late < Duration::from_millis(10_500), "{late:?}");
    }
}
