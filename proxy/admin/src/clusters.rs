//! `/clusters`.
//!
//! Envoy's lines and fields, as far as the proxy knows.

use std::{fmt::Write as _, net::SocketAddr};

use regex::Regex;
use serde_json::{Map, Value, json};
use weft_balance::{EndpointAddress, Health, Host, Locality, Verdict};
use weft_compile::ClusterView;

use crate::reply::{self, Reply};

/// Clusters of which a part of the name matches, all without an expression.
pub(crate) fn matching(clusters: Vec<ClusterView>, filter: Option<&Regex>) -> Vec<ClusterView> {
    let wanted = |view: &ClusterView| filter.is_none_or(|filter| filter.is_match(&view.name));
    clusters.into_iter().filter(wanted).collect()
}

/// `cluster::fact::value` and `cluster::address::fact::value` lines.
pub(crate) fn text(clusters: &[ClusterView]) -> Reply {
    let mut out = String::new();
    for view in clusters {
        let name = &view.name;
        let _ = writeln!(out, "{name}::observability_name::{name}");
        let _ = writeln!(out, "{name}::added_via_api::{}", view.added_via_api);
        if let Some(service) = &view.eds_service_name {
            let _ = writeln!(out, "{name}::eds_service_name::{service}");
        }
        let breakers = &view.cluster.circuit_breakers;
        for (priority, limits) in
            [("default_priority", &breakers.default), ("high_priority", &breakers.high)]
        {
            for (limit, most) in [
                ("max_connections", limits.max_connections),
                ("max_pending_requests", limits.max_pending_requests),
                ("max_requests", limits.max_requests),
            ] {
                let _ = writeln!(out, "{name}::{priority}::{limit}::{most}");
            }
        }
        for host in view.cluster.balancer.hosts() {
            host_lines(&mut out, name, host);
        }
    }
    reply::ok(out)
}

fn host_lines(out: &mut String, cluster: &str, host: &Host) {
    let address = match host.endpoint.address() {
        EndpointAddress::Ip(address) => address.to_string(),
        EndpointAddress::Pipe(path) => path.display().to_string(),
        EndpointAddress::Name(name) => match host.endpoint.ways().first() {
            Some(address) => address.to_string(),
            None => name.to_string(),
        },
    };
    let nowhere = Locality::default();
    let locality = host.locality.as_deref().unwrap_or(&nowhere);
    for (counter, _, value) in counters(host) {
        let _ = writeln!(out, "{cluster}::{address}::{counter}::{value}");
    }
    let facts: [(&str, &dyn std::fmt::Display); 7] = [
        ("health_flags", &health_flags(host)),
        ("weight", &host.weight),
        ("region", &locality.region),
        ("zone", &locality.zone),
        ("sub_zone", &locality.sub_zone),
        ("priority", &host.priority),
        // Envoy's way to say that there is none.
        ("success_rate", &host.endpoint.outcomes().success_rate().unwrap_or(-1.0)),
    ];
    for (fact, value) in facts {
        let _ = writeln!(out, "{cluster}::{address}::{fact}::{value}");
    }
}

/// What is counted of a host: name, whether it is a gauge, and value.
fn counters(host: &Host) -> [(&'static str, bool, u64); 8] {
    let endpoint = &host.endpoint;
    let counts = endpoint.counts();
    [
        ("cx_active", true, endpoint.active_connections().into()),
        ("cx_connect_fail", false, counts.cx_connect_fail.get()),
        ("cx_total", false, counts.cx_total.get()),
        ("rq_active", true, endpoint.active_requests().into()),
        ("rq_error", false, counts.rq_error.get()),
        ("rq_success", false, counts.rq_success.get()),
        ("rq_timeout", false, counts.rq_timeout.get()),
        ("rq_total", false, counts.rq_total.get()),
    ]
}

/// `admin.v3.SimpleMetric`.
fn metric((name, is_gauge, value): (&'static str, bool, u64)) -> Value {
    let mut metric = Map::new();
    if is_gauge {
        metric.insert("type".into(), "GAUGE".into());
    }
    if value > 0 {
        metric.insert("value".into(), value.to_string().into());
    }
    metric.insert("name".into(), name.into());
    metric.into()
}

/// As Envoy names them, and in its order.
fn health_flags(host: &Host) -> String {
    let standing = host.endpoint.standing();
    let eds_failed = matches!(host.health, Health::Unhealthy | Health::Timeout);
    let flags: String = [
        (standing.has(Verdict::FailedCheck), "/failed_active_hc"),
        (standing.has(Verdict::Ejected), "/failed_outlier_check"),
        (eds_failed, "/failed_eds_health"),
        (standing.has(Verdict::DegradedByCheck), "/degraded_active_hc"),
        (host.health == Health::Degraded, "/degraded_eds_health"),
        (standing.has(Verdict::Leaving), "/pending_dynamic_removal"),
        (standing.has(Verdict::AwaitsCheck), "/pending_active_hc"),
        (standing.has(Verdict::Excluded), "/excluded_via_immediate_hc_fail"),
        (standing.has(Verdict::CheckTimedOut), "/active_hc_timeout"),
        (host.health == Health::Draining, "/eds_status_draining"),
    ]
    .into_iter()
    .filter_map(|(holds, name)| holds.then_some(name))
    .collect();
    if flags.is_empty() { "healthy".to_owned() } else { flags }
}

/// `admin.v3.HostHealthStatus`.
fn health_status(host: &Host) -> Value {
    let standing = host.endpoint.standing();
    let health = if host.health == Health::Unknown { Health::Healthy } else { host.health };
    let mut status = Map::from_iter([("eds_health_status".to_owned(), health.name().into())]);
    let found = [
        ("failed_active_health_check", Verdict::FailedCheck),
        ("failed_outlier_check", Verdict::Ejected),
        ("failed_active_degraded_check", Verdict::DegradedByCheck),
        ("pending_dynamic_removal", Verdict::Leaving),
        ("pending_active_hc", Verdict::AwaitsCheck),
        ("excluded_via_immediate_hc_fail", Verdict::Excluded),
        ("active_hc_timeout", Verdict::CheckTimedOut),
    ];
    let held = found.into_iter().filter(|(_, verdict)| standing.has(*verdict));
    status.extend(held.map(|(name, _)| (name.to_owned(), true.into())));
    status.into()
}

/// `admin.v3.Clusters`.
pub(crate) fn as_json(clusters: &[ClusterView]) -> Reply {
    let statuses: Vec<Value> = clusters.iter().map(status).collect();
    reply::json(&json!({ "cluster_statuses": statuses }))
}

/// `admin.v3.ClusterStatus`. As everywhere in the JSON form of protobuf, defaults are left out.
fn status(view: &ClusterView) -> Value {
    let mut status = Map::new();
    status.insert("name".into(), json!(*view.name));
    if view.added_via_api {
        status.insert("added_via_api".into(), true.into());
    }
    let hosts: Vec<Value> = view.cluster.balancer.hosts().iter().map(host_status).collect();
    if !hosts.is_empty() {
        status.insert("host_statuses".into(), hosts.into());
    }
    status.insert("observability_name".into(), json!(*view.name));
    if let Some(service) = &view.eds_service_name {
        status.insert("eds_service_name".into(), json!(**service));
    }
    status.into()
}

/// `admin.v3.HostStatus`.
fn host_status(host: &Host) -> Value {
    let mut status = json!({
        "address": address(host),
        "stats": counters(host).map(metric),
        "health_status": health_status(host),
        "weight": host.weight,
        "locality": locality(host.locality.as_deref()),
    });
    if host.priority > 0 {
        status["priority"] = host.priority.into();
    }
    if let Some(rate) = host.endpoint.outcomes().success_rate() {
        status["success_rate"] = json!({ "value": rate });
    }
    status
}

/// `core.v3.Address`.
fn address(host: &Host) -> Value {
    let socket = |address: &SocketAddr| json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } });
    match host.endpoint.address() {
        EndpointAddress::Ip(address) => socket(address),
        EndpointAddress::Pipe(path) => json!({ "pipe": { "path": path } }),
        EndpointAddress::Name(_) => host.endpoint.ways().first().map_or(Value::Null, socket),
    }
}

/// `core.v3.Locality`.
fn locality(locality: Option<&Locality>) -> Value {
    let parts = locality.into_iter().flat_map(|locality| {
        [("region", &locality.region), ("zone", &locality.zone), ("sub_zone", &locality.sub_zone)]
    });
    let named = parts.filter(|(_, value)| !value.is_empty());
    Value::Object(named.map(|(name, value)| (name.to_owned(), json!(**value))).collect())
}
