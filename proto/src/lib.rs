//! The protocol's vocabulary: Envoy's v3 API, the discovery messages, our registry.
//!
//! - [`pb`] holds every generated type of Envoy's API, e.g.
//!   `weft_proto::pb::envoy::config::cluster::v3::Cluster`.
//! - [`discovery`] holds the messages of the xDS transport, written by hand so that
//!   resources are [`bytes::Bytes`]: one buffer serves every subscriber.
//! - [`check`] says whether a resource is sound, and which of its fields we honour.
//! - [`json`] reads and writes any message of it as YAML or JSON.
//! - [`type_url`] names the types that travel in an `Any`.
//! - [`node_match`] says which nodes a question of CSDS is about.
//! - [`balancing`], [`hedging`], [`limits`] and [`mirroring`] hold messages that Envoy has none of.
//! - [`registry`] is how workloads announce themselves to our control plane.

pub mod admin;
pub mod balancing;
pub mod check;
pub mod discovery;
pub mod hedging;
pub mod json;
pub mod limits;
pub mod mirroring;
pub mod node_match;
pub mod registry;
mod schema;
pub mod type_url;
mod wire;

pub use envoy_types::pb;
