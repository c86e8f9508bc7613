//! HTTP/2 frames (RFC 9113 §4, §6): reading them from chunks, writing them.

use super::Failure;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest payload of a peer that said nothing else, and of ours.
pub(crate) const MAX_PAYLOAD: usize = 16_384;
/// The window of a connection, and of streams, before anybody said otherwise.
pub(crate) const INITIAL_WINDOW: i64 = 65_535;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
pub(crate) const HEAD: usize = 9;

/// The types of frames.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// The identifiers of settings.
pub(crate) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    pub(crate) fn parse(bytes: [u8; HEAD]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        Self {
            length: usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2),
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        }
    }

    pub(crate) fn ends_stream(self) -> bool {
        self.flags & END_STREAM != 0
    }
}

/// Cuts a byte stream into frames. Payloads of DATA are counted and not kept.
#[derive(Default)]
pub(crate) struct FrameReader {
    head: Vec<u8>,
    frame: Option<Head>,
    payload: Vec<u8>,
    /// Bytes of the current frame that have not come yet.
    left: usize,
}

impl FrameReader {
    /// Takes the next frame out of `bytes`, moving them on; `None` when they are used up.
    /// `payload` receives what the frame carried, unless it was DATA.
    pub(crate) fn next(
        &mut self,
        bytes: &mut &[u8],
        payload: &mut Vec<u8>,
    ) -> Result<Option<Head>, Failure> {
        let head = match self.frame {
            Some(head) => head,
            None => {
                let part = take(bytes, HEAD - self.head.len());
                self.head.extend_from_slice(part);
                let Ok(raw) = <[u8; HEAD]>::try_from(self.head.as_slice()) else {
                    return Ok(None);
                };
                self.head.clear();
                let head = Head::parse(raw);
                if head.length > MAX_PAYLOAD {
                    return Err(Failure::Protocol("frame above the maximum size"));
                }
                self.frame = Some(head);
                self.left = head.length;
                head
            }
        };
        let part = take(bytes, self.left);
        self.left -= part.len();
        if head.kind != kind::DATA {
            self.payload.extend_from_slice(part);
        }
        if self.left > 0 {
            return Ok(None);
        }
        self.frame = None;
        std::mem::swap(payload, &mut self.payload);
        self.payload.clear();
        check(head)?;
        Ok(Some(head))
    }
}

/// Refuses what neither side here sends and no peer has a reason to send.
fn check(head: Head) -> Result<(), Failure> {
    let problem = match head.kind {
        kind::DATA | kind::HEADERS if head.flags & PADDED != 0 => "padded frame",
        kind::HEADERS if head.flags & END_HEADERS == 0 => "header block in several frames",
        kind::CONTINUATION => "header block in several frames",
        _ => return Ok(()),
    };
    Err(Failure::Protocol(problem))
}

/// The header block of a HEADERS frame's payload.
pub(crate) fn header_block(head: Head, payload: &[u8]) -> &[u8] {
    let skip = if head.flags & PRIORITY != 0 { 5 } else { 0 };
    payload.get(skip..).unwrap_or_default()
}

/// The settings of a SETTINGS frame's payload.
pub(crate) fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    let (entries, _) = payload.as_chunks::<6>();
    entries.iter().map(|&[i0, i1, v0, v1, v2, v3]| {
        (u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3]))
    })
}

/// The number at the front of a payload: an increment, or an error code.
pub(crate) fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |raw| u32::from_be_bytes(*raw))
}

/// The error code of a GOAWAY frame's payload.
pub(crate) fn goaway_code(payload: &[u8]) -> u32 {
    number(payload.get(4..).unwrap_or_default())
}

/// Appends a frame's head.
pub(crate) fn put_head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    // Lengths here are bounded by MAX_PAYLOAD, so that three bytes hold them.
    let length = u32::try_from(length).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(length.get(1..).unwrap_or_default());
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// Appends a whole header block.
pub(crate) fn put_headers(out: &mut Vec<u8>, stream: u32, flags: u8, block: &[u8]) {
    put_head(out, block.len(), kind::HEADERS, END_HEADERS | flags, stream);
    out.extend_from_slice(block);
}

/// Appends DATA.
pub(crate) fn put_data(out: &mut Vec<u8>, stream: u32, flags: u8, bytes: &[u8]) {
    put_head(out, bytes.len(), kind::DATA, flags, stream);
    out.extend_from_slice(bytes);
}

/// Appends our SETTINGS.
pub(crate) fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    put_head(out, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (identifier, value) in settings {
        out.extend_from_slice(&identifier.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends a WINDOW_UPDATE.
pub(crate) fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put_head(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Answers what must be answered on any connection: SETTINGS and PING.
pub(crate) fn acknowledge(out: &mut Vec<u8>, head: Head, payload: &[u8]) {
    if head.flags & ACK != 0 {
        return;
    }
    match head.kind {
        kind::SETTINGS => put_head(out, 0, kind::SETTINGS, ACK, 0),
        kind::PING => {
            put_head(out, payload.len(), kind::PING, ACK, 0);
            out.extend_from_slice(payload);
        }
        _ => {}
    }
}

/// Splits up to `count` bytes off the front.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (part, rest) = bytes.split_at(count.min(bytes.len()));
    *bytes = rest;
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames_of(bytes: &[u8], chunk: usize) -> Vec<(Head, Vec<u8>)> {
        let mut reader = FrameReader::default();
        let mut payload = Vec::new();
        let mut found = Vec::new();
        for mut part in bytes.chunks(chunk) {
            while let Some(head) = reader.next(&mut part, &mut payload).unwrap() {
                found.push((head, payload.clone()));
            }
        }
        found
    }

    #[test]
    fn frames_are_the_same_however_the_bytes_arrive() {
        let mut bytes = Vec::new();
        put_settings(&mut bytes, &[(setting::INITIAL_WINDOW_SIZE, 16_384)]);
        put_headers(&mut bytes, 1, 0, b"\x88");
        put_head(&mut bytes, 5, kind::DATA, END_STREAM, 1);
        bytes.extend_from_slice(b"hello");
        put_head(&mut bytes, 0, kind::SETTINGS, ACK, 0);
        let whole = frames_of(&bytes, bytes.len());
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[1].1, b"\x88");
        assert_eq!((whole[2].0.length, whole[2].1.len()), (5, 0));
        assert!(whole[2].0.ends_stream());
        for chunk in 1..12 {
            assert_eq!(frames_of(&bytes, chunk), whole);
        }
        let found: Vec<_> = settings(&whole[0].1).collect();
        assert_eq!(found, [(setting::INITIAL_WINDOW_SIZE, 16_384)]);
    }

    #[test]
    fn oversized_and_split_headers_are_refused() {
        let mut reader = FrameReader::default();
        let mut payload = Vec::new();
        let mut huge: &[u8] = &[1, 0, 0, 0, 0, 0, 0, 0, 1];
        assert!(reader.next(&mut huge, &mut payload).is_err());
        let mut reader = FrameReader::default();
        let mut split: &[u8] = &[0, 0, 0, kind::HEADERS, 0, 0, 0, 0, 1];
        assert!(reader.next(&mut split, &mut payload).is_err());
    }
}
