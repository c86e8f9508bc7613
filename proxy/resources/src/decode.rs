//! The way in: bytes of a known type.

use std::fmt;

use prost::Message;
use weft_proto::{
    check::{Finding, Verdict, check},
    pb::envoy::config::{
        cluster::v3 as cluster_wire, endpoint::v3 as endpoint_wire, listener::v3 as listener_wire,
        route::v3 as route_wire,
    },
    type_url,
};

use crate::{
    assignment::{self, Assignment},
    cluster::{self, Cluster},
    listener::{self, Listener},
    path::At,
    problem::{Notes, Problem, Reason, Warning},
    route_config::{self, RouteConfiguration},
};

/// The types of resources a proxy is configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    /// CDS.
    Cluster,
    /// EDS.
    Assignment,
    /// LDS.
    Listener,
    /// RDS.
    RouteConfiguration,
}

impl ResourceType {
    /// All of them, in the order in which they are applied so that nothing refers to what is not
    /// there yet.
    pub const ALL: [Self; 4] =
        [Self::Cluster, Self::Assignment, Self::Listener, Self::RouteConfiguration];

    /// Its name on the wire.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => type_url::CLUSTER,
            Self::Assignment => type_url::CLUSTER_LOAD_ASSIGNMENT,
            Self::Listener => type_url::LISTENER,
            Self::RouteConfiguration => type_url::ROUTE_CONFIGURATION,
        }
    }

    /// The type of this name.
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// The message's name without its package, as people say it.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Assignment => "ClusterLoadAssignment",
            Self::Listener => "Listener",
            Self::RouteConfiguration => "RouteConfiguration",
        }
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_name())
    }
}

/// A resource that was read, with what there is to say about it.
#[derive(Debug)]
pub struct Decoded<T> {
    /// The resource.
    pub resource: T,
    /// What is set and not followed.
    pub warnings: Vec<Warning>,
}

/// A type that [`decode`] yields.
pub trait Resource: sealed::Read {
    /// What it is on the wire.
    const TYPE: ResourceType;

    /// Its name, which identifies it among those of its type.
    fn name(&self) -> &str;
}

mod sealed {
    use prost::Message;

    use crate::{path::At, problem::Notes};

    /// Reading the decoded message. Out of reach for other crates: messages stay in here.
    pub trait Read: Sized {
        type Wire: Message + Default;

        #[expect(private_interfaces, reason = "the trait cannot be named outside this crate")]
        fn read(message: &Self::Wire, at: &At<'_>, notes: &mut Notes) -> Option<Self>;
    }
}

/// Reads a resource.
///
/// # Errors
/// All reasons why it is refused, at least one.
pub fn decode<T: Resource>(bytes: &[u8]) -> Result<Decoded<T>, Vec<Reason>> {
    let root = At::root();
    let mut found = structure(T::TYPE, bytes);
    let mut notes = Notes::default();
    let resource = match T::Wire::decode(bytes) {
        Ok(message) => T::read(&message, &root, &mut notes),
        Err(error) => notes.refuse(&root, Problem::Undecodable(error.to_string())),
    };
    // The structural check sees more; what it said of a field is not said twice.
    notes.reasons.retain(|reason| found.reasons.iter().all(|known| known.path != reason.path));
    found.reasons.append(&mut notes.reasons);
    notes.warnings.retain(|warning| found.warnings.iter().all(|known| known.path != warning.path));
    found.warnings.append(&mut notes.warnings);
    match resource {
        Some(resource) if found.reasons.is_empty() => {
            Ok(Decoded { resource, warnings: found.warnings })
        }
        _ => Err(found.reasons),
    }
}

/// Checks the bytes against the rules of the API and the table of what is honoured.
fn structure(kind: ResourceType, bytes: &[u8]) -> Notes {
    let mut notes = Notes::default();
    for Finding { path, verdict, reason } in check(kind.type_url(), bytes) {
        match verdict {
            Verdict::Nack => notes.reasons.push(Reason { path, problem: Problem::Refused(reason) }),
            Verdict::Warn => notes.warnings.push(Warning { path, text: reason }),
            Verdict::Honour | Verdict::Noop => {}
        }
    }
    notes
}

impl Resource for Cluster {
    const TYPE: ResourceType = ResourceType::Cluster;

    fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl Resource for Assignment {
    const TYPE: ResourceType = ResourceType::Assignment;

    fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl Resource for Listener {
    const TYPE: ResourceType = ResourceType::Listener;

    fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl Resource for RouteConfiguration {
    const TYPE: ResourceType = ResourceType::RouteConfiguration;

    fn name(&self) -> &str {
        self.name.as_str()
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl sealed::Read for Cluster {
    type Wire = cluster_wire::Cluster;

    fn read(message: &Self::Wire, at: &At<'_>, notes: &mut Notes) -> Option<Self> {
        cluster::read(message, at, notes)
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl sealed::Read for Assignment {
    type Wire = endpoint_wire::ClusterLoadAssignment;

    fn read(message: &Self::Wire, at: &At<'_>, notes: &mut Notes) -> Option<Self> {
        assignment::read(message, at, notes)
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl sealed::Read for Listener {
    type Wire = listener_wire::Listener;

    fn read(message: &Self::Wire, at: &At<'_>, notes: &mut Notes) -> Option<Self> {
        listener::read(message, at, notes)
    }
}

#[expect(private_interfaces, reason = "as in the trait")]
impl sealed::Read for RouteConfiguration {
    type Wire = route_wire::RouteConfiguration;

    fn read(message: &Self::Wire, at: &At<'_>, notes: &mut Notes) -> Option<Self> {
        route_config::read(message, at, notes)
    }
}
