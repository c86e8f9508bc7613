//! The ADS server: nodes connect, say who they are, and are kept up to date.
//!
//! A [`Source`] knows what each node is to have; [`Translated`] is the one that translates a mesh.
//! Whatever it offers has passed the proxy's own compile step ([`Vetted`]), so that a resource
//! which proxies would refuse never leaves: its last good version stays, and [`Withheld`] says why.
//! The protocol is `weft-xds`; here are its streams ([`Discovery`]) and the [`Ledger`] of what
//! every node was sent, accepted and refused.
//!
//! Every stream keeps the newest offer and nothing else, and encodes what it sends while it leaves:
//! a client that does not read holds up nobody but itself, and not for ever.

mod conversation;
mod csds;
mod leash;
mod ledger;
mod memory;
mod method;
mod replies;
mod requests;
mod serve;
mod service;
mod source;
mod translated;
mod vetted;
mod view;

pub use ledger::Ledger;
pub use serve::{Limits, serve};
pub use service::Discovery;
pub use source::{Offer, Refused, Source};
pub use translated::Translated;
pub use vetted::{Vetted, Withheld};
pub use view::{NodeView, Quarantined, RefusedView, Stamp, TypeView};
