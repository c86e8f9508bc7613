//! What is counted of a connection: which counter tells of which event and of which rule broken.

use weft_h2::{Event, ResetCause, Violation};
use weft_telemetry::{Counter, Http2Stats};

/// Counts what has happened on a connection.
pub(super) fn event(stats: &Http2Stats, event: &Event) {
    match event {
        Event::Reset { cause: ResetCause::Peer(_), .. } => stats.rx_reset.inc(),
        Event::Reset { cause: ResetCause::Refused(why), .. } | Event::Refused(why) => {
            violation(stats, *why);
            stats.tx_reset.inc();
        }
        Event::Trailers { .. } => stats.trailers.inc(),
        Event::Request { .. }
        | Event::Response { .. }
        | Event::Informational { .. }
        | Event::Data { .. }
        | Event::Reset { cause: ResetCause::NotProcessed, .. }
        | Event::GoAway { .. }
        | Event::Pong(_) => {}
    }
}

/// Counts a rule broken.
pub(super) fn violation(stats: &Http2Stats, violation: Violation) {
    counter(stats, violation).inc();
}

fn counter(stats: &Http2Stats, violation: Violation) -> &Counter {
    match violation {
        Violation::HeadTooLarge => &stats.header_overflow,
        Violation::Compression => &stats.header_compression_error,
        Violation::TooManyStreams => &stats.stream_refused_errors,
        Violation::ResetFlood => &stats.inbound_reset_flood,
        Violation::ContinuationFlood => &stats.inbound_continuation_flood,
        Violation::EmptyFrameFlood => &stats.inbound_empty_frames_flood,
        Violation::PriorityFlood => &stats.inbound_priority_frames_flood,
        Violation::WindowUpdateFlood => &stats.inbound_window_update_frames_flood,
        Violation::InformationalFlood => &stats.inbound_informational_flood,
        Violation::OutboundControlFlood => &stats.outbound_control_flood,
        Violation::OutboundFlood => &stats.outbound_flood,
        Violation::PseudoField
        | Violation::FieldName
        | Violation::FieldValue
        | Violation::ConnectionField
        | Violation::PseudoValue
        | Violation::ContentLength
        | Violation::MessageOrder => &stats.rx_messaging_error,
        Violation::Preface
        | Violation::FrameTooLarge
        | Violation::FrameSize
        | Violation::WrongStream
        | Violation::IdleStream
        | Violation::ClosedStream
        | Violation::StreamId
        | Violation::Padding
        | Violation::Continuation
        | Violation::Push
        | Violation::Setting
        | Violation::WindowSetting
        | Violation::WindowOverflow
        | Violation::WindowExceeded
        | Violation::ZeroIncrement
        | Violation::SelfDependency => &stats.protocol_error,
    }
}
