//! HTTP/1 towards clients: one task per connection, which reads, answers and writes in turn. While
//! nothing is under way a connection holds no buffer.

mod head;
mod reply;
mod wire;

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Method, Response, Version, header::SERVER};
use weft_format::View;
use weft_net::{Rewind, Stream};

pub(crate) use self::wire::Wire;
use self::{
    head::{Head, Refusal},
    reply::{Asked, Reply, is_tunnel},
    wire::NoHead,
};
use super::{Caller, Connection, Interim, RequestBody};
use crate::{
    body::Body,
    http1::framing::connection_says,
    local_reply::Answer,
    phase::{Phase, PhaseWatch},
    record::Record,
    reply_form, request,
    stall::Stall,
    timer::Timer,
};

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The next request.
    Next,
    /// Closed at once: the client knows that it ends here, or is gone.
    Close,
    /// Closed once the client has finished too. What it still sends would otherwise reset the
    /// connection, and the answer on its way with it.
    Linger,
}

/// Serves a connection until it ends.
pub(super) async fn serve(connection: &Rc<Connection>, stream: Rewind<Stream>) {
    connection.chain.stats.downstream_cx_http1_total.inc();
    let (prefix, stream) = stream.into_parts();
    let format = connection.chain.client.http1.key_format;
    let wire = Rc::new(Wire::new(stream, prefix, &connection.worker, format));
    let mut waiting = Waiting {
        phase: PhaseWatch::new(connection.life.phase_cell()),
        timer: connection.worker.timer(),
        opened: Instant::now(),
        requests: 0,
    };
    let after = loop {
        let after = match waiting.next(connection, &wire).await {
            Some(Ok(mut head)) => {
                head.keep_alive &= !waiting.is_last(connection);
                exchange(connection, &wire, head, &mut waiting.timer).await
            }
            Some(Err(refusal)) => refuse(connection, &wire, refusal, &mut waiting.timer).await,
            None => After::Close,
        };
        if after != After::Next {
            break after;
        }
    };
    if after == After::Linger {
        linger(&wire, connection.chain.client.delayed_close_timeout, &mut waiting.timer).await;
    }
}

/// How a connection waits for its next request.
struct Waiting<'a> {
    phase: PhaseWatch<'a>,
    timer: Timer,
    opened: Instant,
    requests: u32,
}

impl Waiting<'_> {
    /// The next head; `None` when the connection has ended or was idle for too long.
    async fn next(
        &mut self,
        connection: &Connection,
        wire: &Wire,
    ) -> Option<Result<Head, Refusal>> {
        let idle_since = Instant::now();
        let mut head_began = None;
        poll_fn(|cx| {
            if let Poll::Ready(arrival) = wire.poll_head(cx, &connection.chain.client.http1) {
                return Poll::Ready(match arrival {
                    Ok(head) => Some(Ok(head)),
                    Err(NoHead::Refused(refusal)) => Some(Err(refusal)),
                    Err(NoHead::Closed { within_head }) => {
                        if within_head {
                            connection.chain.stats.downstream_cx_protocol_error.inc();
                        }
                        None
                    }
                });
            }
            while let Poll::Ready(phase) = self.phase.poll_changed(cx) {
                // Closing an idle connection can cross a request on its way, so that waits for the
                // last phase; until then each response carries `connection: close`.
                if phase == Phase::Closing && wire.is_quiet() {
                    return Poll::Ready(None);
                }
            }
            if wire.is_quiet() {
                self.poll_idle(cx, connection, idle_since).map(|()| None)
            } else {
                let began = *head_began.get_or_insert_with(Instant::now);
                self.poll_slow(cx, connection, began).map(|()| Some(Err(Refusal::TooSlow)))
            }
        })
        .await
    }

    /// Whether the request that has just come is the connection's last one.
    fn is_last(&mut self, of: &Connection) -> bool {
        self.requests = self.requests.saturating_add(1);
        let (limits, stats) = (&of.chain.client, &of.chain.stats);
        if limits.max_requests_per_connection.is_some_and(|most| self.requests >= most) {
            stats.downstream_cx_max_requests_reached.inc();
            return true;
        }
        let is_old = limits.max_connection_duration.is_some_and(|it| self.opened.elapsed() >= it);
        if is_old {
            stats.downstream_cx_max_duration_reached.inc();
        }
        is_old
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>, of: &Connection, since: Instant) -> Poll<()> {
        let (limits, stats) = (&of.chain.client, &of.chain.stats);
        let idle =
            limits.idle_timeout.map(|limit| (since + limit, &stats.downstream_cx_idle_timeout));
        // A next request may be on its way, which would be told; that is waited for a while.
        let old = limits.max_connection_duration.map(|limit| {
            let at = self.opened + limit + limits.drain_timeout;
            (at, &stats.downstream_cx_max_duration_reached)
        });
        let Some((at, counter)) = idle.into_iter().chain(old).min_by_key(|(at, _)| *at) else {
            return Poll::Pending;
        };
        self.timer.poll_at(cx, at).map(|()| counter.inc())
    }

    /// A head that has begun is a stream on which something must move.
    fn poll_slow(&mut self, cx: &mut Context<'_>, of: &Connection, began: Instant) -> Poll<()> {
        let limits = [of.chain.client.request_headers_timeout, of.chain.client.stream_idle_timeout];
        let Some(limit) = limits.into_iter().flatten().min() else { return Poll::Pending };
        self.timer.poll_at(cx, began + limit)
    }
}

/// One request and its answer.
async fn exchange(
    connection: &Rc<Connection>,
    wire: &Rc<Wire>,
    head: Head,
    timer: &mut Timer,
) -> After {
    let Head { request, spelling, length, keep_alive, expects_continue, wants_tunnel } = head;
    let is_ours = !connection.chain.client.proxies_continue;
    wire.begin_body(length, expects_continue && is_ours);
    let asked = Asked { method: request.method().clone(), version: request.version() };
    let body = if wire.is_body_done() && !wants_tunnel {
        RequestBody::None
    } else {
        RequestBody::Http1(Rc::clone(wire))
    };
    let interim = if asked.version == Version::HTTP_10 {
        Interim::Unwanted
    } else {
        Interim::Http1(Rc::clone(wire))
    };
    let caller = Caller { interim, spelling };
    let response = {
        let request = request.map(|()| body);
        let mut answer = pin!(request::handle(Rc::clone(connection), request, caller));
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => wire.poll_gone(cx).map(|()| None),
        })
        .await
    };
    let Some(response) = response else { return After::Close };
    reply(connection, wire, response, &Said { asked, keep_alive }, timer).await
}

/// What a request said that its answer depends on.
struct Said {
    asked: Asked,
    keep_alive: bool,
}

async fn reply(
    connection: &Connection,
    wire: &Wire,
    response: Response<Body>,
    said: &Said,
    timer: &mut Timer,
) -> After {
    let tunnel = is_tunnel(&said.asked.method, response.status());
    let unwanted = !tunnel && !wire.is_body_done() && !response.body().takes_more();
    let drained = !unwanted || poll_fn(|cx| Poll::Ready(wire.drain(cx))).await;
    let keep_alive = said.keep_alive
        && drained
        && !wire.is_malformed()
        && !connection_says(response.headers(), b"close");
    let stall = connection.chain.client.stream_idle_timeout;
    let format = connection.chain.client.http1.key_format;
    let Ok(mut reply) = Reply::new(response, &said.asked, format, keep_alive) else {
        return After::Close;
    };
    let written = write(connection, wire, &mut reply, stall, timer).await;
    if !written {
        return After::Close;
    }
    let complete =
        wire.is_body_done() || (!tunnel && poll_fn(|cx| Poll::Ready(wire.drain(cx))).await);
    match (complete, reply.keep_alive()) {
        (true, true) => After::Next,
        // A client that closes after this answer, as it said, sends nothing more.
        (true, false) if !said.keep_alive && wire.is_quiet() => After::Close,
        _ => After::Linger,
    }
}

/// Writes a response; false when the connection is of no more use.
async fn write(
    connection: &Connection,
    wire: &Wire,
    reply: &mut Reply,
    stall: Option<Duration>,
    timer: &mut Timer,
) -> bool {
    let mut stalls = Stall::default();
    poll_fn(|cx| {
        match reply.poll(cx, wire, &connection.worker) {
            Poll::Ready(Ok(())) => return Poll::Ready(true),
            Poll::Ready(Err(error)) => {
                tracing::debug!(peer = ?connection.peer, %error, "a response broke off");
                return Poll::Ready(false);
            }
            Poll::Pending => {}
        }
        let unwritten = wire.unwritten();
        let (Some(limit), true) = (stall, unwritten > 0) else {
            stalls.over();
            return Poll::Pending;
        };
        let progress = (unwritten, reply.upload_moved());
        stalls.poll(cx, timer, progress, limit).map(|()| {
            connection.chain.stats.downstream_rq_idle_timeout.inc();
            false
        })
    })
    .await
}

/// Answers what is no request, and ends the connection.
async fn refuse(
    connection: &Connection,
    wire: &Wire,
    refusal: Refusal,
    timer: &mut Timer,
) -> After {
    let stats = &connection.chain.stats;
    match refusal {
        Refusal::TooSlow => stats.downstream_rq_header_timeout.inc(),
        _ => stats.downstream_cx_protocol_error.inc(),
    }
    tracing::debug!(peer = ?connection.peer, %refusal, "refused");
    let status = refusal.status();
    let record = Record::begin(&connection.chain, &connection.worker);
    record.responded(status);
    let mut answer = Answer::malformed(status, refusal.text());
    if let Some(replies) = &connection.chain.local_replies {
        let host = Some(connection.worker.host());
        let view = View { host, protocol: Some("HTTP/1.1"), ..View::default() };
        reply_form::shape(&mut answer, replies, &view, false);
    }
    let mut response = answer.into_response(false);
    response.headers_mut().insert(SERVER, connection.chain.server_name.clone());
    let asked = Asked { method: Method::GET, version: Version::HTTP_11 };
    let format = connection.chain.client.http1.key_format;
    let Ok(mut reply) = Reply::new(response, &asked, format, false) else { return After::Close };
    let stall = connection.chain.client.stream_idle_timeout;
    if write(connection, wire, &mut reply, stall, timer).await {
        After::Linger
    } else {
        After::Close
    }
}

/// Ends the connection from our side, and waits for the client to do so, but not for long.
async fn linger(wire: &Wire, limit: Duration, timer: &mut Timer) {
    let until = Instant::now() + limit;
    poll_fn(|cx| {
        match wire.poll_finish(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => return timer.poll_at(cx, until),
        }
        match wire.poll_discard(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => timer.poll_at(cx, until),
        }
    })
    .await;
}
