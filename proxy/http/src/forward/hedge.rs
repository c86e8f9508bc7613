//! Hedging: a try that has not answered within its time (`per_try_timeout`), or that is slow by the
//! cluster's policy, goes on while another endpoint is asked too. The first that answers has won, and
//! the others are broken off.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http::Response;
use weft_balance::{Condition, EndpointState, Outcome};
use weft_compile::{Cluster, Hedges};
use weft_telemetry::GaugeGuard;

use super::{Arrival, Journey};
use crate::{
    downstream::Connection,
    fault::Fault,
    record::UpstreamRecord,
    retry,
    upstream::{Answer, Exchange, Failure, Place, Upload},
};

/// A try that took too long and goes on.
#[derive(Debug)]
struct Rival {
    exchange: Exchange,
    record: UpstreamRecord,
    member: Option<Arc<Cluster>>,
    sent_until: Option<Instant>,
    /// Whether it was sent while another one went on.
    is_beside: bool,
    /// Its own place within `max_retries` or the budget of hedges, unless it was the first try.
    _place: Option<Place>,
}

/// A request that may be sent to another endpoint as well when it is slow.
#[derive(Debug)]
pub(crate) struct Slow {
    hedges: Arc<Hedges>,
    /// How often it may be.
    left: u32,
    /// When the latest try is slow.
    at: Option<Instant>,
    /// Whether it is sent as well next.
    is_due: bool,
}

impl Slow {
    pub(crate) fn new(hedges: &Arc<Hedges>) -> Self {
        let left = hedges.settings().extra;
        Self { hedges: Arc::clone(hedges), left, at: None, is_due: false }
    }
}

/// One that has answered.
type Won = (Rival, Response<()>);

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

    /// Another one has won.
    fn are_beaten(&self) {
        self.all.iter().for_each(|rival| rival.record.beaten());
    }

    /// The first that answers; when no one is left, what happened to the last one. An answer that is a
    /// failure does not win as long as `others` are under way.
    fn poll(&mut self, cx: &mut Context<'_>, others: bool) -> Poll<Result<Won, Option<Fault>>> {
        let (mut at, mut last) = (0, None);
        while let Some(rival) = self.all.get_mut(at) {
            match rival.exchange.poll_head(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(Answer::Interim(_))) => {}
                Poll::Ready(Ok(Answer::Final(head))) => {
                    let rival = self.all.swap_remove(at);
                    let is_last = !others && self.all.is_empty();
                    if is_last || !retry::is_failure(&head) {
                        return Poll::Ready(Ok((rival, head)));
                    }
                    rival.record.responded(head.status());
                }
                Poll::Ready(Err(failure)) => {
                    last = Some(failure.fault);
                    self.all.swap_remove(at).record.failed(failure.fault);
                }
            }
        }
        if self.all.is_empty() { Poll::Ready(Err(last)) } else { Poll::Pending }
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
        let hedges = self.retries.as_ref().is_some_and(|retries| retries.hedges);
        let took_too_long = hedges && matches!(fault, Fault::PerTryTimeout);
        let copy = if took_too_long { exchange.copy_upload() } else { None };
        let Some(upload) = copy else {
            self.upload = exchange.recover_upload();
            return;
        };
        self.record.outcome(Outcome::TimedOut);
        self.let_go_on(exchange, upload, None);
    }

    /// Decides when the latest try is slow, where anything is done about that.
    pub(super) fn note_when_slow(&mut self) {
        let began = self.record.attempt_began();
        if let Some(slow) = self.retries.as_mut().and_then(|retries| retries.slow.as_mut()) {
            let after = slow.hedges.after().filter(|_| slow.left > 0);
            slow.at = began.zip(after).and_then(|(began, after)| began.checked_add(after));
        }
    }

    /// When the latest try is slow.
    pub(super) fn slow_at(&self) -> Option<Instant> {
        self.retries.as_ref()?.slow.as_ref()?.at
    }

    /// Whether it is, as this was reached. That is said once for each try.
    pub(super) fn is_slow(&mut self, fault: Fault, reached: Option<Instant>) -> bool {
        let slow = self.retries.as_mut().and_then(|retries| retries.slow.as_mut());
        let at = slow.and_then(|slow| slow.at.take());
        matches!(fault, Fault::PerTryTimeout) && at.is_some() && at == reached
    }

    /// What is sent to another endpoint as the latest try is slow, and its place within the budget of
    /// hedges, if there are both.
    pub(super) fn hedge(&mut self, exchange: &Exchange) -> Option<(Upload, Place)> {
        let leaf = Arc::clone(self.leaf());
        let slow = self.retries.as_mut()?.slow.as_mut()?;
        let upload = exchange.copy_upload()?;
        let hosts = leaf.balancer.hosts().iter();
        let healthy = hosts.filter(|host| host.condition() == Condition::Healthy);
        if healthy.count() <= self.attempts.into() {
            return None;
        }
        let budget = slow.hedges.settings().budget;
        let most = budget.most(leaf.requests_under_way(self.priority));
        let Some(place) = GaugeGuard::raise_below(
            Arc::clone(&leaf),
            |cluster| &cluster.stats.upstream_rq_hedge_active,
            most,
        ) else {
            leaf.stats.upstream_rq_hedge_overflow.inc();
            return None;
        };
        leaf.stats.upstream_rq_hedge.inc();
        slow.left -= 1;
        slow.is_due = true;
        Some((upload, place))
    }

    /// The latest try goes on while what is kept of its request is sent once more, from this place.
    pub(super) fn let_go_on(&mut self, exchange: Exchange, upload: Upload, next: Option<Place>) {
        let (Some(retries), Some(record)) =
            (self.retries.as_mut(), self.record.part_with_upstream())
        else {
            return;
        };
        retries.rivals.all.push(Rival {
            exchange,
            record,
            member: self.member.clone(),
            sent_until: self.sent_until,
            is_beside: retries.is_beside,
            _place: std::mem::replace(&mut retries.held, next),
        });
        self.upload = Some(upload);
    }

    /// Whether the next try is sent while another one goes on.
    pub(super) fn is_sent_beside(&mut self) -> bool {
        self.retries.as_mut().is_some_and(|retries| {
            let is_due = retries.slow.as_mut().is_some_and(|it| std::mem::take(&mut it.is_due));
            retries.is_beside = is_due;
            is_due
        })
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
                    Poll::Ready(Ok(won)) => Poll::Ready(Ok(won)),
                    Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
                }
            })
            .await
        };
        match came {
            Ok((rival, head)) => {
                self.record.beaten();
                Ok((head, self.adopt(rival, &rivals)))
            }
            Err(Ok((head, exchange))) => {
                if retry::is_failure(&head) {
                    self.go_on_with(rivals);
                } else {
                    rivals.are_beaten();
                    if self.retries.as_ref().is_some_and(|retries| retries.is_beside) {
                        self.leaf().stats.upstream_rq_hedge_won.inc();
                    }
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
        let (rival, head) = match came.await? {
            Ok(won) => won,
            Err(fault) => {
                return otherwise.map_or(Err(fault.unwrap_or(last)), |failure| Ok(*failure));
            }
        };
        if let Some(failure) = otherwise {
            self.record.upstream_responded(failure.0.status());
        }
        let exchange = self.adopt(rival, &rivals);
        self.record.head_came(&head, self.is_grpc, exchange.is_end_stream());
        if let (Some(kept), Some(endpoint)) = (&mut self.kept, self.record.endpoint()) {
            kept.reached(endpoint);
        }
        Ok((head, exchange))
    }

    /// This one has won.
    fn adopt(&mut self, rival: Rival, others: &Rivals) -> Exchange {
        others.are_beaten();
        self.record.resume_upstream(rival.record);
        self.member = rival.member;
        self.sent_until = rival.sent_until;
        if rival.is_beside {
            self.leaf().stats.upstream_rq_hedge_won.inc();
        }
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
