//! A request's body on its way up.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;

/// How an HTTP/1.1 message is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body at all.
    None,
    /// `content-length` is among the headers, and the client's connection enforces it.
    Length,
    /// Chunked.
    Chunked,
}

/// The client's body, and whether any of it was taken.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Option<Incoming>,
    framing: Framing,
    /// `None` for a request without body, which spares it the clock.
    last_moved: Option<Instant>,
    untouched: bool,
}

impl Upload {
    pub(crate) fn new(body: Incoming, headers: &HeaderMap) -> Self {
        if body.is_end_stream() {
            return Self { body: None, framing: Framing::None, last_moved: None, untouched: true };
        }
        let framing =
            if headers.contains_key(CONTENT_LENGTH) { Framing::Length } else { Framing::Chunked };
        Self { body: Some(body), framing, last_moved: Some(Instant::now()), untouched: true }
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    pub(crate) fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// Whether there is nothing (more) to send.
    pub(crate) fn is_finished(&self) -> bool {
        self.body.is_none()
    }

    pub(crate) fn last_moved(&self) -> Option<Instant> {
        self.last_moved
    }

    /// The next frame; `None` at the end, `Err` when the client broke off.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        self.untouched = false;
        self.last_moved = Some(Instant::now());
        if body.is_end_stream() || !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }
}
