//! The typed mesh model: every value in it has been checked, on its own, against the schema.
//!
//! Serialising gives the canonical form of `spec`, with defaults left out.

pub mod adaptive;
pub(crate) mod balancing;
pub(crate) mod cors;
pub(crate) mod fault;
pub(crate) mod filter;
pub mod gateway;
pub(crate) mod global_limit;
pub mod grpc_route;
pub(crate) mod health;
pub mod hedging;
pub mod mirror;
pub(crate) mod outlier;
pub mod policy;
pub mod rate_limit;
pub(crate) mod request_match;
pub(crate) mod retry;
pub mod route;
pub mod service;
pub(crate) mod share;
pub(crate) mod spread;
pub mod stickiness;
pub mod stream_route;
pub mod workload;

use serde::Serialize;

use crate::document::{Document, Key, Kind};
use crate::reader::StringMap;

pub use gateway::Gateway;
pub use grpc_route::GrpcRoute;
pub use policy::{MeshConfig, TrafficPolicy};
pub use rate_limit::RateLimitPolicy;
pub use route::HttpRoute;
pub use service::{Service, Subset};
pub use stream_route::{TcpRoute, TlsRoute};
pub use workload::Workload;

/// Name, namespace, and what users attach for their own use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The name.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// Labels of the document (not those of endpoints).
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub labels: StringMap,
    /// When it was created, in UTC to the second: of routes that are otherwise equal the oldest
    /// decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// Notes for people and tools; Weft keeps them and reads none.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub annotations: StringMap,
}

impl Metadata {
    /// Namespace and name.
    pub fn key(&self) -> Key {
        Key::new(&self.namespace, &self.name)
    }
}

/// A kind of the model.
pub trait Resource: Serialize {
    /// Which one.
    const KIND: Kind;

    /// Its metadata.
    fn metadata(&self) -> &Metadata;

    /// The canonical document.
    fn document(&self) -> Document {
        let metadata = self.metadata();
        let json = serde_json::json!({
            "apiVersion": Self::KIND.api_version(),
            "kind": Self::KIND.as_str(),
            "metadata": metadata,
            "spec": self,
        });
        Document {
            api_version: Self::KIND.api_version().to_owned(),
            kind: Self::KIND.as_str().to_owned(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            json,
        }
    }
}
