//! `envoy.config.route.v3.RetryPolicy`: which requests are sent once more.

use std::{
    fmt,
    num::NonZeroU32,
    ops::{BitOr, BitOrAssign},
    time::Duration,
};

use http::HeaderName;
use prost::Name as _;
use weft_proto::pb::envoy::{
    config::route::v3 as wire,
    extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig,
};
use weft_route::HeaderMatch;

use crate::{
    cluster::optional,
    extension, headers, matching,
    path::At,
    problem::{Notes, Problem},
    retry_hosts::{self, RetryHosts},
    scalar,
};

/// The conditions under which a request is sent once more (`retry_on`).
///
/// A request that was provably not processed is sent once more under any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn(u16);

impl RetryOn {
    /// None of them.
    pub const NOTHING: Self = Self(0);
    /// `5xx`: a status of 500 or more, or no response at all.
    pub const SERVER_ERROR: Self = Self(1);
    /// `gateway-error`: status 502, 503 or 504, or no response at all.
    pub const GATEWAY_ERROR: Self = Self(1 << 1);
    /// `reset`: no response at all.
    pub const RESET: Self = Self(1 << 2);
    /// `reset-before-request`: no response, and nothing of the request was sent.
    pub const RESET_BEFORE_REQUEST: Self = Self(1 << 3);
    /// `connect-failure`: no connection.
    pub const CONNECT_FAILURE: Self = Self(1 << 4);
    /// `refused-stream`: REFUSED_STREAM.
    pub const REFUSED_STREAM: Self = Self(1 << 5);
    /// `retriable-4xx`: status 409.
    pub const RETRIABLE_4XX: Self = Self(1 << 6);
    /// `envoy-ratelimited`: the response has `x-envoy-ratelimited`. Without this condition such a
    /// response is final.
    pub const RATE_LIMITED: Self = Self(1 << 7);
    /// `retriable-status-codes`: one of the statuses listed.
    pub const STATUS_CODES: Self = Self(1 << 8);
    /// `retriable-headers`: a header of the response matches.
    pub const HEADERS: Self = Self(1 << 9);
    /// `cancelled`: `grpc-status` 1.
    pub const GRPC_CANCELLED: Self = Self(1 << 10);
    /// `deadline-exceeded`: `grpc-status` 4.
    pub const GRPC_DEADLINE_EXCEEDED: Self = Self(1 << 11);
    /// `resource-exhausted`: `grpc-status` 8.
    pub const GRPC_RESOURCE_EXHAUSTED: Self = Self(1 << 12);
    /// `internal`: `grpc-status` 13.
    pub const GRPC_INTERNAL: Self = Self(1 << 13);
    /// `unavailable`: `grpc-status` 14.
    pub const GRPC_UNAVAILABLE: Self = Self(1 << 14);

    /// All that `grpc-status` decides.
    pub const ANY_GRPC: Self = Self(
        Self::GRPC_CANCELLED.0
            | Self::GRPC_DEADLINE_EXCEEDED.0
            | Self::GRPC_RESOURCE_EXHAUSTED.0
            | Self::GRPC_INTERNAL.0
            | Self::GRPC_UNAVAILABLE.0,
    );

    /// `http3-post-connect-failure`: of a protocol that is not spoken, so it never comes true.
    const HTTP3_POST_CONNECT_FAILURE: Self = Self(1 << 15);

    const NAMES: [(&'static str, Self); 16] = [
        ("5xx", Self::SERVER_ERROR),
        ("gateway-error", Self::GATEWAY_ERROR),
        ("reset", Self::RESET),
        ("reset-before-request", Self::RESET_BEFORE_REQUEST),
        ("connect-failure", Self::CONNECT_FAILURE),
        ("refused-stream", Self::REFUSED_STREAM),
        ("retriable-4xx", Self::RETRIABLE_4XX),
        ("envoy-ratelimited", Self::RATE_LIMITED),
        ("retriable-status-codes", Self::STATUS_CODES),
        ("retriable-headers", Self::HEADERS),
        ("cancelled", Self::GRPC_CANCELLED),
        ("deadline-exceeded", Self::GRPC_DEADLINE_EXCEEDED),
        ("resource-exhausted", Self::GRPC_RESOURCE_EXHAUSTED),
        ("internal", Self::GRPC_INTERNAL),
        ("unavailable", Self::GRPC_UNAVAILABLE),
        ("http3-post-connect-failure", Self::HTTP3_POST_CONNECT_FAILURE),
    ];

    /// The condition of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, condition)| *condition)
    }

    /// The conditions of a list like `5xx,reset`, and what in it is no condition.
    pub fn list(text: &str) -> (Self, Vec<&str>) {
        let mut conditions = Self::NOTHING;
        let mut unknown = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match Self::named(name) {
                Some(condition) => conditions |= condition,
                None => unknown.push(name),
            }
        }
        (conditions, unknown)
    }

    /// Whether any of `others` is among these.
    pub fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether there is no condition.
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = Self::NAMES.iter().filter(|(_, condition)| self.has_any(*condition));
        let names: Vec<_> = held.map(|(name, _)| *name).collect();
        f.write_str(if names.is_empty() { "nothing" } else { "" })?;
        f.write_str(&names.join(","))
    }
}

impl BitOr for RetryOn {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for RetryOn {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// `RetryPolicy`.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// `retry_on`.
    pub on: RetryOn,
    /// `num_retries`: tries after the first one; 1 by default.
    pub retries: u32,
    /// `per_try_timeout`: no response head within this time ends a try.
    pub per_try_timeout: Option<Duration>,
    /// `per_try_idle_timeout`: nothing of a response within this time ends a try.
    pub per_try_idle: Option<Duration>,
    /// `retriable_status_codes`.
    pub statuses: Box<[u16]>,
    /// `retriable_headers`, any of a response.
    pub headers: Box<[HeaderMatch]>,
    /// `retriable_request_headers`: where there are some, one must match the request.
    pub request_headers: Box<[HeaderMatch]>,
    /// `retry_back_off`.
    pub backoff: RetryBackoff,
    /// `rate_limited_retry_back_off`.
    pub told: Option<ToldBackoff>,
    /// `retry_host_predicate`, as far as it leaves out more than endpoints that were tried.
    pub omitted: Option<Box<RetryHosts>>,
    /// `retry_priority` (`PreviousPrioritiesConfig.update_frequency`): tries avoid the priorities of those
    /// before them, which is looked at after so many of them.
    pub priorities_every: Option<NonZeroU32>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            on: RetryOn::NOTHING,
            retries: 1,
            per_try_timeout: None,
            per_try_idle: None,
            statuses: Box::default(),
            headers: Box::default(),
            request_headers: Box::default(),
            backoff: RetryBackoff::default(),
            told: None,
            omitted: None,
            priorities_every: None,
        }
    }
}

/// How long to rest before a retry: anything up to the interval, which doubles each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBackoff {
    /// `base_interval`, 25 ms by default.
    pub base: Duration,
    /// `max_interval`, ten times the base by default.
    pub most: Duration,
}

impl Default for RetryBackoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(25), most: Duration::from_millis(250) }
    }
}

impl RetryBackoff {
    /// How long to rest before a retry, counted from 0, for a random number.
    #[must_use]
    pub fn pause(self, retry: u32, random: u64) -> Duration {
        let doubled = self.base.saturating_mul(2u32.saturating_pow(retry)).min(self.most);
        let nanos = u64::try_from(doubled.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random.checked_rem(nanos).unwrap_or(0))
    }
}

/// `RateLimitedRetryBackOff`: responses say themselves when to come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldBackoff {
    /// `reset_headers`: the first one that can be read counts.
    pub headers: Box<[(HeaderName, ResetFormat)]>,
    /// `max_interval`, 300 s by default: what asks for more is not followed.
    pub most: Duration,
}

/// `ResetHeaderFormat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetFormat {
    /// `SECONDS` from now.
    Seconds,
    /// `UNIX_TIMESTAMP`, in seconds.
    UnixTimestamp,
}

/// Reads a policy.
pub(crate) fn read(
    message: &wire::RetryPolicy,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<RetryPolicy> {
    let (on, unknown) = RetryOn::list(&message.retry_on);
    for name in unknown {
        notes.warn(&at.field("retry_on"), format!("{name:?} is no condition that is supported"));
    }
    let per_try = message.per_try_timeout.as_ref();
    let per_try_timeout = scalar::timeout_or(per_try, None, &at.field("per_try_timeout"), notes);
    let idle = message.per_try_idle_timeout.as_ref();
    let per_try_idle = scalar::timeout_or(idle, None, &at.field("per_try_idle_timeout"), notes);
    let backoff = message.retry_back_off.as_ref();
    let backoff = match backoff {
        None => RetryBackoff::default(),
        Some(backoff) => self::backoff(backoff, &at.field("retry_back_off"), notes)?,
    };
    let told = message.rate_limited_retry_back_off.as_ref();
    let told = match told {
        None => None,
        Some(told) => Some(self::told(told, &at.field("rate_limited_retry_back_off"), notes)?),
    };
    let statuses = message.retriable_status_codes.iter();
    Some(RetryPolicy {
        on,
        retries: optional(message.num_retries.as_ref()).unwrap_or(1),
        per_try_timeout,
        per_try_idle,
        statuses: statuses.filter_map(|status| u16::try_from(*status).ok()).collect(),
        headers: matching::headers(&message.retriable_headers, "retriable_headers", at, notes)?,
        request_headers: matching::headers(
            &message.retriable_request_headers,
            "retriable_request_headers",
            at,
            notes,
        )?,
        backoff,
        told,
        omitted: retry_hosts::read(&message.retry_host_predicate, at, notes)?,
        priorities_every: match &message.retry_priority {
            None => None,
            Some(priority) => Some(previous_priorities(priority, at, notes)?),
        },
    })
}

fn previous_priorities(
    message: &wire::retry_policy::RetryPriority,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<NonZeroU32> {
    let at = at.field("retry_priority");
    let at = at.field("typed_config");
    let Some(wire::retry_policy::retry_priority::ConfigType::TypedConfig(any)) =
        &message.config_type
    else {
        return notes.refuse(&at, Problem::Missing);
    };
    if extension::type_name(any) != PreviousPrioritiesConfig::full_name() {
        // The field table has refused it already.
        return notes.unsupported(&at, extension::type_name(any), "previous_priorities is");
    }
    let config = extension::unpack::<PreviousPrioritiesConfig>(any, &at, notes)?;
    match u32::try_from(config.update_frequency).ok().and_then(NonZeroU32::new) {
        Some(every) => Some(every),
        None => notes.refuse(&at.field("update_frequency"), Problem::Missing),
    }
}

fn backoff(
    message: &wire::retry_policy::RetryBackOff,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<RetryBackoff> {
    let base_at = at.field("base_interval");
    let base = match &message.base_interval {
        None => return notes.refuse(&base_at, Problem::Missing),
        Some(base) => scalar::duration(base, &base_at, notes)?,
    };
    // As in Envoy, less than a millisecond is one.
    let base = base.max(Duration::from_millis(1));
    let most_at = at.field("max_interval");
    let most = match &message.max_interval {
        None => base.saturating_mul(10),
        Some(most) => scalar::duration(most, &most_at, notes)?.max(Duration::from_millis(1)),
    };
    if most < base {
        return notes.unsupported(&most_at, format!("{most:?}"), "base_interval or more is");
    }
    Some(RetryBackoff { base, most })
}

fn told(
    message: &wire::retry_policy::RateLimitedRetryBackOff,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ToldBackoff> {
    use wire::retry_policy::ResetHeaderFormat as Format;
    let most_at = at.field("max_interval");
    let most = match &message.max_interval {
        None => Duration::from_secs(300),
        Some(most) => scalar::duration(most, &most_at, notes)?,
    };
    let mut names = Vec::with_capacity(message.reset_headers.len());
    for (index, header) in message.reset_headers.iter().enumerate() {
        let at = at.item("reset_headers", index);
        let name = headers::header_name(&header.name, &at.field("name"), notes)?;
        let format = match Format::try_from(header.format) {
            Ok(Format::Seconds) => ResetFormat::Seconds,
            Ok(Format::UnixTimestamp) => ResetFormat::UnixTimestamp,
            Err(_) => {
                return notes.refuse(&at.field("format"), Problem::UnknownEnum(header.format));
            }
        };
        names.push((name, format));
    }
    Some(ToldBackoff { headers: names.into(), most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let backoff = RetryBackoff::default();
        let longest = |retry| {
            let nanos = backoff.base.as_nanos().min(u128::from(u64::MAX));
            assert!(nanos > 0);
            (0..1_000u64).map(|n| backoff.pause(retry, n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).max()
        };
        let bounds = [25, 50, 100, 200, 250, 250];
        for (retry, bound) in (0..).zip(bounds) {
            let most = longest(retry).unwrap();
            let bound = Duration::from_millis(bound);
            assert!(most < bound && most > bound * 9 / 10, "{retry}: {most:?}");
        }
        assert!(longest(4_000_000_000).unwrap() < backoff.most);
    }

    #[test]
    fn conditions_are_read_from_lists() {
        let (on, unknown) = RetryOn::list(" 5xx, unavailable,,http3-post-connect");
        assert_eq!(on, RetryOn::SERVER_ERROR | RetryOn::GRPC_UNAVAILABLE);
        assert_eq!(unknown, ["http3-post-connect"]);
        assert!(RetryOn::list("http3-post-connect-failure").1.is_empty());
        assert!(on.has_any(RetryOn::SERVER_ERROR | RetryOn::RESET));
        assert!(!on.has_any(RetryOn::RESET) && RetryOn::list("").0.is_nothing());
    }
}
