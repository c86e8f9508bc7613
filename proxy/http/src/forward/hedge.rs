//! Hedging: a try that has not answered within its time (`per_try_timeout`) goes on while another
//! endpoint is asked too. The first that answers has won, and the others are broken off.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http::Response;
use weft_balance::{EndpointState, Outcome};
use weft_compile::Cluster;

use super::{Arrival, Journey};
use crate::{
    downstream::Connection,
    fault::Fault,
    record::UpstreamRecord,
    retry,
    upstream::{Answer, Exchange, Failure, Place},
};

/// A try that took too long and goes on.
#[derive(Debug)]
struct Rival {
    exchange: Exchange,
    record: UpstreamRecord,
    member: Option<Arc<Cluster>>,
    sent_until: Option<Instant>,
    /// Its own place within `max_retries`, unless it was the first try.
    _place: Option<Place>,
}

/// The tries of a request that go on beside the latest one.
#[derive(Debug, Default)]
pub(crate) struct Rivals {
    all: Vec<Rival>,
    /// The failure that is passed on if none of them answers.
    otherwise: Option<Box<(Response<()>, Exchange)>>,
}

impl Rivals {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The first that answers; `None` when no one is left. An answer that is a failure does not win as
    /// long as `others` are under way.
    fn poll(&mut self, cx: &mut Context<'_>, others: bool) -> Poll<Option<(Rival, Response<()>)>> {
        let mut at = 0;
        while let Some(rival) = self.all.get_mut(at) {
            match rival.exchange.poll_head(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(Answer::Interim(_))) => {}
                Poll::Ready(Ok(Answer::Final(head))) => {
                    let rival = self.all.swap_remove(at);
                    let is_last = !others && self.all.is_empty();
                    if is_last || !retry::is_failure(&head) {
                        return Poll::Ready(Some((rival, head)));
                    }
                    rival.record.responded(head.status());
                }
                Poll::Ready(Err(failure)) => self.all.swap_remove(at).record.failed(failure.fault),
            }
        }
        if self.all.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl Journey {
    /// Whether tries go on that took too long.
    pub(super) fn has_rivals(&self) -> bool {
        self.retries.as_ref().is_some_and(|retries| !retries.rivals.is_empty())
    }

    fn take_rivals(&mut self) -> Rivals {
        self.retries.as_mut().map(|it| std::mem::take(&mut it.rivals)).unwrap_or_default()
    }

    /// What becomes of a try without an answer: it goes on, if it took too long and the request can be
    /// sent a second time meanwhile.
    pub(super) fn set_aside(&mut self, fault: Fault, exchange: Exchange) {
        let hedges = |retries: &&mut Box<retry::Retries>| {
            retries.hedges && matches!(fault, Fault::PerTryTimeout)
        };
        let (Some(retries), Some(upload)) =
            (self.retries.as_mut().filter(hedges), exchange.copy_upload())
        else {
            self.upload = exchange.recover_upload();
            return;
        };
        self.record.outcome(Outcome::TimedOut);
        let Some(record) = self.record.part_with_upstream() else { return };
        retries.rivals.all.push(Rival {
            exchange,
            record,
            member: self.member.clone(),
            sent_until: self.sent_until,
            _place: retries.held.take(),
        });
        self.upload = Some(upload);
    }

    /// One more attempt, while those before it go on.
    pub(super) async fn attempt_among_rivals(
        &mut self,
        connection: &Rc<Connection>,
        endpoint: &Arc<EndpointState>,
    ) -> Result<(Response<()>, Exchange), Failure> {
        let mut rivals = self.take_rivals();
        let came = {
            let mut attempt = pin!(self.attempt(connection, endpoint));
            poll_fn(|cx| {
                if let Poll::Ready(came) = attempt.as_mut().poll(cx) {
                    return Poll::Ready(Err(came));
                }
                match rivals.poll(cx, true) {
                    Poll::Ready(Some(won)) => Poll::Ready(Ok(won)),
                    Poll::Ready(None) | Poll::Pending => Poll::Pending,
                }
            })
            .await
        };
        match came {
            Ok((rival, head)) => Ok((head, self.adopt(rival))),
            Err(Ok((head, exchange))) => {
                if retry::is_failure(&head) {
                    self.go_on_with(rivals);
                }
                Ok((head, exchange))
            }
            Err(Err(failure)) => {
                if !ends_request(failure.fault) {
                    self.go_on_with(rivals);
                }
                Err(failure)
            }
        }
    }

    fn go_on_with(&mut self, rivals: Rivals) {
        if let Some(retries) = &mut self.retries {
            retries.rivals.all.extend(rivals.all);
        }
    }

    /// This is the answer if none of those that go on has one.
    pub(super) fn fall_back_on(&mut self, head: Response<()>, exchange: Exchange) {
        if let Some(retries) = &mut self.retries {
            retries.rivals.otherwise = Some(Box::new((head, exchange)));
        }
    }

    /// Waits for those that go on when there is no other try; `last` is what came of the last one.
    pub(super) async fn await_rivals(&mut self, connection: &Connection, last: Fault) -> Arrival {
        let mut rivals = self.take_rivals();
        let otherwise = rivals.otherwise.take();
        let mut timer = connection.worker.timer();
        let (began, limits) = (Instant::now(), self.limits);
        let came = poll_fn(|cx| {
            if let Poll::Ready(won) = rivals.poll(cx, false) {
                return Poll::Ready(Ok(won));
            }
            let Some((at, fault)) = limits.next(began) else { return Poll::Pending };
            timer.poll_at(cx, at).map(|()| Err(fault))
        });
        let Some((rival, head)) = came.await? else {
            return otherwise.map_or(Err(last), |failure| Ok(*failure));
        };
        if let Some(failure) = otherwise {
            self.record.upstream_responded(failure.0.status());
        }
        let exchange = self.adopt(rival);
        self.record.head_came(&head, self.is_grpc, exchange.is_end_stream());
        if let (Some(kept), Some(endpoint)) = (&mut self.kept, self.record.endpoint()) {
            kept.reached(endpoint);
        }
        Ok((head, exchange))
    }

    /// This one has won.
    fn adopt(&mut self, rival: Rival) -> Exchange {
        self.record.resume_upstream(rival.record);
        self.member = rival.member;
        self.sent_until = rival.sent_until;
        rival.exchange
    }
}

/// Whether no other answer would be waited for.
fn ends_request(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::RequestTimeout(_)
            | Fault::StreamDuration(_)
            | Fault::SlowRequest(_)
            | Fault::StreamIdle
            | Fault::RequestIdle
            | Fault::RequestNotWhole
            | Fault::ClientGone
            | Fault::BadRequest(_)
    )
}
