//! Which endpoints are well: by what requests tell of them (outlier detection), and by asking them
//! (health checks).
//!
//! What is decided here is decided off the request path, once for all workers. Verdicts are set on
//! [`EndpointState`], and the balancers that are made from then on go by them. [`Detector`] and
//! [`Course`] decide; they have no clock and no randomness of their own. [`Checker`] asks.
//!
//! [`EndpointState`]: weft_balance::EndpointState

mod checker;
mod course;
mod detector;
mod ejection;
mod probe;
mod ramp;
mod statistics;

pub use checker::{Checker, Finding};
pub use course::{Answer, Change, Course, Illness};
pub use detector::{Detector, Event, EventKind};
pub use ejection::{Reason, Sparing};
pub use ramp::{Progress, Ramp};
