//! The messages of the xDS transport (`envoy.service.discovery.v3`).
//!
//! They are wire compatible with the generated ones and differ in two ways. What a
//! message carries is [`Bytes`], so a resource that a thousand proxies subscribe to
//! is encoded once and shared. And the fields of dynamic parameters (xDS TP2) and of
//! `Resource.metadata` are absent: no peer of ours uses them, and a decoder skips them.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Name;

pub use crate::pb::envoy::config::core::v3::{ControlPlane, Node};
pub use crate::pb::google::protobuf::Duration;

/// `google.protobuf.Any`: an encoded message and the name of its type.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Any {
    /// Names the type, see [`crate::type_url`].
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The encoded message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

impl Any {
    /// Encodes `message` under its own name.
    #[must_use]
    pub fn pack<M: Name>(message: &M) -> Self {
        Self { type_url: M::type_url(), value: message.encode_to_vec().into() }
    }

    /// Decodes the message if it is an `M`.
    ///
    /// # Errors
    ///
    /// When the type is another one, or the bytes are not an encoded `M`.
    pub fn unpack<M: Name + Default>(&self) -> Result<M, UnpackError> {
        if crate::type_url::message_name(&self.type_url) != M::full_name() {
            return Err(UnpackError::Type { found: self.type_url.clone(), wanted: M::full_name() });
        }
        Ok(M::decode(self.value.clone())?)
    }
}

/// Why an [`Any`] did not yield the message asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UnpackError {
    /// It holds another type.
    #[error("an Any holds `{found}` where `{wanted}` is expected")]
    Type {
        /// The type URL found.
        found: String,
        /// The full name of the type wanted.
        wanted: String,
    },
    /// It holds that type by name, and bytes that are not one.
    #[error("malformed message in an Any: {0}")]
    Malformed(#[from] prost::DecodeError),
}

/// `google.rpc.Status`: why a peer refuses.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Status {
    /// A `google.rpc.Code`.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What went wrong, for people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// What went wrong, for programs.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// A request of state-of-the-world xDS; also its ACK or NACK.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryRequest {
    /// The last version accepted; empty when there is none.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// Who asks. Later requests of a stream may omit it.
    #[prost(message, optional, tag = "2")]
    pub node: Option<Node>,
    /// All the names subscribed to. None at all means all resources, for a type
    /// that never named any.
    #[prost(string, repeated, tag = "3")]
    pub resource_names: Vec<String>,
    /// The type asked for.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// The nonce of the response that this answers; empty in the first request.
    #[prost(string, tag = "5")]
    pub response_nonce: String,
    /// Present in a NACK: why the response was refused.
    #[prost(message, optional, tag = "6")]
    pub error_detail: Option<Status>,
}

/// A response of state-of-the-world xDS.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryResponse {
    /// The version of this set of resources.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// The resources, each plain or wrapped in a [`Resource`].
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Any>,
    /// Deprecated; nothing reads it.
    #[prost(bool, tag = "3")]
    pub canary: bool,
    /// The type of the resources.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Identifies this response in the request that answers it.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Who answers.
    #[prost(message, optional, tag = "6")]
    pub control_plane: Option<ControlPlane>,
    /// Names that cannot be served, and why (xDS TP3).
    #[prost(message, repeated, tag = "7")]
    pub resource_errors: Vec<ResourceError>,
}

/// A request of incremental xDS; also its ACK or NACK.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaDiscoveryRequest {
    /// Who asks. Later requests of a stream may omit it.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// The type asked for.
    #[prost(string, tag = "2")]
    pub type_url: String,
    /// Names to add to the subscription; `*` for all.
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    /// Names to take from the subscription.
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    /// First request of a stream: what the client still holds, name to version.
    #[prost(map = "string, string", tag = "5")]
    pub initial_resource_versions: HashMap<String, String>,
    /// The nonce of the response that this answers; else empty.
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    /// Present in a NACK: why the response was refused.
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<Status>,
}

/// A response of incremental xDS.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaDiscoveryResponse {
    /// A version of the whole, for people.
    #[prost(string, tag = "1")]
    pub system_version_info: String,
    /// What is new or changed.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Resource>,
    /// The type of the resources.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Identifies this response in the request that answers it.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// What is gone, or never was.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
    /// Who answers.
    #[prost(message, optional, tag = "7")]
    pub control_plane: Option<ControlPlane>,
    /// What is gone, named as a server of dynamic parameters does.
    #[prost(message, repeated, tag = "8")]
    pub removed_resource_names: Vec<ResourceName>,
    /// Names that cannot be served, and why (xDS TP3).
    #[prost(message, repeated, tag = "9")]
    pub resource_errors: Vec<ResourceError>,
}

/// A resource with its name and version.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    /// The version of this resource alone.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The resource. Absent in an answer that only refreshes the `ttl`.
    #[prost(message, optional, tag = "2")]
    pub resource: Option<Any>,
    /// The name it is subscribed to by.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Other names of it.
    #[prost(string, repeated, tag = "4")]
    pub aliases: Vec<String>,
    /// How long it lives unless refreshed.
    #[prost(message, optional, tag = "6")]
    pub ttl: Option<Duration>,
    /// What a caching proxy between client and server may do.
    #[prost(message, optional, tag = "7")]
    pub cache_control: Option<CacheControl>,
    /// The name, as a server of dynamic parameters gives it instead of `name`.
    #[prost(message, optional, tag = "8")]
    pub resource_name: Option<ResourceName>,
}

impl Name for Resource {
    const NAME: &'static str = "Resource";
    const PACKAGE: &'static str = "envoy.service.discovery.v3";

    fn type_url() -> String {
        format!("{}{}", crate::type_url::PREFIX, Self::full_name())
    }
}

/// What a caching proxy between client and server may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct CacheControl {
    /// Pass the resource on and keep no copy.
    #[prost(bool, tag = "1")]
    pub do_not_cache: bool,
}

/// The name of a resource, without its dynamic parameters.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ResourceName {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Why one resource cannot be served (xDS TP3).
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ResourceError {
    /// Which resource.
    #[prost(message, optional, tag = "1")]
    pub resource_name: Option<ResourceName>,
    /// Why.
    #[prost(message, optional, tag = "2")]
    pub error_detail: Option<Status>,
}

#[cfg(test)]
mod tests;
