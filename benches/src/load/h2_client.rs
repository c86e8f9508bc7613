//! One HTTP/2 client connection with several requests in flight.

use std::time::Instant;

use super::frames::{self, FrameReader, Head, kind, setting};
use super::hpack::{self, Block, Field};
use super::wire::{Input, Wire};
use super::{Failure, Load};

/// What we grant each stream: more than a body, so that no stream ever waits.
const STREAM_WINDOW: u32 = 1 << 20;
/// What we grant the connection, renewed when half of it is used.
const CONNECTION_WINDOW: u32 = 1 << 30;

/// A connection to the peer under test.
pub(crate) struct H2Client {
    wire: Wire,
    reader: FrameReader,
    payload: Vec<u8>,
    flights: Vec<Flight>,
    next_stream: u32,
    /// Body bytes received since the connection's window was renewed.
    consumed: u32,
}

/// A request in flight.
struct Flight {
    stream: u32,
    due: Instant,
    received: usize,
    answered: bool,
}

/// The header block of a request.
pub(crate) fn request(load: &Load) -> Option<Block> {
    // Static table: 2 `:method: GET`, 6 `:scheme: http`, 1 `:authority`, 4 `:path`,
    // 19 `accept`, 58 `user-agent`.
    let fields = [(1, load.authority), (4, load.path), (19, "*/*"), (58, "weft-benches")];
    let fields = fields.map(|(name, value)| Field { name, value });
    Block::new(&[2, 6], &fields)
}

impl H2Client {
    pub(crate) fn new(mut wire: Wire) -> Self {
        let out = wire.out();
        out.extend_from_slice(frames::PREFACE);
        let settings = [(setting::ENABLE_PUSH, 0), (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW)];
        frames::put_settings(out, &settings);
        frames::put_window_update(out, 0, CONNECTION_WINDOW);
        Self {
            wire,
            reader: FrameReader::default(),
            payload: Vec::new(),
            flights: Vec::new(),
            next_stream: 1,
            consumed: 0,
        }
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// How many requests are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    pub(crate) fn issue(&mut self, due: Instant, request: &Block) {
        let stream = self.next_stream;
        let block = request.bytes(stream > 1);
        frames::put_headers(self.wire.out(), stream, frames::END_STREAM, block);
        self.next_stream += 2;
        self.flights.push(Flight { stream, due, received: 0, answered: false });
    }

    /// Reads what is there. `finished` receives when each answered request was due.
    pub(crate) fn read(
        &mut self,
        scratch: &mut [u8],
        until_end: bool,
        load: &Load,
        finished: &mut Vec<Instant>,
    ) -> Result<(), Failure> {
        loop {
            match self.wire.read(scratch)? {
                Input::Nothing => break,
                Input::End => return Err(Failure::Closed),
                Input::Bytes { length, last } => {
                    let mut bytes = scratch.get(..length).unwrap_or_default();
                    let mut payload = std::mem::take(&mut self.payload);
                    while let Some(head) = self.reader.next(&mut bytes, &mut payload)? {
                        self.on_frame(head, &payload, load, finished)?;
                    }
                    self.payload = payload;
                    if last && !until_end {
                        break;
                    }
                }
            }
        }
        if self.consumed > CONNECTION_WINDOW / 2 {
            frames::put_window_update(self.wire.out(), 0, self.consumed);
            self.consumed = 0;
        }
        Ok(())
    }

    fn on_frame(
        &mut self,
        head: Head,
        payload: &[u8],
        load: &Load,
        finished: &mut Vec<Instant>,
    ) -> Result<(), Failure> {
        match head.kind {
            kind::HEADERS => {
                let flight = self.flight(head.stream)?;
                let block = frames::header_block(head, payload);
                // A block after the first is trailers.
                if !std::mem::replace(&mut flight.answered, true) && !hpack::is_ok(block) {
                    return Err(Failure::Status);
                }
            }
            kind::DATA => {
                self.consumed += u32::try_from(head.length).unwrap_or(0);
                self.flight(head.stream)?.received += head.length;
            }
            kind::RST_STREAM => return Err(Failure::Reset(frames::number(payload))),
            kind::GOAWAY => return Err(Failure::GoAway(frames::goaway_code(payload))),
            kind::SETTINGS => check_settings(payload, load)?,
            _ => {}
        }
        frames::acknowledge(self.wire.out(), head, payload);
        if matches!(head.kind, kind::HEADERS | kind::DATA) && head.ends_stream() {
            let at = self.flights.iter().position(|f| f.stream == head.stream);
            let at = at.ok_or(Failure::Protocol("an unknown stream"))?;
            let flight = self.flights.swap_remove(at);
            if flight.received != load.body {
                return Err(Failure::Length(flight.received));
            }
            finished.push(flight.due);
        }
        Ok(())
    }

    fn flight(&mut self, stream: u32) -> Result<&mut Flight, Failure> {
        let found = self.flights.iter_mut().find(|f| f.stream == stream);
        found.ok_or(Failure::Protocol("an unknown stream"))
    }
}

fn check_settings(payload: &[u8], load: &Load) -> Result<(), Failure> {
    for (identifier, value) in frames::settings(payload) {
        let allowed = usize::try_from(value).unwrap_or(usize::MAX);
        match identifier {
            setting::HEADER_TABLE_SIZE if value < hpack::TABLE_NEEDED => {
                return Err(Failure::Protocol("a header table below 1 KiB"));
            }
            setting::MAX_CONCURRENT_STREAMS if allowed < load.streams => {
                return Err(Failure::Protocol("fewer streams allowed than wanted"));
            }
            _ => {}
        }
    }
    Ok(())
}
