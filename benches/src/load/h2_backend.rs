//! One HTTP/2 backend connection: every request gets the same response, within the
//! windows its peer grants (RFC 9113 §5.2).

use super::engine::Reply;
use super::frames::{self, FrameReader, Head, kind, setting};
use super::wire::{Input, Wire};
use super::{Failure, hpack};

/// No more than this waits to be written: the rest is produced as the socket drains.
const HIGH_WATER: usize = 256 * 1024;

/// The backend's end of a connection.
pub(crate) struct H2Backend {
    wire: Wire,
    reader: FrameReader,
    payload: Vec<u8>,
    preface_left: usize,
    streams: Vec<Stream>,
    /// What may still be sent on the whole connection, in bytes.
    window: i64,
    /// What a new stream may send, in bytes.
    initial_window: i64,
    /// Whether a header block went out, so that later ones may point back at it.
    indexed: bool,
}

/// A request that is not fully answered.
struct Stream {
    id: u32,
    window: i64,
    /// Bytes of the body still to send; `None` until the request has ended.
    left: Option<usize>,
}

impl H2Backend {
    pub(crate) fn new(mut wire: Wire) -> Self {
        frames::put_settings(wire.out(), &[(setting::MAX_CONCURRENT_STREAMS, 1024)]);
        Self {
            wire,
            reader: FrameReader::default(),
            payload: Vec::new(),
            preface_left: frames::PREFACE.len(),
            streams: Vec::new(),
            window: frames::INITIAL_WINDOW,
            initial_window: frames::INITIAL_WINDOW,
            indexed: false,
        }
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Reads requests and answers them, adding to `served`; `Err` ends the connection.
    pub(crate) fn serve(
        &mut self,
        scratch: &mut [u8],
        until_end: bool,
        reply: &Reply,
        served: &mut u64,
    ) -> Result<(), Failure> {
        loop {
            match self.wire.read(scratch)? {
                Input::Nothing => break,
                Input::End => return Err(Failure::Closed),
                Input::Bytes { length, last } => {
                    let mut bytes = scratch.get(..length).unwrap_or_default();
                    *served += self.take(&mut bytes, reply)?;
                    if last && !until_end {
                        break;
                    }
                }
            }
        }
        self.send(reply)
    }

    /// Writes what windows and socket allow.
    pub(crate) fn send(&mut self, reply: &Reply) -> Result<(), Failure> {
        loop {
            while self.produce(reply) {}
            self.wire.flush()?;
            let blocked = self.wire.pending() > 0;
            if blocked || !self.streams.iter().any(|s| self.room(s) > 0) {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: &mut &[u8], reply: &Reply) -> Result<u64, Failure> {
        if self.preface_left > 0 {
            let at = frames::PREFACE.len() - self.preface_left;
            let rest = frames::PREFACE.get(at..).unwrap_or_default();
            let length = rest.len().min(bytes.len());
            let (found, after) = bytes.split_at(length);
            if !rest.starts_with(found) {
                return Err(Failure::Protocol("no HTTP/2 preface"));
            }
            self.preface_left -= length;
            *bytes = after;
        }
        let mut served = 0;
        let mut payload = std::mem::take(&mut self.payload);
        while let Some(head) = self.reader.next(bytes, &mut payload)? {
            served += self.on_frame(head, &payload, reply)?;
        }
        self.payload = payload;
        Ok(served)
    }

    fn on_frame(&mut self, head: Head, payload: &[u8], reply: &Reply) -> Result<u64, Failure> {
        match head.kind {
            kind::HEADERS => {
                // A second block on the same stream is trailers.
                if !self.streams.iter().any(|s| s.id == head.stream) {
                    self.streams.push(Stream {
                        id: head.stream,
                        window: self.initial_window,
                        left: None,
                    });
                }
                if head.ends_stream() {
                    return Ok(self.answer(head.stream, reply));
                }
            }
            kind::DATA => {
                if head.length > 0 {
                    return Err(Failure::Protocol("a request with a body"));
                }
                if head.ends_stream() {
                    return Ok(self.answer(head.stream, reply));
                }
            }
            kind::RST_STREAM => self.streams.retain(|s| s.id != head.stream),
            kind::SETTINGS | kind::PING => {
                if head.kind == kind::SETTINGS {
                    self.on_settings(payload)?;
                }
                frames::acknowledge(self.wire.out(), head, payload);
            }
            kind::WINDOW_UPDATE => {
                let increment = i64::from(frames::number(payload) & 0x7fff_ffff);
                if head.stream == 0 {
                    self.window += increment;
                } else if let Some(s) = self.streams.iter_mut().find(|s| s.id == head.stream) {
                    s.window += increment;
                }
            }
            _ => {}
        }
        Ok(0)
    }

    fn on_settings(&mut self, payload: &[u8]) -> Result<(), Failure> {
        for (identifier, value) in frames::settings(payload) {
            match identifier {
                setting::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - self.initial_window;
                    self.initial_window = i64::from(value);
                    for stream in &mut self.streams {
                        stream.window += change;
                    }
                }
                setting::HEADER_TABLE_SIZE if value < hpack::TABLE_NEEDED => {
                    return Err(Failure::Protocol("a header table below 1 KiB"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn answer(&mut self, id: u32, reply: &Reply) -> u64 {
        let Some(stream) = self.streams.iter_mut().find(|s| s.id == id) else {
            return 0;
        };
        if stream.left.replace(reply.body().len()).is_some() {
            return 0;
        }
        let block = reply.block(self.indexed);
        self.indexed = true;
        frames::put_headers(self.wire.out(), id, 0, block);
        1
    }

    /// How many bytes a stream may send now.
    fn room(&self, stream: &Stream) -> usize {
        let window = stream.window.min(self.window);
        let left = stream.left.unwrap_or(0).min(frames::MAX_PAYLOAD);
        left.min(usize::try_from(window).unwrap_or(0))
    }

    /// Gives each stream in turn one frame; `false` when none could be written.
    fn produce(&mut self, reply: &Reply) -> bool {
        let mut streams = std::mem::take(&mut self.streams);
        let mut progress = false;
        streams.retain_mut(|stream| {
            let room = self.room(stream);
            let left = stream.left.unwrap_or(0);
            if room == 0 || self.wire.pending() > HIGH_WATER {
                return true;
            }
            let from = reply.body().len() - left;
            let part = reply.body().get(from..from + room).unwrap_or_default();
            let last = room == left;
            let flags = if last { frames::END_STREAM } else { 0 };
            let out = self.wire.out();
            frames::put_head(out, part.len(), kind::DATA, flags, stream.id);
            out.extend_from_slice(part);
            let sent = i64::try_from(room).unwrap_or(0);
            stream.window -= sent;
            self.window -= sent;
            stream.left = Some(left - room);
            progress = true;
            !last
        });
        self.streams = streams;
        progress
    }
}
