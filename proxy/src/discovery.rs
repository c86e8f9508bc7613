//! How resources reach the proxy while it runs.
//!
//! There is one task for each source: the aggregated stream, each stream of a single type, each
//! file. All of them are the same protocol machine of `weft-xds` with something different around
//! it, and all of them apply what they bring to the one plane. What is wanted of each source
//! follows from what all of them brought: [`Sources`] starts, tells and ends them.

mod conversation;
mod file;
mod link;
mod nowhere;
mod sources;
mod subscriber;
mod throttle;
mod watch;

pub(crate) use sources::{SourceId, Sources, Want};
