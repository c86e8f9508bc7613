//! Frames on the wire (RFC 9113 §4.1 and §6).

use crate::error::Code;

/// Bytes of a frame header.
pub(crate) const HEADER: usize = 9;

/// Frame types.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0x0;
    pub(crate) const HEADERS: u8 = 0x1;
    pub(crate) const PRIORITY: u8 = 0x2;
    pub(crate) const RST_STREAM: u8 = 0x3;
    pub(crate) const SETTINGS: u8 = 0x4;
    pub(crate) const PUSH_PROMISE: u8 = 0x5;
    pub(crate) const PING: u8 = 0x6;
    pub(crate) const GOAWAY: u8 = 0x7;
    pub(crate) const WINDOW_UPDATE: u8 = 0x8;
    pub(crate) const CONTINUATION: u8 = 0x9;
}

/// Frame flags.
pub(crate) mod flag {
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// The nine bytes before each frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) length: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl FrameHeader {
    /// From the first bytes, if all nine are there.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, e, f, g, h] = bytes.first_chunk::<HEADER>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([e & 0x7f, f, g, h]),
        })
    }

    #[inline]
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    pub(crate) fn to_wire(self) -> [u8; HEADER] {
        let [_, a, b, c] = self.length.to_be_bytes();
        let [e, f, g, h] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, e, f, g, h]
    }
}

/// A number of four bytes at the beginning of a payload.
pub(crate) fn leading_u32(payload: &[u8]) -> Option<u32> {
    payload.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

/// RST_STREAM, whole.
pub(crate) fn rst_stream(stream: u32, code: Code) -> [u8; HEADER + 4] {
    with_u32(FrameHeader { length: 4, kind: kind::RST_STREAM, flags: 0, stream }, code.to_wire())
}

/// WINDOW_UPDATE, whole; stream 0 is the connection.
pub(crate) fn window_update(stream: u32, increment: u32) -> [u8; HEADER + 4] {
    with_u32(FrameHeader { length: 4, kind: kind::WINDOW_UPDATE, flags: 0, stream }, increment)
}

fn with_u32(header: FrameHeader, payload: u32) -> [u8; HEADER + 4] {
    let mut frame = [0; HEADER + 4];
    let (head, tail) = frame.split_at_mut(HEADER);
    head.copy_from_slice(&header.to_wire());
    tail.copy_from_slice(&payload.to_be_bytes());
    frame
}

/// PING, whole.
pub(crate) fn ping(payload: [u8; 8], ack: bool) -> [u8; HEADER + 8] {
    let flags = if ack { flag::ACK } else { 0 };
    let mut frame = [0; HEADER + 8];
    let (head, tail) = frame.split_at_mut(HEADER);
    head.copy_from_slice(&FrameHeader { length: 8, kind: kind::PING, flags, stream: 0 }.to_wire());
    tail.copy_from_slice(&payload);
    frame
}

/// GOAWAY without debug data, whole.
pub(crate) fn go_away(last: u32, code: Code) -> [u8; HEADER + 8] {
    let mut frame = [0; HEADER + 8];
    let (head, tail) = frame.split_at_mut(HEADER);
    let header = FrameHeader { length: 8, kind: kind::GOAWAY, flags: 0, stream: 0 };
    head.copy_from_slice(&header.to_wire());
    let (stream, error) = tail.split_at_mut(4);
    stream.copy_from_slice(&last.to_be_bytes());
    error.copy_from_slice(&code.to_wire().to_be_bytes());
    frame
}

/// What stays of a payload when padding and the priority fields are off (RFC 9113 §6.1, §6.2):
/// where it begins, its length, and the stream it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stripped {
    pub(crate) skip: usize,
    pub(crate) length: usize,
    pub(crate) depends_on: Option<u32>,
}

/// Takes padding and priority off a HEADERS payload; `None` when they do not fit.
pub(crate) fn strip(header: FrameHeader, payload: &[u8]) -> Option<Stripped> {
    let mut rest = payload;
    let mut padding = 0;
    if header.has(flag::PADDED) {
        let (first, after) = rest.split_first()?;
        padding = usize::from(*first);
        rest = after;
    }
    let mut depends_on = None;
    if header.has(flag::PRIORITY) {
        depends_on = Some(leading_u32(rest)? & 0x7fff_ffff);
        rest = rest.get(5..)?;
    }
    let length = rest.len().checked_sub(padding)?;
    Some(Stripped { skip: payload.len() - rest.len(), length, depends_on })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_wire_and_loses_the_reserved_bit() {
        let header = FrameHeader { length: 0x1_2345, kind: 1, flags: 0x25, stream: 0x7fff_fff1 };
        let mut wire = header.to_wire();
        assert_eq!(FrameHeader::parse(&wire), Some(header));
        wire[5] |= 0x80;
        assert_eq!(FrameHeader::parse(&wire), Some(header));
        assert_eq!(FrameHeader::parse(&wire[..8]), None);
    }

    #[test]
    fn padding_and_priority_come_off_or_do_not_fit() {
        let header = |flags| FrameHeader { length: 0, kind: kind::HEADERS, flags, stream: 1 };
        let padded = header(flag::PADDED);
        assert_eq!(strip(padded, b""), None);
        assert_eq!(
            strip(padded, b"\x02ab"),
            Some(Stripped { skip: 1, length: 0, depends_on: None })
        );
        assert_eq!(strip(padded, b"\x03ab"), None);
        let both = header(flag::PADDED | flag::PRIORITY);
        assert_eq!(
            strip(both, b"\x01\x80\0\0\x05\x10abP"),
            Some(Stripped { skip: 6, length: 2, depends_on: Some(5) })
        );
        assert_eq!(strip(both, b"\x01\x80\0\0\x05"), None);
    }
}
