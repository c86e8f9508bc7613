//! Which instances of which services are running.
//!
//! [`Registry`] is the built-in source: every sidecar keeps a stream open
//! ([`weft_proto::registry`]), says on it what it stands for, and is gone the moment the stream
//! ends. There is nothing to time out and nothing to clean up, because the transport already
//! tells a dead peer from a silent one.

mod registry;
mod service;
mod workload;

pub use registry::{Limits, Registered, Registry, Session};
pub use service::RegistryService;
pub use workload::{NotAnId, Phase, Refusal, Workload, WorkloadId};
