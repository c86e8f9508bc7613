//! The request path: from an accepted connection to an upstream and back.
//!
//! A request's way, in the order of the code:
//!
//! 1. [`Worker::serve`] accepts on one thread and finds the listener's chain ([`worker`]).
//! 2. A connection is told apart by its first bytes and driven by hyper ([`connection`]).
//! 3. Each request pins one `Tables`, is matched and acted upon ([`request`]).
//! 4. Forwarding picks an endpoint, tries elsewhere what was provably not processed ([`forward`]), and
//!    exchanges messages on a connection of this worker's pool ([`upstream`]).
//! 5. The response streams back through a body that counts, times and returns the connection
//!    ([`body`]).
//!
//! Everything is local to one worker thread: pools need no lock, and no future is boxed per layer.

mod body;
mod connection;
mod fault;
mod forward;
mod headers;
mod local_reply;
mod phase;
mod record;
mod redirect;
mod request;
mod tcp;
mod upstream;
mod worker;

pub use fault::{Fault, Processed};
pub use phase::Phase;
pub use worker::{Load, Worker, WorkerOptions};
