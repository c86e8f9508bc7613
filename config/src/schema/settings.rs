//! The settings that a `TrafficPolicy` has, and a `MeshConfig` has defaults for.

use serde_json::Value;

use super::request_match::{request_match, share};
use super::spread::spread;
use super::stickiness::{stickiness, told_apart_by};
use super::{about_it, choice, integer, list, named_match, object, text};
use crate::model::policy::{Condition, GrpcStatus};
use crate::model::route::Method;

const MOST: u32 = i32::MAX.unsigned_abs();

/// The fields.
pub(super) fn settings() -> [(&'static str, Value); 13] {
    let timeouts = [
        ("request", about_it(text(), "When the route does not say; 0s is no limit.")),
        ("connect", about_it(text(), "Connecting to an endpoint.")),
        ("streamIdle", about_it(text(), "Silence within a request; 0s is no limit.")),
        ("maxStream", about_it(text(), "A request, however much goes to and fro.")),
        ("requestHeaders", about_it(text(), "The head of a request that has begun.")),
    ];
    let breaker = [
        ("maxConnections", integer(1, MOST)),
        ("maxPending", integer(0, MOST)),
        ("maxRequests", integer(1, MOST)),
        ("maxRetries", about_it(integer(0, MOST), "Not along with retries.budget.")),
        ("maxConnectionsPerEndpoint", integer(1, MOST)),
    ];
    let pool = [
        ("maxRequestsPerConnection", integer(1, MOST)),
        ("idleTimeout", about_it(text(), "0s keeps idle connections for ever.")),
        ("maxConnectionDuration", about_it(text(), "Older connections get no further requests.")),
    ];
    [
        ("timeouts", object(&[], &timeouts)),
        ("retries", about_it(retries(), "When the route does not say.")),
        ("hedging", about_it(hedging(), "What is slow goes to a second endpoint as well.")),
        (
            "adaptiveConcurrency",
            about_it(
                adaptive(),
                "As many requests go on at an application as it stays quick with.",
            ),
        ),
        ("loadBalancer", load_balancer()),
        (
            "outlierDetection",
            about_it(outlier_detection(), "Endpoints that fail are left alone for a while."),
        ),
        ("healthCheck", about_it(health_check(), "Endpoints are asked whether they are well.")),
        ("circuitBreaker", object(&[], &breaker)),
        ("connectionPool", object(&[], &pool)),
        ("drop", about_it(object(&[], &share()), "Requests that are answered 503, not sent.")),
        ("fault", about_it(fault(), "What is done wrong on purpose, by the proxies of callers.")),
        (
            "highPriority",
            about_it(list(&request_match(), 1), "Requests that are refused last, any of these."),
        ),
        (
            "stickiness",
            about_it(stickiness(), "Requests of one client go to one endpoint while it is live."),
        ),
    ]
}

fn fault() -> Value {
    let [percent, fraction] = share();
    let delay =
        [("time", about_it(text(), "Before it is sent on.")), percent.clone(), fraction.clone()];
    let of_grpc = choice(&GrpcStatus::NAMES);
    let abort = [("status", integer(400, 599)), ("grpcStatus", of_grpc), percent, fraction];
    object(
        &[],
        &[
            ("delay", about_it(object(&["time"], &delay), "Requests wait.")),
            (
                "abort",
                about_it(object(&[], &abort), "Requests are answered in place of being sent."),
            ),
            ("match", request_match()),
            ("maxActive", about_it(integer(1, MOST), "At once, in one proxy.")),
        ],
    )
}

fn retries() -> Value {
    let budget = [
        ("percent", about_it(integer(0, 100), "Of the requests under way; 20 without it.")),
        ("minConcurrent", about_it(integer(0, MOST), "As many in any case; 3 without it.")),
    ];
    object(
        &[],
        &[
            ("attempts", about_it(integer(0, 100), "Tries after the first one; 1 without it.")),
            (
                "on",
                about_it(
                    list(&choice(&Condition::NAMES), 1),
                    "What makes another try worthwhile; connect-failure, refused-stream and \
                     unavailable without it.",
                ),
            ),
            ("codes", about_it(list(&integer(400, 599), 0), "Statuses that do as well.")),
            (
                "methods",
                about_it(
                    list(&choice(&Method::NAMES), 1),
                    "Which requests may be sent twice, besides those with an Idempotency-Key; the \
                     idempotent ones without it.",
                ),
            ),
            ("perTryTimeout", about_it(text(), "How long one try may take.")),
            ("perTryIdleTimeout", about_it(text(), "How long nothing of a try may come.")),
            (
                "headers",
                about_it(
                    list(&named_match(), 1),
                    "Headers of responses, any of which does as well.",
                ),
            ),
            ("backoff", about_it(text(), "About how long to rest before the second try.")),
            ("maxBackoff", about_it(text(), "The longest rest; ten times the first without it.")),
            (
                "maxRetryAfter",
                about_it(text(), "The longest Retry-After, or RateLimit-Reset, that is followed."),
            ),
            (
                "budget",
                about_it(object(&[], &budget), "Without it 3 requests of a cluster at once."),
            ),
        ],
    )
}

fn hedging() -> Value {
    let budget = [
        ("percent", about_it(integer(0, 100), "Of the requests under way; 10 without it.")),
        ("minConcurrent", about_it(integer(0, MOST), "As many in any case; 1 without it.")),
    ];
    object(
        &[],
        &[
            (
                "percentile",
                about_it(integer(1, 99), "Slower than so many percent of the answers lately."),
            ),
            ("after", about_it(text(), "Slower than this; in the place of percentile.")),
            ("extra", about_it(integer(1, 5), "How often one is sent as well; 1 without it.")),
            (
                "methods",
                about_it(
                    list(&choice(&Method::NAMES), 1),
                    "Which requests may be done twice, besides those with an Idempotency-Key; the \
                     idempotent ones without it.",
                ),
            ),
            ("budget", about_it(object(&[], &budget), "Of all requests to a cluster at once.")),
        ],
    )
}

fn adaptive() -> Value {
    let idle = "How long an idle application takes; without it that is measured.";
    object(
        &[],
        &[
            ("minConcurrent", about_it(integer(1, MOST), "Never fewer; 3 without it.")),
            ("maxConcurrent", about_it(integer(1, MOST), "Never more; 1000 without it.")),
            ("idleLatency", about_it(text(), idle)),
        ],
    )
}

fn load_balancer() -> Value {
    let policies = ["RoundRobin", "LeastRequest", "PeakEWMA", "Random", "RingHash", "Maglev"];
    let [slow_start, panic_threshold, zones, zone_weights] = spread();
    object(
        &[],
        &[
            ("policy", choice(&policies)),
            (
                "hashOn",
                about_it(
                    told_apart_by(),
                    "What makes requests equal, for RingHash and Maglev only.",
                ),
            ),
            ("decayTime", about_it(text(), "How fast PeakEWMA forgets latencies; 10s without it.")),
            slow_start,
            panic_threshold,
            zones,
            zone_weights,
        ],
    )
}

fn health_check() -> Value {
    let statuses = about_it(list(&integer(100, 599), 0), "Of endpoints that are well; 200.");
    let http = [
        ("path", text()),
        ("host", about_it(text(), "The name of the cluster without it.")),
        ("statuses", statuses),
    ];
    let grpc = [("service", about_it(text(), "The server as a whole without it."))];
    object(
        &[],
        &[
            ("http", about_it(object(&["path"], &http), "A request in the port's protocol.")),
            ("grpc", about_it(object(&[], &grpc), "The health service of gRPC.")),
            ("tcp", about_it(object(&[], &[]), "A connection.")),
            ("interval", about_it(text(), "Between two questions; 10s without it.")),
            ("timeout", about_it(text(), "For an answer; 1s without it.")),
            ("healthyThreshold", about_it(integer(1, 1000), "Good answers; 2 without it.")),
            ("unhealthyThreshold", about_it(integer(1, 1000), "Bad answers; 3 without it.")),
        ],
    )
}

fn outlier_detection() -> Value {
    let share = [
        ("threshold", about_it(integer(1, 100), "Percent of its requests.")),
        ("requestVolume", about_it(integer(1, MOST), "Requests to be judged by; 50 without it.")),
        ("minimumHosts", about_it(integer(1, MOST), "Endpoints to be judged; 5 without it.")),
    ];
    object(
        &[],
        &[
            ("consecutiveErrors", about_it(integer(1, MOST), "5xx in a row; 5 without it.")),
            ("consecutiveGatewayErrors", about_it(integer(1, MOST), "502, 503 or 504 in a row.")),
            ("failurePercentage", object(&["threshold"], &share)),
            ("interval", about_it(text(), "How often endpoints are compared; 10s without it.")),
            ("baseEjectionTime", about_it(text(), "For the first time; 30s without it.")),
            ("maxEjectionPercent", about_it(integer(0, 100), "10 without it, and always one.")),
        ],
    )
}
