//! Which endpoint of a cluster takes a request.
//!
//! A [`Balancer`] is built once per version of a cluster's endpoints and then only read: who may
//! be picked, how often, and where requests go when too few endpoints of a priority are healthy
//! is worked out by [`Balancer::new`]. Picking takes no lock and allocates nothing. What outlives
//! a version, such as the number of requests in flight, is in [`EndpointState`].
//!
//! The crate is pure: the random number of each pick comes from the caller, and so do the time and
//! the hash of a request where they decide.

mod alarm;
mod balancer;
mod bounded;
mod directory;
mod draw;
mod endpoint;
mod host;
mod labels;
mod latency;
mod levels;
mod locality;
mod outcome;
mod overload;
mod placement;
mod pool;
mod priority;
mod request_hash;
mod standing;
mod subset;
mod zone;

pub use alarm::Alarm;
pub use balancer::{Balancer, Group, OnPanic, Picked, Policy, Settings};
pub use directory::{Sought, Statuses};
pub use draw::Chance;
pub use endpoint::{
    ActiveConnection, ActiveRequest, Count, EndpointAddress, EndpointCounts, EndpointId,
    EndpointState, FULL_SPEED,
};
pub use host::{Condition, Health, Host, Locality};
pub use labels::{Criteria, Label};
pub use latency::{Decay, Ticks};
pub use outcome::{Outcome, Outcomes, Patience, Run, Tally};
pub use overload::{DropOverload, DropOverloads};
pub use placement::Hashing;
pub use request_hash::RequestHash;
pub use standing::{Standing, Verdict};
pub use subset::{
    Chosen, Fallback, MOST_PER_HOST, Selector, SelectorFallback, SubsetRules, Subsets,
};
pub use zone::{ZoneRouting, Zones};
