//! HTTP/2 towards clients.
//!
//! One task drives a connection and all of its requests. A read may bring many requests and news may
//! come for many responses; what they say in one turn leaves in one write.

mod ending;
mod slots;

use std::{
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use weft_h2::{Event, ResetCause, Role, StreamKey, Violation};
use weft_net::{Rewind, Stream};

use super::{Caller, Connection, Interim, RequestBody, answer, drive};
use crate::{
    body::Body,
    http2::{self, Broken, Ended, Handle, Keepalive, Link, Pump},
};
use ending::Ending;
use slots::Slots;

/// Serves a connection until it ends.
pub(super) async fn serve(connection: Rc<Connection>, stream: Rewind<Stream>) {
    connection.chain.stats.downstream_cx_http2_total.inc();
    let settings = weft_h2::Settings {
        max_header_list_size: u32::try_from(connection.chain.client.http1.max_head_bytes)
            .unwrap_or(u32::MAX),
        max_header_count: connection.chain.client.http1.max_headers_count,
        ..http2::settings(&connection.chain.http2)
    };
    let shared = Rc::clone(&connection);
    let mut server = pin!(Server {
        connection: Rc::clone(&connection),
        link: Link::new(Role::Server, settings, Arc::clone(&connection.chain.http2_stats)),
        pump: Pump::new(stream),
        slots: Slots::new(move |request, caller| answer(&shared, request, caller)),
        ending: Ending::new(&connection.chain),
        keepalive: connection.chain.http2.keepalive.map(Keepalive::new),
        failed: None,
    });
    // GOAWAY comes in two steps, so no stream on its way is lost.
    let close = |server: Pin<&mut Server<_, _, _>>, _| server.get_mut().begin_end();
    if let Err(ended) = drive(&connection, server.as_mut(), close).await {
        let malformed = matches!(ended, Ended::Malformed(_));
        connection.ended(malformed, &ended);
    }
}

/// A client's connection.
struct Server<S, F, A> {
    connection: Rc<Connection>,
    link: Rc<Link>,
    pump: Pump<S>,
    slots: Slots<F, A>,
    ending: Ending,
    keepalive: Option<Keepalive>,
    /// Why nothing is read any more; GOAWAY is on its way.
    failed: Option<Violation>,
}

impl<S, F, A> Future for Server<S, F, A>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<Body>>,
    A: FnMut(Request<RequestBody>, Caller) -> F + Unpin,
{
    type Output = Result<(), Ended>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let this = self.get_mut();
        this.link.enter(cx);
        let ended = this.poll_turns(cx);
        if ended.is_ready() {
            this.link.end_all(Broken::Closed);
            this.slots.clear();
        }
        this.link.leave();
        ended
    }
}

impl<S, F, A> Server<S, F, A>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<Body>>,
    A: FnMut(Request<RequestBody>, Caller) -> F + Unpin,
{
    fn begin_end(&mut self) {
        self.ending.begin(&self.link, &self.connection.chain);
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        loop {
            if let Some(violation) = self.failed {
                return self.poll_failed(cx, violation);
            }
            let read = match self.pump.poll_read(cx, self.connection.worker.pools().blocks()) {
                Poll::Ready(input) => {
                    self.take(input?);
                    self.keepalive.iter_mut().for_each(Keepalive::heard);
                    true
                }
                Poll::Pending => false,
            };
            self.ending.poll(cx, &self.link, &self.connection.chain);
            if let Some(keepalive) = &mut self.keepalive
                && keepalive.poll(cx, &self.link).is_ready()
            {
                self.link.stats().keepalive_timeout.inc();
                return Poll::Ready(Err(Ended::Silent));
            }
            self.slots.poll_ready(&self.link, self.connection.worker.as_ref());
            while let Some(key) = self.link.next_writable() {
                self.slots.poll(key, &self.link, self.connection.worker.as_ref());
            }
            let wrote = match self.pump.poll_write(cx, &self.link) {
                Poll::Ready(wrote) => wrote?,
                Poll::Pending => false,
            };
            // A connection that failed is ended, and counted, by `poll_failed`.
            let finished = self.failed.is_none() && self.link.is_finished();
            if finished && self.link.with_output(|output| output.is_empty()) {
                // The peer sees the end before it sees that nobody listens.
                ready!(self.pump.poll_shutdown(cx)).map_err(Ended::Broke)?;
                return Poll::Ready(Ok(()));
            }
            if finished && self.poll_unread(cx).is_ready() {
                return Poll::Ready(Err(Ended::Unread));
            }
            if !read && !wrote && self.failed.is_none() && self.slots.rest(cx, &self.link) {
                if self.link.open_streams() == 0 {
                    self.link.let_go();
                    self.slots.let_go();
                }
                return Poll::Pending;
            }
        }
    }

    /// Handles everything in what was read.
    fn take(&mut self, mut input: BytesMut) {
        loop {
            match self.link.receive(&mut input) {
                Ok(Some(event)) => self.handle(event),
                Ok(None) => break,
                Err(error) => {
                    self.failed = Some(error.0);
                    return;
                }
            }
        }
        self.pump.keep(&input);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Request { stream, head, end } => {
                let body = if end {
                    RequestBody::None
                } else {
                    self.link.open_inbox(stream);
                    RequestBody::Http2(StreamBody { link: Handle::new(&self.link), key: stream })
                };
                let hints = StreamHints { link: Handle::new(&self.link), key: stream };
                let caller = Caller { interim: Interim::Http2(hints), ..Caller::default() };
                let asked = (head.map(|()| body), caller);
                self.slots.start(stream, asked, &self.link, self.connection.worker.as_ref());
                self.ending.count_request(&self.link, &self.connection.chain);
            }
            Event::Data { stream, data, end } => self.link.put_data(stream, data, end),
            Event::Trailers { stream, fields } => self.link.put_trailers(stream, fields),
            Event::Reset { stream, cause } => {
                self.count_malformed(cause);
                self.link.put_end(stream, Broken::Reset(cause));
                self.slots.stop(stream);
            }
            Event::Refused(violation) => {
                self.count_malformed(ResetCause::Refused(violation));
            }
            // A client's GOAWAY says only that it takes no pushes.
            Event::GoAway { .. } | Event::Pong(_) => {}
            // A server's machine never says so.
            Event::Response { .. } | Event::Informational { .. } => {}
        }
    }

    fn count_malformed(&self, cause: ResetCause) {
        if let ResetCause::Refused(violation) = cause {
            tracing::debug!(peer = ?self.connection.peer, %violation, "stream refused");
        }
    }

    /// Ready when the client does not read the last bytes.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.ending.poll_unread(cx, self.connection.chain.client.delayed_close_timeout));
        self.link.stats().tx_flush_timeout.inc();
        Poll::Ready(())
    }

    /// Writes what is left, GOAWAY above all.
    fn poll_failed(
        &mut self,
        cx: &mut Context<'_>,
        violation: Violation,
    ) -> Poll<Result<(), Ended>> {
        self.slots.clear();
        if self.pump.poll_write(cx, &self.link).is_pending() {
            ready!(self.poll_unread(cx));
        }
        if self.link.with_output(|output| output.is_empty()) {
            let _ = ready!(self.pump.poll_shutdown(cx));
        }
        Poll::Ready(Err(Ended::Malformed(violation)))
    }
}

/// A request's body on its stream.
#[derive(Debug)]
pub(crate) struct StreamBody {
    link: Handle,
    key: StreamKey,
}

impl StreamBody {
    pub(super) fn is_end_stream(&self) -> bool {
        self.link.is_drained(self.key)
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, super::RequestBroken>>> {
        self.link.poll_frame(self.key, cx).map(|frame| frame.map(|it| it.map_err(broken)))
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.link.abandon(self.key);
    }
}

/// The way for interim responses on a stream.
#[derive(Debug)]
pub(crate) struct StreamHints {
    link: Handle,
    key: StreamKey,
}

impl StreamHints {
    pub(super) fn send(&self, head: &Response<()>) {
        // If the stream is gone, whoever answers it learns that by itself.
        let _ = self.link.respond(self.key, head.status(), head.headers(), false);
    }
}

fn broken(why: Broken) -> super::RequestBroken {
    match why {
        Broken::Reset(ResetCause::Refused(_)) | Broken::Malformed => {
            super::RequestBroken::Malformed
        }
        Broken::Reset(_) | Broken::Closed => super::RequestBroken::Gone,
    }
}
