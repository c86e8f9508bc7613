//! How often something may happen: token buckets that all workers take from. Pure: the time is told.

mod bucket;

pub use bucket::{Fill, TokenBucket};
