//! `/clusters`.
//!
//! Envoy's lines and fields, as far as the proxy knows: counters that it keeps for a cluster but
//! not for each of its endpoints are left out rather than shown as zero.

use std::{fmt::Write as _, net::SocketAddr};

use regex::Regex;
use serde_json::{Map, Value, json};
use weft_balance::{EndpointAddress, Health, Host, Locality};
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
    let facts: [(&str, &dyn std::fmt::Display); 7] = [
        ("rq_active", &host.endpoint.active_requests()),
        ("health_flags", &health_flags(host.health)),
        ("weight", &host.weight),
        ("region", &locality.region),
        ("zone", &locality.zone),
        ("sub_zone", &locality.sub_zone),
        ("priority", &host.priority),
    ];
    for (fact, value) in facts {
        let _ = writeln!(out, "{cluster}::{address}::{fact}::{value}");
    }
}

/// As Envoy names them.
fn health_flags(health: Health) -> &'static str {
    match health {
        Health::Unknown | Health::Healthy => "healthy",
        Health::Unhealthy | Health::Timeout => "/failed_eds_health",
        Health::Draining => "/eds_status_draining",
        Health::Degraded => "/degraded_eds_health",
    }
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
    let mut active = json!({ "type": "GAUGE", "name": "rq_active" });
    if let requests @ 1.. = host.endpoint.active_requests() {
        active["value"] = requests.to_string().into();
    }
    let health = if host.health == Health::Unknown { Health::Healthy } else { host.health };
    let mut status = json!({
        "address": address(host),
        "stats": [active],
        "health_status": { "eds_health_status": health.name() },
        "weight": host.weight,
        "locality": locality(host.locality.as_deref()),
    });
    if host.priority > 0 {
        status["priority"] = host.priority.into();
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
