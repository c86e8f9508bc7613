//! `Gateway` of Gateway API v1: where requests and connections come in from outside of the mesh.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{Metadata, Resource};
use crate::document::Kind;

/// Listeners that a proxy started as this gateway has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// The one class there is.
    pub gateway_class_name: GatewayClass,
    /// The addresses it listens on, each once; every IPv4 address of the host without any.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "addresses")]
    pub addresses: Vec<IpAddr>,
    /// What it listens for, at least one, each name once.
    pub listeners: Vec<GatewayListener>,
}

/// Who runs a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GatewayClass {
    /// `weft-proxy --gateway`, or another proxy that the control plane configures.
    Weft,
}

impl Gateway {
    /// Where a port of it is listened on.
    pub fn sockets(&self, port: u16) -> impl Iterator<Item = SocketAddr> {
        let everywhere = self.addresses.is_empty().then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        everywhere
            .into_iter()
            .chain(self.addresses.iter().copied())
            .map(move |address| SocketAddr::new(address, port))
    }

    /// The listener of that name.
    pub fn listener(&self, name: &str) -> Option<&GatewayListener> {
        self.listeners.iter().find(|listener| listener.name == name)
    }
}

impl Resource for Gateway {
    const KIND: Kind = Kind::Gateway;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// Something a gateway listens for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayListener {
    /// A name for references (`sectionName`).
    pub name: String,
    /// The number clients connect to. Listeners that share it have the same protocol, which has
    /// names, and different host names.
    pub port: u16,
    /// What is spoken on it.
    pub protocol: ListenerProtocol,
    /// Only for these host names; `*.` in front stands for any number of labels. Never with TCP.
    pub hostname: Option<String>,
    /// Whose routes may be attached.
    pub routes_from: RouteNamespaces,
}

/// What a listener of a gateway speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ListenerProtocol {
    /// HTTP/1.1, and HTTP/2 without TLS.
    Http,
    /// Bytes.
    Tcp,
    /// TLS that is not taken off: bytes that begin with the name of a server.
    Tls,
}

impl ListenerProtocol {
    /// The kinds of routes that can be attached.
    pub fn route_kinds(self) -> &'static [Kind] {
        match self {
            Self::Http => &[Kind::HttpRoute, Kind::GrpcRoute],
            Self::Tcp => &[Kind::TcpRoute],
            Self::Tls => &[Kind::TlsRoute],
        }
    }
}

/// Whose routes may be attached to a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum RouteNamespaces {
    /// Those of the gateway's own namespace.
    #[default]
    Same,
    /// Everybody's.
    All,
}

impl Serialize for GatewayListener {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = json!({"name": self.name, "port": self.port, "protocol": self.protocol});
        if let Some(hostname) = &self.hostname {
            value["hostname"] = json!(hostname);
        }
        if self.protocol == ListenerProtocol::Tls {
            value["tls"] = json!({"mode": "Passthrough"});
        }
        if self.routes_from != RouteNamespaces::default() {
            value["allowedRoutes"] = json!({"namespaces": {"from": self.routes_from}});
        }
        value.serialize(serializer)
    }
}

fn addresses<S: Serializer>(addresses: &[IpAddr], serializer: S) -> Result<S::Ok, S::Error> {
    let list: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"type": "IPAddress", "value": address.to_string()}))
        .collect();
    list.serialize(serializer)
}
