//! Retries: what a policy says for all requests to a Service, and a route for some of them.

use std::time::Duration;

use serde::Serialize;

use super::policy::{duration, is_default};
use super::route::{Method, NamedMatch};

/// Which requests are sent once more. What was provably not processed is sent once more anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Tries after the first one; zero for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// What makes another try worthwhile, at least one; `connect-failure`, `refused-stream` and
    /// `unavailable` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<Condition>>,
    /// Statuses that do as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codes: Option<Vec<u16>>,
    /// Headers of responses that do as well, any of them, each name once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<NamedMatch>>,
    /// Which requests may be sent once more though somebody may have begun on them, at least one
    /// method; those that change nothing twice (RFC 9110 section 9.2.2) without it. What carries an
    /// `Idempotency-Key` may be in any case, and so may calls of gRPC, whose conditions say enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<Method>>,
    /// How long one try may take; more than zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub per_try_timeout: Option<Duration>,
    /// How long nothing of a try's response may come; more than zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub per_try_idle_timeout: Option<Duration>,
    /// About how long to rest before the second try, up to twice as long before each further one;
    /// more than zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub backoff: Option<Duration>,
    /// What the rest grows to at most, no less than `backoff`; ten times that without it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub max_backoff: Option<Duration>,
    /// The longest `Retry-After`, or `RateLimit-Reset`, of a response that is followed in place of
    /// `backoff`; none is without it. More than zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub max_retry_after: Option<Duration>,
    /// How many requests of a cluster may be retries at once, from one proxy; 3 without it.
    #[serde(skip_serializing_if = "is_default")]
    pub budget: RetryBudget,
}

impl Retries {
    /// These, and where they say nothing, those of `base`.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        // A bound belongs to what it bounds.
        let (backoff, max_backoff) = match self.backoff.or(self.max_backoff) {
            Some(_) => (self.backoff, self.max_backoff),
            None => (base.backoff, base.max_backoff),
        };
        Self {
            attempts: self.attempts.or(base.attempts),
            on: self.on.or(base.on),
            codes: self.codes.or(base.codes),
            headers: self.headers.or(base.headers),
            methods: self.methods.or(base.methods),
            per_try_timeout: self.per_try_timeout.or(base.per_try_timeout),
            per_try_idle_timeout: self.per_try_idle_timeout.or(base.per_try_idle_timeout),
            backoff,
            max_backoff,
            max_retry_after: self.max_retry_after.or(base.max_retry_after),
            budget: RetryBudget {
                percent: self.budget.percent.or(base.budget.percent),
                min_concurrent: self.budget.min_concurrent.or(base.budget.min_concurrent),
            },
        }
    }

    /// Whether anything is said about what is tried again: a budget alone limits only what routes
    /// ask for.
    pub fn asks(&self) -> bool {
        let times = [
            self.per_try_timeout,
            self.per_try_idle_timeout,
            self.backoff,
            self.max_backoff,
            self.max_retry_after,
        ];
        let asked = self.attempts.is_some() || self.on.is_some() || self.codes.is_some();
        let which = self.headers.is_some() || self.methods.is_some();
        asked || which || times.iter().any(Option::is_some)
    }
}

/// What makes another try worthwhile, in the words of Envoy and of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// A status of 500 or more, or no response at all.
    #[serde(rename = "5xx")]
    ServerError,
    /// The status 502, 503 or 504, or no response at all.
    GatewayError,
    /// No response at all.
    Reset,
    /// No connection.
    ConnectFailure,
    /// The server refused the stream before it looked at it.
    RefusedStream,
    /// The status 409.
    #[serde(rename = "retriable-4xx")]
    Conflict,
    /// gRPC status 1.
    Cancelled,
    /// gRPC status 4.
    DeadlineExceeded,
    /// gRPC status 13.
    Internal,
    /// gRPC status 8.
    ResourceExhausted,
    /// gRPC status 14.
    Unavailable,
}

impl Condition {
    /// Every condition by its name.
    pub const NAMES: [&'static str; 11] = [
        "5xx",
        "gateway-error",
        "reset",
        "connect-failure",
        "refused-stream",
        "retriable-4xx",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ];

    /// Every condition, in the order of their names.
    pub const ALL: [Self; 11] = [
        Self::ServerError,
        Self::GatewayError,
        Self::Reset,
        Self::ConnectFailure,
        Self::RefusedStream,
        Self::Conflict,
        Self::Cancelled,
        Self::DeadlineExceeded,
        Self::Internal,
        Self::ResourceExhausted,
        Self::Unavailable,
    ];

    /// The name.
    pub fn as_str(self) -> &'static str {
        let index = Self::ALL.iter().position(|known| *known == self).unwrap_or_default();
        Self::NAMES.get(index).copied().unwrap_or_default()
    }

    /// Whether nobody has begun on a request of which it is true.
    pub fn is_safe(self) -> bool {
        matches!(self, Self::ConnectFailure | Self::RefusedStream)
    }

    /// Whether it is about the status of a gRPC call, which is all that gRPC clients know of.
    pub fn is_of_grpc(self) -> bool {
        matches!(
            self,
            Self::Cancelled
                | Self::DeadlineExceeded
                | Self::Internal
                | Self::ResourceExhausted
                | Self::Unavailable
        )
    }
}

/// How much of the load may be retries, so that they cannot finish off what is in trouble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// Of the requests under way, from 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// As many in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_concurrent: Option<u32>,
}

/// `retry` of an `HTTPRoute` rule (GEP-1731): statuses, and lost connections, which are always
/// reason enough there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteRetry {
    /// Statuses that are tried again, each from 400 to 599.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
    /// Tries after the first one; zero for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// About how long to rest before the second try; more than zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub backoff: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_written_by_their_names() {
        for (condition, name) in Condition::ALL.into_iter().zip(Condition::NAMES) {
            assert_eq!(condition.as_str(), name);
            assert_eq!(serde_json::to_value(condition).ok(), Some(name.into()));
        }
    }

    #[test]
    fn a_bound_of_rests_goes_with_the_rest_that_it_bounds() {
        let millis = |count| Some(Duration::from_millis(count));
        let of = |backoff, max_backoff| Retries { backoff, max_backoff, ..Default::default() };
        let base = of(millis(100), millis(1_000));
        let over = |own: Retries| {
            let both = own.over(base.clone());
            (both.backoff, both.max_backoff)
        };
        assert_eq!(over(of(None, None)), (millis(100), millis(1_000)));
        assert_eq!(over(of(millis(2_000), None)), (millis(2_000), None));
        assert_eq!(over(of(None, millis(50))), (None, millis(50)));
    }

    #[test]
    fn a_budget_asks_for_nothing() {
        let budget = RetryBudget { percent: Some(10), min_concurrent: None };
        assert!(!Retries { budget, ..Default::default() }.asks());
        assert!(Retries { attempts: Some(0), ..Default::default() }.asks());
    }
}
