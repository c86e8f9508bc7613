//! The tries of a request: endpoints are picked until one answers for good.

use std::{
    future::poll_fn,
    num::NonZeroU64,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Version};
use http_body::Frame;
use smallvec::SmallVec;
use weft_balance::{EndpointId, EndpointState, Outcome};
use weft_compile::{Cluster, HostCache};

use super::{Arrival, Journey, behind::Behind, coming, is_safe};
use crate::{
    body::Limits,
    downstream::{Connection, Interim},
    fault::Fault,
    headers,
    retry::{self, Pause},
    rewrite, ticks,
    timer::Timer,
    tunnel::Tunnel,
    upstream::{
        self, Answer, Authority, Exchange, Failure, Framing, Lane, Outgoing, Pool, Protocol, Upload,
    },
    websocket,
    wish::Granted,
};

/// How often a request without a retry policy is tried when each time it was provably not processed.
const ATTEMPTS: usize = 3;

/// Endpoints that a request was meant for.
#[derive(Default)]
struct Tried {
    all: SmallVec<[EndpointId; ATTEMPTS]>,
    /// Which of them there was no connection to, bit by bit.
    unreachable: u64,
}

impl Tried {
    fn last_was_unreachable(&mut self) {
        self.unreachable |= 1_u64.checked_shl(self.last()).unwrap_or(0);
    }

    fn last(&self) -> u32 {
        u32::try_from(self.all.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Those that there was no connection to. They come last when all were tried: any other may
    /// have failed by a connection that happened to be old.
    fn unreachable(&self) -> SmallVec<[EndpointId; ATTEMPTS]> {
        let marked = self.all.iter().zip(0_u32..);
        let marked = marked
            .filter(|(_, at)| self.unreachable.checked_shr(*at).is_some_and(|bits| bits & 1 == 1));
        marked.map(|(id, _)| *id).collect()
    }
}

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
        let own = (Instant::now() + per_try, Fault::PerTryTimeout);
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

    fn pick(&mut self, connection: &Connection, tried: &Tried) -> Option<Arc<EndpointState>> {
        if self.cluster.original_destination.is_some() {
            // There is no other place to try.
            return if tried.all.is_empty() { self.original(connection) } else { None };
        }
        if let Some(hosts) = &self.cluster.dynamic_hosts {
            return if tried.all.is_empty() { self.named(connection, hosts) } else { None };
        }
        if tried.all.is_empty()
            && let Some(sticky) = &mut self.sticky
            && let Some(wish) = &sticky.wish
        {
            match wish.grant(&self.cluster) {
                Granted::Yes(picked) => {
                    self.member = self.cluster.members.get(picked.group).cloned();
                    return Some(Arc::clone(picked.endpoint));
                }
                Granted::No => {}
                Granted::Never(fault) => {
                    sticky.refused = Some(fault);
                    return None;
                }
            }
        }
        let (cluster, balancer) = (&self.cluster, &self.cluster.balancer);
        let asked = self.sticky.as_ref().and_then(|sticky| sticky.asked.as_deref());
        let hash = self.hash.map(NonZeroU64::get);
        let picked = if tried.all.is_empty() {
            cluster.pick(asked, ticks::chance(balancer, self.random), hash, &[])?
        } else {
            let random = ticks::chance(balancer, connection.worker.random_u64());
            let other = cluster.pick(asked, random, hash, &tried.all)?;
            if tried.all.contains(&other.endpoint.id()) {
                cluster.pick(asked, random, hash, &tried.unreachable())?
            } else {
                other
            }
        };
        self.cluster.count_pick(&picked);
        self.member = self.cluster.members.get(picked.group).cloned();
        Some(Arc::clone(picked.endpoint))
    }

    /// Where the request or its connection was meant to go.
    fn original(&self, connection: &Connection) -> Option<Arc<EndpointState>> {
        let rule = self.cluster.original_destination.as_ref()?;
        match upstream::destination(rule, &self.outgoing.headers, connection.meant_for) {
            Ok(address) => {
                let known = connection.worker.pools().original();
                known.at(&self.cluster, address?, Instant::now())
            }
            Err(()) => {
                self.cluster.stats.original_dst_host_invalid.inc();
                None
            }
        }
    }

    /// The host that the request names.
    fn named(&self, connection: &Connection, hosts: &HostCache) -> Option<Arc<EndpointState>> {
        let authority = std::str::from_utf8(self.outgoing.authority.as_bytes()).ok()?;
        let ways = upstream::named(hosts, authority)?;
        let first = *ways.first()?;
        // A request that names the listener it came by would come again and again.
        if connection.local == Some(first) {
            return None;
        }
        let known = connection.worker.pools().original();
        let endpoint = known.at(&self.cluster, first, Instant::now())?;
        endpoint.set_ways(if ways.len() > 1 { &ways } else { &[] });
        Some(endpoint)
    }

    /// One attempt. Puts the body back if nothing was taken from it.
    pub(super) async fn attempt(
        &mut self,
        connection: &Rc<Connection>,
        endpoint: &Arc<EndpointState>,
    ) -> Result<(Response<()>, Exchange), Failure> {
        let limits = self.limits_of_try();
        let lane = self.reach(connection, endpoint, limits).await?;
        self.record.outcome(Outcome::Connected);
        let (lane, place) = lane.admitted(self.leaf(), self.priority)?;
        self.record.sent(place);
        let longest = self.leaf().connection.max_stream_duration;
        self.sent_until = longest.and_then(|longest| Instant::now().checked_add(longest));
        let limits = limits.within(self.sent_until);
        let Some(upload) = self.upload.take() else {
            return Err(Failure::unknown(Fault::UpstreamReset));
        };
        let mut exchange = self.begin_on(lane, upload, connection);
        let timer = connection.worker.timer();
        let mut times = self.times(connection);
        let client = (&self.interim, connection.chain.client.proxies_continue);
        let came = await_head(&mut exchange, (&limits, &mut times), timer, client).await;
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
    fn whole_by(&self, connection: &Connection) -> Option<Instant> {
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

    /// A connection of the pool, or a new one. Opening one is rare, so only its future is boxed.
    async fn reach(
        &mut self,
        connection: &Rc<Connection>,
        endpoint: &Arc<EndpointState>,
        limits: Limits,
    ) -> Result<Lane, Failure> {
        let pool = connection.pool_for(self.leaf(), endpoint, self.priority);
        let protocol = match &self.outgoing.tunnel {
            Some(Tunnel::Terminated) => Protocol::Http1,
            _ => upstream::protocol(self.leaf(), self.outgoing.downstream),
        };
        if self.outgoing.tunnel.is_some() {
            // Rare, too.
            return Box::pin(self.reach_for_tunnel(pool, endpoint, protocol, limits)).await;
        }
        match upstream::reuse(&pool, self.leaf(), protocol, self.is_lost_if_stale()) {
            Some(lane) => Ok(lane),
            None => Box::pin(self.open(connection, pool, endpoint, protocol, limits)).await,
        }
    }

    /// A new connection.
    async fn open(
        &mut self,
        connection: &Connection,
        pool: Rc<Pool>,
        endpoint: &Arc<EndpointState>,
        protocol: Protocol,
        limits: Limits,
    ) -> Result<Lane, Failure> {
        let leaf = Arc::clone(self.leaf());
        let opening = upstream::open(pool, &leaf, endpoint, protocol, limits);
        match (self.whole_by(connection), &mut self.upload) {
            (Some(whole_by), Some(upload)) => {
                let timer = connection.worker.timer();
                coming::meanwhile(opening, upload, whole_by, timer).await
            }
            _ => opening.await,
        }
    }

    /// A connection that a tunnel takes over as a whole: one that nothing else was sent on. Of h2 it
    /// takes a stream, where another protocol may only be asked for if the upstream has said that it
    /// knows of this.
    async fn reach_for_tunnel(
        &self,
        pool: Rc<Pool>,
        endpoint: &Arc<EndpointState>,
        protocol: Protocol,
        limits: Limits,
    ) -> Result<Lane, Failure> {
        let shared = match protocol {
            Protocol::Http1 => None,
            Protocol::Http2 => upstream::reuse(&pool, self.leaf(), protocol, false),
        };
        let lane = match shared {
            Some(lane) => lane,
            None => upstream::open(pool, self.leaf(), endpoint, protocol, limits).await?,
        };
        let asks = matches!(self.outgoing.tunnel, Some(Tunnel::Upgrade(_)));
        if let (true, Lane::Http2(lane)) = (asks, &lane)
            && !lane.takes_protocols(limits).await?
        {
            return Err(Failure::unsent(Fault::UpgradeRefused));
        }
        Ok(lane)
    }

    /// Whether the request could not be sent again if its connection turned out to be closed.
    fn is_lost_if_stale(&self) -> bool {
        !is_safe(&self.outgoing.method)
            || self.upload.as_ref().is_none_or(|upload| upload.framing() != Framing::None)
    }
}

fn is_timeout(fault: Fault) -> bool {
    matches!(fault, Fault::PerTryTimeout | Fault::PerTryIdle)
}

/// What few requests are held to until the head of their response has come.
pub(crate) struct Times {
    /// When the request must have come as a whole.
    whole_by: Option<Instant>,
    /// How long nothing may come once it has.
    try_idle: Option<Duration>,
    /// What comes behind the head may call for another try.
    behind: Option<Behind>,
}

/// Waits for the response's head while the request's body goes up.
pub(crate) async fn await_head(
    exchange: &mut Exchange,
    (limits, times): (&Limits, &mut Option<Box<Times>>),
    mut timer: Timer,
    (client, wants_continue): (&Interim, bool),
) -> Result<Response<()>, Failure> {
    let began = Instant::now();
    poll_fn(|cx| {
        let mut behind = times.as_mut().and_then(|times| times.behind.as_mut());
        if let Some(kept) = behind.as_mut().and_then(|it| it.poll(cx, exchange, &mut timer)) {
            return kept;
        }
        while let Poll::Ready(answer) = exchange.poll_head(cx) {
            match answer {
                Ok(Answer::Final(head)) => {
                    let Some(behind) = &mut behind else { return Poll::Ready(Ok(head)) };
                    if let Some(head) = behind.keep(head, exchange, limits.ends_at()) {
                        return Poll::Ready(Ok(head));
                    }
                    return behind.poll(cx, exchange, &mut timer).unwrap_or(Poll::Pending);
                }
                // The client's 100 came from us, when its body was first asked for.
                Ok(Answer::Interim(hint))
                    if hint.status() == StatusCode::CONTINUE && !wants_continue => {}
                Ok(Answer::Interim(mut hint)) => {
                    headers::remove_hop_by_hop(hint.headers_mut(), Version::HTTP_11);
                    client.send(cx, &hint);
                }
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        let last_moved = exchange.upload_moved().unwrap_or(began);
        let own = times.as_ref().and_then(|times| match exchange.takes_more() {
            true => times.whole_by.map(|at| (at, Fault::RequestNotWhole)),
            false => times.try_idle.map(|limit| (last_moved + limit, Fault::PerTryIdle)),
        });
        let next = limits.next(last_moved).into_iter().chain(own).min_by_key(|(at, _)| *at);
        let Some((at, fault)) = next else { return Poll::Pending };
        timer.poll_at(cx, at).map(|()| {
            let fault = match fault {
                Fault::StreamDuration(by) if exchange.takes_more() => Fault::SlowRequest(by),
                Fault::UpstreamDuration if exchange.takes_more() => Fault::SlowForUpstream,
                Fault::StreamIdle if exchange.takes_more() => Fault::RequestIdle,
                fault => fault,
            };
            Err(Failure::unknown(fault))
        })
    })
    .await
}
