//! How often something may happen: token buckets that all workers take from. Pure: the time is told.

mod bucket;
mod buckets;
mod wild;

pub use bucket::{Fill, TokenBucket};
pub use buckets::{Buckets, Described, DescriptorRate, Entry, Rates, Taken};
