//! Copies of a request's body for others, made as it goes up.
//!
//! Nobody waits for a copy: one whose reader does not keep up with the request breaks off, and so do
//! those that come when too much waits for the readers of others.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use weft_compile::Cluster;

use crate::downstream::RequestBroken;

/// Bytes of a body that may wait for the reader of a copy.
const WAITING: usize = 256 * 1024;
/// Bytes of all bodies that may wait so in a worker.
const WAITING_IN_ALL: usize = 8 * 1024 * 1024;

/// How many bytes wait for the readers of the copies of a worker.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Cell<usize>);

impl Waiting {
    /// Whether there was room for so many more.
    fn take(&self, bytes: usize) -> bool {
        let after = self.0.get().saturating_add(bytes);
        let has_room = after <= WAITING_IN_ALL;
        if has_room {
            self.0.set(after);
        }
        has_room
    }

    fn give_back(&self, bytes: usize) {
        self.0.set(self.0.get().saturating_sub(bytes));
    }
}

/// Where a copy of a body is written. Dropped before the end, it breaks the copy off.
#[derive(Debug)]
pub(crate) struct Copy {
    shared: Rc<RefCell<Shared>>,
    /// Counts that it broke off.
    of: Arc<Cluster>,
}

/// A copy of a body, to be read.
#[derive(Debug)]
pub(crate) struct CopiedBody(Rc<RefCell<Shared>>);

#[derive(Debug)]
struct Shared {
    waiting: VecDeque<Part>,
    bytes: usize,
    in_all: Rc<Waiting>,
    state: State,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Broken,
    /// The reader has gone.
    Unread,
}

#[derive(Debug)]
enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Copy {
    /// A copy of the body of a request to this cluster.
    pub(crate) fn new(of: &Arc<Cluster>, in_all: &Rc<Waiting>) -> (Self, CopiedBody) {
        let shared = Rc::new(RefCell::new(Shared {
            waiting: VecDeque::new(),
            bytes: 0,
            in_all: Rc::clone(in_all),
            state: State::Open,
            reader: None,
        }));
        (Self { shared: Rc::clone(&shared), of: Arc::clone(of) }, CopiedBody(shared))
    }

    /// The next frame of the body goes up.
    pub(crate) fn write(&self, frame: &Frame<Bytes>) {
        let mut shared = self.shared.borrow_mut();
        if shared.state != State::Open {
            return;
        }
        if let Some(data) = frame.data_ref() {
            if shared.bytes + data.len() > WAITING || !shared.in_all.take(data.len()) {
                shared.forget();
                self.of.stats.retry_or_shadow_abandoned.inc();
                return shared.end(State::Broken);
            }
            shared.bytes += data.len();
            // A copy of the bytes: what waits must not hold the block that they were read into.
            shared.waiting.push_back(Part::Data(Bytes::copy_from_slice(data)));
        } else if let Some(trailers) = frame.trailers_ref() {
            shared.waiting.push_back(Part::Trailers(trailers.clone()));
        }
        shared.wake();
    }

    /// The body has gone up as a whole.
    pub(crate) fn end(&self) {
        let mut shared = self.shared.borrow_mut();
        if shared.state == State::Open {
            shared.end(State::Ended);
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        if shared.state == State::Open {
            shared.end(State::Broken);
        }
    }
}

impl Shared {
    fn end(&mut self, state: State) {
        self.state = state;
        self.wake();
    }

    /// Lets go of what waits.
    fn forget(&mut self) {
        self.waiting.clear();
        self.in_all.give_back(std::mem::take(&mut self.bytes));
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl CopiedBody {
    /// Whether nothing (more) comes.
    pub(crate) fn is_end_stream(&self) -> bool {
        let shared = self.0.borrow();
        shared.state == State::Ended && shared.waiting.is_empty()
    }

    /// The next frame; `None` at the end.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        let mut shared = self.0.borrow_mut();
        match (shared.waiting.pop_front(), shared.state) {
            (Some(Part::Data(data)), _) => {
                shared.bytes -= data.len();
                shared.in_all.give_back(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            (Some(Part::Trailers(trailers)), _) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            (None, State::Ended) => Poll::Ready(None),
            (None, State::Broken | State::Unread) => Poll::Ready(Some(Err(RequestBroken::Gone))),
            (None, State::Open) => {
                shared.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for CopiedBody {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.forget();
        shared.state = State::Unread;
    }
}
