//! The control plane under many proxies.
//!
//! `weft-control-plane` runs as a process on one core. On another, one thread plays all proxies:
//! each has a TCP connection of its own and speaks ADS over HTTP/2 on it, subscribes to whatever
//! it is told of, and acknowledges at once. The workloads that the endpoints stand for are
//! registered over streams of other connections; taking one away and bringing it back is what
//! every proxy has to hear of.

mod call;
mod plane;
mod proxy;
mod registrar;
pub mod report;
mod run;
mod swarm;

pub use proxy::Variant;
pub use run::{Outcome, Plan, run};
