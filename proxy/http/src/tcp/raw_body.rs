//! A raw connection whose bytes are carried as the body of a request.

use std::{
    cell::{Cell, RefCell},
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Frame;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use weft_net::{Rewind, Stream};

use crate::downstream::RequestBroken;

/// Bytes of one read. A client that says nothing holds no buffer.
const READ: usize = 16 * 1024;

/// The connection, as both directions see it.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: RefCell<Rewind<Stream>>,
    /// Whether somebody takes its bytes.
    is_open: Cell<bool>,
    received: Cell<u64>,
}

impl Raw {
    pub(super) fn new(stream: Rewind<Stream>) -> Rc<Self> {
        let stream = RefCell::new(stream);
        Rc::new(Self { stream, is_open: Cell::default(), received: Cell::default() })
    }

    /// From here on what the client says is read.
    pub(super) fn open(&self) {
        self.is_open.set(true);
    }

    /// Bytes that have come.
    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes)
    }

    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }

    /// The client is not to take what broke for a whole.
    pub(super) fn reset_on_drop(&self) {
        self.stream.borrow().get_ref().reset_on_drop();
    }
}

/// What the client says, as a body that ends when the client has.
#[derive(Debug)]
pub(crate) struct RawBody(pub(super) Rc<Raw>);

impl RawBody {
    /// Nothing, before the other side has agreed to take it: another upstream could still be asked.
    pub(crate) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        let Self(raw) = self;
        if !raw.is_open.get() {
            // Whoever opens it asks again.
            return Poll::Pending;
        }
        let mut space = [const { MaybeUninit::uninit() }; READ];
        let mut read = ReadBuf::uninit(&mut space);
        let stream = &mut *raw.stream.borrow_mut();
        if ready!(Pin::new(stream).poll_read(cx, &mut read)).is_err() {
            return Poll::Ready(Some(Err(RequestBroken::Gone)));
        }
        let bytes = read.filled();
        raw.received.set(raw.received.get() + bytes.len() as u64);
        let frame = (!bytes.is_empty()).then(|| Ok(Frame::data(Bytes::copy_from_slice(bytes))));
        Poll::Ready(frame)
    }
}
