//! `Service`: what callers dial, and where it runs. `Subset`: some of it, by label.

use std::net::SocketAddr;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{Metadata, Resource};
use crate::document::{Key, Kind};
use crate::reader::StringMap;

/// Something that callers dial by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// What callers dial, at least one, each number and name once.
    pub ports: Vec<ServicePort>,
    /// Names it is dialled by besides its own, from every namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Where the endpoints come from; they are merged. `Dns` is always alone.
    pub endpoints: Vec<EndpointSource>,
    /// The Services that its own sidecars can call; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Vec<Dependency>>,
}

/// A Service that another one calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// Its namespace; that of the caller without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Dependency {
    /// Namespace and name, for a caller in `namespace`.
    pub fn key(&self, namespace: &str) -> Key {
        Key::new(self.namespace.as_deref().unwrap_or(namespace), &self.name)
    }
}

/// A port that callers dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServicePort {
    /// The number callers dial.
    pub port: u16,
    /// A name for references (`sectionName`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Where a caller's sidecar listens for it, for callers that name no destination to their
    /// sidecar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 without TLS.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// Bytes.
    Tcp,
    /// TLS that is not taken off: bytes that begin with the name of a server.
    Tls,
}

impl Protocol {
    /// Whether HTTP rules can apply to it.
    pub fn is_http(self) -> bool {
        !matches!(self, Self::Tcp | Self::Tls)
    }

    /// Whether it runs over HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }
}

/// Where endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointSource {
    /// Sidecars that registered for the Service.
    Registered,
    /// Addresses written down.
    Static(Vec<StaticEndpoint>),
    /// Whatever addresses a name has.
    Dns(DnsEndpoint),
}

/// Endpoints found by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsEndpoint {
    /// The name to look up.
    pub host: String,
    /// Their port; the one dialled without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Serialize for EndpointSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Registered => map.serialize_entry("registered", &StringMap::new())?,
            Self::Static(endpoints) => map.serialize_entry("static", endpoints)?,
            Self::Dns(name) => map.serialize_entry("dns", name)?,
        }
        map.end()
    }
}

/// An endpoint written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StaticEndpoint {
    /// IP address and port.
    pub address: SocketAddr,
    /// The Service port it serves; all of them without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Labels that Subsets select by.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub labels: StringMap,
    /// The zone it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its share of requests relative to its neighbours; 1 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

impl Service {
    /// The port of that number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.port == number)
    }

    /// The port that a name without a number means: 80, or the first that speaks HTTP.
    pub fn default_http_port(&self) -> Option<&ServicePort> {
        let mut http = self.ports.iter().filter(|port| port.protocol.is_http());
        http.clone().find(|port| port.port == 80).or_else(|| http.next())
    }

    /// Whether sidecars that register for it become endpoints.
    pub fn takes_registrations(&self) -> bool {
        self.endpoints.contains(&EndpointSource::Registered)
    }

    /// The name by which all its endpoints are found, if they are found so.
    pub fn dns(&self) -> Option<&DnsEndpoint> {
        self.endpoints.iter().find_map(|source| match source {
            EndpointSource::Dns(name) => Some(name),
            EndpointSource::Registered | EndpointSource::Static(_) => None,
        })
    }

    /// The endpoints written down.
    pub fn static_endpoints(&self) -> impl Iterator<Item = &StaticEndpoint> {
        self.endpoints.iter().flat_map(|source| match source {
            EndpointSource::Static(endpoints) => endpoints.as_slice(),
            EndpointSource::Registered | EndpointSource::Dns(_) => &[],
        })
    }
}

impl Resource for Service {
    const KIND: Kind = Kind::Service;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// The endpoints of a Service that carry all of some labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subset {
    /// Name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// The Service, in the same namespace.
    pub service: String,
    /// Labels that an endpoint must carry, at least one.
    pub labels: StringMap,
}

impl Subset {
    /// Whether an endpoint with these labels belongs to it.
    pub fn selects(&self, labels: &StringMap) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

impl Resource for Subset {
    const KIND: Kind = Kind::Subset;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}
