//! The mesh, and what runs in it, as seen by one node → xDS resources.
//!
//! Pure and deterministic: the same mesh, workloads and node always give the same bytes, and so
//! the same versions, in every process. There are two dialects of one intent, chosen by who asks
//! (see [`Dialect`]).
//!
//! [`translate`] is the whole function. [`Translator`] is the same one with a memory: after a
//! change it rebuilds what the change touches and keeps the rest, byte for byte the same
//! allocation.
//!
//! Timeouts: a rule's own wins; without one a stream may live as long as it likes, but to an `http`
//! port not in silence for more than five minutes. A caller's `grpc-timeout` holds everywhere, and
//! what one sidecar has left of the time is all that the next one has. What is tried again is for the rule to say as a
//! whole; without a word of it there, the policy of the Service that is dialled holds.

mod adaptive;
mod balancing;
mod cluster;
mod cors;
mod egress;
mod encoded;
mod endpoint;
mod fault;
mod gateway;
mod global_limit;
mod grpc;
mod health;
mod hedging;
mod listener;
mod mirroring;
mod node;
mod path;
mod priority;
mod rate_limit;
mod request_match;
mod resources;
mod retry;
mod route;
mod rule;
mod stable;
mod stickiness;
mod translator;
mod treatment;
mod view;
mod virtual_host;
mod wire;
mod workloads;

pub use node::{Dialect, Inbound, Node, NodeError};
pub use resources::{Collection, Note, Resource, Resources};
pub use translator::{Translator, translate};
pub use workloads::{Instance, Workloads};

/// Names that resources have. They appear in dumps, metrics and logs.
pub mod names {
    pub use crate::cluster::{PEERS, cluster_name, subset_cluster_name};
    pub use crate::listener::{INBOUND, OUTBOUND};
}
