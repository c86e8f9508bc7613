//! HTTP/2 towards clients.
//!
//! One task drives a connection and all of its requests. A read may bring many requests and news may
//! come for many responses; what they say in one turn leaves in one write.

mod ending;
mod quiet;
mod slots;

use std::{
    future::{Future, poll_fn},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use weft_h2::{Event, ResetCause, Role, StreamKey};
use weft_net::{Rewind, Stream};

use super::{Caller, Connection, Interim, RequestBody};
use crate::{
    body::Body,
    http2::{self, Blocks, Broken, Driver, End, Ended, Handle, Keepalive, Link},
    phase::PhaseWatch,
    request,
    stall::Stall,
    timer::Timer,
};
use ending::Ending;
use quiet::Quiet;
use slots::Slots;

/// Serves a connection until it ends.
pub(crate) async fn serve(connection: &Rc<Connection>, stream: Rewind<Stream>) {
    let chain = &connection.chain;
    chain.stats.downstream_cx_http2_total.inc();
    let settings = weft_h2::Settings {
        max_header_list_size: u32::try_from(chain.client.http1.max_head_bytes).unwrap_or(u32::MAX),
        max_header_count: chain.client.http1.max_headers_count,
        ..http2::settings(&chain.http2)
    };
    let link = Link::new(Role::Server, settings, Arc::clone(&chain.http2_stats));
    let mut driver = Driver::new(link, stream, chain.http2.keepalive.map(Keepalive::new));
    let mut server = Server {
        connection,
        slots: Slots::new(|request, caller| {
            request::handle(Rc::clone(connection), request, caller)
        }),
        ending: Ending::new(chain),
        quiet: Quiet::new(chain.client.idle_timeout),
        phase: PhaseWatch::new(connection.life.phase_cell()),
        unread: (Stall::default(), connection.worker.timer()),
        slow: (Stall::default(), connection.worker.timer()),
    };
    let ended = poll_fn(|cx| driver.poll(cx, &mut server)).await;
    driver.link().end_all(Broken::Closed);
    server.slots.clear();
    connection.ended(matches!(ended, Ended::Malformed(_)), &ended);
}

/// A client's connection.
struct Server<'c, F, A> {
    connection: &'c Rc<Connection>,
    slots: Slots<F, A>,
    ending: Ending,
    quiet: Quiet,
    phase: PhaseWatch<'c>,
    /// Of a client that reads nothing at all.
    unread: (Stall<u64>, Timer),
    /// Of a client that does not finish the head of a stream.
    slow: (Stall<u32>, Timer),
}

impl<F, A> End for Server<'_, F, A>
where
    F: Future<Output = Response<Body>>,
    A: FnMut(Request<RequestBody>, Caller) -> F,
{
    fn blocks(&self) -> &Blocks {
        self.connection.worker.pools().blocks()
    }

    fn handle(&mut self, link: &Rc<Link>, event: Event) {
        match event {
            Event::Request { stream, head, end } => {
                let body = if end {
                    RequestBody::None
                } else {
                    link.open_inbox(stream);
                    RequestBody::Http2(StreamBody { link: Handle::new(link), key: stream })
                };
                let hints = StreamHints { link: Handle::new(link), key: stream };
                let caller = Caller { interim: Interim::Http2(hints), ..Caller::default() };
                let asked = (head.map(|()| body), caller);
                self.quiet.over();
                self.slots.start(stream, asked, link, self.connection);
                self.ending.count_request(link, &self.connection.chain);
            }
            Event::Data { stream, data, end } => link.put_data(stream, data, end),
            Event::Trailers { stream, fields } => link.put_trailers(stream, fields),
            Event::Reset { stream, cause } => {
                self.count_malformed(cause);
                link.put_end(stream, Broken::Reset(cause));
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

    fn handled(&mut self, _: &Link) {}

    fn go_on(&mut self, cx: &mut Context<'_>, link: &Rc<Link>) {
        self.ending.poll(cx, link, &self.connection.chain);
        self.slots.poll_ready(link, self.connection);
    }

    fn may_send(&mut self, key: StreamKey, link: &Link) {
        self.slots.poll(key, link, self.connection);
    }

    fn rest(&mut self, cx: &mut Context<'_>, link: &Link) -> Result<bool, Ended> {
        if !self.slots.rest(cx, link) {
            return Ok(false);
        }
        if self.poll_unread_output(cx, link).is_ready() {
            return Err(Ended::Unread);
        }
        if self.poll_slow_head(cx, link).is_ready() {
            link.shut_down_now();
            return Err(Ended::Slow);
        }
        let mut ends = self.quiet.poll(cx, link).is_ready();
        if ends {
            self.connection.chain.stats.downstream_cx_idle_timeout.inc();
        }
        while self.phase.poll_changed(cx).is_ready() {
            ends = true;
        }
        if ends {
            // GOAWAY comes in two steps, so no stream on its way is lost.
            self.ending.begin(link, &self.connection.chain);
        }
        Ok(!ends)
    }

    fn let_go(&mut self) {
        self.slots.let_go();
    }

    fn fail(&mut self, _: &Link) {
        self.slots.clear();
    }

    fn poll_unread(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<()> {
        ready!(self.ending.poll_unread(cx, self.connection.chain.client.delayed_close_timeout));
        link.stats().tx_flush_timeout.inc();
        Poll::Ready(())
    }
}

impl<F, A> Server<'_, F, A> {
    /// Ready when a client has read nothing for so long that none of its streams may wait longer.
    fn poll_unread_output(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<()> {
        let chain = &self.connection.chain;
        let streams = link.open_streams();
        let waits = streams > 0 && !link.has_written();
        let (Some(limit), true) = (chain.client.stream_idle_timeout, waits) else {
            self.unread.0.over();
            return Poll::Pending;
        };
        let (stall, timer) = &mut self.unread;
        let written = link.with_output(|output| output.written());
        ready!(stall.poll(cx, timer, written, limit));
        chain.stats.downstream_rq_idle_timeout.add(streams as u64);
        link.stats().tx_flush_timeout.inc();
        Poll::Ready(())
    }

    /// Ready when a head that has begun has not come in its time. What else comes on the connection
    /// would have to come after it.
    fn poll_slow_head(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<()> {
        let (client, stats) = (&self.connection.chain.client, &self.connection.chain.stats);
        let (stall, timer) = &mut self.slow;
        let limits = [client.request_headers_timeout, client.stream_idle_timeout];
        let (Some(stream), Some(limit)) = (link.open_head(), limits.into_iter().flatten().min())
        else {
            stall.over();
            return Poll::Pending;
        };
        ready!(stall.poll(cx, timer, stream, limit));
        stats.downstream_rq_header_timeout.inc();
        Poll::Ready(())
    }

    fn count_malformed(&self, cause: ResetCause) {
        if let ResetCause::Refused(violation) = cause {
            tracing::debug!(peer = ?self.connection.peer, %violation, "stream refused");
        }
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
