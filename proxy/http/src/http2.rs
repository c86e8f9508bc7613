//! What both sides share of HTTP/2: a connection's machine with its streams around it, its socket,
//! and how streams are woken.
//!
//! A connection is driven by one task. Its streams are not tasks: what comes for one goes to its inbox
//! in the [`Link`], and whoever waits there is woken. What a stream sends goes into the machine at
//! once, and the task writes what has gathered when its turn comes, many streams in one write.

mod blocks;
mod counts;
mod driver;
mod inbox;
mod keepalive;
mod link;
mod pump;
mod ready;

use weft_compile::Http2Options;

pub(crate) use blocks::Blocks;
pub(crate) use driver::{Driver, End};
pub(crate) use inbox::Broken;
pub(crate) use keepalive::Keepalive;
pub(crate) use link::{Handle, Link};
pub(crate) use pump::Ended;
use pump::Pump;
pub(crate) use ready::{Ready, StreamWaker};

/// The machine's settings as configured, for either side.
pub(crate) fn settings(options: &Http2Options) -> weft_h2::Settings {
    weft_h2::Settings {
        max_concurrent_streams: options.max_concurrent_streams,
        initial_stream_window_size: options.initial_stream_window_size,
        initial_connection_window_size: options.initial_connection_window_size,
        max_outbound_frames: options.max_outbound_frames,
        max_outbound_control_frames: options.max_outbound_control_frames,
        max_consecutive_inbound_frames_with_empty_payload: options
            .max_consecutive_inbound_frames_with_empty_payload,
        max_inbound_priority_frames_per_stream: options.max_inbound_priority_frames_per_stream,
        max_inbound_window_update_frames_per_data_frame_sent: options
            .max_inbound_window_update_frames_per_data_frame_sent,
        hpack_table_size: options.hpack_table_size,
        allow_connect: options.allow_connect,
        invalid_messages_end_connections: options.invalid_messages_end_connections,
        ..weft_h2::Settings::default()
    }
}
