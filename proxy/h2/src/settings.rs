//! What the owner of a connection decides, and what the peer does.

use crate::error::Violation;

/// The largest window, and the largest increment (RFC 9113 §6.9.1).
pub(crate) const MAX_WINDOW: u32 = (1 << 31) - 1;
/// Both windows before anybody says otherwise (RFC 9113 §6.9.2).
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;
/// The smallest SETTINGS_MAX_FRAME_SIZE, its default, and ours.
pub(crate) const DEFAULT_FRAME_SIZE: u32 = 16_384;
/// HPACK's table before anybody says otherwise.
pub(crate) const DEFAULT_TABLE_SIZE: u32 = 4_096;
/// Streams that a client opens before it knows the server's limit.
const STREAMS_BEFORE_SETTINGS: u32 = 100;

/// Limits of one connection, named as in Envoy's `Http2ProtocolOptions` where that has them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Streams that the peer may have open at once.
    pub max_concurrent_streams: u32,
    /// Bytes of a stream that the peer may send before the first were released; at least 65,535.
    pub initial_stream_window_size: u32,
    /// The same for the connection; at least 65,535.
    pub initial_connection_window_size: u32,
    /// Frames waiting to be written, of any type.
    pub max_outbound_frames: u32,
    /// Frames waiting to be written that answer the peer: SETTINGS, PING, RST_STREAM.
    pub max_outbound_control_frames: u32,
    /// HEADERS, CONTINUATION and DATA without payload and without an end, one after another.
    pub max_consecutive_inbound_frames_with_empty_payload: u32,
    /// PRIORITY frames for each stream opened.
    pub max_inbound_priority_frames_per_stream: u32,
    /// WINDOW_UPDATE frames for each DATA frame sent.
    pub max_inbound_window_update_frames_per_data_frame_sent: u32,
    /// HPACK's dynamic tables, both ways, in bytes.
    pub hpack_table_size: u32,
    /// Whether extended CONNECT (RFC 8441) is taken.
    pub allow_connect: bool,
    /// Bytes of a field section, counted as in RFC 9113 §6.5.2.
    pub max_header_list_size: u32,
    /// Fields of a field section.
    pub max_header_count: u32,
    /// Whether a message against the rules of HTTP costs the connection and not its stream alone.
    pub invalid_messages_end_connections: bool,
    /// Streams that may be reset by the peer before they are answered; above that, most must not be.
    pub max_premature_resets: u32,
    /// Bytes of bodies that wait in the output.
    pub max_output: usize,
}

impl Default for Settings {
    /// Envoy's defaults for what Envoy has, but smaller windows.
    fn default() -> Self {
        Self {
            max_concurrent_streams: 1024,
            initial_stream_window_size: 256 * 1024,
            initial_connection_window_size: 1024 * 1024,
            max_outbound_frames: 10_000,
            max_outbound_control_frames: 1_000,
            max_consecutive_inbound_frames_with_empty_payload: 1,
            max_inbound_priority_frames_per_stream: 100,
            max_inbound_window_update_frames_per_data_frame_sent: 10,
            hpack_table_size: DEFAULT_TABLE_SIZE,
            allow_connect: false,
            max_header_list_size: 60 * 1024,
            max_header_count: 100,
            invalid_messages_end_connections: false,
            max_premature_resets: 500,
            max_output: 256 * 1024,
        }
    }
}

/// A parameter of a SETTINGS frame (RFC 9113 §6.5.2).
pub(crate) mod id {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 0x1;
    pub(crate) const ENABLE_PUSH: u16 = 0x2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 0x5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
}

/// What the peer has said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerSettings {
    pub(crate) header_table_size: u32,
    pub(crate) max_concurrent_streams: u32,
    pub(crate) initial_window_size: u32,
    pub(crate) max_frame_size: u32,
    pub(crate) enable_connect: bool,
}

impl PeerSettings {
    pub(crate) fn before_said() -> Self {
        Self {
            header_table_size: DEFAULT_TABLE_SIZE,
            max_concurrent_streams: STREAMS_BEFORE_SETTINGS,
            initial_window_size: DEFAULT_WINDOW,
            max_frame_size: DEFAULT_FRAME_SIZE,
            enable_connect: false,
        }
    }

    /// Takes one parameter; unknown ones are ignored (RFC 9113 §6.5.2).
    pub(crate) fn set(&mut self, id: u16, value: u32, from_server: bool) -> Result<(), Violation> {
        match id {
            id::HEADER_TABLE_SIZE => self.header_table_size = value,
            id::ENABLE_PUSH if value > 1 || (from_server && value == 1) => {
                return Err(Violation::Setting);
            }
            id::MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = value,
            id::INITIAL_WINDOW_SIZE if value > MAX_WINDOW => return Err(Violation::WindowSetting),
            id::INITIAL_WINDOW_SIZE => self.initial_window_size = value,
            id::MAX_FRAME_SIZE if !(DEFAULT_FRAME_SIZE..1 << 24).contains(&value) => {
                return Err(Violation::Setting);
            }
            id::MAX_FRAME_SIZE => self.max_frame_size = value,
            id::ENABLE_CONNECT_PROTOCOL if value > 1 || (self.enable_connect && value == 0) => {
                return Err(Violation::Setting);
            }
            id::ENABLE_CONNECT_PROTOCOL => self.enable_connect = value == 1,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_held_to_their_ranges() {
        let set = |id, value, from_server| PeerSettings::before_said().set(id, value, from_server);
        assert_eq!(set(id::ENABLE_PUSH, 1, false), Ok(()));
        assert_eq!(set(id::ENABLE_PUSH, 1, true), Err(Violation::Setting));
        assert_eq!(set(id::ENABLE_PUSH, 2, false), Err(Violation::Setting));
        assert_eq!(set(id::INITIAL_WINDOW_SIZE, MAX_WINDOW, false), Ok(()));
        assert_eq!(
            set(id::INITIAL_WINDOW_SIZE, MAX_WINDOW + 1, false),
            Err(Violation::WindowSetting)
        );
        for (size, ok) in [(16_383, false), (16_384, true), (16_777_215, true), (1 << 24, false)] {
            assert_eq!(set(id::MAX_FRAME_SIZE, size, false).is_ok(), ok, "{size}");
        }
        assert_eq!(set(id::ENABLE_CONNECT_PROTOCOL, 2, false), Err(Violation::Setting));
        assert_eq!(set(0x4a, u32::MAX, false), Ok(()), "unknown ones are ignored");
    }
}
