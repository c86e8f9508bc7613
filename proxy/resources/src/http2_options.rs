//! `Http2ProtocolOptions`, of connection managers and of clusters.

use std::time::Duration;

use weft_proto::pb::{envoy::config::core::v3 as wire, google::protobuf::UInt32Value};

use crate::{
    cluster::optional,
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// What one message of HTTP/2 may be, and what a peer may cost. Envoy's defaults, but for streams and
/// windows, which Envoy leaves so wide that one peer may hold 256 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Options {
    /// `hpack_table_size` (4,096 bytes by default).
    pub hpack_table_size: u32,
    /// `max_concurrent_streams` (1,024 by default).
    pub max_concurrent_streams: u32,
    /// `initial_stream_window_size` (256 KiB by default).
    pub initial_stream_window_size: u32,
    /// `initial_connection_window_size` (1 MiB by default).
    pub initial_connection_window_size: u32,
    /// `allow_connect`: extended CONNECT (RFC 8441) is taken. An upstream is asked for it by its
    /// SETTINGS, whatever this says.
    pub allow_connect: bool,
    /// `max_outbound_frames` (10,000 by default).
    pub max_outbound_frames: u32,
    /// `max_outbound_control_frames` (1,000 by default).
    pub max_outbound_control_frames: u32,
    /// `max_consecutive_inbound_frames_with_empty_payload` (1 by default).
    pub max_consecutive_inbound_frames_with_empty_payload: u32,
    /// `max_inbound_priority_frames_per_stream` (100 by default).
    pub max_inbound_priority_frames_per_stream: u32,
    /// `max_inbound_window_update_frames_per_data_frame_sent` (10 by default).
    pub max_inbound_window_update_frames_per_data_frame_sent: u32,
    /// `override_stream_error_on_invalid_http_message` set to false: a message against the rules
    /// costs the connection. Unless that is said, it costs its stream (RFC 9113 §8.1.1).
    pub invalid_messages_end_connections: bool,
    /// `connection_keepalive`.
    pub keepalive: Option<Keepalive>,
}

/// `Http2ProtocolOptions.connection_keepalive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// `interval`: a PING is sent this often.
    pub interval: Option<Duration>,
    /// `timeout`: the connection is closed when a PING is not answered for so long.
    pub timeout: Duration,
    /// `interval_jitter`, in percent: by chance up to this much is added to the interval (15 by
    /// default).
    pub jitter_percent: u8,
    /// `connection_idle_interval`: a PING goes before a request on a connection that was idle for so
    /// long.
    pub idle_interval: Option<Duration>,
}

impl Default for Http2Options {
    fn default() -> Self {
        Self {
            hpack_table_size: 4096,
            max_concurrent_streams: 1024,
            initial_stream_window_size: 256 * 1024,
            initial_connection_window_size: 1024 * 1024,
            allow_connect: false,
            max_outbound_frames: 10_000,
            max_outbound_control_frames: 1_000,
            max_consecutive_inbound_frames_with_empty_payload: 1,
            max_inbound_priority_frames_per_stream: 100,
            max_inbound_window_update_frames_per_data_frame_sent: 10,
            invalid_messages_end_connections: false,
            keepalive: None,
        }
    }
}

/// Reads the options; ranges were checked by the rules of their message.
pub(crate) fn read(
    message: Option<&wire::Http2ProtocolOptions>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Http2Options {
    let unset = Http2Options::default();
    let Some(message) = message else { return unset };
    let or = |set: &Option<UInt32Value>, unset| optional(set.as_ref()).unwrap_or(unset);
    let keepalive = message.connection_keepalive.as_ref();
    let keepalive_at = at.field("connection_keepalive");
    Http2Options {
        hpack_table_size: or(&message.hpack_table_size, unset.hpack_table_size),
        max_concurrent_streams: or(&message.max_concurrent_streams, unset.max_concurrent_streams),
        initial_stream_window_size: or(
            &message.initial_stream_window_size,
            unset.initial_stream_window_size,
        ),
        initial_connection_window_size: or(
            &message.initial_connection_window_size,
            unset.initial_connection_window_size,
        ),
        allow_connect: message.allow_connect,
        max_outbound_frames: or(&message.max_outbound_frames, unset.max_outbound_frames),
        max_outbound_control_frames: or(
            &message.max_outbound_control_frames,
            unset.max_outbound_control_frames,
        ),
        max_consecutive_inbound_frames_with_empty_payload: or(
            &message.max_consecutive_inbound_frames_with_empty_payload,
            unset.max_consecutive_inbound_frames_with_empty_payload,
        ),
        max_inbound_priority_frames_per_stream: or(
            &message.max_inbound_priority_frames_per_stream,
            unset.max_inbound_priority_frames_per_stream,
        ),
        max_inbound_window_update_frames_per_data_frame_sent: or(
            &message.max_inbound_window_update_frames_per_data_frame_sent,
            unset.max_inbound_window_update_frames_per_data_frame_sent,
        ),
        invalid_messages_end_connections: message
            .override_stream_error_on_invalid_http_message
            .as_ref()
            .is_some_and(|only_streams| !only_streams.value),
        keepalive: keepalive.and_then(|message| self::keepalive(message, &keepalive_at, notes)),
    }
}

fn keepalive(
    message: &wire::KeepaliveSettings,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Keepalive> {
    const JITTER_PERCENT: f64 = 15.0;
    let Some(timeout) = &message.timeout else {
        return notes.refuse(&at.field("timeout"), Problem::Missing);
    };
    let timeout = scalar::duration(timeout, &at.field("timeout"), notes);
    let interval =
        scalar::timeout_or(message.interval.as_ref(), None, &at.field("interval"), notes);
    let idle = message.connection_idle_interval.as_ref();
    let idle_interval =
        scalar::timeout_or(idle, None, &at.field("connection_idle_interval"), notes);
    let jitter = message.interval_jitter.as_ref().map_or(JITTER_PERCENT, |jitter| jitter.value);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "held to 0 to 100, and Envoy takes whole percents as well"
    )]
    let jitter_percent = jitter.clamp(0.0, 100.0) as u8;
    Some(Keepalive { interval, timeout: timeout?, jitter_percent, idle_interval })
}
