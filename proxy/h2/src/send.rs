//! Commands: what the owner of a connection sends.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::{
    connection::{Connection, Role},
    error::Code,
    event::StreamKey,
    frame::{self, FrameHeader, flag, kind},
    settings::MAX_WINDOW,
    stream::{Half, Stream, Waits},
    window::{RecvWindow, SendWindow},
};

/// What one stream may send before it is the others' turn.
const QUANTUM: usize = 64 * 1024;

/// The stream is over, or has said its end: nothing more can be sent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream is over")]
pub struct Gone;

/// Why no stream was opened. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// The peer allows no more streams at once: wait for one to end, or take another connection.
    #[error("the peer allows no more streams at once")]
    Full,
    /// The connection takes no more streams: take another one.
    #[error("the connection is ending")]
    Leaving,
}

/// A request's head, as it is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// `:method`.
    pub method: &'a Method,
    /// `:scheme`; left out of a plain CONNECT.
    pub scheme: &'a str,
    /// `:authority`.
    pub authority: &'a [u8],
    /// `:path`; left out of a plain CONNECT.
    pub path: &'a str,
    /// `:protocol` of an extended CONNECT.
    pub protocol: Option<&'a [u8]>,
    /// All other fields. `host` is left out, because `:authority` stands for it.
    pub headers: &'a HeaderMap,
}

impl Connection {
    /// Whether [`open`](Self::open) would open a stream.
    ///
    /// # Errors
    /// Why it would not.
    pub fn can_open(&self) -> Result<(), NotOpened> {
        if self.is_leaving() || self.next_id > MAX_WINDOW {
            return Err(NotOpened::Leaving);
        }
        if self.streams.open() >= self.peer.max_concurrent_streams as usize {
            return Err(NotOpened::Full);
        }
        Ok(())
    }

    /// Whether the peer takes extended CONNECT (RFC 8441).
    pub fn may_connect(&self) -> bool {
        self.peer.enable_connect
    }

    /// Whether the peer has said its settings.
    pub fn has_peer_settings(&self) -> bool {
        self.peer_said
    }

    /// Sends a request's head (clients only); `end` when nothing follows.
    ///
    /// # Errors
    /// When no stream can be opened now.
    pub fn open(&mut self, head: RequestHead<'_>, end: bool) -> Result<StreamKey, NotOpened> {
        self.can_open()?;
        if self.role == Role::Server {
            return Err(NotOpened::Leaving);
        }
        let id = self.next_id;
        self.next_id += 2;
        self.budget.stream_opened();
        self.put_request(id, head, end);
        Ok(self.streams.insert(Stream {
            id,
            recv: Half::Head,
            send: if end { Half::Ended } else { Half::Body },
            waits: Waits::Not,
            bodiless: *head.method == Method::HEAD,
            is_connect: *head.method == Method::CONNECT,
            informational: 0,
            send_window: SendWindow::new(self.peer.initial_window_size),
            recv_window: RecvWindow::new(self.stream_window()),
            length_left: None,
        }))
    }

    /// Sends a response's head (servers only); `end` when nothing follows. Informational ones may
    /// go before the final one.
    ///
    /// # Errors
    /// When the stream is gone or its final head was sent.
    pub fn respond(
        &mut self,
        key: StreamKey,
        status: StatusCode,
        headers: &HeaderMap,
        end: bool,
    ) -> Result<(), Gone> {
        let stream = self.streams.get_mut(key).filter(|it| it.send == Half::Head).ok_or(Gone)?;
        let end = end && !status.is_informational();
        if !status.is_informational() {
            stream.send = if end { Half::Ended } else { Half::Body };
        }
        self.put_response(key.id, status, headers, end);
        if end {
            self.streams.end(key);
        }
        Ok(())
    }

    /// Sends as much of `data` as windows and output have room for, and leaves the rest. When all was
    /// taken and `end` is true, the message ends with it. Returns whether all was taken; if not,
    /// [`next_writable`](Self::next_writable) will name the stream.
    ///
    /// # Errors
    /// When the stream is gone or its end was sent.
    pub fn send_data(&mut self, key: StreamKey, data: &mut Bytes, end: bool) -> Result<bool, Gone> {
        let room = self.settings.max_output.saturating_sub(self.output.len());
        let stream = self.streams.get_mut(key).filter(|it| it.send == Half::Body).ok_or(Gone)?;
        if data.is_empty() && !end {
            return Ok(true);
        }
        let most = stream.send_window.room().min(self.send_window.room()).min(room).min(QUANTUM);
        let mut left = most.min(data.len());
        stream.send_window.take(left);
        self.send_window.take(left);
        let all = left == data.len();
        loop {
            let piece = left.min(self.peer.max_frame_size as usize);
            if piece == 0 && !(all && end && data.is_empty()) {
                break;
            }
            left -= piece;
            let payload = data.split_to(piece);
            let last = end && all && data.is_empty();
            let header = FrameHeader {
                length: u32::try_from(piece).unwrap_or_default(),
                kind: kind::DATA,
                flags: if last { flag::END_STREAM } else { 0 },
                stream: key.id,
            };
            self.output.put_data(header, payload);
            self.budget.data_sent();
            if left == 0 {
                break;
            }
        }
        if all {
            stream.waits = Waits::Not;
            if end {
                stream.send = Half::Ended;
                self.streams.end(key);
            }
        } else if stream.send_window.room() == 0 {
            stream.waits = Waits::Window;
        } else {
            self.streams.enqueue(key);
        }
        Ok(all)
    }

    /// Sends trailers, which end the message.
    ///
    /// # Errors
    /// When the stream is gone or its end was sent.
    pub fn send_trailers(&mut self, key: StreamKey, fields: &HeaderMap) -> Result<(), Gone> {
        let stream = self.streams.get_mut(key).filter(|it| it.send == Half::Body).ok_or(Gone)?;
        stream.send = Half::Ended;
        self.put_trailers(key.id, fields);
        self.streams.end(key);
        Ok(())
    }

    /// Whether the peer's message is complete and so is ours, or the stream is gone.
    pub fn is_over(&self, key: StreamKey) -> bool {
        self.streams.get(key).is_none_or(Stream::has_ended)
    }

    /// Breaks the stream off. Nothing happens to one that is over, except that what was received on
    /// it counts as released.
    pub fn reset(&mut self, key: StreamKey, code: Code) {
        let Some(stream) = self.streams.get(key) else { return };
        if !stream.has_ended() {
            self.output.put_frame(&frame::rst_stream(key.id, code));
            self.ignored.add(key.id);
        }
        self.discard(key);
    }

    /// The consumer has taken `n` bytes of the stream's body: the peer may send as many more.
    #[inline]
    pub fn release(&mut self, key: StreamKey, n: u32) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let released = stream.recv_window.release(n);
        if stream.recv == Half::Ended {
            self.streams.settle(key);
        } else if let Some(increment) = stream.recv_window.grant() {
            self.output.put_frame(&frame::window_update(key.id, increment));
        }
        self.recv_window.release(released);
        self.grant_connection();
    }
}
