//! The bytes of an HTTP/1 connection: what was read and not yet taken, what is to be written, and
//! the body of the request under way.
//!
//! The task of the connection, the body of its request and the interim responses to it all work on
//! one connection, and all on one task: whoever is polled moves the bytes.

use std::{
    cell::RefCell,
    future::Future as _,
    io::{self, IoSlice},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::Response;
use http_body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use weft_compile::{Http1Settings, KeyFormat};
use weft_net::Stream;

use super::{
    super::RequestBroken,
    head::{self, Head, Refusal},
    reply,
};
use crate::{
    http1::{Body, BodyLength, Step},
    worker::Worker,
};

/// Reads of a body grow between these as long as they fill what they are given.
const READ_MIN: usize = 8 * 1024;
const READ_MAX: usize = 64 * 1024;
/// Below this much room a read is not worth its system call.
const READ_ROOM: usize = 2 * 1024;
/// Room for more of a head that did not come whole, at first.
const HEAD_ROOM: usize = 512;
/// Bytes of an unwanted body that are read to keep its connection.
const DRAIN: usize = 64 * 1024;

/// A connection's bytes.
#[derive(Debug)]
pub(crate) struct Wire {
    io: RefCell<Io>,
    worker: Rc<Worker>,
    /// How the client is written names.
    format: KeyFormat,
}

#[derive(Debug)]
struct Io {
    stream: Stream,
    read: BytesMut,
    read_size: usize,
    /// The client has finished sending.
    ended: bool,
    /// Bytes of an incomplete head that were looked at in vain.
    seen: usize,
    /// Bytes of empty lines before it.
    blank: usize,
    /// What is left of the body of the request under way.
    body: Body,
    /// The client waits for a 100 (Continue).
    continue_due: bool,
    malformed: bool,
    /// To be written, one after the other.
    out: Bytes,
    data: Bytes,
}

/// Why no head comes.
#[derive(Debug)]
pub(super) enum NoHead {
    Refused(Refusal),
    /// The client closed; with an incomplete head if that is said.
    Closed {
        within_head: bool,
    },
}

impl Wire {
    /// `prefix` was read from `stream` before.
    pub(super) fn new(
        stream: Stream,
        prefix: Bytes,
        worker: &Rc<Worker>,
        format: KeyFormat,
    ) -> Self {
        Self {
            io: RefCell::new(Io {
                stream,
                read: BytesMut::from(prefix),
                read_size: READ_MIN,
                ended: false,
                seen: 0,
                blank: 0,
                body: Body::Done,
                continue_due: false,
                malformed: false,
                out: Bytes::new(),
                data: Bytes::new(),
            }),
            worker: Rc::clone(worker),
            format,
        }
    }

    /// Waits for a complete head.
    pub(super) fn poll_head(
        &self,
        cx: &mut Context<'_>,
        settings: &Http1Settings,
    ) -> Poll<Result<Head, NoHead>> {
        let io = &mut *self.io.borrow_mut();
        loop {
            match io.take_head(settings) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(refusal) => return Poll::Ready(Err(NoHead::Refused(refusal))),
            }
            match ready!(io.poll_fill(cx, &self.worker)) {
                Ok(n) if n > 0 => {}
                Ok(_) | Err(_) => {
                    let within_head = !io.read.is_empty();
                    return Poll::Ready(Err(NoHead::Closed { within_head }));
                }
            }
        }
    }

    /// Whether no byte of a next request has come.
    pub(super) fn is_quiet(&self) -> bool {
        self.io.borrow().read.is_empty()
    }

    /// The head of a request has been taken; `length` is its body's.
    pub(super) fn begin_body(&self, length: BodyLength, continue_due: bool) {
        let io = &mut *self.io.borrow_mut();
        io.body = Body::new(&length);
        io.continue_due = continue_due;
        io.release_if_empty();
    }

    /// From here on bytes come as they are until the client has finished.
    pub(in super::super) fn begin_tunnel(&self) {
        self.io.borrow_mut().body = Body::UntilClose;
    }

    /// The next part of the request's body.
    pub(in super::super) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        self.io.borrow_mut().poll_body(cx, &self.worker)
    }

    pub(in super::super) fn is_body_done(&self) -> bool {
        self.io.borrow().body.is_done()
    }

    /// Notices that the client has gone while its answer is awaited. Reads ahead at most once: the
    /// rest of what it sends waits in the socket.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let io = &mut *self.io.borrow_mut();
        if !io.out.is_empty() && matches!(io.poll_write(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        if io.ended || !io.read.is_empty() || !io.body.is_done() {
            return Poll::Pending;
        }
        match ready!(io.poll_fill(cx, &self.worker)) {
            // One that has only finished sending still wants its answer.
            Ok(_) => Poll::Pending,
            Err(_) => Poll::Ready(()),
        }
    }

    /// Takes what has come of a body that nobody wants. Whether that was all of it.
    pub(super) fn drain(&self, cx: &mut Context<'_>) -> bool {
        let io = &mut *self.io.borrow_mut();
        if io.continue_due && io.read.is_empty() {
            // It may never be sent.
            return io.body.is_done();
        }
        io.continue_due = false;
        let mut taken = 0;
        while taken < DRAIN && !io.body.is_done() {
            match io.poll_body(cx, &self.worker) {
                Poll::Ready(Some(Ok(frame))) => taken += frame.data_ref().map_or(0, Bytes::len),
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        io.release_if_empty();
        io.body.is_done()
    }

    /// Whether a body was not framed as it said.
    pub(super) fn is_malformed(&self) -> bool {
        self.io.borrow().malformed
    }

    /// Puts down what is to be written next; everything before it must have been written.
    pub(super) fn stage(&self, out: Bytes, data: Bytes) {
        let io = &mut *self.io.borrow_mut();
        io.out = out;
        io.data = data;
        // No 100 after the answer has begun.
        io.continue_due = false;
    }

    /// Writes what was put down.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.borrow_mut().poll_write(cx)
    }

    /// How many bytes wait to be written.
    pub(super) fn unwritten(&self) -> usize {
        let io = self.io.borrow();
        io.out.len() + io.data.len()
    }

    /// An interim response, unless the client is still busy with an earlier one: they are optional.
    pub(in super::super) fn interim(&self, cx: &mut Context<'_>, head: &Response<()>) {
        let io = &mut *self.io.borrow_mut();
        if io.out.is_empty() {
            io.continue_due &= head.status() != http::StatusCode::CONTINUE;
            io.out = self.worker.buffers().write(|out| reply::interim(out, head, self.format));
            // What cannot be written now is written before the next thing; so are errors seen.
            let _ = io.poll_write(cx);
        }
    }

    /// Says that nothing more is sent.
    pub(super) fn poll_finish(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io.borrow_mut().stream).poll_shutdown(cx)
    }

    /// Reads and forgets until the client has finished too.
    pub(super) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<()> {
        let io = &mut *self.io.borrow_mut();
        while !io.ended {
            io.read = BytesMut::new();
            match ready!(io.poll_fill(cx, &self.worker)) {
                Ok(n) if n > 0 => {}
                Ok(_) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl Io {
    fn take_head(&mut self, settings: &Http1Settings) -> Result<Option<Head>, Refusal> {
        let blank = self.read.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 {
            self.skip_blank(blank, settings)?;
        }
        // A head that comes in drops is not looked at again for each of them.
        if self.read.len() <= self.seen || (self.seen > 0 && !self.may_be_complete(settings)) {
            return Ok(None);
        }
        let head = head::take(&mut self.read, settings)?;
        if head.is_none() && self.seen == 0 {
            // The worker's block is for heads that come whole: a slow one must not hold it.
            self.read = BytesMut::from(self.read.as_ref());
        }
        self.seen = if head.is_none() { self.read.len() } else { 0 };
        if head.is_some() {
            self.blank = 0;
        }
        Ok(head)
    }

    /// RFC 9112 §2.2: some are to be ignored. Without end they are a head that is too large.
    #[cold]
    fn skip_blank(&mut self, blank: usize, settings: &Http1Settings) -> Result<(), Refusal> {
        self.read.advance(blank);
        self.blank += blank;
        if self.blank > settings.max_head_bytes { Err(Refusal::TooLarge) } else { Ok(()) }
    }

    fn may_be_complete(&self, settings: &Http1Settings) -> bool {
        let new = self.read.get(self.seen.saturating_sub(3)..).unwrap_or_default();
        self.read.len() >= (2 * self.seen).min(settings.max_head_bytes)
            || new.windows(2).any(|two| two == b"\n\n")
            || new.windows(3).any(|three| three == b"\n\r\n")
    }

    /// Reads more; `Ok(0)` is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, worker: &Worker) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let stream = &mut self.stream;
        let polled = if self.read.is_empty() && self.read_size == READ_MIN {
            let (polled, filled) =
                worker.buffers().read(|block| pin!(stream.read_buf(block)).poll(cx));
            self.read = filled;
            polled
        } else {
            let more =
                if self.body.is_done() { self.read.len().max(HEAD_ROOM) } else { self.read_size };
            if self.read.capacity() - self.read.len() < READ_ROOM.min(more) {
                self.read.reserve(more);
            }
            pin!(stream.read_buf(&mut self.read)).poll(cx)
        };
        if polled.is_pending() && self.read.is_empty() && matches!(self.body, Body::UntilClose) {
            // A tunnel may be quiet for long.
            self.read = BytesMut::new();
        }
        if let Poll::Ready(Ok(n)) = &polled {
            self.ended = *n == 0;
            if *n >= self.read_size && !self.body.is_done() {
                self.read_size = (self.read_size * 2).min(READ_MAX);
            }
        }
        polled
    }

    /// What a request needs no more is not kept for the next one.
    fn release_if_empty(&mut self) {
        if self.read.is_empty() {
            self.read = BytesMut::new();
            self.read_size = READ_MIN;
        }
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        loop {
            if std::mem::take(&mut self.continue_due) && self.out.is_empty() {
                self.out = Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n");
                if let Poll::Ready(Err(_)) = self.poll_write(cx) {
                    return Poll::Ready(Some(Err(RequestBroken::Gone)));
                }
            }
            match self.body.step(&mut self.read) {
                Ok(Step::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Step::Trailers(map)) => return Poll::Ready(Some(Ok(Frame::trailers(map)))),
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::More) => {}
                Err(_) => {
                    self.malformed = true;
                    return Poll::Ready(Some(Err(RequestBroken::Malformed)));
                }
            }
            match ready!(self.poll_fill(cx, worker)) {
                Ok(n) if n > 0 => {}
                Ok(_) if matches!(self.body, Body::UntilClose) => {
                    self.body = Body::Done;
                    return Poll::Ready(None);
                }
                Ok(_) | Err(_) => return Poll::Ready(Some(Err(RequestBroken::Gone))),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let stream = Pin::new(&mut self.stream);
            let n = match (self.out.is_empty(), self.data.is_empty()) {
                (true, true) => return Poll::Ready(Ok(())),
                (false, true) => ready!(stream.poll_write(cx, &self.out))?,
                (true, false) => ready!(stream.poll_write(cx, &self.data))?,
                (false, false) => {
                    let both = [IoSlice::new(&self.out), IoSlice::new(&self.data)];
                    ready!(stream.poll_write_vectored(cx, &both))?
                }
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_out = n.min(self.out.len());
            self.out.advance(of_out);
            self.data.advance(n - of_out);
            if self.out.is_empty() {
                // Its block is used again sooner when an empty rest does not hold on to it.
                self.out = Bytes::new();
            }
        }
    }
}
