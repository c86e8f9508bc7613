//! Retries, as proxies and as gRPC clients take them.

use std::time::Duration;

use weft_config::BoundRule;
use weft_config::model::policy::{Condition, Retries};
use weft_config::model::route::{Method, NamedMatch};
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::google::protobuf::Any;

use crate::rule::{exact, header, named_header, present, starting_with};
use crate::wire::{duration, uint32};

/// Tries after the first one when nobody says how many.
const ATTEMPTS: u32 = 1;

/// Envoy's rest before the second try.
const BACKOFF: Duration = Duration::from_millis(25);

/// What may be sent once more whatever it is: nobody has begun to process it, or a gRPC server
/// says that it can be.
const SAFE: [Condition; 3] =
    [Condition::ConnectFailure, Condition::RefusedStream, Condition::Unavailable];

/// GEP-1731: lost connections are reason enough for a route that asks for retries.
const OF_ROUTES: [Condition; 3] =
    [Condition::ConnectFailure, Condition::RefusedStream, Condition::Reset];

/// What a caller who sends a request again marks it by (draft-ietf-httpapi-idempotency-key-header).
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How often Envoy looks for an endpoint that was not tried before it takes what it has.
const LOOKS: i64 = 5;

/// What is tried again, and how often: at least once.
#[derive(Clone, Debug)]
pub(crate) struct Tries<'a> {
    attempts: u32,
    on: &'a [Condition],
    codes: &'a [u16],
    methods: &'a [Method],
    headers: &'a [NamedMatch],
    backoff: (Option<Duration>, Option<Duration>),
    idle: Option<Duration>,
    told: Option<Duration>,
}

impl<'a> Tries<'a> {
    /// What a rule asks for or, when it says nothing of it, a policy.
    pub(crate) fn of(rule: &'a BoundRule, policy: &'a Retries) -> Option<Self> {
        let Some(retry) = &rule.retry else { return Self::of_policy(policy) };
        let tries = Self {
            attempts: retry.attempts.unwrap_or(ATTEMPTS),
            on: &OF_ROUTES,
            codes: &retry.codes,
            methods: policy.methods.as_deref().unwrap_or(&Method::IDEMPOTENT),
            headers: &[],
            // A bound of the policy's own would be one of another rest.
            backoff: (retry.backoff, None),
            idle: policy.per_try_idle_timeout,
            told: policy.max_retry_after,
        };
        (tries.attempts > 0).then_some(tries)
    }

    /// What a policy asks for.
    pub(crate) fn of_policy(policy: &'a Retries) -> Option<Self> {
        let attempts = policy.attempts.unwrap_or(ATTEMPTS);
        (policy.asks() && attempts > 0).then(|| Self {
            attempts,
            on: policy.on.as_deref().unwrap_or(&SAFE),
            codes: policy.codes.as_deref().unwrap_or_default(),
            methods: policy.methods.as_deref().unwrap_or(&Method::IDEMPOTENT),
            headers: policy.headers.as_deref().unwrap_or_default(),
            backoff: (policy.backoff, policy.max_backoff),
            idle: policy.per_try_idle_timeout,
            told: policy.max_retry_after,
        })
    }

    /// As Envoy and weft-proxy take it: the next try goes to an endpoint that was not tried.
    pub(crate) fn for_proxies(&self, per_try: Option<Duration>) -> route::RetryPolicy {
        let by_code = (!self.codes.is_empty()).then_some("retriable-status-codes");
        let by_header = (!self.headers.is_empty()).then_some("retriable-headers");
        let on = self.on.iter().map(|condition| condition.as_str());
        let names = on.chain(by_code).chain(by_header);
        route::RetryPolicy {
            retriable_request_headers: self.requests(),
            retriable_status_codes: self.codes.iter().copied().map(u32::from).collect(),
            retriable_headers: self.headers.iter().map(named_header).collect(),
            per_try_timeout: per_try.map(duration),
            per_try_idle_timeout: self.idle.map(duration),
            rate_limited_retry_back_off: self.told.map(told),
            retry_host_predicate: vec![previous_hosts()],
            host_selection_retry_max_attempts: LOOKS,
            ..self.policy(&join(names))
        }
    }

    /// As gRPC clients take it (gRFC A44), which know the statuses of calls and nothing else; `None`
    /// when nothing is left.
    pub(crate) fn for_clients(&self) -> Option<route::RetryPolicy> {
        let names = self.on.iter().filter(|on| on.is_of_grpc()).map(|on| on.as_str());
        let names = join(names);
        (!names.is_empty()).then(|| self.policy(&names))
    }

    /// Which requests this is for. Whatever a proxy of ours does not try again by it, it tries again
    /// where nobody has begun on it.
    fn requests(&self) -> Vec<route::HeaderMatcher> {
        let harmless = |on: &Condition| on.is_safe() || on.is_of_grpc();
        if self.codes.is_empty() && self.headers.is_empty() && self.on.iter().all(harmless) {
            return Vec::new();
        }
        let methods = self.methods.iter().map(by_method);
        let calls = header("content-type", starting_with("application/grpc"));
        methods.chain([present(IDEMPOTENCY_KEY), calls]).collect()
    }

    fn policy(&self, on: &str) -> route::RetryPolicy {
        route::RetryPolicy {
            retry_on: on.to_owned(),
            num_retries: Some(uint32(self.attempts)),
            retry_back_off: backoff(self.backoff),
            ..Default::default()
        }
    }
}

/// Requests of this method.
pub(crate) fn by_method(method: &Method) -> route::HeaderMatcher {
    header(":method", exact(method.as_str()))
}

/// A bound alone is one of Envoy's own rest.
fn backoff(
    (base, most): (Option<Duration>, Option<Duration>),
) -> Option<route::retry_policy::RetryBackOff> {
    base.or(most)?;
    Some(route::retry_policy::RetryBackOff {
        base_interval: Some(duration(base.unwrap_or(BACKOFF))),
        max_interval: most.map(duration),
    })
}

/// Responses may say when to come again, up to this long: by RFC 9110 section 10.2.3, or by the
/// fields of rate limits (draft-ietf-httpapi-ratelimit-headers-07).
fn told(most: Duration) -> route::retry_policy::RateLimitedRetryBackOff {
    use route::retry_policy::{RateLimitedRetryBackOff, ResetHeader, ResetHeaderFormat};
    let seconds = |name: &str| ResetHeader {
        name: name.to_owned(),
        format: ResetHeaderFormat::Seconds.into(),
    };
    RateLimitedRetryBackOff {
        reset_headers: vec![seconds("retry-after"), seconds("ratelimit-reset")],
        max_interval: Some(duration(most)),
    }
}

fn join<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(",")
}

fn previous_hosts() -> route::retry_policy::RetryHostPredicate {
    use route::retry_policy::retry_host_predicate::ConfigType;
    let kind = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
    route::retry_policy::RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
        // The message has no fields.
        config_type: Some(ConfigType::TypedConfig(Any {
            type_url: format!("{}{kind}", weft_proto::type_url::PREFIX),
            value: Vec::new(),
        })),
    }
}
