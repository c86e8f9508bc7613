//! What has come for one stream and was not taken yet. Bounded by the stream's window.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use weft_h2::{ResetCause, StreamKey};

/// Pieces that an inbox keeps room for.
const KEPT: usize = 8;

/// Why a stream does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It was reset.
    Reset(ResetCause),
    /// Its connection ended.
    Closed,
    /// Its connection broke the rules of HTTP/2.
    Malformed,
}

/// One stream's inbox.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    key: Option<StreamKey>,
    heads: VecDeque<Response<()>>,
    data: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    ended: bool,
    broken: Option<Broken>,
    waker: Option<Waker>,
}

impl Inbox {
    pub(super) fn open(&mut self, key: StreamKey) {
        *self = Self { key: Some(key), ..std::mem::take(self).cleared() };
    }

    /// Empties it, and returns how many bytes were left.
    pub(super) fn close(&mut self) -> usize {
        let left = self.data.iter().map(Bytes::len).sum();
        *self = std::mem::take(self).cleared();
        left
    }

    fn cleared(mut self) -> Self {
        self.heads.clear();
        self.data.clear();
        self.data.shrink_to(KEPT);
        Self { heads: self.heads, data: self.data, ..Self::default() }
    }

    pub(super) fn belongs_to(&self, key: StreamKey) -> bool {
        self.key == Some(key)
    }

    pub(super) fn is_open(&self) -> bool {
        self.key.is_some()
    }

    pub(super) fn put_head(&mut self, head: Response<()>, end: bool) {
        self.heads.push_back(head);
        self.ended = end;
        self.wake();
    }

    pub(super) fn put_data(&mut self, data: Bytes, end: bool) {
        if !data.is_empty() {
            self.data.push_back(data);
        }
        self.ended = end;
        self.wake();
    }

    pub(super) fn put_trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(trailers);
        self.ended = true;
        self.wake();
    }

    /// A message that is complete cannot break off any more.
    pub(super) fn put_end(&mut self, broken: Broken) {
        // The first reason counts: a peer that has said GOAWAY closes next, and still did not look.
        if !self.ended && self.broken.is_none() {
            self.broken = Some(broken);
        }
        self.wake();
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn poll_head(&mut self, cx: &Context<'_>) -> Poll<Result<Response<()>, Broken>> {
        match (self.heads.pop_front(), self.broken) {
            (Some(head), _) => Poll::Ready(Ok(head)),
            (None, Some(broken)) => Poll::Ready(Err(broken)),
            (None, None) => {
                self.wait(cx);
                Poll::Pending
            }
        }
    }

    pub(super) fn poll_data(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        match (self.data.pop_front(), self.broken) {
            (Some(data), _) => Poll::Ready(Some(Ok(data))),
            (None, Some(broken)) => Poll::Ready(Some(Err(broken))),
            (None, None) if self.ended => Poll::Ready(None),
            (None, None) => {
                self.wait(cx);
                Poll::Pending
            }
        }
    }

    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// Whether nothing (more) is to be had.
    pub(super) fn is_drained(&self) -> bool {
        self.ended && self.data.is_empty() && self.trailers.is_none() && self.broken.is_none()
    }

    /// The whole body, if it is here in one piece.
    pub(super) fn take_whole(&mut self) -> Option<Bytes> {
        let whole = self.ended && self.data.len() == 1 && self.trailers.is_none();
        if whole { self.data.pop_front() } else { None }
    }
}
