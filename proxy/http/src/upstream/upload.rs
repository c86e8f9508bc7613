//! A request's body on its way up.

use std::{
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::Frame;

use crate::downstream::{RequestBody, RequestBroken};

/// How an HTTP/1.1 message is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body at all.
    None,
    /// `content-length` is among the headers, and the client's connection enforces it.
    Length,
    /// Chunked.
    Chunked,
    /// Bytes as they come, once the upstream has agreed to a tunnel.
    Tunnel,
}

/// The client's body, and whether any of it was taken.
#[derive(Debug)]
pub(crate) struct Upload {
    body: RequestBody,
    framing: Framing,
    /// `None` for a request without body, which spares it the clock.
    last_moved: Option<Instant>,
    untouched: bool,
}

impl Upload {
    pub(crate) fn new(body: RequestBody, headers: &HeaderMap) -> Self {
        if body.is_end_stream() {
            return Self {
                body: RequestBody::None,
                framing: Framing::None,
                last_moved: None,
                untouched: true,
            };
        }
        let framing =
            if headers.contains_key(CONTENT_LENGTH) { Framing::Length } else { Framing::Chunked };
        Self { body, framing, last_moved: Some(Instant::now()), untouched: true }
    }

    /// What will go through a tunnel.
    pub(crate) fn tunnel(body: RequestBody) -> Self {
        let last_moved = Some(Instant::now());
        Self { body, framing: Framing::Tunnel, last_moved, untouched: true }
    }

    /// The upstream has agreed: from here on the client's bytes are the tunnel's.
    pub(crate) fn begin_tunnel(&mut self) {
        self.body.begin_tunnel();
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    pub(crate) fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// Whether there is nothing (more) to send.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.body, RequestBody::None)
    }

    pub(crate) fn last_moved(&self) -> Option<Instant> {
        self.last_moved
    }

    /// The next frame; `None` at the end, `Err` when the client broke off.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        if self.is_finished() {
            return Poll::Ready(None);
        }
        let frame = ready!(self.body.poll_frame(cx));
        self.untouched = false;
        self.last_moved = Some(Instant::now());
        if self.body.is_end_stream() || !matches!(frame, Some(Ok(_))) {
            self.body = RequestBody::None;
        }
        Poll::Ready(frame)
    }
}
