//! Which endpoints are well: by what requests tell of them (outlier detection).
//!
//! What is decided here is decided off the request path, once for all workers. Verdicts are set on
//! [`EndpointState`], and the balancers that are made from then on go by them.
//!
//! [`EndpointState`]: weft_balance::EndpointState

mod detector;
mod ejection;
mod statistics;

pub use detector::{Detector, Event, EventKind};
pub use ejection::{Reason, Sparing};
