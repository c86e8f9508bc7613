//! A connection as its streams see it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use http_body::Frame;
use weft_h2::{
    Code, Connection as Machine, ConnectionError, Event, Gone, NotOpened, Output, RequestHead,
    Role, Settings, StreamKey,
};
use weft_telemetry::Http2Stats;

use super::{
    counts,
    inbox::{Broken, Inbox},
};

/// A machine, the inboxes of its streams, and its task's waker. Nothing here is borrowed while
/// anything outside runs.
#[derive(Debug)]
pub(crate) struct Link {
    machine: RefCell<Machine>,
    /// By [`StreamKey::index`].
    inboxes: RefCell<Vec<Inbox>>,
    /// Those that were not read to their end when another stream got their place: a stream may be over
    /// before whoever waits for it has had a turn.
    unread: RefCell<Vec<Inbox>>,
    task: RefCell<Option<Waker>>,
    stats: Arc<Http2Stats>,
    /// Its task runs right now, and writes before it rests.
    runs: Cell<bool>,
    nudged: Cell<bool>,
}

/// A stream's or a pool's hold on a link. When the last is gone, the connection's task ends it.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Rc<Link>);

impl Handle {
    pub(crate) fn new(link: &Rc<Link>) -> Self {
        Self(Rc::clone(link))
    }
}

impl std::ops::Deref for Handle {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // This one and the task's.
        if Rc::strong_count(&self.0) <= 2 {
            self.0.nudge();
        }
    }
}

impl Link {
    pub(crate) fn new(role: Role, settings: Settings, stats: Arc<Http2Stats>) -> Rc<Self> {
        Rc::new(Self {
            machine: RefCell::new(Machine::new(role, settings)),
            inboxes: RefCell::default(),
            unread: RefCell::default(),
            task: RefCell::default(),
            stats,
            runs: Cell::new(false),
            nudged: Cell::new(false),
        })
    }

    /// The task begins its turn.
    pub(crate) fn enter(&self, cx: &Context<'_>) {
        self.runs.set(true);
        self.nudged.set(false);
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    /// The task rests.
    pub(crate) fn leave(&self) {
        self.runs.set(false);
    }

    /// Has the task look after the connection.
    fn nudge(&self) {
        if !self.runs.get()
            && !self.nudged.replace(true)
            && let Some(task) = &*self.task.borrow()
        {
            task.wake_by_ref();
        }
    }

    fn with_inbox<T>(&self, key: StreamKey, with: impl FnOnce(&mut Inbox) -> T) -> Option<T> {
        let mut inboxes = self.inboxes.borrow_mut();
        if let Some(inbox) = inboxes.get_mut(key.index()).filter(|inbox| inbox.belongs_to(key)) {
            return Some(with(inbox));
        }
        self.unread.borrow_mut().iter_mut().find(|inbox| inbox.belongs_to(key)).map(with)
    }

    /// Empties an inbox for good, and returns how many bytes were left.
    fn close_inbox(&self, key: StreamKey) -> Option<usize> {
        let left = self.with_inbox(key, Inbox::close);
        self.unread.borrow_mut().retain(Inbox::is_open);
        left
    }

    /// Keeps what comes for a stream.
    pub(crate) fn open_inbox(&self, key: StreamKey) {
        let mut inboxes = self.inboxes.borrow_mut();
        if inboxes.len() <= key.index() {
            inboxes.resize_with(key.index() + 1, Inbox::default);
        }
        if let Some(inbox) = inboxes.get_mut(key.index()) {
            if inbox.is_open() {
                self.unread.borrow_mut().push(std::mem::take(inbox));
            }
            inbox.open(key);
        }
    }

    // For the connection's task.

    pub(crate) fn receive(&self, input: &mut BytesMut) -> Result<Option<Event>, ConnectionError> {
        let received = self.machine.borrow_mut().receive(input);
        match &received {
            Ok(Some(event)) => counts::event(&self.stats, event),
            Ok(None) => {}
            Err(ConnectionError(violation)) => {
                counts::violation(&self.stats, *violation);
                self.stats.goaway_sent.inc();
            }
        }
        received
    }

    pub(crate) fn next_writable(&self) -> Option<StreamKey> {
        self.machine.borrow_mut().next_writable()
    }

    pub(crate) fn with_output<T>(&self, with: impl FnOnce(&mut Output) -> T) -> T {
        with(self.machine.borrow_mut().output())
    }

    /// Whether nothing waits to be written.
    pub(crate) fn has_written(&self) -> bool {
        self.with_output(|output| output.is_empty())
    }

    pub(crate) fn has_room(&self) -> bool {
        self.machine.borrow().has_room()
    }

    /// The stream whose head has begun to come and is not complete.
    pub(crate) fn open_head(&self) -> Option<u32> {
        self.machine.borrow().open_head()
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.machine.borrow().open_streams()
    }

    pub(crate) fn opened_streams(&self) -> u64 {
        self.machine.borrow().opened_streams()
    }

    /// The peer is to open no more streams; those on their way are still taken.
    pub(crate) fn shut_down(&self) {
        self.leave_with(Machine::shut_down);
    }

    /// No more streams are taken.
    pub(crate) fn shut_down_now(&self) {
        self.leave_with(Machine::shut_down_now);
    }

    fn leave_with(&self, say: fn(&mut Machine)) {
        let mut machine = self.machine.borrow_mut();
        let before = machine.output().len();
        say(&mut machine);
        let said = machine.output().len() > before;
        drop(machine);
        if said {
            self.stats.goaway_sent.inc();
            self.nudge();
        }
    }

    /// Asks the peer whether it is there.
    pub(crate) fn ping(&self, payload: u64) {
        self.machine.borrow_mut().ping(payload);
        self.nudge();
    }

    /// What is counted of the connection.
    pub(crate) fn stats(&self) -> &Http2Stats {
        &self.stats
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.machine.borrow().is_finished()
    }

    /// Gives back memory that only streams need.
    pub(crate) fn let_go(&self) {
        self.machine.borrow_mut().let_go();
        let mut inboxes = self.inboxes.borrow_mut();
        if inboxes.iter().all(|inbox| !inbox.is_open()) {
            *inboxes = Vec::new();
        }
    }

    pub(crate) fn put_head(&self, key: StreamKey, head: Response<()>, end: bool) {
        self.with_inbox(key, |inbox| inbox.put_head(head, end));
    }

    pub(crate) fn put_data(&self, key: StreamKey, data: Bytes, end: bool) {
        let length = data.len();
        if self.with_inbox(key, |inbox| inbox.put_data(data, end)).is_none() {
            // Nobody wants it; the connection's window is everybody's.
            self.release(key, length);
        }
    }

    pub(crate) fn put_trailers(&self, key: StreamKey, trailers: HeaderMap) {
        self.with_inbox(key, |inbox| inbox.put_trailers(trailers));
    }

    pub(crate) fn put_end(&self, key: StreamKey, broken: Broken) {
        self.with_inbox(key, |inbox| inbox.put_end(broken));
    }

    pub(crate) fn wake(&self, key: StreamKey) {
        self.with_inbox(key, Inbox::wake);
    }

    /// The connection is over, and so are all streams.
    pub(crate) fn end_all(&self, broken: Broken) {
        for inbox in &mut *self.inboxes.borrow_mut() {
            inbox.put_end(broken);
        }
    }

    // For streams.

    pub(crate) fn can_open(&self) -> Result<(), NotOpened> {
        self.machine.borrow().can_open()
    }

    /// Whether the peer has said its settings.
    pub(crate) fn has_peer_settings(&self) -> bool {
        self.machine.borrow().has_peer_settings()
    }

    /// Whether the peer takes extended CONNECT (RFC 8441).
    pub(crate) fn may_connect(&self) -> bool {
        self.machine.borrow().may_connect()
    }

    pub(crate) fn open(&self, head: RequestHead<'_>, end: bool) -> Result<StreamKey, NotOpened> {
        let key = self.machine.borrow_mut().open(head, end)?;
        self.open_inbox(key);
        self.nudge();
        Ok(key)
    }

    pub(crate) fn respond(
        &self,
        key: StreamKey,
        status: StatusCode,
        headers: &HeaderMap,
        end: bool,
    ) -> Result<(), Gone> {
        self.machine.borrow_mut().respond(key, status, headers, end)?;
        self.nudge();
        Ok(())
    }

    pub(crate) fn send_data(
        &self,
        key: StreamKey,
        data: &mut Bytes,
        end: bool,
    ) -> Result<bool, Gone> {
        let all = self.machine.borrow_mut().send_data(key, data, end)?;
        self.nudge();
        Ok(all)
    }

    pub(crate) fn send_trailers(&self, key: StreamKey, fields: &HeaderMap) -> Result<(), Gone> {
        self.machine.borrow_mut().send_trailers(key, fields)?;
        self.nudge();
        Ok(())
    }

    pub(crate) fn is_over(&self, key: StreamKey) -> bool {
        self.machine.borrow().is_over(key)
    }

    pub(crate) fn poll_head(
        &self,
        key: StreamKey,
        cx: &Context<'_>,
    ) -> Poll<Result<Response<()>, Broken>> {
        self.with_inbox(key, |inbox| inbox.poll_head(cx))
            .unwrap_or(Poll::Ready(Err(Broken::Closed)))
    }

    /// The next part of the body, or the trailers.
    pub(crate) fn poll_frame(
        &self,
        key: StreamKey,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let polled = self.with_inbox(key, |inbox| match inbox.poll_data(cx) {
            Poll::Ready(None) => {
                Poll::Ready(inbox.take_trailers().map(|it| Ok(Frame::trailers(it))))
            }
            other => other.map(|data| data.map(|data| data.map(Frame::data))),
        });
        let polled = polled.unwrap_or(Poll::Ready(Some(Err(Broken::Closed))));
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            // The window opens again as bytes are taken, which is back-pressure.
            self.release(key, data.len());
        }
        polled
    }

    pub(crate) fn take_whole(&self, key: StreamKey) -> Option<Bytes> {
        let whole = self.with_inbox(key, Inbox::take_whole).flatten()?;
        self.release(key, whole.len());
        Some(whole)
    }

    /// Whether the peer's message has ended and all of it was taken.
    pub(crate) fn is_drained(&self, key: StreamKey) -> bool {
        self.with_inbox(key, |inbox| inbox.is_drained()).unwrap_or(true)
    }

    /// Wakes the task when there is news for the stream, or room for what it sends.
    pub(crate) fn wait(&self, key: StreamKey, cx: &Context<'_>) {
        self.with_inbox(key, |inbox| inbox.wait(cx));
    }

    fn release(&self, key: StreamKey, n: usize) {
        let mut machine = self.machine.borrow_mut();
        machine.release(key, u32::try_from(n).unwrap_or(u32::MAX));
        let speaks = !machine.output().is_empty();
        drop(machine);
        if speaks {
            self.nudge();
        }
    }

    /// Nobody wants what (still) comes for the stream.
    pub(crate) fn abandon(&self, key: StreamKey) {
        if let Some(left) = self.close_inbox(key) {
            self.release(key, left);
        }
    }

    /// Breaks the stream off unless it is over, and forgets it.
    pub(crate) fn reset(&self, key: StreamKey, code: Code) {
        self.close_inbox(key);
        let mut machine = self.machine.borrow_mut();
        if !machine.is_over(key) {
            self.stats.tx_reset.inc();
        }
        machine.reset(key, code);
        let speaks = !machine.output().is_empty();
        drop(machine);
        if speaks {
            self.nudge();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http::Method;

    use super::*;

    fn open(link: &Link) -> StreamKey {
        let head = RequestHead {
            method: &Method::GET,
            scheme: "http",
            authority: b"up",
            path: "/",
            protocol: None,
            headers: &HeaderMap::new(),
        };
        link.open(head, true).unwrap()
    }

    #[test]
    fn a_response_that_has_ended_waits_for_its_reader() {
        let link = Link::new(Role::Client, Settings::default(), Arc::default());
        let cx = &Context::from_waker(Waker::noop());
        let first = open(&link);
        // SETTINGS, then HEADERS with END_STREAM and END_HEADERS: `:status: 204` by its index.
        let mut input = BytesMut::from(&b"\0\0\0\x04\0\0\0\0\0"[..]);
        input.extend_from_slice(b"\0\0\x01\x01\x05\0\0\0\x01\x89");
        match link.receive(&mut input) {
            Ok(Some(Event::Response { stream, head, end: true })) if stream == first => {
                link.put_head(stream, head, true);
            }
            other => panic!("{other:?}"),
        }
        let second = open(&link);
        assert_eq!(second.index(), first.index(), "its place is free");
        let Poll::Ready(Ok(head)) = link.poll_head(first, cx) else { panic!("nothing for it") };
        assert_eq!(head.status(), StatusCode::NO_CONTENT);
        assert!(link.poll_head(second, cx).is_pending());
        assert!(link.is_drained(first) && !link.is_drained(second));
        link.reset(first, Code::Cancel);
        assert!(link.unread.borrow().is_empty());
        assert!(!link.is_over(second));
    }
}
