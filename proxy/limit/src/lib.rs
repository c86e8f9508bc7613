//! How often something may happen, and how much of it at once: token buckets that all workers take
//! from, and limits that follow from how long requests take. Pure: the time is told.

mod bucket;
mod buckets;
mod gradient;
mod latencies;
mod usual;
mod wild;

pub use bucket::{Fill, TokenBucket};
pub use buckets::{Buckets, Described, DescriptorRate, Entry, Rates, Taken};
pub use gradient::{Controller, Gradient, Idle, Reading, Ticket};
pub use usual::{Quantile, Usual};
