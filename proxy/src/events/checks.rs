//! What health checks have found, in the words of Envoy's `data.core.v3.HealthCheckEvent`.

use std::{fs::OpenOptions, io::Write as _, sync::Arc, time::SystemTime};

use serde_json::{Map, Value, json};
use weft_admin::EventView;
use weft_balance::{EndpointAddress, EndpointState, Verdict};
use weft_compile::{CheckQuestion, Cluster, HealthCheck};
use weft_health::{Answer, Change, Finding, Illness};

use super::address;

/// What there is to say of a check; mostly nothing.
pub(crate) fn of_check(finding: &Finding) -> Vec<EventView> {
    let Finding { cluster, endpoint, settings, answer, change, was_first, was_degraded } = finding;
    let has_failed = endpoint.standing().has(Verdict::FailedCheck);
    let mut events = Vec::new();
    let mut say = |name: &str, of: Value| {
        events.push(event(cluster, endpoint, settings, name, of));
    };
    match answer {
        Answer::Well { degraded, .. } => {
            if *change == Change::Changed && !has_failed && degraded == was_degraded {
                tracing::info!(%cluster, endpoint = address(endpoint), "an endpoint is well");
                say("add_healthy_event", json!({ "first_check": was_first }));
            } else if settings.log_successes {
                say("successful_health_check_event", json!({}));
            }
            match (was_degraded, degraded) {
                (false, true) => say("degraded_healthy_host", json!({})),
                (true, false) => say("no_longer_degraded_host", json!({})),
                _ => {}
            }
        }
        Answer::Ill { illness, .. } => {
            let why = illness.name();
            if *change == Change::Changed && !was_first {
                tracing::warn!(%cluster, endpoint = address(endpoint), why, "an endpoint is not well");
                say("eject_unhealthy_event", json!({ "failure_type": why }));
            }
            if *was_first || settings.log_failures {
                if *was_first {
                    tracing::warn!(%cluster, endpoint = address(endpoint), why, "an endpoint has failed its first check");
                }
                let failure = json!({ "failure_type": why, "first_check": was_first });
                say("health_check_failure_event", failure);
            }
        }
    }
    events
}

/// An endpoint has asked, with a response, to be left alone.
pub(crate) fn left_alone(
    cluster: &Cluster,
    endpoint: &EndpointState,
    settings: &HealthCheck,
) -> EventView {
    tracing::warn!(cluster = %cluster.name, endpoint = address(endpoint), "an endpoint asks to be left alone");
    let of = json!({ "failure_type": Illness::Passive.name() });
    event(&cluster.name, endpoint, settings, "eject_unhealthy_event", of)
}

fn event(
    cluster: &str,
    endpoint: &EndpointState,
    settings: &HealthCheck,
    name: &str,
    of: Value,
) -> EventView {
    let kind = match settings.question {
        CheckQuestion::Http(_) => "HTTP",
        CheckQuestion::Grpc(_) => "GRPC",
        CheckQuestion::Tcp(_) => "TCP",
    };
    let host = match endpoint.address() {
        EndpointAddress::Ip(ip) => json!({
            "socket_address": { "address": ip.ip(), "port_value": ip.port() }
        }),
        EndpointAddress::Pipe(path) => json!({ "pipe": { "path": path } }),
        EndpointAddress::Name(name) => json!({ "socket_address": { "address": **name } }),
    };
    let fields = Map::from_iter([
        ("health_checker_type".to_owned(), kind.into()),
        ("host".to_owned(), host),
        ("cluster_name".to_owned(), cluster.into()),
        (name.to_owned(), of),
    ]);
    EventView { at: SystemTime::now(), fields }
}

/// Appends an event to files. They are opened each time: events are rare, and whoever rotates the
/// files needs to tell nobody.
pub(crate) fn write<'a>(paths: impl IntoIterator<Item = &'a Arc<str>>, event: &EventView) {
    for path in paths {
        let line = format!("{}\n", weft_admin::event_json(event.clone()));
        let opened = OpenOptions::new().create(true).append(true).open(&**path);
        if let Err(error) = opened.and_then(|mut file| file.write_all(line.as_bytes())) {
            tracing::warn!(%path, %error, "an event cannot be written");
        }
    }
}
