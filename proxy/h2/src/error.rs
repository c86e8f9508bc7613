//! What goes wrong, as closed lists: the codes on the wire, and our reasons behind them.

/// An error code (RFC 9113 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Nothing is wrong.
    NoError,
    /// The peer broke a rule that has no code of its own.
    ProtocolError,
    /// The sender of the code failed.
    InternalError,
    /// A window was exceeded or overflowed.
    FlowControlError,
    /// SETTINGS were not acknowledged in time.
    SettingsTimeout,
    /// A frame on a stream that is half closed or closed.
    StreamClosed,
    /// A frame of a wrong size.
    FrameSizeError,
    /// The stream was refused before anything was done for it.
    RefusedStream,
    /// The stream is not wanted any more.
    Cancel,
    /// The compression state is lost.
    CompressionError,
    /// The connection of a CONNECT request broke.
    ConnectError,
    /// The peer causes too much work.
    EnhanceYourCalm,
    /// The transport is not safe enough.
    InadequateSecurity,
    /// HTTP/1.1 is wanted.
    Http11Required,
    /// A code that RFC 9113 does not know, which counts as INTERNAL_ERROR.
    Other(u32),
}

impl Code {
    /// The number on the wire.
    pub fn to_wire(self) -> u32 {
        match self {
            Self::NoError => 0x0,
            Self::ProtocolError => 0x1,
            Self::InternalError => 0x2,
            Self::FlowControlError => 0x3,
            Self::SettingsTimeout => 0x4,
            Self::StreamClosed => 0x5,
            Self::FrameSizeError => 0x6,
            Self::RefusedStream => 0x7,
            Self::Cancel => 0x8,
            Self::CompressionError => 0x9,
            Self::ConnectError => 0xa,
            Self::EnhanceYourCalm => 0xb,
            Self::InadequateSecurity => 0xc,
            Self::Http11Required => 0xd,
            Self::Other(code) => code,
        }
    }

    /// From the number on the wire.
    pub fn from_wire(code: u32) -> Self {
        match code {
            0x0 => Self::NoError,
            0x1 => Self::ProtocolError,
            0x2 => Self::InternalError,
            0x3 => Self::FlowControlError,
            0x4 => Self::SettingsTimeout,
            0x5 => Self::StreamClosed,
            0x6 => Self::FrameSizeError,
            0x7 => Self::RefusedStream,
            0x8 => Self::Cancel,
            0x9 => Self::CompressionError,
            0xa => Self::ConnectError,
            0xb => Self::EnhanceYourCalm,
            0xc => Self::InadequateSecurity,
            0xd => Self::Http11Required,
            other => Self::Other(other),
        }
    }
}

/// A rule that the peer broke. Whether that costs the stream or the connection is told by where it
/// is reported: [`ConnectionError`] or [`ResetCause::Refused`](crate::ResetCause::Refused).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// RFC 9113 §3.4.
    #[error("the connection does not begin with the preface and SETTINGS")]
    Preface,
    /// RFC 9113 §4.2: above SETTINGS_MAX_FRAME_SIZE.
    #[error("a frame is larger than SETTINGS_MAX_FRAME_SIZE")]
    FrameTooLarge,
    /// RFC 9113 §4.2: not the size that its type has.
    #[error("a frame has not the size that its type demands")]
    FrameSize,
    /// A frame of a stream on stream 0, or one of the connection on a stream.
    #[error("a frame is on a stream where its type cannot be")]
    WrongStream,
    /// RFC 9113 §5.1: a frame that needs an open stream, on one that was never opened.
    #[error("a frame is on a stream that is idle")]
    IdleStream,
    /// RFC 9113 §5.1: a frame after the end of its stream.
    #[error("a frame is on a stream that has ended")]
    ClosedStream,
    /// RFC 9113 §5.1.1: not odd, or not above all before.
    #[error("a new stream's identifier is not the next odd number or above")]
    StreamId,
    /// RFC 9113 §6.1: more padding than frame.
    #[error("padding is longer than its frame")]
    Padding,
    /// RFC 9113 §6.10: CONTINUATION out of place, or another frame within a header block.
    #[error("a header block is interrupted, or continued without having begun")]
    Continuation,
    /// RFC 9113 §8.4: push is disabled.
    #[error("PUSH_PROMISE although push is disabled")]
    Push,
    /// RFC 9113 §6.5.2: a setting's value is out of its range.
    #[error("a setting has a value outside of its range")]
    Setting,
    /// RFC 9113 §6.5.2: an initial window above 2^31-1.
    #[error("SETTINGS_INITIAL_WINDOW_SIZE is above 2^31-1")]
    WindowSetting,
    /// RFC 9113 §6.9.1: a window above 2^31-1.
    #[error("a flow-control window grew above 2^31-1")]
    WindowOverflow,
    /// RFC 9113 §6.9.1: more data than the window allows.
    #[error("more data than the flow-control window allows")]
    WindowExceeded,
    /// RFC 9113 §6.9: an increment of 0.
    #[error("WINDOW_UPDATE by 0")]
    ZeroIncrement,
    /// RFC 9113 §4.3: the header block does not decode.
    #[error("a header block does not decode")]
    Compression,
    /// A stream that depends on itself.
    #[error("a stream depends on itself")]
    SelfDependency,
    /// RFC 9113 §8.3: pseudo-header fields missing, unknown, repeated or out of place.
    #[error("pseudo-header fields are missing, unknown, repeated or out of place")]
    PseudoField,
    /// RFC 9113 §8.2.1: a name that is not a lower-case token.
    #[error("a field name is not a lower-case token")]
    FieldName,
    /// RFC 9113 §8.2.1: a value with forbidden characters.
    #[error("a field value holds forbidden characters")]
    FieldValue,
    /// RFC 9113 §8.2.2: a field that concerns HTTP/1.1 connections.
    #[error("a connection-specific field")]
    ConnectionField,
    /// `:method`, `:scheme`, `:authority`, `:path`, `:protocol` or `:status` does not parse.
    #[error("a pseudo-header field has no valid value")]
    PseudoValue,
    /// RFC 9113 §8.1.1: content-length and the body differ, or content-length is no number.
    #[error("content-length and the body differ")]
    ContentLength,
    /// RFC 9113 §8.1: trailers that do not end the stream, or a body before the head.
    #[error("the frames of a message are out of order")]
    MessageOrder,
    /// A field section above `max_header_list_size` or `max_header_count`.
    #[error("a field section is too large")]
    HeadTooLarge,
    /// A stream above SETTINGS_MAX_CONCURRENT_STREAMS.
    #[error("more streams than SETTINGS_MAX_CONCURRENT_STREAMS")]
    TooManyStreams,
    /// Most streams are reset before they are answered.
    #[error("too many streams are reset before they are answered")]
    ResetFlood,
    /// A header block of too many or too large pieces.
    #[error("a header block has too many or too large pieces")]
    ContinuationFlood,
    /// Frames without payload, one after the other.
    #[error("too many frames without payload")]
    EmptyFrameFlood,
    /// PRIORITY frames out of proportion to streams.
    #[error("too many PRIORITY frames")]
    PriorityFlood,
    /// WINDOW_UPDATE frames out of proportion to data sent.
    #[error("too many WINDOW_UPDATE frames")]
    WindowUpdateFlood,
    /// The peer does not read what answers it: SETTINGS, PING, RST_STREAM.
    #[error("too many answers wait for the peer to read them")]
    OutboundControlFlood,
    /// The peer does not read what it makes us write.
    #[error("too many frames wait for the peer to read them")]
    OutboundFlood,
    /// Informational responses without end.
    #[error("too many informational responses")]
    InformationalFlood,
}

impl Violation {
    /// The code that the peer is told.
    pub fn code(self) -> Code {
        match self {
            Self::FrameTooLarge | Self::FrameSize => Code::FrameSizeError,
            Self::ClosedStream => Code::StreamClosed,
            Self::WindowSetting | Self::WindowOverflow | Self::WindowExceeded => {
                Code::FlowControlError
            }
            Self::Compression => Code::CompressionError,
            Self::TooManyStreams => Code::RefusedStream,
            Self::ResetFlood
            | Self::ContinuationFlood
            | Self::EmptyFrameFlood
            | Self::PriorityFlood
            | Self::WindowUpdateFlood
            | Self::OutboundControlFlood
            | Self::OutboundFlood
            | Self::InformationalFlood => Code::EnhanceYourCalm,
            Self::Preface
            | Self::WrongStream
            | Self::IdleStream
            | Self::StreamId
            | Self::Padding
            | Self::Continuation
            | Self::Push
            | Self::Setting
            | Self::ZeroIncrement
            | Self::SelfDependency
            | Self::PseudoField
            | Self::FieldName
            | Self::FieldValue
            | Self::ConnectionField
            | Self::PseudoValue
            | Self::ContentLength
            | Self::MessageOrder
            | Self::HeadTooLarge => Code::ProtocolError,
        }
    }

    /// Whether it is the message that is wrong (RFC 9113 §8), and not its frames.
    pub fn is_of_message(self) -> bool {
        matches!(
            self,
            Self::PseudoField
                | Self::FieldName
                | Self::FieldValue
                | Self::ConnectionField
                | Self::PseudoValue
                | Self::ContentLength
                | Self::MessageOrder
        )
    }

    /// The name of its counter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preface => "preface",
            Self::FrameTooLarge => "frame_too_large",
            Self::FrameSize => "frame_size",
            Self::WrongStream => "wrong_stream",
            Self::IdleStream => "idle_stream",
            Self::ClosedStream => "closed_stream",
            Self::StreamId => "stream_id",
            Self::Padding => "padding",
            Self::Continuation => "continuation",
            Self::Push => "push",
            Self::Setting => "setting",
            Self::WindowSetting => "window_setting",
            Self::WindowOverflow => "window_overflow",
            Self::WindowExceeded => "window_exceeded",
            Self::ZeroIncrement => "zero_increment",
            Self::Compression => "compression",
            Self::SelfDependency => "self_dependency",
            Self::PseudoField => "pseudo_field",
            Self::FieldName => "field_name",
            Self::FieldValue => "field_value",
            Self::ConnectionField => "connection_field",
            Self::PseudoValue => "pseudo_value",
            Self::ContentLength => "content_length",
            Self::MessageOrder => "message_order",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyStreams => "too_many_streams",
            Self::ResetFlood => "reset_flood",
            Self::ContinuationFlood => "continuation_flood",
            Self::EmptyFrameFlood => "empty_frame_flood",
            Self::PriorityFlood => "priority_flood",
            Self::WindowUpdateFlood => "window_update_flood",
            Self::OutboundControlFlood => "outbound_control_flood",
            Self::OutboundFlood => "outbound_flood",
            Self::InformationalFlood => "informational_flood",
        }
    }
}

/// The peer broke a rule that costs it the connection. GOAWAY is in the output: write it, then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectionError(pub Violation);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_wire() {
        for number in 0..20 {
            assert_eq!(Code::from_wire(number).to_wire(), number);
        }
    }
}
