//! The connection: its state, how it begins and how it ends.

use bytes::BytesMut;
use weft_hpack::{Decoder, Encoder};

use crate::{
    budget::Budget,
    error::{Code, ConnectionError, Violation},
    event::{Event, ResetCause, StreamKey},
    frame::{self, FrameHeader, flag, kind},
    ignored::Ignored,
    messages::Block,
    output::Output,
    receive::Input,
    settings::{DEFAULT_TABLE_SIZE, DEFAULT_WINDOW, MAX_WINDOW, PeerSettings, Settings, id},
    stream::Streams,
    window::{RecvWindow, SendWindow},
};

/// The PING that follows the first GOAWAY: its answer shows that the peer has seen it.
pub(crate) const LAST_CALL: [u8; 8] = *b"weft-bye";

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens streams.
    Client,
    /// Answers them.
    Server,
}

/// How far the end of the connection has come on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It goes on.
    No,
    /// The peer knows that it should open no more streams; those on their way are still taken.
    Announced,
    /// Streams above this one are ignored.
    Above(u32),
}

/// One HTTP/2 connection.
#[derive(Debug)]
pub struct Connection {
    pub(crate) role: Role,
    pub(crate) settings: Settings,
    pub(crate) peer: PeerSettings,
    pub(crate) streams: Streams,
    pub(crate) send_window: SendWindow,
    pub(crate) recv_window: RecvWindow,
    pub(crate) output: Output,
    pub(crate) encoder: Encoder,
    pub(crate) decoder: Decoder,
    pub(crate) budget: Budget,
    pub(crate) ignored: Ignored,
    pub(crate) input: Input,
    /// A header block that is not complete.
    pub(crate) block: Option<Block>,
    /// The next stream that this end opens.
    pub(crate) next_id: u32,
    /// The highest stream that the peer has opened.
    pub(crate) last_peer_id: u32,
    pub(crate) leaving: Leaving,
    /// The peer said GOAWAY.
    pub(crate) peer_leaves: bool,
    /// Streams that the peer's GOAWAY left out, to be reported.
    pub(crate) lost: Vec<StreamKey>,
    /// The peer has sent its first SETTINGS, or their header.
    pub(crate) settings_seen: bool,
    pub(crate) peer_said: bool,
    failed: Option<Violation>,
}

impl Connection {
    /// One end of a connection; what it says first is in its output already.
    pub fn new(role: Role, settings: Settings) -> Self {
        let window = settings.initial_connection_window_size.clamp(DEFAULT_WINDOW, MAX_WINDOW);
        let mut connection = Self {
            role,
            peer: PeerSettings::before_said(),
            streams: Streams::default(),
            send_window: SendWindow::new(DEFAULT_WINDOW),
            recv_window: RecvWindow::new(window),
            output: Output::default(),
            encoder: Encoder::new(),
            decoder: Decoder::new(settings.hpack_table_size as usize),
            budget: Budget::default(),
            ignored: Ignored::default(),
            input: if role == Role::Server { Input::Preface } else { Input::Frame },
            block: None,
            next_id: 1,
            last_peer_id: 0,
            leaving: Leaving::No,
            peer_leaves: false,
            lost: Vec::new(),
            settings_seen: false,
            peer_said: false,
            failed: None,
            settings,
        };
        connection.introduce(window);
        connection
    }

    fn introduce(&mut self, window: u32) {
        if self.role == Role::Client {
            self.output.put_raw(crate::PREFACE);
        }
        let settings = &self.settings;
        let mut said = vec![
            (id::INITIAL_WINDOW_SIZE, self.stream_window()),
            (id::MAX_HEADER_LIST_SIZE, settings.max_header_list_size),
        ];
        if settings.hpack_table_size != DEFAULT_TABLE_SIZE {
            said.push((id::HEADER_TABLE_SIZE, settings.hpack_table_size));
        }
        match self.role {
            Role::Client => said.push((id::ENABLE_PUSH, 0)),
            Role::Server => {
                said.push((id::MAX_CONCURRENT_STREAMS, settings.max_concurrent_streams));
                if settings.allow_connect {
                    said.push((id::ENABLE_CONNECT_PROTOCOL, 1));
                }
            }
        }
        let length = u32::try_from(said.len() * 6).unwrap_or_default();
        let header = FrameHeader { length, kind: kind::SETTINGS, flags: 0, stream: 0 };
        self.output.put_raw(&header.to_wire());
        for (id, value) in said {
            self.output.put_raw(&id.to_be_bytes());
            self.output.put_raw(&value.to_be_bytes());
        }
        if window > DEFAULT_WINDOW {
            self.output.put_raw(&frame::window_update(0, window - DEFAULT_WINDOW));
        }
    }

    /// What each stream may receive before its first bytes are released.
    pub(crate) fn stream_window(&self) -> u32 {
        self.settings.initial_stream_window_size.clamp(DEFAULT_WINDOW, MAX_WINDOW)
    }

    /// Takes bytes off `input` until something has happened; `None` when it takes more bytes to go on.
    ///
    /// # Errors
    /// When the peer broke a rule that costs it the connection, and from then on always.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<Option<Event>, ConnectionError> {
        if let Some(violation) = self.failed {
            return Err(ConnectionError(violation));
        }
        if let Some(stream) = self.lost.pop() {
            return Ok(Some(Event::Reset { stream, cause: ResetCause::NotProcessed }));
        }
        self.take_frames(input).map_err(|violation| {
            self.failed = Some(violation);
            self.output.put_raw(&frame::go_away(self.last_peer_id, violation.code()));
            ConnectionError(violation)
        })
    }

    /// The bytes to write.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Whether bodies and heads may be added to the output, or should wait until it was written.
    pub fn has_room(&self) -> bool {
        self.output.len() < self.settings.max_output
    }

    /// The next stream of which [`send_data`](Self::send_data) did not take everything and would
    /// take more now.
    pub fn next_writable(&mut self) -> Option<StreamKey> {
        while self.send_window.room() > 0 && self.has_room() {
            let key = self.streams.dequeue()?;
            let Some(stream) = self.streams.get_mut(key) else { continue };
            if stream.send_window.room() > 0 {
                return Some(key);
            }
            stream.waits = crate::stream::Waits::Window;
        }
        None
    }

    /// The stream whose head has begun to come and is not complete.
    pub fn open_head(&self) -> Option<u32> {
        self.block.as_ref().map(|block| block.stream)
    }

    /// Streams that are open, not counting those that only wait for their data to be released.
    pub fn open_streams(&self) -> usize {
        self.streams.open()
    }

    /// Streams that were ever opened.
    pub fn opened_streams(&self) -> u64 {
        self.budget.opened()
    }

    /// Whether this end has said its last GOAWAY and no stream is left.
    pub fn is_finished(&self) -> bool {
        let said = match self.role {
            Role::Server => matches!(self.leaving, Leaving::Above(_)),
            Role::Client => self.leaving != Leaving::No || self.peer_leaves,
        };
        self.failed.is_some() || (said && self.streams.open() == 0)
    }

    /// Whether the peer has said GOAWAY, or this end has begun to leave.
    pub fn is_leaving(&self) -> bool {
        self.peer_leaves || self.leaving != Leaving::No
    }

    /// Begins the end (RFC 9113 §6.8): streams that the peer has sent already are still taken, and
    /// once it has seen this, no more.
    pub fn shut_down(&mut self) {
        if self.leaving != Leaving::No {
            return;
        }
        self.leaving = Leaving::Announced;
        match self.role {
            Role::Server => {
                self.output.put_raw(&frame::go_away(MAX_WINDOW, Code::NoError));
                self.output.put_raw(&frame::ping(LAST_CALL, false));
            }
            Role::Client => self.output.put_raw(&frame::go_away(0, Code::NoError)),
        }
    }

    /// Takes no more streams from now on, without asking.
    pub fn shut_down_now(&mut self) {
        if !matches!(self.leaving, Leaving::Above(_)) {
            self.leaving = Leaving::Above(self.last_peer_id);
            self.output.put_raw(&frame::go_away(self.last_peer_id, Code::NoError));
        }
    }

    /// Asks whether the peer is there; it says so by [`Event::Pong`].
    pub fn ping(&mut self, payload: u64) {
        self.output.put_control(&frame::ping(payload.to_be_bytes(), false));
    }

    /// Gives memory back that only a busy connection needs.
    pub fn let_go(&mut self) {
        self.output.let_go();
        self.streams.let_go();
        self.decoder.shrink();
    }

    /// A stream is over because the peer broke a rule.
    pub(crate) fn refuse(&mut self, id: u32, violation: Violation) -> Event {
        self.output.put_control(&frame::rst_stream(id, violation.code()));
        self.ignored.add(id);
        match self.streams.key_of(id) {
            Some(stream) => {
                self.discard(stream);
                Event::Reset { stream, cause: ResetCause::Refused(violation) }
            }
            None => Event::Refused(violation),
        }
    }

    /// Takes a stream out; the connection's window gets back what was not released.
    pub(crate) fn discard(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.discard(key) {
            self.recv_window.release(stream.recv_window.held());
            self.grant_connection();
        }
    }

    pub(crate) fn grant_connection(&mut self) {
        if let Some(increment) = self.recv_window.grant() {
            self.output.put_frame(&frame::window_update(0, increment));
        }
    }

    pub(crate) fn acknowledge_settings(&mut self) {
        let header = FrameHeader { length: 0, kind: kind::SETTINGS, flags: flag::ACK, stream: 0 };
        self.output.put_control(&header.to_wire());
    }
}
