//! One HTTP/2 client connection with several requests in flight.

use std::time::Instant;

use super::frames::{self, FrameReader, Head, kind, setting};
use super::hpack::{self, Block, Field, Name};
use super::messages;
use super::wire::{Input, Wire};
use super::{Failure, Load, Protocol};

/// What we grant each stream: more than a body, so that no stream ever waits.
const STREAM_WINDOW: u32 = 2 << 20;
/// What we grant the connection, renewed when half of it is used.
const CONNECTION_WINDOW: u32 = 1 << 30;

const UNKNOWN_STREAM: Failure = Failure::Protocol("an unknown stream");

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

/// A stream.
struct Flight {
    stream: u32,
    /// Since when its request or message was due; `None` while an open stream rests.
    due: Option<Instant>,
    received: usize,
    /// Bytes received since the stream's window was renewed.
    consumed: u32,
    answered: bool,
}

/// The one request that a session repeats.
pub(crate) struct H2Request {
    block: Block,
    /// The body; empty for none.
    message: Vec<u8>,
    /// Streams stay open, and each request is a further message.
    streaming: bool,
}

impl H2Request {
    pub(crate) fn new(load: &Load) -> Option<Self> {
        // Static table: 2 `:method: GET`, 3 `:method: POST`, 6 `:scheme: http`,
        // 1 `:authority`, 4 `:path`, 19 `accept`, 31 `content-type`, 58 `user-agent`.
        let (method, kind, message) = match load.protocol {
            Protocol::GrpcUnary | Protocol::GrpcStream => (
                3,
                vec![(Name::Static(31), "application/grpc"), (Name::Plain("te"), "trailers")],
                messages::grpc(),
            ),
            _ => (2, vec![(Name::Static(19), "*/*")], Vec::new()),
        };
        let mut fields = vec![(Name::Static(1), load.authority), (Name::Static(4), load.path)];
        fields.extend(kind);
        fields.push((Name::Static(58), "weft-benches"));
        let fields: Vec<_> =
            fields.into_iter().map(|(name, value)| Field { name, value }).collect();
        let streaming = load.protocol == Protocol::GrpcStream;
        Some(Self { block: Block::new(&[method, 6], &fields)?, message, streaming })
    }
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
        self.flights.iter().filter(|flight| flight.due.is_some()).count()
    }

    pub(crate) fn issue(&mut self, due: Instant, request: &H2Request) {
        let ends = |streaming| if streaming { 0 } else { frames::END_STREAM };
        if request.streaming
            && let Some(flight) = self.flights.iter_mut().find(|flight| flight.due.is_none())
        {
            flight.due = Some(due);
            return frames::put_data(self.wire.out(), flight.stream, 0, &request.message);
        }
        let stream = self.next_stream;
        let block = request.block.bytes(stream > 1);
        let out = self.wire.out();
        frames::put_headers(out, stream, ends(!request.message.is_empty()), block);
        if !request.message.is_empty() {
            frames::put_data(out, stream, ends(request.streaming), &request.message);
        }
        self.next_stream += 2;
        let due = Some(due);
        self.flights.push(Flight { stream, due, received: 0, consumed: 0, answered: false });
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
                let length = u32::try_from(head.length).unwrap_or(0);
                self.consumed += length;
                let flight = self.flight(head.stream)?;
                flight.received += head.length;
                flight.consumed += length;
            }
            kind::RST_STREAM => return Err(Failure::Reset(frames::number(payload))),
            kind::GOAWAY => return Err(Failure::GoAway(frames::goaway_code(payload))),
            kind::SETTINGS => check_settings(payload, load)?,
            _ => {}
        }
        frames::acknowledge(self.wire.out(), head, payload);
        match head.kind {
            kind::DATA if load.protocol == Protocol::GrpcStream => {
                self.on_message(head, load, finished)
            }
            kind::HEADERS | kind::DATA if head.ends_stream() => self.on_end(head, load, finished),
            _ => Ok(()),
        }
    }

    /// More of a message has come on a stream that stays open.
    fn on_message(
        &mut self,
        head: Head,
        load: &Load,
        finished: &mut Vec<Instant>,
    ) -> Result<(), Failure> {
        let flight = self.flight(head.stream)?;
        if head.ends_stream() {
            return Err(Failure::Closed);
        }
        if flight.received > load.body {
            return Err(Failure::Length(flight.received));
        }
        if flight.received == load.body {
            flight.received = 0;
            let due = flight.due.take();
            finished.push(due.ok_or(Failure::Protocol("a message nobody asked for"))?);
        }
        if flight.consumed > STREAM_WINDOW / 2 {
            let consumed = std::mem::take(&mut flight.consumed);
            frames::put_window_update(self.wire.out(), head.stream, consumed);
        }
        Ok(())
    }

    /// A response has ended.
    fn on_end(
        &mut self,
        head: Head,
        load: &Load,
        finished: &mut Vec<Instant>,
    ) -> Result<(), Failure> {
        let at = self.flights.iter().position(|f| f.stream == head.stream);
        let flight = self.flights.swap_remove(at.ok_or(UNKNOWN_STREAM)?);
        match load.protocol {
            Protocol::GrpcStream => return Err(Failure::Closed),
            Protocol::GrpcUnary if head.kind == kind::DATA => {
                return Err(Failure::Protocol("a gRPC response without trailers"));
            }
            _ if flight.received != load.body => return Err(Failure::Length(flight.received)),
            _ => finished.extend(flight.due),
        }
        Ok(())
    }

    fn flight(&mut self, stream: u32) -> Result<&mut Flight, Failure> {
        let found = self.flights.iter_mut().find(|f| f.stream == stream);
        found.ok_or(UNKNOWN_STREAM)
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
