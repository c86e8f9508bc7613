//! The body of a response on its way to the client.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use weft_compile::{KeyFormat, TrailerChange};

use crate::{
    fault::{Fault, SetBy},
    filters::{Encoding, Throttle},
    http1::{Names, Spelling},
    mutation,
    record::Record,
    timer::Timer,
    upstream::Incoming,
};

/// What the client gets after the head.
#[derive(Debug)]
pub(crate) struct Body {
    kind: Kind,
    /// How the upstream spelled the names in the head, for whoever writes them.
    spelling: Spelling,
    /// What the upstream asks for in names.
    from: KeyFormat,
}

#[derive(Debug)]
enum Kind {
    Empty,
    Full(Bytes),
    Upstream(Box<Streaming>),
    Changed(Box<Changed>),
}

/// What a filter changes on the way.
#[derive(Debug)]
struct Changed {
    inner: Kind,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Trailers(Arc<[TrailerChange]>),
    GrpcWeb(Encoding),
    Throttle(Box<Throttle>),
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
        if self.kind.is_own() {
            self.kind = Kind::Empty;
        }
    }

    /// Has its trailers changed as they come.
    pub(crate) fn change_trailers(&mut self, changes: &Arc<[TrailerChange]>) {
        // Only what streams has any.
        if !changes.is_empty() && !self.kind.is_own() {
            self.change(Change::Trailers(Arc::clone(changes)));
        }
    }

    /// Goes on as slowly as this says.
    pub(crate) fn slow_down(&mut self, throttle: Throttle) {
        if !matches!(self.kind, Kind::Empty) {
            self.change(Change::Throttle(Box::new(throttle)));
        }
    }

    /// Becomes the body of a gRPC-Web answer.
    pub(crate) fn encode(&mut self, encoding: Encoding) {
        self.change(Change::GrpcWeb(encoding));
    }

    fn change(&mut self, change: Change) {
        let inner = std::mem::replace(&mut self.kind, Kind::Empty);
        self.kind = Kind::Changed(Box::new(Changed { inner, change }));
    }

    pub(crate) fn upstream(streaming: Streaming) -> Self {
        Self::new(Kind::Upstream(Box::new(streaming)))
    }

    fn new(kind: Kind) -> Self {
        Self { kind, spelling: Spelling::default(), from: KeyFormat::AsReceived }
    }

    /// The same, under a head whose names were spelled like this.
    pub(crate) fn spelled(mut self, (spelling, from): (Spelling, KeyFormat)) -> Self {
        self.spelling = spelling;
        self.from = from;
        self
    }

    /// How the names in the head are written to a client that asks for `to`.
    pub(crate) fn names(&self, to: KeyFormat) -> Names<'_> {
        Names::passed_on(&self.spelling, self.from, to)
    }

    /// Whether more of the request's body is asked for while the response goes on.
    pub(crate) fn takes_more(&self) -> bool {
        self.kind.incoming().is_some_and(Incoming::takes_more)
    }

    /// When the rest of the request last went on, if there is any.
    pub(crate) fn upload_moved(&self) -> Option<Instant> {
        self.kind.incoming().and_then(Incoming::upload_moved)
    }

    /// Goes on sending the request while the client does not take the response.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>) {
        if let Some(incoming) = self.kind.incoming_mut().filter(|incoming| incoming.takes_more()) {
            incoming.poll_upload(cx);
        }
    }
}

impl Kind {
    /// Whether it is a body of our own.
    fn is_own(&self) -> bool {
        match self {
            Self::Empty | Self::Full(_) => true,
            Self::Upstream(_) => false,
            Self::Changed(changed) => changed.inner.is_own(),
        }
    }

    fn incoming(&self) -> Option<&Incoming> {
        match self {
            Self::Empty | Self::Full(_) => None,
            Self::Upstream(streaming) => Some(&streaming.incoming),
            Self::Changed(changed) => changed.inner.incoming(),
        }
    }

    fn incoming_mut(&mut self) -> Option<&mut Incoming> {
        match self {
            Self::Empty | Self::Full(_) => None,
            Self::Upstream(streaming) => Some(&mut streaming.incoming),
            Self::Changed(changed) => changed.inner.incoming_mut(),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Upstream(streaming) => {
                let frame = ready!(streaming.poll_frame(cx));
                if streaming.incoming.is_end_stream() || !matches!(frame, Some(Ok(_))) {
                    // The record ends with the response, not when its writer lets go of the body.
                    *self = Self::Empty;
                }
                Poll::Ready(frame)
            }
            Self::Changed(changed) => changed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Upstream(streaming) => {
                streaming.first.is_none() && streaming.incoming.is_end_stream()
            }
            Self::Changed(changed) => changed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(streaming) => streaming.incoming.size_hint(),
            Self::Changed(changed) => match changed.change {
                Change::Trailers(_) | Change::Throttle(_) => changed.inner.size_hint(),
                Change::GrpcWeb(_) => SizeHint::default(),
            },
        }
    }
}

impl Changed {
    fn is_end_stream(&self) -> bool {
        let holds_nothing = match &self.change {
            Change::Throttle(throttle) => throttle.holds_nothing(),
            Change::Trailers(_) | Change::GrpcWeb(_) => true,
        };
        holds_nothing && self.inner.is_end_stream()
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Self { inner, change } = self;
        match change {
            Change::Throttle(throttle) => throttle.poll(cx, |cx| inner.poll_frame(cx)),
            Change::GrpcWeb(encoding) => encoding.poll(cx, |cx| inner.poll_frame(cx)),
            Change::Trailers(changes) => {
                let frame = ready!(inner.poll_frame(cx));
                Poll::Ready(frame.map(|frame| {
                    frame.map(|mut frame| {
                        if let Some(trailers) = frame.trailers_mut() {
                            mutation::apply_to_trailers(changes, trailers);
                        }
                        frame
                    })
                }))
            }
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
    /// How long nothing of the response may come (`per_try_idle_timeout`).
    try_idle: Option<Duration>,
    /// What was read already, to see whether the request is tried again.
    first: Option<Box<Frame<Bytes>>>,
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
            (Some(at), _) => {
                Self { deadline: Some((at, Fault::RequestTimeout(SetBy::Route))), ..self }
            }
            (None, _) => self,
        }
    }

    /// The same where the cluster wants the whole response to have ended by `at`.
    pub(crate) fn within(self, at: Option<Instant>) -> Self {
        self.until(at, Fault::UpstreamDuration)
    }

    /// The same where at `at`, if that is earlier, this is what has happened.
    pub(crate) fn until(self, at: Option<Instant>, why: Fault) -> Self {
        let own = at.map(|at| (at, why));
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
        let last_moved = Instant::now();
        Self { incoming, record, limits, try_idle: None, first: None, last_moved, timer }
    }

    /// The same within the limit of one try.
    pub(crate) fn with_idle(self, try_idle: Option<Duration>) -> Self {
        Self { try_idle, ..self }
    }

    /// The same behind a frame that was read already.
    pub(crate) fn begun_with(self, first: Option<Box<Frame<Bytes>>>) -> Self {
        Self { first, ..self }
    }

    /// Only asked when the upstream keeps us waiting.
    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        if self.timer.is_fresh() {
            self.last_moved = Instant::now();
        }
        let uploaded = self.incoming.upload_moved().unwrap_or(self.last_moved);
        let own = self.try_idle.map(|limit| (self.last_moved + limit, Fault::PerTryIdle));
        let next = self.limits.next(self.last_moved.max(uploaded));
        let Some((at, fault)) = next.into_iter().chain(own).min_by_key(|(at, _)| *at) else {
            return Poll::Pending;
        };
        self.timer.poll_at(cx, at).map(|()| fault)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let frame = match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(*first))),
            None => self.incoming.poll_frame(cx),
        };
        if let Poll::Ready(frame) = frame {
            if let Some(Ok(_)) | None = &frame {
                let shown = frame.as_ref().and_then(|frame| frame.as_ref().ok());
                self.record.show(shown, shown.is_none() || self.incoming.is_end_stream());
            }
            match &frame {
                Some(Ok(last)) if last.is_trailers() => {
                    self.record.ended(last.trailers_ref());
                    self.record.answered();
                }
                // Before the first wait there is no timer to move.
                Some(Ok(_)) if !self.timer.is_fresh() => self.last_moved = Instant::now(),
                Some(Ok(_)) => {}
                Some(Err(_)) => self.record.upstream_broke(),
                None => {
                    self.record.ended(None);
                    self.record.answered();
                }
            }
            return Poll::Ready(frame);
        }
        let fault = ready!(self.poll_limit(cx));
        match fault {
            Fault::RequestTimeout(_) => self.record.timed_out(),
            Fault::PerTryIdle => self.record.try_idle(),
            Fault::StreamDuration(_) | Fault::SlowRequest(_) => self.record.too_long(),
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
        self.get_mut().kind.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(BrokenOff)))
    }

    fn is_end_stream(&self) -> bool {
        self.kind.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.kind.size_hint()
    }
}

/// A response broke off after its head was sent; all that is left is to break off too.
#[derive(Debug, thiserror::Error)]
#[error("response broke off: {0:?}")]
pub(crate) struct BrokenOff(Fault);
