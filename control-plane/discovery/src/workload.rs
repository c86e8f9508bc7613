//! A workload: parsed from what a sidecar says of itself.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use weft_proto::registry::{Phase as WirePhase, WorkloadState};

/// The namespace of a workload that does not name one.
const DEFAULT_NAMESPACE: &str = "default";
/// The longest name of a service, namespace, instance or zone, as in DNS.
const NAME_LENGTH: usize = 253;
/// The longest key or value of a label, and version.
const TEXT_LENGTH: usize = 1024;
/// How many labels a workload may have.
const LABELS: usize = 64;

/// What a workload is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId {
    /// The service's namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// Which instance of it.
    pub instance: String,
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.service, self.instance)
    }
}

/// Reads what [`Display`](fmt::Display) wrote.
impl FromStr for WorkloadId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut parts = text.splitn(3, '/').filter(|part| !part.is_empty()).map(str::to_owned);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some(service), Some(instance)) => {
                Ok(Self { namespace, service, instance })
            }
            _ => Err(NotAnId(text.to_owned())),
        }
    }
}

/// A text that does not name a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not namespace/service/instance")]
pub struct NotAnId(pub String);

/// One running instance of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What it is known by.
    pub id: WorkloadId,
    /// Where its sidecar takes requests for it.
    pub address: SocketAddr,
    /// What subsets select by.
    pub labels: BTreeMap<String, String>,
    /// Its failure domain, or empty.
    pub zone: String,
    /// The version of what registered it, or empty.
    pub version: String,
    /// Whether it takes new requests.
    pub phase: Phase,
}

/// A workload's stage of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Takes requests.
    Serving,
    /// Takes no requests for now: its application does not answer.
    Unhealthy,
    /// Finishes what it has.
    Draining,
}

impl Phase {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }
}

/// Why a workload was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A field that must be set is not.
    #[error(
        "{field} is empty\n  hint: a workload needs a service, an instance, an address and a phase"
    )]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field is longer than any real one.
    #[error("{field} is longer than {limit} bytes\n  hint: choose a shorter one")]
    TooLong {
        /// The field's name.
        field: &'static str,
        /// The most that is allowed.
        limit: usize,
    },
    /// More labels than any real workload has.
    #[error(
        "{count} labels are more than the {LABELS} that a workload may have\n  hint: keep those that subsets select by"
    )]
    TooManyLabels {
        /// How many there are.
        count: usize,
    },
    /// The address is none that peers could connect to.
    #[error(
        "address {address:?} is not an ip:port that peers can connect to\n  hint: give the sidecar's inbound address, for example 10.0.3.7:15006"
    )]
    Address {
        /// What was said.
        address: String,
    },
    /// One stream tried to speak for two workloads.
    #[error(
        "this stream registered {registered}, so it cannot register {other} too\n  hint: open a stream for each workload"
    )]
    OtherWorkload {
        /// The workload of the stream.
        registered: Box<WorkloadId>,
        /// The one it named now.
        other: Box<WorkloadId>,
    },
    /// The registry has no room.
    #[error(
        "the registry is full: it has {limit} workloads\n  hint: raise the control plane's limit if this is meant"
    )]
    Full {
        /// How many it may have.
        limit: usize,
    },
    /// Another stream registered the same workload since.
    #[error(
        "{id} was registered again by another stream\n  hint: give every instance an id of its own"
    )]
    Replaced {
        /// The workload.
        id: WorkloadId,
    },
}

impl TryFrom<WorkloadState> for Workload {
    type Error = Refusal;

    fn try_from(state: WorkloadState) -> Result<Self, Refusal> {
        let phase = match WirePhase::try_from(state.phase) {
            Ok(WirePhase::Serving) => Phase::Serving,
            Ok(WirePhase::Unhealthy) => Phase::Unhealthy,
            Ok(WirePhase::Draining) => Phase::Draining,
            Ok(WirePhase::Unspecified) | Err(_) => return Err(Refusal::Missing { field: "phase" }),
        };
        if state.labels.len() > LABELS {
            return Err(Refusal::TooManyLabels { count: state.labels.len() });
        }
        for (key, value) in &state.labels {
            within("labels", key, TEXT_LENGTH)?;
            within("labels", value, TEXT_LENGTH)?;
        }
        within("zone", &state.zone, NAME_LENGTH)?;
        within("version", &state.version, TEXT_LENGTH)?;
        let namespace =
            if state.namespace.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { state.namespace };
        Ok(Self {
            id: WorkloadId {
                namespace: name("namespace", namespace)?,
                service: name("service", state.service)?,
                instance: name("instance", state.instance)?,
            },
            address: address(&state.address)?,
            labels: state.labels.into_iter().collect(),
            zone: state.zone,
            version: state.version,
            phase,
        })
    }
}

fn name(field: &'static str, name: String) -> Result<String, Refusal> {
    if name.is_empty() {
        return Err(Refusal::Missing { field });
    }
    within(field, &name, NAME_LENGTH)?;
    Ok(name)
}

fn within(field: &'static str, text: &str, limit: usize) -> Result<(), Refusal> {
    if text.len() <= limit { Ok(()) } else { Err(Refusal::TooLong { field, limit }) }
}

fn address(text: &str) -> Result<SocketAddr, Refusal> {
    match text.parse::<SocketAddr>() {
        Ok(address)
            if address.port() != 0
                && !address.ip().is_unspecified()
                && !address.ip().is_multicast() =>
        {
            Ok(address)
        }
        _ => Err(Refusal::Address { address: text.chars().take(NAME_LENGTH).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> WorkloadState {
        WorkloadState {
            service: "catalog".into(),
            namespace: String::new(),
            instance: "catalog-1".into(),
            address: "127.0.0.1:15006".into(),
            labels: [("version".into(), "v1".into())].into(),
            zone: String::new(),
            version: String::new(),
            phase: WirePhase::Serving.into(),
        }
    }

    #[test]
    fn a_complete_state_is_a_workload() {
        let workload = Workload::try_from(state()).unwrap();
        assert_eq!(workload.id.to_string(), "default/catalog/catalog-1");
        assert_eq!(workload.phase, Phase::Serving);
        assert_eq!("default/catalog/catalog-1".parse(), Ok(workload.id));
        assert_eq!("a/b/c/d".parse::<WorkloadId>().unwrap().instance, "c/d");
        for bad in ["", "a/b", "a//c"] {
            assert_eq!(bad.parse::<WorkloadId>(), Err(NotAnId(bad.to_owned())));
        }
    }

    #[test]
    fn what_peers_could_not_connect_to_is_refused() {
        for bad in [
            "",
            "catalog:80",
            "127.0.0.1",
            "127.0.0.1:0",
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
            "1.2.3.4:99999",
        ] {
            let refused =
                Workload::try_from(WorkloadState { address: bad.into(), ..state() }).unwrap_err();
            assert_eq!(refused, Refusal::Address { address: bad.into() });
        }
    }

    #[test]
    fn every_field_is_bounded() {
        let long = "x".repeat(2000);
        let refused = [
            Workload::try_from(WorkloadState { service: long.clone(), ..state() }),
            Workload::try_from(WorkloadState { namespace: long.clone(), ..state() }),
            Workload::try_from(WorkloadState { instance: long.clone(), ..state() }),
            Workload::try_from(WorkloadState { zone: long.clone(), ..state() }),
            Workload::try_from(WorkloadState { version: long.clone(), ..state() }),
            Workload::try_from(WorkloadState {
                labels: [(long.clone(), String::new())].into(),
                ..state()
            }),
            Workload::try_from(WorkloadState { labels: [(String::new(), long)].into(), ..state() }),
        ];
        for refusal in refused {
            assert!(matches!(refusal, Err(Refusal::TooLong { .. })), "{refusal:?}");
        }
        let labels = (0..65).map(|n| (n.to_string(), String::new())).collect();
        let refused = Workload::try_from(WorkloadState { labels, ..state() }).unwrap_err();
        assert_eq!(refused, Refusal::TooManyLabels { count: 65 });
    }

    #[test]
    fn what_must_be_said_must_be_said() {
        let missing = |state| Workload::try_from(state).unwrap_err();
        assert_eq!(
            missing(WorkloadState { service: String::new(), ..state() }),
            Refusal::Missing { field: "service" }
        );
        assert_eq!(
            missing(WorkloadState { instance: String::new(), ..state() }),
            Refusal::Missing { field: "instance" }
        );
        assert_eq!(
            missing(WorkloadState { phase: 0, ..state() }),
            Refusal::Missing { field: "phase" }
        );
        assert_eq!(
            missing(WorkloadState { phase: 77, ..state() }),
            Refusal::Missing { field: "phase" }
        );
    }
}
