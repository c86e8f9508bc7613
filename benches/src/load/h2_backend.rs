//! One HTTP/2 backend connection: every request gets the same response, within the
//! windows its peer grants (RFC 9113 §5.2).

use super::engine::Reply;
use super::frames::{self, FrameReader, Head, kind, setting};
use super::wire::Wire;
use super::{Failure, hpack};

/// No more than this waits to be written: the rest is produced as the socket drains.
const HIGH_WATER: usize = 256 * 1024;
/// What we grant each stream and, far more, the connection; renewed when half is used.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

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
    /// Whether the peer keeps a table that they may point into.
    table: bool,
    /// Bytes received since the connection's window was renewed.
    consumed: u32,
}

/// A request that is not fully answered.
struct Stream {
    id: u32,
    window: i64,
    /// Bytes of the answer still to send; `None` until the request has ended, or on a
    /// stream of messages until its head went out.
    left: Option<usize>,
    /// Bytes of a message that is not whole yet.
    asked: usize,
    /// Bytes received since the stream's window was renewed.
    consumed: u32,
}

impl H2Backend {
    pub(crate) fn new(mut wire: Wire) -> Self {
        let settings = [
            (setting::MAX_CONCURRENT_STREAMS, 1024),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
        ];
        frames::put_settings(wire.out(), &settings);
        frames::put_window_update(wire.out(), 0, CONNECTION_WINDOW);
        Self {
            wire,
            reader: FrameReader::default(),
            payload: Vec::new(),
            preface_left: frames::PREFACE.len(),
            streams: Vec::new(),
            window: frames::INITIAL_WINDOW,
            initial_window: frames::INITIAL_WINDOW,
            indexed: false,
            table: true,
            consumed: 0,
        }
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
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

    pub(crate) fn take(&mut self, mut bytes: &[u8], reply: &Reply) -> Result<u64, Failure> {
        if self.preface_left > 0 {
            let at = frames::PREFACE.len() - self.preface_left;
            let rest = frames::PREFACE.get(at..).unwrap_or_default();
            let length = rest.len().min(bytes.len());
            let (found, after) = bytes.split_at(length);
            if !rest.starts_with(found) {
                return Err(Failure::Protocol("no HTTP/2 preface"));
            }
            self.preface_left -= length;
            bytes = after;
        }
        let mut served = 0;
        let mut payload = std::mem::take(&mut self.payload);
        while let Some(head) = self.reader.next(&mut bytes, &mut payload)? {
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
                        asked: 0,
                        consumed: 0,
                    });
                }
                if head.ends_stream() {
                    return Ok(self.answer(head.stream, reply));
                }
            }
            kind::DATA => {
                let messages = self.on_data(head, reply)?;
                if head.ends_stream() {
                    return Ok(self.answer(head.stream, reply));
                }
                return Ok(messages);
            }
            kind::RST_STREAM => self.streams.retain(|s| s.id != head.stream),
            kind::SETTINGS | kind::PING => {
                if head.kind == kind::SETTINGS {
                    self.on_settings(payload);
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

    fn on_settings(&mut self, payload: &[u8]) {
        for (identifier, value) in frames::settings(payload) {
            match identifier {
                setting::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - self.initial_window;
                    self.initial_window = i64::from(value);
                    for stream in &mut self.streams {
                        stream.window += change;
                    }
                }
                // nginx keeps none for its upstreams.
                setting::HEADER_TABLE_SIZE => self.table = value >= hpack::TABLE_NEEDED,
                _ => {}
            }
        }
    }

    /// Takes a part of a request's body; how many messages it completed on a stream
    /// where each is answered by itself.
    fn on_data(&mut self, head: Head, reply: &Reply) -> Result<u64, Failure> {
        if head.length > 0 && !reply.takes_body() {
            return Err(Failure::Protocol("a request with a body"));
        }
        let Some(stream) = self.streams.iter_mut().find(|s| s.id == head.stream) else {
            return Ok(0);
        };
        let length = u32::try_from(head.length).unwrap_or(0);
        self.consumed += length;
        stream.consumed += length;
        if stream.consumed > STREAM_WINDOW / 2 {
            let consumed = std::mem::take(&mut stream.consumed);
            frames::put_window_update(self.wire.out(), head.stream, consumed);
        }
        if self.consumed > CONNECTION_WINDOW / 2 {
            frames::put_window_update(self.wire.out(), 0, std::mem::take(&mut self.consumed));
        }
        let Some(message) = reply.message() else {
            return Ok(0);
        };
        stream.asked += head.length;
        let whole = stream.asked / message;
        stream.asked %= message;
        let new = stream.left.is_none();
        *stream.left.get_or_insert(0) += whole * reply.body().len();
        if new {
            self.put_head(head.stream, reply);
        }
        Ok(whole as u64)
    }

    fn answer(&mut self, id: u32, reply: &Reply) -> u64 {
        let Some(stream) = self.streams.iter_mut().find(|s| s.id == id) else {
            return 0;
        };
        if stream.left.is_some() {
            return 0;
        }
        stream.left = Some(reply.body().len());
        self.put_head(id, reply);
        1
    }

    fn put_head(&mut self, id: u32, reply: &Reply) {
        let block = match self.table {
            true => reply.block(self.indexed),
            false => reply.block_without_table(),
        };
        self.indexed = self.table;
        frames::put_headers(self.wire.out(), id, 0, block);
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
            // Several answers may be due on a stream of messages: this is the first one's rest.
            let rest = (left - 1) % reply.body().len() + 1;
            let room = room.min(rest);
            let from = reply.body().len() - rest;
            let part = reply.body().get(from..from + room).unwrap_or_default();
            let last = room == left && reply.message().is_none();
            let out = self.wire.out();
            match reply.trailers() {
                Some(trailers) if last => {
                    frames::put_data(out, stream.id, 0, part);
                    frames::put_headers(out, stream.id, frames::END_STREAM, trailers);
                }
                _ => {
                    let flags = if last { frames::END_STREAM } else { 0 };
                    frames::put_data(out, stream.id, flags, part);
                }
            }
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
