//! What holds for the requests of a route: time limits, retries, copies, filters.

use std::time::Duration;

use serde::Serialize;
use weft_compile::{
    ClusterChoice, Copies, FilterSettings, Forward, Hedges, HttpChain, HttpFilterKind, RouteEntry,
    RouteTarget, Slow, Tables,
};

/// A time limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// What it limits.
    pub what: &'static str,
    /// How long; nothing for no limit.
    pub milliseconds: Option<u128>,
}

/// The time limits that hold for the requests of a route.
pub fn limits(tables: &Tables, forward: &Forward) -> Vec<Limit> {
    let limit = |what, time: Option<Duration>| Limit {
        what,
        milliseconds: time.map(|time| time.as_millis()),
    };
    let mut limits = vec![limit("the whole answer", forward.timeout)];
    if let Some(per_try) = forward.retry.as_ref().and_then(|retry| retry.per_try_timeout) {
        limits.push(limit("the answer of one try", Some(per_try)));
    }
    if let Some(idle) = forward.idle_timeout {
        limits.push(limit("silence on the stream", idle));
    }
    if let Some(whole) = forward.stream_limit.limit {
        limits.push(limit("the request and its answer", Some(whole)));
    }
    if let RouteTarget::Cluster(id) = forward.target
        && let Some(cluster) = tables.cluster(id)
    {
        limits.push(limit("connecting", Some(cluster.connection.connect_timeout)));
    }
    limits
}

/// What else holds, a line each.
pub(crate) fn policies(tables: &Tables, forward: &Forward) -> Vec<String> {
    let mut lines = Vec::new();
    lines.push(match &forward.retry {
        Some(retry) => format!("tried again up to {} times, on {}", retry.retries, retry.on),
        None => "tried again only where it was provably not processed".to_owned(),
    });
    if let RouteTarget::Cluster(id) = forward.target
        && let Some(hedges) = tables.cluster(id).and_then(|cluster| cluster.hedges.as_ref())
    {
        lines.push(hedging(hedges));
    }
    for mirror in &forward.mirrors {
        let cluster = match &mirror.cluster {
            ClusterChoice::Id(id) => {
                let found = tables.cluster(*id);
                found.map_or("a cluster that is not there".to_owned(), |it| it.name.to_string())
            }
            ClusterChoice::Header(name) => format!("the cluster that the header {name} names"),
        };
        lines.push(format!("copied to {cluster}{}", said_of(mirror.copies.as_deref())));
    }
    if let RouteTarget::Cluster(id) = forward.target
        && let Some(cluster) = tables.cluster(id)
    {
        let under_way = cluster.under_way(forward.priority);
        let most = cluster.circuit_breakers.of(forward.priority);
        lines.push(format!(
            "limits of {}: {} of {} connections, {} of {} requests, {} of {} waiting",
            cluster.name,
            under_way.connections.get(),
            most.max_connections,
            under_way.requests.get(),
            most.max_requests,
            under_way.pending_requests.get(),
            most.max_pending_requests,
        ));
    }
    lines
}

/// When requests are sent to another endpoint as well.
fn hedging(hedges: &Hedges) -> String {
    let after = hedges.after().map(|after| format!("{:.3} ms", after.as_secs_f64() * 1e3));
    let slow = match (hedges.settings().slow, after) {
        (Slow::Quantile(quantile), Some(after)) => {
            let percent = quantile.share() * 100.0;
            format!("after {after}, within which {percent} % of answers came lately")
        }
        (Slow::Quantile(quantile), None) => {
            let percent = quantile.share() * 100.0;
            format!("once it is known within which time {percent} % of answers come")
        }
        (Slow::After(_), after) => format!("after {}", after.unwrap_or_default()),
    };
    format!("sent to another endpoint as well {slow}, if it may be done twice")
}

/// What holds for copies besides.
fn said_of(copies: Option<&Copies>) -> String {
    let Some(Copies { max_active, comparison }) = copies else { return String::new() };
    let most = max_active.map(|most| format!(", at most {most} at once"));
    let compared = comparison.as_ref().map(|comparison| {
        let fields = comparison.headers.iter().map(|header| format!(", {}", header.name));
        let body = if comparison.max_body_bytes > 0 { ", body" } else { "" };
        let fields: String = fields.collect();
        format!(", whose answers are compared: status, grpc-status, latency{body}{fields}")
    });
    most.into_iter().chain(compared).collect()
}

/// The filters that a request passes, in their order, and what its route says to them.
pub(crate) fn filters(chain: &HttpChain, entry: Option<&RouteEntry>) -> Vec<String> {
    let each = chain.filters.iter().map(|filter| {
        let kind = match &filter.kind {
            HttpFilterKind::HeaderMutation { .. } => "changes headers",
            HttpFilterKind::Cors => "CORS",
            HttpFilterKind::Buffer { .. } => "holds requests until they are whole",
            HttpFilterKind::GrpcWeb => "gRPC-Web",
            HttpFilterKind::Fault(_) => "injects faults",
            HttpFilterKind::AdaptiveConcurrency(_) => {
                "lets as many requests go on as latencies allow"
            }
            HttpFilterKind::LocalRateLimit(_) => "limits the rate of requests",
            HttpFilterKind::StatefulSession(_) => "keeps sessions at their endpoints",
            HttpFilterKind::GlobalRateLimit(_) => "asks a service whether requests may go on",
            HttpFilterKind::RateLimitHeaders => "says what is left of limits",
            HttpFilterKind::DynamicForwardProxy => "looks up the host that requests name",
        };
        let own = entry.and_then(|entry| entry.filters.of(&filter.name));
        let said = match own {
            Some(own) if own.disabled => ", left out for this route",
            None if filter.disabled => ", left out unless a route enables it",
            Some(own) if own.levels.iter().any(|it| matches!(**it, FilterSettings::Unbuffered)) => {
                ", which this route turns off"
            }
            Some(own) if !own.levels.is_empty() => ", with settings of the route",
            _ => "",
        };
        format!("{}: {kind}{said}", filter.name)
    });
    each.collect()
}
