//! What both sides share of HTTP/2: a connection's machine with its streams around it, its socket,
//! and how streams are woken.
//!
//! A connection is driven by one task. Its streams are not tasks: what comes for one goes to its inbox
//! in the [`Link`], and whoever waits there is woken. What a stream sends goes into the machine at
//! once, and the task writes what has gathered when its turn comes, many streams in one write.

mod blocks;
mod inbox;
mod link;
mod pump;
mod ready;

pub(crate) use blocks::Blocks;
pub(crate) use inbox::Broken;
pub(crate) use link::{Handle, Link};
pub(crate) use pump::{Ended, Pump};
pub(crate) use ready::{Ready, StreamWaker};

/// Flow-control windows of what is received, in bytes: of a stream and of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Fields of a head, as many as an HTTP/1.1 head may have.
const MAX_FIELDS: u32 = 100;

/// The machine's settings on both sides.
pub(crate) fn settings() -> weft_h2::Settings {
    weft_h2::Settings {
        initial_stream_window_size: STREAM_WINDOW,
        initial_connection_window_size: CONNECTION_WINDOW,
        max_header_count: MAX_FIELDS,
        ..weft_h2::Settings::default()
    }
}
