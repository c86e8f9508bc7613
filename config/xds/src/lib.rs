//! The ADS protocol, both sides, as state machines.
//!
//! [`server::Stream`] is one stream that a client opened to us; [`client::Client`] is our side of
//! one conversation with any xDS server, over as many streams as it takes. Both speak
//! state-of-the-world and delta xDS. They do no IO and have no clock and no randomness: a caller
//! feeds [`step`](server::Stream::step) with events and the time, and carries out the actions that
//! come back. So every interleaving that a network can produce can be produced in a test.
//!
//! The rules follow Envoy's `xds_protocol` specification and, where peers differ from it, what the
//! peers do: Envoy 1.40, gRPC, istiod, go-control-plane.

pub mod client;
mod message;
mod outline;
mod resource_type;
pub mod server;
mod snapshot;

pub use message::{Mode, Request, Response};
pub use outline::{Name, name_of};
pub use resource_type::{PerType, ResourceType};
pub use snapshot::{Resource, Resources, Snapshot, Version};
