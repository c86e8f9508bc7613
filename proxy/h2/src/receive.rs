//! From bytes to frames, and DATA, which is handed on as it comes.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::{
    connection::{Connection, Leaving, Role},
    error::Violation,
    event::{Event, ResetCause, StreamKey},
    frame::{FrameHeader, HEADER, flag, kind},
    settings::DEFAULT_FRAME_SIZE,
    stream::Half,
};

/// Payloads up to this size are copied out of the input: a slice would hold the whole buffer.
const COPIED: usize = 2 * 1024;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input {
    /// The client's preface.
    Preface,
    /// A frame's header.
    Frame,
    /// A DATA frame's payload, handed on as it comes.
    Data { stream: StreamKey, left: usize, padding: usize, end: bool },
    /// Bytes that nobody wants.
    Skip(usize),
}

/// What a rule broken costs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Broken {
    /// The stream.
    Stream(u32, Violation),
    /// The connection.
    Connection(Violation),
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        Self::Connection(violation)
    }
}

/// What came of some bytes.
#[expect(clippy::large_enum_variant, reason = "returned at once, never kept")]
pub(crate) enum Step {
    Event(Event),
    /// Nothing to tell; there may be more.
    Next,
    /// The next frame is not complete.
    More,
}

impl Step {
    pub(crate) fn of(event: Option<Event>) -> Self {
        event.map_or(Self::Next, Self::Event)
    }
}

impl Connection {
    pub(crate) fn take_frames(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Violation> {
        loop {
            match self.step(input) {
                Ok(Step::Event(event)) => return Ok(Some(event)),
                Ok(Step::Next) => {}
                Ok(Step::More) => return Ok(None),
                Err(Broken::Connection(violation)) => return Err(violation),
                Err(Broken::Stream(id, violation)) => {
                    if self.settings.invalid_messages_end_connections && violation.is_of_message() {
                        return Err(violation);
                    }
                    if self.role == Role::Server {
                        self.budget.premature_reset(&self.settings)?;
                    }
                    return Ok(Some(self.refuse(id, violation)));
                }
            }
        }
    }

    fn step(&mut self, input: &mut BytesMut) -> Result<Step, Broken> {
        match self.input {
            Input::Frame => self.take_frame(input),
            Input::Data { stream, left, padding, end } => {
                Ok(self.take_data(input, stream, left, padding, end)?)
            }
            Input::Skip(left) => {
                let skipped = left.min(input.len());
                input.advance(skipped);
                if skipped == left {
                    self.input = Input::Frame;
                    return Ok(Step::Next);
                }
                self.input = Input::Skip(left - skipped);
                Ok(Step::More)
            }
            Input::Preface => {
                let (preface, seen) = (crate::PREFACE, input.len().min(crate::PREFACE.len()));
                if input.get(..seen) != preface.get(..seen) {
                    return Err(Violation::Preface.into());
                }
                if seen < preface.len() {
                    return Ok(Step::More);
                }
                input.advance(seen);
                self.input = Input::Frame;
                Ok(Step::Next)
            }
        }
    }

    #[inline]
    fn take_frame(&mut self, input: &mut BytesMut) -> Result<Step, Broken> {
        let Some(header) = FrameHeader::parse(input) else { return Ok(Step::More) };
        self.check_order(header)?;
        let length = header.length as usize;
        if header.kind == kind::DATA {
            return self.begin_data(header, input);
        }
        let Some(payload) = input.get(HEADER..HEADER + length) else { return Ok(Step::More) };
        let taken = self.take_whole_frame(header, payload);
        input.advance(HEADER + length);
        let output = &self.output;
        if output.control_frames() > self.settings.max_outbound_control_frames {
            return Err(Violation::OutboundControlFlood.into());
        }
        if output.frames() > self.settings.max_outbound_frames {
            return Err(Violation::OutboundFlood.into());
        }
        taken.map(Step::of)
    }

    /// Rules on which frame may come next, whatever it holds.
    #[inline]
    fn check_order(&mut self, header: FrameHeader) -> Result<(), Violation> {
        if header.length > DEFAULT_FRAME_SIZE {
            return Err(Violation::FrameTooLarge);
        }
        if !self.settings_seen {
            if header.kind != kind::SETTINGS || header.has(flag::ACK) {
                return Err(Violation::Preface);
            }
            self.settings_seen = true;
        }
        let continues = header.kind == kind::CONTINUATION;
        match &self.block {
            Some(block) if !continues || block.stream != header.stream => {
                Err(Violation::Continuation)
            }
            None if continues => Err(Violation::Continuation),
            _ => Ok(()),
        }
    }

    fn take_whole_frame(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Broken> {
        match header.kind {
            kind::HEADERS => self.headers(header, payload),
            kind::CONTINUATION => self.continuation(header, payload),
            kind::PRIORITY => self.priority(header, payload),
            kind::RST_STREAM => self.rst_stream(header, payload),
            kind::SETTINGS => self.settings_frame(header, payload),
            kind::PUSH_PROMISE => Err(Violation::Push.into()),
            kind::PING => self.ping_frame(header, payload),
            kind::GOAWAY => self.go_away_frame(header, payload),
            kind::WINDOW_UPDATE => self.window_update(header, payload),
            // RFC 9113 §4.1: unknown types are ignored; without payload they are only work.
            _ if payload.is_empty() => {
                self.budget.empty_frame(&self.settings)?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// DATA is counted against the windows as a whole when it begins (RFC 9113 §6.9.1).
    #[inline]
    fn begin_data(&mut self, header: FrameHeader, input: &mut BytesMut) -> Result<Step, Broken> {
        if header.stream == 0 {
            return Err(Violation::WrongStream.into());
        }
        let mut payload = header.length as usize;
        let mut padding = 0;
        let mut skip = HEADER;
        if header.has(flag::PADDED) {
            if payload == 0 {
                return Err(Violation::FrameSize.into());
            }
            let Some(length) = input.get(HEADER) else { return Ok(Step::More) };
            padding = usize::from(*length);
            skip += 1;
            payload = payload.checked_sub(1 + padding).ok_or(Violation::Padding)?;
        }
        let end = header.has(flag::END_STREAM);
        if payload > 0 || end {
            self.budget.payload();
        } else {
            self.budget.empty_frame(&self.settings)?;
        }
        self.recv_window.receive(header.length)?;
        input.advance(skip);
        // Until the stream has taken it, the payload is nobody's.
        self.input = Input::Skip(payload + padding);
        match self.admit_data(header, payload) {
            Ok(Some(stream)) => {
                // Padding is taken by nobody else.
                self.release(stream, header.length - u32::try_from(payload).unwrap_or_default());
                self.input = Input::Data { stream, left: payload, padding, end };
                Ok(Step::Next)
            }
            Ok(None) => {
                self.recv_window.release(header.length);
                self.grant_connection();
                Ok(Step::Next)
            }
            Err(broken) => {
                self.recv_window.release(header.length);
                self.grant_connection();
                Err(broken)
            }
        }
    }

    /// Whether the stream takes this frame; `None` when it is to be ignored.
    #[inline]
    fn admit_data(
        &mut self,
        header: FrameHeader,
        payload: usize,
    ) -> Result<Option<StreamKey>, Broken> {
        let id = header.stream;
        let broken = |violation| Broken::Stream(id, violation);
        let Some(key) = self.streams.key_of(id) else {
            self.check_closed(id)?;
            return Ok(None);
        };
        let Some(stream) = self.streams.get_mut(key) else { return Ok(None) };
        match stream.recv {
            Half::Body => {}
            Half::Head => return Err(broken(Violation::MessageOrder)),
            Half::Ended if stream.send == Half::Ended => return Err(Violation::ClosedStream.into()),
            Half::Ended => return Err(broken(Violation::ClosedStream)),
        }
        if let Some(left) = stream.length_left {
            let left = left.checked_sub(payload as u64).ok_or(broken(Violation::ContentLength))?;
            stream.length_left = Some(left);
        } else if stream.bodiless && payload > 0 {
            return Err(broken(Violation::ContentLength));
        }
        stream.recv_window.receive(header.length).map_err(broken)?;
        Ok(Some(key))
    }

    #[inline]
    fn take_data(
        &mut self,
        input: &mut BytesMut,
        stream: StreamKey,
        left: usize,
        padding: usize,
        end: bool,
    ) -> Result<Step, Broken> {
        let length = left.min(input.len());
        if length == 0 && left > 0 {
            return Ok(Step::More);
        }
        let complete = length == left;
        self.input = match (complete, padding) {
            (false, _) => Input::Data { stream, left: left - length, padding, end },
            (true, 0) => Input::Frame,
            (true, padding) => Input::Skip(padding),
        };
        if self.streams.get(stream).is_none() {
            // Reset meanwhile, and its share of the window is back already.
            input.advance(length);
            return Ok(Step::Next);
        }
        let end = end && complete;
        if length == 0 && !end {
            return Ok(Step::Next);
        }
        let data = if length == 0 {
            Bytes::new()
        } else if length <= COPIED {
            let data = input.get(..length).map(Bytes::copy_from_slice).unwrap_or_default();
            input.advance(length);
            data
        } else {
            input.split_to(length).freeze()
        };
        if end {
            self.end_received(stream)?;
        }
        Ok(Step::Event(Event::Data { stream, data, end }))
    }

    /// The peer's message is complete.
    pub(crate) fn end_received(&mut self, key: StreamKey) -> Result<(), Broken> {
        let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
        if stream.length_left.is_some_and(|left| left > 0) {
            return Err(Broken::Stream(key.id, Violation::ContentLength));
        }
        stream.recv = Half::Ended;
        self.streams.end(key);
        Ok(())
    }

    /// RFC 9113 §5.1: what a frame on a stream that is not there means.
    pub(crate) fn check_closed(&self, id: u32) -> Result<(), Broken> {
        if self.is_idle(id) {
            let new = self.role == Role::Server && id.is_multiple_of(2);
            return Err(if new { Violation::StreamId } else { Violation::IdleStream }.into());
        }
        if self.ignored.holds(id) || matches!(self.leaving, Leaving::Above(last) if id > last) {
            return Ok(());
        }
        Err(Violation::ClosedStream.into())
    }

    /// Whether a stream was never opened, by either end.
    pub(crate) fn is_idle(&self, id: u32) -> bool {
        match self.role {
            Role::Server => id.is_multiple_of(2) || id > self.last_peer_id,
            Role::Client => id.is_multiple_of(2) || id >= self.next_id,
        }
    }

    pub(crate) fn reset_by_peer(&mut self, key: StreamKey, code: crate::Code) -> Event {
        self.discard(key);
        Event::Reset { stream: key, cause: ResetCause::Peer(code) }
    }
}
