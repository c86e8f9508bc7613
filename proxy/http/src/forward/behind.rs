//! What comes right behind the head of a gRPC response. A call that failed before its first message
//! says so in trailers, which may be a frame of their own: as long as the client has seen nothing,
//! such a call can go to another endpoint as one whose head says it.

use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Response;
use http_body::Frame;

use crate::{
    retry,
    timer::Timer,
    upstream::{Exchange, Failure},
};

/// How long a head is kept back for what may follow it. A server that ends a call without a message
/// does so at once; one that is silent for longer may wait for what the client does upon the head.
const KEPT_BACK: Duration = Duration::from_millis(250);

/// A head that is kept back, and what came behind it.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    head: Option<Response<()>>,
    until: Option<Instant>,
    pub(super) first: Option<Box<Frame<Bytes>>>,
}

impl Behind {
    /// Keeps the head back if its request has gone up as a whole, and trailers could change what is
    /// made of it.
    pub(super) fn keep(
        &mut self,
        head: Response<()>,
        exchange: &Exchange,
        deadline: Option<Instant>,
    ) -> Option<Response<()>> {
        let may_follow = !exchange.takes_more() && !exchange.is_end_stream();
        if !may_follow || !retry::leaves_open(&head) {
            return Some(head);
        }
        let until = Instant::now() + KEPT_BACK;
        self.until = Some(deadline.map_or(until, |deadline| until.min(deadline)));
        self.head = Some(head);
        None
    }

    /// Gives the head back when its first frame has come, or when that took too long; `None` if there
    /// is no head yet. A stream that breaks off before is a try without a response.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        timer: &mut Timer,
    ) -> Option<Poll<Result<Response<()>, Failure>>> {
        let until = self.until?;
        self.head.as_ref()?;
        match exchange.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => self.first = Some(Box::new(frame)),
            Poll::Ready(Some(Err(fault))) => {
                return Some(Poll::Ready(Err(Failure::unknown(fault))));
            }
            Poll::Ready(None) => {}
            Poll::Pending if timer.poll_at(cx, until).is_pending() => return Some(Poll::Pending),
            Poll::Pending => {}
        }
        self.head.take().map(|head| Poll::Ready(Ok(head)))
    }
}
