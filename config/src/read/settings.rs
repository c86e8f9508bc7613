//! Reads the settings that a `TrafficPolicy` and the defaults of the `MeshConfig` have in common.

use std::time::Duration;

use super::adaptive::adaptive;
use super::fault::fault;
use super::health::health_check;
use super::hedging::hedging;
use super::matches::{header_list, method};
use super::request_match::request_match;
use super::share::share;
use super::spread::{spread, zone_weights};
use super::stickiness::{stickiness, told_apart_by};
use super::{non_empty, unique};
use crate::model::policy::{
    BalancingPolicy, CircuitBreaker, Condition, ConnectionPool, FailureShare, LoadBalancer,
    OutlierDetection, Retries, RetryBudget, TrafficSettings, TrafficTimeouts,
};
use crate::problem::{Conflict, Reason};
use crate::reader::{Choices, Object, Reader};
use crate::syntax::{DURATION, parse_duration};
use crate::tree::Node;

/// The places of settings that are still to come.
const LATER: [&str; 3] = ["tls", "authorization", "mirror"];

/// The settings among the fields of `object`.
pub(super) fn settings(reader: &mut Reader, object: &mut Object<'_>) -> Option<TrafficSettings> {
    let timeouts = object.optional(reader, "timeouts", timeouts);
    let retries = object.optional(reader, "retries", retries);
    let hedging = object.optional(reader, "hedging", hedging);
    let adaptive_concurrency = object.optional(reader, "adaptiveConcurrency", adaptive);
    let load_balancer = object.optional(reader, "loadBalancer", load_balancer);
    let outlier_detection = object.optional(reader, "outlierDetection", outlier_detection);
    let health_check = object.optional(reader, "healthCheck", health_check);
    let circuit_breaker = object.optional(reader, "circuitBreaker", circuit_breaker);
    let connection_pool = object.optional(reader, "connectionPool", connection_pool);
    let drop = object.optional(reader, "drop", |reader, node| {
        reader.object(node, |reader, object| match share(reader, object)? {
            Some(share) => Some(share),
            None => {
                let fields = &["percent", "fraction"];
                reader.refuse(object.node(), Reason::ExactlyOne { fields })
            }
        })
    });
    let fault = object.optional(reader, "fault", fault);
    let high_priority = object.optional(reader, "highPriority", |reader, node| {
        let matches = reader.list(node, request_match);
        non_empty(reader, node, matches)
    });
    let stickiness = object.optional(reader, "stickiness", stickiness);
    let elsewhere = [
        object.unsupported(reader, "sessionAffinity", "use stickiness"),
        object.unsupported(reader, "locality", "use loadBalancer.zones"),
    ];
    elsewhere.into_iter().collect::<Option<()>>()?;
    object.unsupported(reader, "rateLimit", "write a RateLimitPolicy for the target")?;
    let refused = LATER.map(|name| object.not_yet(reader, name));
    refused.into_iter().collect::<Option<()>>()?;
    let (retries, circuit_breaker): (Option<Retries>, Option<CircuitBreaker>) =
        (retries?, circuit_breaker?);
    let counts = circuit_breaker.is_some_and(|breaker| breaker.max_retries.is_some());
    let shares = retries.as_ref().is_some_and(|it| it.budget != RetryBudget::default());
    if counts && shares {
        return reader.refuse(object.node(), Conflict::RetriesTwice.into());
    }
    Some(TrafficSettings {
        timeouts: timeouts?.unwrap_or_default(),
        retries: retries.unwrap_or_default(),
        hedging: hedging?,
        adaptive_concurrency: adaptive_concurrency?,
        load_balancer: load_balancer?.unwrap_or_default(),
        outlier_detection: outlier_detection?,
        health_check: health_check?,
        circuit_breaker: circuit_breaker.unwrap_or_default(),
        connection_pool: connection_pool?.unwrap_or_default(),
        drop: drop?,
        fault: fault?,
        high_priority: high_priority?.unwrap_or_default(),
        stickiness: stickiness?,
    })
}

pub(super) fn span(reader: &mut Reader, node: &Node) -> Option<Duration> {
    reader.parsed(node, DURATION, parse_duration)
}

/// A duration that is not zero.
pub(super) fn some_time(reader: &mut Reader, node: &Node) -> Option<Duration> {
    match span(reader, node) {
        Some(Duration::ZERO) => reader.invalid(node, "0s", "a duration above zero"),
        time => time,
    }
}

fn timeouts(reader: &mut Reader, node: &Node) -> Option<TrafficTimeouts> {
    reader.object(node, |reader, object| {
        let request = object.optional(reader, "request", span);
        let connect = object.optional(reader, "connect", some_time);
        let stream_idle = object.optional(reader, "streamIdle", span);
        let max_stream = object.optional(reader, "maxStream", some_time);
        let request_headers = object.optional(reader, "requestHeaders", some_time);
        object.unsupported(reader, "perTry", "use retries.perTryTimeout")?;
        Some(TrafficTimeouts {
            request: request?,
            connect: connect?,
            stream_idle: stream_idle?,
            max_stream: max_stream?,
            request_headers: request_headers?,
        })
    })
}

const CONDITIONS: Choices<Condition> =
    Choices { names: &Condition::NAMES, values: &Condition::ALL };

/// No upstream recovers by being asked more often than this.
const MOST_ATTEMPTS: u32 = 100;

/// The rest before the second try when nobody says how long.
const BACKOFF: Duration = Duration::from_millis(25);

/// Tries after the first one.
pub(super) fn attempts(reader: &mut Reader, node: &Node) -> Option<u32> {
    reader.integer(node, 0, MOST_ATTEMPTS)
}

/// A status that is an error.
pub(super) fn error_code(reader: &mut Reader, node: &Node) -> Option<u16> {
    reader.integer(node, 400, 599).and_then(|code| u16::try_from(code).ok())
}

/// Statuses that are errors, each once.
pub(super) fn error_codes(reader: &mut Reader, node: &Node) -> Option<Vec<u16>> {
    let codes = reader.list(node, error_code);
    unique(reader, node, codes, |code| Some((*code, format!("the status {code}"))))
}

fn retries(reader: &mut Reader, node: &Node) -> Option<Retries> {
    reader.object(node, |reader, object| {
        let attempts = object.optional(reader, "attempts", attempts);
        let on = object.optional(reader, "on", |reader, node| {
            let on = reader.list(node, |reader, node| reader.choice(node, &CONDITIONS));
            let on = non_empty(reader, node, on);
            unique(reader, node, on, |it| Some((*it, format!("the condition {}", it.as_str()))))
        });
        let codes = object.optional(reader, "codes", error_codes);
        let methods = object.optional(reader, "methods", |reader, node| {
            let methods = reader.list(node, method);
            let methods = non_empty(reader, node, methods);
            unique(reader, node, methods, |it| Some((*it, format!("the method {}", it.as_str()))))
        });
        let per_try_timeout = object.optional(reader, "perTryTimeout", some_time);
        let per_try_idle_timeout = object.optional(reader, "perTryIdleTimeout", some_time);
        let headers = object.optional(reader, "headers", |reader, node| {
            let headers = header_list(reader, node);
            non_empty(reader, node, headers)
        });
        let backoff = object.optional(reader, "backoff", some_time);
        let max_backoff = object.optional(reader, "maxBackoff", some_time);
        let max_retry_after = object.optional(reader, "maxRetryAfter", some_time);
        let budget = object.optional(reader, "budget", budget);
        let (backoff, max_backoff) = (backoff?, max_backoff?);
        if let Some(most) = max_backoff.filter(|most| *most < backoff.unwrap_or(BACKOFF)) {
            let least = backoff.unwrap_or(BACKOFF);
            return reader.refuse(object.node(), Conflict::BackoffBound { most, least }.into());
        }
        Some(Retries {
            attempts: attempts?,
            on: on?,
            codes: codes?,
            methods: methods?,
            per_try_timeout: per_try_timeout?,
            headers: headers?,
            per_try_idle_timeout: per_try_idle_timeout?,
            backoff,
            max_backoff,
            max_retry_after: max_retry_after?,
            budget: budget?.unwrap_or_default(),
        })
    })
}

pub(super) fn budget(reader: &mut Reader, node: &Node) -> Option<RetryBudget> {
    reader.object(node, |reader, object| {
        let percent = object.optional(reader, "percent", percent);
        let min_concurrent = at_most(reader, object, "minConcurrent", 0);
        Some(RetryBudget { percent: percent?, min_concurrent: min_concurrent? })
    })
}

fn percent(reader: &mut Reader, node: &Node) -> Option<u32> {
    reader.integer(node, 0, 100)
}

#[derive(Clone, Copy)]
enum PolicyName {
    RoundRobin,
    LeastRequest,
    PeakEwma,
    Random,
    RingHash,
    Maglev,
}

const POLICIES: Choices<PolicyName> = Choices {
    names: &["RoundRobin", "LeastRequest", "PeakEWMA", "Random", "RingHash", "Maglev"],
    values: &[
        PolicyName::RoundRobin,
        PolicyName::LeastRequest,
        PolicyName::PeakEwma,
        PolicyName::Random,
        PolicyName::RingHash,
        PolicyName::Maglev,
    ],
};

fn load_balancer(reader: &mut Reader, node: &Node) -> Option<LoadBalancer> {
    reader.object(node, |reader, object| {
        let policy =
            object.optional(reader, "policy", |reader, node| reader.choice(node, &POLICIES));
        let hash_on = object.optional(reader, "hashOn", told_apart_by);
        let decay = object.optional(reader, "decayTime", some_time);
        let zone_weights = object.optional(reader, "zoneWeights", zone_weights);
        let spread = spread(reader, object);
        let (policy, hash_on, decay) = (policy?, hash_on?, decay?);
        if decay.is_some() && !matches!(policy, Some(PolicyName::PeakEwma)) {
            return reader.refuse(object.node(), Conflict::DecayWithoutUse.into());
        }
        let policy = match (policy, hash_on) {
            (Some(PolicyName::RingHash), Some(on)) => Some(BalancingPolicy::RingHash(on)),
            (Some(PolicyName::Maglev), Some(on)) => Some(BalancingPolicy::Maglev(on)),
            (Some(PolicyName::RingHash | PolicyName::Maglev), None) => {
                return reader.refuse(object.node(), Reason::Missing { field: "hashOn" });
            }
            (_, Some(_)) => return reader.refuse(object.node(), Conflict::HashWithoutUse.into()),
            (Some(PolicyName::RoundRobin), None) => Some(BalancingPolicy::RoundRobin),
            (Some(PolicyName::LeastRequest), None) => Some(BalancingPolicy::LeastRequest),
            (Some(PolicyName::PeakEwma), None) => Some(BalancingPolicy::PeakEwma(decay)),
            (Some(PolicyName::Random), None) => Some(BalancingPolicy::Random),
            (None, None) => None,
        };
        let spread = spread?;
        let ramps = matches!(
            policy,
            None | Some(
                BalancingPolicy::RoundRobin
                    | BalancingPolicy::LeastRequest
                    | BalancingPolicy::PeakEwma(_)
            )
        );
        if spread.slow_start.is_some() && !ramps {
            return reader.refuse(object.node(), Conflict::SlowStartWithoutUse.into());
        }
        let zone_weights = zone_weights?.unwrap_or_default();
        if !zone_weights.is_empty() && spread.zones.is_some() {
            return reader.refuse(object.node(), Conflict::ZonesTwice.into());
        }
        Some(LoadBalancer { policy, spread, zone_weights })
    })
}

fn outlier_detection(reader: &mut Reader, node: &Node) -> Option<OutlierDetection> {
    reader.object(node, |reader, object| {
        let errors = at_most(reader, object, "consecutiveErrors", 1);
        let gateway_errors = at_most(reader, object, "consecutiveGatewayErrors", 1);
        let share = object.optional(reader, "failurePercentage", failure_share);
        let interval = object.optional(reader, "interval", some_time);
        let base_ejection_time = object.optional(reader, "baseEjectionTime", some_time);
        let most = object.optional(reader, "maxEjectionPercent", percent);
        Some(OutlierDetection {
            consecutive_errors: errors?,
            consecutive_gateway_errors: gateway_errors?,
            failure_percentage: share?,
            interval: interval?,
            base_ejection_time: base_ejection_time?,
            max_ejection_percent: most?,
        })
    })
}

fn failure_share(reader: &mut Reader, node: &Node) -> Option<FailureShare> {
    reader.object(node, |reader, object| {
        let threshold =
            object.required(reader, "threshold", |reader, node| reader.integer(node, 1, 100));
        let request_volume = at_most(reader, object, "requestVolume", 1);
        let minimum_hosts = at_most(reader, object, "minimumHosts", 1);
        Some(FailureShare {
            threshold: threshold?,
            request_volume: request_volume?,
            minimum_hosts: minimum_hosts?,
        })
    })
}

/// As many as anything can be.
const MOST: u32 = i32::MAX.unsigned_abs();

pub(super) fn at_most(
    reader: &mut Reader,
    object: &mut Object<'_>,
    name: &'static str,
    least: u32,
) -> Option<Option<u32>> {
    object.optional(reader, name, |reader, node| reader.integer(node, least, MOST))
}

fn circuit_breaker(reader: &mut Reader, node: &Node) -> Option<CircuitBreaker> {
    reader.object(node, |reader, object| {
        let max_connections = at_most(reader, object, "maxConnections", 1);
        let max_pending = at_most(reader, object, "maxPending", 0);
        let max_requests = at_most(reader, object, "maxRequests", 1);
        let max_retries = at_most(reader, object, "maxRetries", 0);
        let per_endpoint = at_most(reader, object, "maxConnectionsPerEndpoint", 1);
        Some(CircuitBreaker {
            max_connections: max_connections?,
            max_pending: max_pending?,
            max_requests: max_requests?,
            max_retries: max_retries?,
            max_connections_per_endpoint: per_endpoint?,
        })
    })
}

fn connection_pool(reader: &mut Reader, node: &Node) -> Option<ConnectionPool> {
    reader.object(node, |reader, object| {
        let max_requests = at_most(reader, object, "maxRequestsPerConnection", 1);
        let idle_timeout = object.optional(reader, "idleTimeout", span);
        let max_duration = object.optional(reader, "maxConnectionDuration", some_time);
        Some(ConnectionPool {
            max_requests_per_connection: max_requests?,
            idle_timeout: idle_timeout?,
            max_connection_duration: max_duration?,
        })
    })
}
