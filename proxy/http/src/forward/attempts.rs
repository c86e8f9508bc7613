//! The tries of a request: endpoints are picked until one answers for good.

use std::{rc::Rc, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Response, Version};
use http_body::Frame;
use weft_balance::{EndpointState, Outcome};
use weft_compile::Cluster;

use super::{
    Arrival, Journey,
    behind::Behind,
    head::{Times, await_head},
    pick::Tried,
};
use crate::{
    body::Limits,
    downstream::Connection,
    fault::Fault,
    headers,
    retry::{self, Pause},
    rewrite,
    tunnel::Tunnel,
    upstream::{Authority, Exchange, Failure, Lane, Outgoing, Upload},
    websocket,
};

/// How often a request without a retry policy is tried when each time it was provably not processed.
pub(super) const ATTEMPTS: usize = 3;

impl Journey {
    /// Tries endpoints until one answers, the request may have been processed, or none is left.
    pub(crate) async fn travel(&mut self, connection: &Rc<Connection>) -> Arrival {
        if self.cluster.drop_overloads.dropped(self.random).is_some() {
            self.cluster.stats.upstream_rq_drop_overload.inc();
            let always = self.cluster.drop_overloads.drop_all();
            return Err(if always { Fault::DropOverloadAlways } else { Fault::DropOverload });
        }
        let mut tried = Tried::default();
        let mut last = Fault::NoHealthyUpstream;
        while let Some(endpoint) = self.pick(connection, &tried) {
            if let Some((_, fault)) = self.limits.deadline.filter(|(at, _)| *at <= Instant::now()) {
                // Whoever asked has given up: the work of another endpoint would be for nobody.
                return Err(fault);
            }
            if !tried.all.is_empty() {
                self.prepare_again(tried.all.len() + 1, last);
            }
            self.attempts = u16::try_from(tried.all.len() + 1).unwrap_or(u16::MAX);
            tried.all.push(endpoint.id());
            self.take_name(&endpoint);
            let leaf = self.member.as_ref().unwrap_or(&self.cluster);
            self.record.begin_upstream(leaf, endpoint.begin_request());
            let pause = match self.attempt_beside(connection, &endpoint).await {
                Ok((head, exchange)) => {
                    let is_end = self.first().is_none() && exchange.is_end_stream();
                    self.record.head_came(&head, self.is_grpc, is_end);
                    if let Some(kept) = &mut self.kept {
                        kept.reached(self.record.endpoint().unwrap_or(&endpoint));
                    }
                    match self.after_head(&head, exchange.can_start_again(), connection) {
                        None if self.has_rivals() => {
                            self.fall_back_on(head, exchange);
                            break;
                        }
                        None => return Ok((head, exchange)),
                        Some(pause) => {
                            self.upload = exchange.recover_upload();
                            last = Fault::NoHealthyUpstream;
                            pause
                        }
                    }
                }
                Err(failure) => {
                    self.record.upstream_failed(failure.fault);
                    last = failure.fault;
                    if matches!(last, Fault::ConnectFailed | Fault::ConnectTimeout) {
                        tried.last_was_unreachable();
                    }
                    match self.after_failure(failure, tried.all.len(), connection) {
                        None => break,
                        Some(pause) => pause,
                    }
                }
            };
            if !pause.is_zero() {
                // Rare, so only this future is boxed.
                Box::pin(self.rest(pause)).await?;
            }
        }
        if tried.all.is_empty() {
            self.cluster.stats.upstream_cx_none_healthy.inc();
            last = self.sticky.as_ref().and_then(|sticky| sticky.refused).unwrap_or(last);
        }
        if self.has_rivals() {
            // Rare, so only this future is boxed.
            return Box::pin(self.await_rivals(connection, last)).await;
        }
        Err(last)
    }

    /// An attempt, while those before it go on if there are any.
    async fn attempt_beside(
        &mut self,
        connection: &Rc<Connection>,
        endpoint: &Arc<EndpointState>,
    ) -> Result<(Response<()>, Exchange), Failure> {
        if self.has_rivals() {
            return Box::pin(self.attempt_among_rivals(connection, endpoint)).await;
        }
        self.attempt(connection, endpoint).await
    }

    /// What the next try says of itself.
    fn prepare_again(&mut self, number: usize, last: Fault) {
        let fields = &mut self.outgoing.headers;
        if self.count_attempts {
            headers::set_attempt(fields, number);
        }
        if self.tell_timeouts {
            headers::set_timeout_retry(fields, is_timeout(last));
        }
        if let Some(retries) = &self.retries {
            retries.told.tell(self.record.began().elapsed(), fields);
        }
    }

    /// Whether this response is to be forgotten, and after which pause there is another try.
    fn after_head(
        &mut self,
        head: &Response<()>,
        can_start_again: bool,
        connection: &Connection,
    ) -> Option<Pause> {
        let retries = self.retries.as_mut()?;
        if !can_start_again {
            return None;
        }
        let leaf = self.member.as_ref().unwrap_or(&self.cluster);
        let pause = retries.after_head(leaf, head, connection.worker.random_u64())?;
        self.record.upstream_responded(head.status());
        if let Some(first) = retries.first.take() {
            self.record.ended(first.trailers_ref());
        }
        Some(pause)
    }

    /// What has come of the response behind its head.
    fn first(&self) -> Option<&Frame<Bytes>> {
        self.retries.as_ref()?.first.as_deref()
    }

    /// After which pause there is another try, if there is one.
    fn after_failure(
        &mut self,
        failure: Failure,
        tries: usize,
        connection: &Connection,
    ) -> Option<Pause> {
        if self.is_sent_beside() {
            return Some(Pause::ZERO);
        }
        let leaf = self.member.as_ref().unwrap_or(&self.cluster);
        let asked = self.retries.as_mut().filter(|retries| retries.decides());
        if asked.is_none() && (tries >= ATTEMPTS || !retry::is_safe_after(failure)) {
            return None;
        }
        if self.upload.is_none() {
            // More of the body has gone than is kept.
            leaf.stats.retry_or_shadow_abandoned.inc();
            return None;
        }
        if let Some(retries) = asked {
            return retries.after_failure(leaf, failure, connection.worker.random_u64());
        }
        leaf.stats.upstream_rq_retry.inc();
        Some(Pause::ZERO)
    }

    /// Waits before another try, unless the time of the whole request is over before.
    async fn rest(&self, pause: Pause) -> Result<(), Fault> {
        let until = Instant::now() + pause;
        let ends = self.limits.deadline.filter(|(at, _)| *at < until);
        tokio::time::sleep_until(ends.map_or(until, |(at, _)| at).into()).await;
        ends.map_or(Ok(()), |(_, fault)| Err(fault))
    }

    /// When a try is given up: with the whole request, or before by the retry policy.
    fn limits_of_try(&self) -> Limits {
        let limits = self.limits.answered_by(self.agreed_by);
        let per_try = self.retries.as_ref().and_then(|retries| retries.per_try_timeout());
        let Some(per_try) = per_try else { return limits };
        let began = self.record.attempt_began().unwrap_or_else(Instant::now);
        let own = (began + per_try, Fault::PerTryTimeout);
        let deadline = match limits.deadline {
            Some(whole) if whole.0 <= own.0 => whole,
            _ => own,
        };
        Limits { deadline: Some(deadline), ..limits }
    }

    /// The host becomes the endpoint's name, where the route says so and the endpoint has one.
    fn take_name(&mut self, endpoint: &EndpointState) {
        let Some(auto) = self.auto_host else { return };
        let name = endpoint.hostname().and_then(|name| HeaderValue::from_str(&name).ok());
        let Some(name) = name else { return };
        let Outgoing { authority, headers, .. } = &mut self.outgoing;
        if self.attempts == 1 {
            rewrite::replace(authority, auto.append, headers, auto.keep);
        }
        *authority = Authority::Field(name);
    }

    /// The cluster whose endpoint was picked, and whose settings hold.
    pub(super) fn leaf(&self) -> &Arc<Cluster> {
        self.member.as_ref().unwrap_or(&self.cluster)
    }

    /// One attempt. Puts the body back if nothing was taken from it.
    pub(super) async fn attempt(
        &mut self,
        connection: &Rc<Connection>,
        endpoint: &Arc<EndpointState>,
    ) -> Result<(Response<()>, Exchange), Failure> {
        let lane = self.reach(connection, endpoint, self.limits_of_try()).await?;
        self.record.outcome(Outcome::Connected);
        let (lane, place) = lane.admitted(self.leaf(), self.priority)?;
        self.record.sent(place);
        let longest = self.leaf().connection.max_stream_duration;
        self.sent_until = longest.and_then(|longest| Instant::now().checked_add(longest));
        let Some(upload) = self.upload.take() else {
            return Err(Failure::unknown(Fault::UpstreamReset));
        };
        let mut exchange = self.begin_on(lane, upload, connection);
        let mut times = self.times(connection);
        self.note_when_slow();
        let came = loop {
            let limits = self.limits_of_try().within(self.sent_until);
            let limits = limits.until(self.slow_at(), Fault::PerTryTimeout);
            let timer = connection.worker.timer();
            let client = (&self.interim, connection.chain.client.proxies_continue);
            let came = await_head(&mut exchange, (&limits, &mut times), timer, client).await;
            match came {
                Err(failure) if self.is_slow(failure.fault, limits.ends_at()) => {
                    if let Some((upload, place)) = self.hedge(&exchange) {
                        self.let_go_on(exchange, upload, Some(place));
                        return Err(failure);
                    }
                }
                came => break came,
            }
        };
        if let (Some(times), Some(retries)) = (times, &mut self.retries) {
            retries.first = times.behind.and_then(|behind| behind.first);
        }
        match came {
            Ok(head) => Ok((head, exchange)),
            Err(failure) => {
                match failure.fault {
                    Fault::PerTryTimeout => self.leaf().stats.upstream_rq_per_try_timeout.inc(),
                    Fault::PerTryIdle => self.record.try_idle(),
                    Fault::UpstreamDuration | Fault::SlowForUpstream => {
                        self.record.upstream_too_long();
                    }
                    _ => {}
                }
                self.set_aside(failure.fault, exchange);
                Err(failure)
            }
        }
    }

    fn times(&self, connection: &Connection) -> Option<Box<Times>> {
        let whole_by = self.whole_by(connection);
        let try_idle = self.retries.as_ref().and_then(|retries| retries.per_try_idle());
        let judges = self.retries.as_ref().is_some_and(|retries| retries.judges_trailers());
        let behind = (judges && self.is_grpc).then(Behind::default);
        let any = whole_by.is_some() || try_idle.is_some() || behind.is_some();
        any.then(|| Box::new(Times { whole_by, try_idle, behind }))
    }

    /// When the whole request must have come.
    pub(super) fn whole_by(&self, connection: &Connection) -> Option<Instant> {
        let limit = connection.chain.client.request_timeout;
        let limit = limit.filter(|_| self.outgoing.tunnel.is_none())?;
        self.record.began().checked_add(limit)
    }

    /// Apart from `attempt`, whose future would keep a place for a lane that was lent.
    fn begin_on(&mut self, lane: Lane, mut upload: Upload, connection: &Connection) -> Exchange {
        if let Lane::Http2(_) = &lane {
            // Its server may say that it did not look at a request of which everything was sent.
            upload.keep_unless_kept(retry::REPLAYED, &self.outgoing.headers);
        }
        if let (Some(Tunnel::Upgrade(to)), Lane::Http1(_)) = (&self.outgoing.tunnel, &lane)
            && self.outgoing.downstream >= Version::HTTP_2
            && websocket::is(to)
        {
            let random = || u128::from(connection.worker.random_u64());
            websocket::ask(&mut self.outgoing.headers, random() << 64 | random());
        }
        lane.begin(&mut self.outgoing, upload)
    }
}

fn is_timeout(fault: Fault) -> bool {
    matches!(fault, Fault::PerTryTimeout | Fault::PerTryIdle)
}
