//! The control plane: mesh documents and registrations in, xDS out.
//!
//! [`ControlPlane`] wires the parts together; [`cli`] is its command line. Everything that has an
//! idea of its own lives in a crate of its own: documents in `weft-control-admin`, what runs in
//! `weft-discovery`, the meaning of it in `weft-translate`, the protocol in `weft-serve`.

pub mod cli;
pub mod explain;
mod folder;
mod memory;
mod plane;
mod preview;
mod proxies;
mod settings;
mod socket;
mod world;

pub use plane::{ControlPlane, Failed, StartError};
pub use settings::Settings;
