//! The body of a response on its way to the client.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::{fault::Fault, http1::Spelling, record::Record, timer::Timer, upstream::Incoming};

/// What the client gets after the head.
#[derive(Debug)]
pub(crate) struct Body {
    kind: Kind,
    /// How the upstream spelled the names in the head, for whoever writes them.
    spelling: Spelling,
}

#[derive(Debug)]
enum Kind {
    Empty,
    Full(Bytes),
    Upstream(Box<Streaming>),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::new(Kind::Empty)
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        Self::new(if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) })
    }

    /// Leaves out a body of our own, for the answer to HEAD. An upstream's has none to leave out.
    pub(crate) fn leave_out(&mut self) {
        if matches!(self.kind, Kind::Full(_)) {
            self.kind = Kind::Empty;
        }
    }

    pub(crate) fn upstream(streaming: Streaming) -> Self {
        Self::new(Kind::Upstream(Box::new(streaming)))
    }

    fn new(kind: Kind) -> Self {
        Self { kind, spelling: Spelling::default() }
    }

    /// The same, under a head whose names were spelled like this.
    pub(crate) fn spelled(mut self, spelling: Spelling) -> Self {
        self.spelling = spelling;
        self
    }

    /// How the names in the head were spelled.
    pub(crate) fn spelling(&self) -> &Spelling {
        &self.spelling
    }

    /// Whether more of the request's body is asked for while the response goes on.
    pub(crate) fn takes_more(&self) -> bool {
        matches!(&self.kind, Kind::Upstream(streaming) if streaming.incoming.takes_more())
    }

    /// Goes on sending the request while the client does not take the response.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>) {
        if let Kind::Upstream(streaming) = &mut self.kind
            && streaming.incoming.takes_more()
        {
            streaming.incoming.poll_upload(cx);
        }
    }
}

/// A response that streams from an upstream, within its time limits. Dropping it before its end
/// gives up the upstream stream or connection.
#[derive(Debug)]
pub(crate) struct Streaming {
    incoming: Incoming,
    record: Record,
    limits: Limits,
    last_moved: Instant,
    timer: Timer,
}

/// When a stream is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The whole response must have ended by then, or this is why it did not.
    pub(crate) deadline: Option<(Instant, Fault)>,
    /// Something must move at least this often.
    pub(crate) idle: Option<Duration>,
}

impl Limits {
    /// The same where an answer must have begun by `at`.
    pub(crate) fn answered_by(self, at: Option<Instant>) -> Self {
        match (at, self.deadline) {
            (Some(at), Some((whole, _))) if whole <= at => self,
            (Some(at), _) => Self { deadline: Some((at, Fault::RequestTimeout)), ..self },
            (None, _) => self,
        }
    }

    /// The same where the cluster wants the whole response to have ended by `at`.
    pub(crate) fn within(self, at: Option<Instant>) -> Self {
        let own = at.map(|at| (at, Fault::UpstreamDuration));
        let ends = self.deadline.into_iter().chain(own).min_by_key(|(at, _)| *at);
        Self { deadline: ends, ..self }
    }

    /// When the whole response must have ended.
    pub(crate) fn ends_at(&self) -> Option<Instant> {
        self.deadline.map(|(at, _)| at)
    }

    /// The nearer of the deadline and the idle limit counted from `last_moved`.
    pub(crate) fn next(&self, last_moved: Instant) -> Option<(Instant, Fault)> {
        let idle = self.idle.map(|limit| (last_moved + limit, Fault::StreamIdle));
        match (self.deadline, idle) {
            (Some(deadline), Some(idle)) => Some(if idle.0 < deadline.0 { idle } else { deadline }),
            (one, other) => one.or(other),
        }
    }
}

impl Streaming {
    pub(crate) fn new(incoming: Incoming, record: Record, limits: Limits, timer: Timer) -> Self {
        Self { incoming, record, limits, last_moved: Instant::now(), timer }
    }

    /// Only asked when the upstream keeps us waiting.
    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        if self.timer.is_fresh() {
            self.last_moved = Instant::now();
        }
        let uploaded = self.incoming.upload_moved().unwrap_or(self.last_moved);
        let Some((at, fault)) = self.limits.next(self.last_moved.max(uploaded)) else {
            return Poll::Pending;
        };
        self.timer.poll_at(cx, at).map(|()| fault)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Poll::Ready(frame) = self.incoming.poll_frame(cx) {
            match &frame {
                Some(Ok(last)) if last.is_trailers() => self.record.ended(last.trailers_ref()),
                // Before the first wait there is no timer to move.
                Some(Ok(_)) if !self.timer.is_fresh() => self.last_moved = Instant::now(),
                Some(Ok(_)) => {}
                Some(Err(_)) => self.record.upstream_broke(),
                None => self.record.ended(None),
            }
            return Poll::Ready(frame);
        }
        let fault = ready!(self.poll_limit(cx));
        match fault {
            Fault::RequestTimeout => self.record.timed_out(),
            Fault::StreamDuration | Fault::SlowRequest => self.record.too_long(),
            Fault::UpstreamDuration => self.record.upstream_too_long(),
            _ => self.record.stream_idle(),
        }
        Poll::Ready(Some(Err(fault)))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        match &mut this.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Upstream(streaming) => {
                let frame = ready!(streaming.poll_frame(cx));
                if streaming.incoming.is_end_stream() || !matches!(frame, Some(Ok(_))) {
                    // The record ends with the response, not when hyper lets go of the body.
                    this.kind = Kind::Empty;
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BrokenOff)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Upstream(streaming) => streaming.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Upstream(streaming) => streaming.incoming.size_hint(),
        }
    }
}

/// A response broke off after its head was sent; all that is left is to break off too.
#[derive(Debug, thiserror::Error)]
#[error("response broke off: {0:?}")]
pub(crate) struct BrokenOff(Fault);
