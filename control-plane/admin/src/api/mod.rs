//! What the admin API says. REST says it as JSON; the command line reads the same types, and
//! gRPC has a message for each.

mod change;
mod fleet;
mod health;
mod problem;
mod resource;

pub use change::{ChangeKind, Changed, Effect, Outcome, SOURCES, Source};
pub use fleet::{Proxy, ProxyType, Quarantined, RefusedVersion, Stamp, Withheld, Workload};
pub use health::{Check, CheckStatus, Health, Info};
pub use problem::{PROBLEM, Problem, Refusal, RefusalKind};
pub use resource::{Kept, Resource, Resources};
