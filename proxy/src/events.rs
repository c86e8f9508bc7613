//! What has happened to endpoints, for people: in the log, and the last of it in memory.

mod checks;

use std::{collections::VecDeque, time::SystemTime};

use serde_json::{Map, Value, json};
use weft_admin::EventView;
use weft_balance::{EndpointAddress, EndpointState};
use weft_health::{Event, EventKind, Reason, Sparing};

pub(crate) use checks::{left_alone, of_check, write};

/// How many are kept.
const KEPT: usize = 256;

/// The newest events.
#[derive(Default)]
pub(crate) struct Events(VecDeque<EventView>);

impl Events {
    pub(crate) fn newest_last(&self) -> impl Iterator<Item = &EventView> {
        self.0.iter()
    }

    pub(crate) fn keep(&mut self, event: EventView) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }
}

/// An address as people write it.
pub(crate) fn address(endpoint: &EndpointState) -> String {
    match endpoint.address() {
        EndpointAddress::Ip(address) => address.to_string(),
        EndpointAddress::Pipe(path) => path.display().to_string(),
        EndpointAddress::Name(name) => name.to_string(),
    }
}

/// Says in the log what outlier detection has decided.
pub(crate) fn log(cluster: &str, event: &Event) {
    let endpoint = address(&event.endpoint);
    let why = |reason: &Reason| match *reason {
        Reason::Run(_) => reason.name().to_owned(),
        Reason::SuccessRate { rate, average, threshold, .. } => format!(
            "{}: {rate:.1} % succeed, on average {average:.1} %; below {threshold:.1} % is an outlier",
            reason.name()
        ),
        Reason::FailurePercentage { rate, .. } => {
            format!("{}: {:.1} % fail", reason.name(), 100.0 - rate)
        }
    };
    match &event.kind {
        EventKind::Ejected { reason, enforced: true } => {
            tracing::warn!(cluster, endpoint, reason = why(reason), "ejected an endpoint");
        }
        EventKind::Ejected { reason, enforced: false } => {
            tracing::info!(cluster, endpoint, reason = why(reason), "an outlier, but not enforced");
        }
        EventKind::Spared { reason, sparing } => {
            let spared = match sparing {
                Sparing::Share => "too many are ejected already",
                Sparing::LastHost => "it is the last one that takes requests",
            };
            tracing::warn!(cluster, endpoint, reason = why(reason), spared, "an outlier stays");
        }
        EventKind::Returned => tracing::info!(cluster, endpoint, "an endpoint is back"),
    }
}

/// `data.cluster.v3.OutlierDetectionEvent`; an outlier that stays has the action `SPARE`, which Envoy
/// has not.
pub(crate) fn outlier(cluster: &str, event: &Event, at: SystemTime) -> EventView {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    set("cluster_name", cluster.into());
    set("upstream_url", address(&event.endpoint).into());
    set("num_ejections", event.ejections.into());
    if let Some(since) = event.since_last {
        set("secs_since_last_action", since.as_secs().to_string().into());
    }
    let reason = match &event.kind {
        EventKind::Ejected { reason, enforced } => {
            set("action", "EJECT".into());
            set("enforced", (*enforced).into());
            Some(reason)
        }
        EventKind::Spared { reason, sparing } => {
            set("action", "SPARE".into());
            let because = match sparing {
                Sparing::Share => "max_ejection_percent",
                Sparing::LastHost => "last_host",
            };
            set("spared_because", because.into());
            Some(reason)
        }
        EventKind::Returned => {
            set("action", "UNEJECT".into());
            None
        }
    };
    if let Some(reason) = reason {
        set("type", reason.name().into());
        let (name, description) = describe(reason);
        set(name, description);
    }
    EventView { at, fields }
}

fn describe(reason: &Reason) -> (&'static str, Value) {
    match reason {
        Reason::Run(_) => ("eject_consecutive_event", json!({})),
        Reason::SuccessRate { rate, average, threshold, .. } => (
            "eject_success_rate_event",
            json!({
                "host_success_rate": whole(*rate),
                "cluster_average_success_rate": whole(*average),
                "cluster_success_rate_ejection_threshold": whole(*threshold),
            }),
        ),
        Reason::FailurePercentage { rate, .. } => {
            ("eject_failure_percentage_event", json!({ "host_success_rate": whole(*rate) }))
        }
    }
}

/// The messages have whole percents.
fn whole(percent: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
    let whole = percent.clamp(0.0, 100.0) as u32;
    whole
}
