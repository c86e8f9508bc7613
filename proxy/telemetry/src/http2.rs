//! What HTTP/2 connections do wrong, and what is done about it.

use crate::{metric::Counter, registry::Value};

/// `http2.*` of client connections, and `cluster.<name>.http2.*`.
#[derive(Debug, Default)]
pub struct Http2Stats {
    /// GOAWAY frames sent.
    pub goaway_sent: Counter,
    /// Header blocks that do not decode, which costs the connection.
    pub header_compression_error: Counter,
    /// Field sections above the limits.
    pub header_overflow: Counter,
    /// Connections ended for header blocks without end.
    pub inbound_continuation_flood: Counter,
    /// Connections ended for frames without payload.
    pub inbound_empty_frames_flood: Counter,
    /// Streams ended for informational responses without end.
    pub inbound_informational_flood: Counter,
    /// Connections ended for PRIORITY frames.
    pub inbound_priority_frames_flood: Counter,
    /// Connections ended for streams that were reset before they were answered.
    pub inbound_reset_flood: Counter,
    /// Connections ended for WINDOW_UPDATE frames.
    pub inbound_window_update_frames_flood: Counter,
    /// Connections closed because a PING was not answered.
    pub keepalive_timeout: Counter,
    /// Connections ended because the peer does not read what answers it.
    pub outbound_control_flood: Counter,
    /// Connections ended because the peer does not read.
    pub outbound_flood: Counter,
    /// Connections and streams ended for frames against the rules.
    pub protocol_error: Counter,
    /// Messages against the rules of HTTP.
    pub rx_messaging_error: Counter,
    /// RST_STREAM frames received.
    pub rx_reset: Counter,
    /// Streams above the limit of streams at once.
    pub stream_refused_errors: Counter,
    /// Messages received with trailers.
    pub trailers: Counter,
    /// Connections closed because what was left to write could not be written.
    pub tx_flush_timeout: Counter,
    /// Streams reset by this side.
    pub tx_reset: Counter,
}

/// Before the names where they stand among others.
const SCOPE: &str = "http2.";

impl Http2Stats {
    /// Shows all, each with the scope in its name.
    pub(crate) fn visit_scoped<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self {
            goaway_sent,
            header_compression_error,
            header_overflow,
            inbound_continuation_flood,
            inbound_empty_frames_flood,
            inbound_informational_flood,
            inbound_priority_frames_flood,
            inbound_reset_flood,
            inbound_window_update_frames_flood,
            keepalive_timeout,
            outbound_control_flood,
            outbound_flood,
            protocol_error,
            rx_messaging_error,
            rx_reset,
            stream_refused_errors,
            trailers,
            tx_flush_timeout,
            tx_reset,
        } = self;
        for (name, counter) in [
            ("http2.goaway_sent", goaway_sent),
            ("http2.header_compression_error", header_compression_error),
            ("http2.header_overflow", header_overflow),
            ("http2.inbound_continuation_flood", inbound_continuation_flood),
            ("http2.inbound_empty_frames_flood", inbound_empty_frames_flood),
            ("http2.inbound_informational_flood", inbound_informational_flood),
            ("http2.inbound_priority_frames_flood", inbound_priority_frames_flood),
            ("http2.inbound_reset_flood", inbound_reset_flood),
            ("http2.inbound_window_update_frames_flood", inbound_window_update_frames_flood),
            ("http2.keepalive_timeout", keepalive_timeout),
            ("http2.outbound_control_flood", outbound_control_flood),
            ("http2.outbound_flood", outbound_flood),
            ("http2.protocol_error", protocol_error),
            ("http2.rx_messaging_error", rx_messaging_error),
            ("http2.rx_reset", rx_reset),
            ("http2.stream_refused_errors", stream_refused_errors),
            ("http2.trailers", trailers),
            ("http2.tx_flush_timeout", tx_flush_timeout),
            ("http2.tx_reset", tx_reset),
        ] {
            see(name, Value::Counter(counter.get()));
        }
    }

    /// Shows all where the scope is told otherwise.
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        self.visit_scoped(&mut |name, value| see(name.trim_start_matches(SCOPE), value));
    }
}
