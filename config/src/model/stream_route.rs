//! `TCPRoute` and `TLSRoute` of Gateway API, with a Service (GAMMA) or a Gateway as parent.

use serde::Serialize;

use super::route::{BackendRef, ParentRef};
use super::{Metadata, Resource};
use crate::document::Kind;

/// Where connections to a tcp port of a Service go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpRoute {
    /// Name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// What it decides for, at least one.
    pub parent_refs: Vec<ParentRef>,
    /// The one rule: a connection has nothing that several could be told apart by.
    pub rules: [StreamRule; 1],
}

impl Resource for TcpRoute {
    const KIND: Kind = Kind::TcpRoute;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// Where connections to a tls port of a Service go, by the server name that they begin with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsRoute {
    /// Name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// What it decides for, at least one.
    pub parent_refs: Vec<ParentRef>,
    /// Server names it answers to, at least one.
    pub hostnames: Vec<String>,
    /// The one rule.
    pub rules: [StreamRule; 1],
}

impl Resource for TlsRoute {
    const KIND: Kind = Kind::TlsRoute;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// What to do with connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRule {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where to, at least one, not all with the weight 0.
    pub backend_refs: Vec<BackendRef>,
}
