//! The requests of a connection, each in a place of its own that the next one uses again.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::DATE};
use http_body::Body as _;
use weft_h2::{Code, StreamKey};

use crate::{
    body::Body,
    downstream::{Caller, Connection, RequestBody},
    http2::{Link, Ready, StreamWaker},
    stall::Stall,
    timer::Timer,
    worker::Worker,
};

/// Places that a connection without streams keeps.
const KEPT: usize = 1;

/// All requests of a connection. `F` answers one, and `A` makes it.
pub(super) struct Slots<F, A> {
    answer: A,
    /// By [`StreamKey::index`].
    slots: Vec<Slot<F>>,
    ready: Arc<Ready>,
    /// Streams to be asked for their news, in turn.
    queue: Vec<u32>,
    /// How many of the queue have been asked.
    asked: usize,
}

/// A place for one request.
struct Slot<F> {
    key: Option<StreamKey>,
    own: Arc<StreamWaker>,
    waker: Waker,
    /// Allocated once for each place: futures of requests are put into it.
    future: Pin<Box<Option<F>>>,
    reply: Option<Reply>,
}

/// A response whose head was sent.
struct Reply {
    body: Body,
    /// What was taken from the body and is not sent yet.
    data: Bytes,
    /// Of a client that leaves the window of the stream shut: how much waits, and when the request
    /// went on.
    stall: Stall<(usize, Option<Instant>)>,
    timer: Timer,
}

impl<F, A> Slots<F, A>
where
    F: Future<Output = Response<Body>>,
    A: FnMut(Request<RequestBody>, Caller) -> F,
{
    pub(super) fn new(answer: A) -> Self {
        Self { answer, slots: Vec::new(), ready: Arc::default(), queue: Vec::new(), asked: 0 }
    }

    /// Begins to answer a request.
    pub(super) fn start(
        &mut self,
        key: StreamKey,
        (request, caller): (Request<RequestBody>, Caller),
        link: &Link,
        connection: &Connection,
    ) {
        while self.slots.len() <= key.index() {
            let own = self.ready.waker(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
            self.slots.push(Slot {
                key: None,
                waker: Waker::from(Arc::clone(&own)),
                own,
                future: Box::pin(None),
                reply: None,
            });
        }
        let Some(slot) = self.slots.get_mut(key.index()) else { return };
        slot.key = Some(key);
        slot.future.as_mut().set(Some((self.answer)(request, caller)));
        slot.poll(link, connection);
    }

    /// Drops whatever goes on for a stream.
    pub(super) fn stop(&mut self, key: StreamKey) {
        if let Some(slot) = self.slots.get_mut(key.index()).filter(|slot| slot.key == Some(key)) {
            slot.clear();
        }
    }

    /// Goes on with one stream.
    pub(super) fn poll(&mut self, key: StreamKey, link: &Link, on: &Connection) {
        if let Some(slot) = self.slots.get_mut(key.index()).filter(|slot| slot.key == Some(key)) {
            slot.poll(link, on);
        }
    }

    /// Goes on with the streams that have news, as long as the output has room.
    pub(super) fn poll_ready(&mut self, link: &Link, on: &Connection) {
        while link.has_room() {
            let Some(index) = self.queue.get(self.asked) else {
                self.asked = 0;
                self.ready.swap(&mut self.queue);
                if self.queue.is_empty() {
                    return;
                }
                continue;
            };
            self.asked += 1;
            if let Some(slot) = self.slots.get_mut(*index as usize) {
                slot.own.take();
                slot.poll(link, on);
            }
        }
    }

    /// Whether there is nothing to do until somebody wakes the task of `cx`.
    pub(super) fn rest(&self, cx: &Context<'_>, link: &Link) -> bool {
        // Without room in the output it is the socket that wakes.
        !link.has_room() || (self.asked == self.queue.len() && self.ready.rest(cx))
    }

    /// Drops all requests.
    pub(super) fn clear(&mut self) {
        self.slots.iter_mut().for_each(Slot::clear);
    }

    /// Gives back memory that only requests need.
    pub(super) fn let_go(&mut self) {
        self.slots.truncate(KEPT);
        self.slots.shrink_to_fit();
        self.queue = Vec::new();
        self.asked = 0;
    }
}

impl<F: Future<Output = Response<Body>>> Slot<F> {
    fn clear(&mut self) {
        self.key = None;
        self.future.as_mut().set(None);
        self.reply = None;
    }

    fn poll(&mut self, link: &Link, on: &Connection) {
        let Some(key) = self.key else { return };
        let mut cx = Context::from_waker(&self.waker);
        if let Some(future) = self.future.as_mut().as_pin_mut() {
            let Poll::Ready(response) = future.poll(&mut cx) else { return };
            self.future.as_mut().set(None);
            let (mut head, body) = response.into_parts();
            add_date(&mut head.headers, &on.worker);
            let end = body.is_end_stream();
            let said = link.respond(key, head.status, &head.headers, end);
            if end || said.is_err() {
                return self.finish(key, link);
            }
            self.reply = Some(Reply {
                body,
                data: Bytes::new(),
                stall: Stall::default(),
                timer: on.worker.timer(),
            });
        }
        if let Some(reply) = &mut self.reply
            && reply.poll(key, &mut cx, link, on).is_ready()
        {
            self.finish(key, link);
        }
    }

    /// The response is complete. The rest of the request, if there is any, is not wanted
    /// (RFC 9113 §8.1).
    fn finish(&mut self, key: StreamKey, link: &Link) {
        if !link.is_over(key) {
            link.reset(key, Code::NoError);
        }
        self.clear();
    }
}

impl Reply {
    /// Sends what there is of the body; ready when the stream is done with.
    fn poll(
        &mut self,
        key: StreamKey,
        cx: &mut Context<'_>,
        link: &Link,
        on: &Connection,
    ) -> Poll<()> {
        loop {
            if !self.data.is_empty() {
                let end = self.body.is_end_stream();
                match link.send_data(key, &mut self.data, end) {
                    Ok(true) if end => return Poll::Ready(()),
                    Ok(true) => self.stall.over(),
                    Ok(false) => {
                        // The upstream may wait for the rest of the request meanwhile.
                        self.body.poll_upload(cx);
                        ready!(self.poll_stall(cx, on));
                        // What is complete on our side is no idle request any more.
                        if end {
                            link.stats().tx_flush_timeout.inc();
                        } else {
                            on.chain.stats.downstream_rq_idle_timeout.inc();
                        }
                        link.reset(key, Code::InternalError);
                        return Poll::Ready(());
                    }
                    Err(_gone) => return Poll::Ready(()),
                }
            }
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(None) => {
                    let _ = link.send_data(key, &mut Bytes::new(), true);
                    return Poll::Ready(());
                }
                Poll::Ready(Some(Err(_broken_off))) => {
                    link.reset(key, Code::InternalError);
                    return Poll::Ready(());
                }
            };
            match frame.into_data() {
                Ok(data) => self.data = data,
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    let _ = link.send_trailers(key, &trailers);
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Ready when the client has taken nothing for so long that the stream counts as idle.
    fn poll_stall(&mut self, cx: &mut Context<'_>, on: &Connection) -> Poll<()> {
        let Some(limit) = on.chain.client.stream_idle_timeout else { return Poll::Pending };
        let progress = (self.data.len(), self.body.upload_moved());
        self.stall.poll(cx, &mut self.timer, progress, limit)
    }
}

/// RFC 9110 §6.6.1: who has a clock says when.
fn add_date(headers: &mut HeaderMap, worker: &Worker) {
    if !headers.contains_key(DATE)
        && let Ok(date) = HeaderValue::from_bytes(&worker.date())
    {
        headers.insert(DATE, date);
    }
}
