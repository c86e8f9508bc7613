//! HEADERS and CONTINUATION: what a header block means for its stream.

use crate::{
    connection::{Connection, Leaving, Role},
    error::{Code, Violation},
    event::{Event, StreamKey},
    frame::{self, FrameHeader, flag},
    receive::Broken,
    settings::DEFAULT_FRAME_SIZE,
    stream::{Half, Stream, Waits},
    window::{RecvWindow, SendWindow},
};

/// Informational responses to one request.
const MAX_INFORMATIONAL: u8 = 16;

/// A header block of which more is to come.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) stream: u32,
    end: bool,
    fragment: Vec<u8>,
}

impl Connection {
    pub(crate) fn headers(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Broken> {
        if header.stream == 0 {
            return Err(Violation::WrongStream.into());
        }
        let stripped = frame::strip(header, payload).ok_or(Violation::Padding)?;
        let fragment = payload.get(stripped.skip..stripped.skip + stripped.length);
        let fragment = fragment.unwrap_or_default();
        let end = header.has(flag::END_STREAM);
        self.budget.payload();
        self.budget.block_begins();
        if stripped.depends_on == Some(header.stream) {
            return Err(Violation::SelfDependency.into());
        }
        if header.has(flag::END_HEADERS) {
            return self.head(header.stream, fragment, end);
        }
        self.block = Some(Block { stream: header.stream, end, fragment: fragment.to_vec() });
        Ok(None)
    }

    pub(crate) fn continuation(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, Broken> {
        let Some(mut block) = self.block.take() else { return Err(Violation::Continuation.into()) };
        self.budget.block_goes_on()?;
        block.fragment.extend_from_slice(payload);
        let most = self.settings.max_header_list_size.max(DEFAULT_FRAME_SIZE) as usize * 2;
        if block.fragment.len() > most {
            return Err(Violation::ContinuationFlood.into());
        }
        if header.has(flag::END_HEADERS) {
            return self.head(block.stream, &block.fragment, block.end);
        }
        self.block = Some(block);
        Ok(None)
    }

    /// A complete header block. It is decoded whatever becomes of it, because all later ones depend
    /// on it (RFC 9113 §4.3).
    fn head(&mut self, id: u32, block: &[u8], end: bool) -> Result<Option<Event>, Broken> {
        if let Some(key) = self.streams.key_of(id) {
            return self.head_on(key, block, end);
        }
        let opens = self.role == Role::Server && id > self.last_peer_id && id % 2 == 1;
        if !opens {
            self.skip_block(block)?;
            self.check_closed(id)?;
            return Ok(None);
        }
        self.last_peer_id = id;
        self.budget.stream_opened();
        let request = self.decode_request(block)?;
        if matches!(self.leaving, Leaving::Above(_)) {
            self.ignored.add(id);
            return Ok(None);
        }
        if self.streams.open() >= self.settings.max_concurrent_streams as usize {
            return Err(Broken::Stream(id, Violation::TooManyStreams));
        }
        let request = match request {
            Ok(request) => request,
            Err(Violation::HeadTooLarge) => return Ok(Some(self.refuse_large_head(id))),
            Err(violation) => return Err(Broken::Stream(id, violation)),
        };
        if end && request.length.is_some_and(|length| length > 0) {
            return Err(Broken::Stream(id, Violation::ContentLength));
        }
        let stream = self.streams.insert(Stream {
            id,
            recv: if end { Half::Ended } else { Half::Body },
            send: Half::Head,
            waits: Waits::Not,
            bodiless: false,
            is_connect: false,
            informational: 0,
            send_window: SendWindow::new(self.peer.initial_window_size),
            recv_window: RecvWindow::new(self.stream_window()),
            length_left: request.length,
        });
        Ok(Some(Event::Request { stream, head: request.head, end }))
    }

    /// A further block on a stream: a response, or trailers.
    fn head_on(
        &mut self,
        key: StreamKey,
        block: &[u8],
        end: bool,
    ) -> Result<Option<Event>, Broken> {
        let broken = |violation| Broken::Stream(key.id, violation);
        let Some(stream) = self.streams.get(key) else { return Ok(None) };
        match stream.recv {
            Half::Head => self.response(key, block, end),
            Half::Body => {
                let fields = self.decode_trailers(block)?;
                if !end {
                    return Err(broken(Violation::MessageOrder));
                }
                let fields = fields.map_err(broken)?;
                self.end_received(key)?;
                Ok(Some(Event::Trailers { stream: key, fields }))
            }
            Half::Ended => {
                let closed = stream.send == Half::Ended;
                self.skip_block(block)?;
                if closed {
                    return Err(Violation::ClosedStream.into());
                }
                Err(broken(Violation::ClosedStream))
            }
        }
    }

    fn response(
        &mut self,
        key: StreamKey,
        block: &[u8],
        end: bool,
    ) -> Result<Option<Event>, Broken> {
        let broken = |violation| Broken::Stream(key.id, violation);
        let response = self.decode_response(block)?.map_err(broken)?;
        let Some(stream) = self.streams.get_mut(key) else { return Ok(None) };
        let status = response.head.status();
        if status.is_informational() {
            if end || status == http::StatusCode::SWITCHING_PROTOCOLS {
                return Err(broken(Violation::MessageOrder));
            }
            stream.informational += 1;
            if stream.informational > MAX_INFORMATIONAL {
                return Err(broken(Violation::InformationalFlood));
            }
            return Ok(Some(Event::Informational { stream: key, head: response.head }));
        }
        stream.recv = Half::Body;
        // RFC 9113 §8.1.1: what never has a body may still say how long it would have been.
        if stream.bodiless || matches!(status.as_u16(), 204 | 304) {
            stream.bodiless = true;
        } else if !(stream.is_connect && status.is_success()) {
            stream.length_left = response.length;
        }
        if end {
            self.end_received(key)?;
        }
        Ok(Some(Event::Response { stream: key, head: response.head, end }))
    }

    /// RFC 6585 §5.
    fn refuse_large_head(&mut self, id: u32) -> Event {
        self.put_head_too_large(id);
        self.output.put_control(&frame::rst_stream(id, Code::NoError));
        self.ignored.add(id);
        Event::Refused(Violation::HeadTooLarge)
    }
}
