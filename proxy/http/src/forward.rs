//! Sending a request on: rewriting it, choosing endpoints, and waiting for the response's head
//! within the limits.

use std::{future::poll_fn, rc::Rc, sync::Arc, task::Poll, time::Instant};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Version,
    header::{EXPECT, SET_COOKIE, UPGRADE},
    request::Parts,
    response,
    uri::PathAndQuery,
};
use smallvec::SmallVec;
use weft_balance::{EndpointId, EndpointState};
use weft_compile::{Cluster, Forward, HeaderProgram, RouteEntry, WeightedCluster};
use weft_format::{Upstream, View};

use crate::{
    body::{Body, Limits, Streaming},
    deadline::{self, Timing},
    downstream::{Caller, Connection, Interim, RequestBody},
    facts::{self, Kept},
    fault::{Fault, Processed},
    greeting::greeting,
    hash::{self, Hashed},
    head_rules::Origin,
    headers, local_reply,
    mutation::{self, Side},
    record::Record,
    rewrite,
    timer::Timer,
    tunnel::Tunnel,
    upstream::{
        self, Answer, Authority, Exchange, Failure, Framing, Lane, Outgoing, Pool, Protocol, Upload,
    },
};

/// How often one request is tried when each time it was provably not processed.
const ATTEMPTS: usize = 3;

/// What came of a request: a response's head with its body to follow, or a fault.
pub(crate) type Arrival = Result<(Response<()>, Exchange), Fault>;

/// A request on its way. Owns all it needs, so that no table is held up by a slow upstream.
pub(crate) struct Journey {
    outgoing: Outgoing,
    /// Taken by the attempt under way.
    upload: Option<Upload>,
    cluster: Arc<Cluster>,
    /// Of an aggregate: the cluster of the endpoint picked last.
    member: Option<Arc<Cluster>>,
    record: Record,
    limits: Limits,
    /// Empty for nearly every route.
    response_headers: HeaderProgram,
    /// What formats among them need; `None` where there are none.
    kept: Option<Box<Kept>>,
    random: u64,
    /// Of the request, where the cluster asks for one.
    hash: Option<u64>,
    /// A cookie that the client is given so that its next request has the same hash.
    cookie: Option<Box<HeaderValue>>,
    is_grpc: bool,
    count_attempts: bool,
    interim: Interim,
}

/// Where a request goes, and by which decisions.
pub(crate) struct Choice<'a> {
    pub(crate) entry: &'a RouteEntry,
    pub(crate) to: &'a Forward,
    pub(crate) cluster: &'a Arc<Cluster>,
    /// Its part of the route's weights, if they decided.
    pub(crate) weighted: Option<&'a WeightedCluster>,
    /// The number that the route and the cluster were chosen with.
    pub(crate) random: u64,
    /// Where the request comes from.
    pub(crate) origin: Origin,
    /// What its connection is to become, where it asks for that.
    pub(crate) tunnel: Option<Tunnel>,
    /// Whether faults are told the gRPC way.
    pub(crate) is_grpc: bool,
}

impl Journey {
    /// Makes the request ready for the wire.
    pub(crate) fn begin(
        connection: &Connection,
        Choice { entry, to, cluster, weighted, tunnel, random, origin, is_grpc }: Choice<'_>,
        (asked, rewritten): (Authority, Option<PathAndQuery>),
        parts: Parts,
        (body, caller): (RequestBody, Caller),
        record: Record,
    ) -> Self {
        let chain = &connection.chain;
        let mut fields = parts.headers;
        // The client's 100 (Continue) comes from us, when its body is first asked for.
        fields.remove(EXPECT);
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let request_headers =
            weighted.map_or(&entry.request_headers, |weighted| &weighted.request_headers);
        if request_headers.has_formats() {
            // The headers themselves are filled in as they are at each level.
            let none = HeaderMap::new();
            let request = facts::request(&parts.method, path, &asked, origin.scheme, &none);
            let names = &entry.names;
            let view =
                facts::view(connection, &origin, names, record.began(), parts.version, request);
            let upstream = Upstream { cluster: Some(&cluster.name), ..Upstream::default() };
            let view = View { upstream, ..view };
            mutation::apply(request_headers, &mut fields, Side::Request, &view);
        } else {
            mutation::apply(request_headers, &mut fields, Side::Request, &View::default());
        }
        let keep_originals = !chain.suppress_envoy_headers;
        let authority = rewrite::host(asked, to, weighted, path, &mut fields, keep_originals);
        if rewritten.is_some() && keep_originals {
            headers::set_original_path(&mut fields, path);
        }
        if entry.count_attempts {
            headers::set_attempt(&mut fields, 1);
        }
        let limit = chain.client.max_stream_duration;
        let timing = Timing { timeout: to.timeout.filter(|_| tunnel.is_none()), limit };
        let deadline = deadline::of(to, timing, record.began(), is_grpc, &mut fields);
        if !chain.suppress_envoy_headers
            && let Some(timeout) = to.timeout
        {
            let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            headers::set_expected_timeout(&mut fields, millis);
        }
        let path = rewritten
            .or_else(|| parts.uri.path_and_query().cloned())
            .unwrap_or(PathAndQuery::from_static("/"));
        let response_headers =
            weighted.map_or(&entry.response_headers, |weighted| &weighted.response_headers);
        let kept = response_headers.has_formats().then(|| {
            let request =
                facts::request(&parts.method, path.as_str(), &authority, origin.scheme, &fields);
            Kept::new(&entry.names, origin, parts.version, &parts.method, &request)
        });
        let (hash, cookie) = if cluster.balancer.hashes() {
            let request = Hashed {
                method: &parts.method,
                scheme: origin.scheme,
                authority: authority.as_bytes(),
                path: path.as_str(),
                fields: &fields,
                remote: origin.remote,
                local: connection.local,
            };
            hash::of(&to.hash_policy, request)
        } else {
            (None, None)
        };
        Self {
            upload: Some(match &tunnel {
                None => Upload::new(body, &fields),
                Some(_) => Upload::tunnel(body),
            }),
            outgoing: Outgoing {
                method: parts.method,
                authority,
                path,
                headers: fields,
                downstream: parts.version,
                spelling: caller.spelling,
                tunnel,
            },
            cluster: Arc::clone(cluster),
            member: None,
            limits: Limits {
                deadline,
                idle: to.idle_timeout.unwrap_or(chain.client.stream_idle_timeout),
            },
            record,
            response_headers: response_headers.clone(),
            kept,
            count_attempts: entry.count_attempts,
            random,
            hash,
            cookie: cookie.map(Box::new),
            is_grpc,
            interim: caller.interim,
        }
    }

    /// Tries endpoints until one answers, the request may have been processed, or none is left.
    pub(crate) async fn travel(&mut self, connection: &Rc<Connection>) -> Arrival {
        if self.cluster.drop_overloads.dropped(self.random).is_some() {
            self.cluster.stats.upstream_rq_drop_overload.inc();
            let always = self.cluster.drop_overloads.drop_all();
            return Err(if always { Fault::DropOverloadAlways } else { Fault::DropOverload });
        }
        let mut tried: SmallVec<[EndpointId; ATTEMPTS]> = SmallVec::new();
        let mut last = Fault::NoHealthyUpstream;
        while tried.len() < ATTEMPTS {
            let Some(endpoint) = self.pick(connection, &tried) else { break };
            if !tried.is_empty() {
                self.leaf().stats.upstream_rq_retry.inc();
                if self.count_attempts {
                    headers::set_attempt(&mut self.outgoing.headers, tried.len() + 1);
                }
            }
            tried.push(endpoint.id());
            let leaf = self.member.as_ref().unwrap_or(&self.cluster);
            self.record.begin_upstream(leaf, endpoint.begin_request());
            let attempted = self.attempt(connection, &endpoint).await;
            if attempted.is_err() {
                self.record.upstream_failed();
            }
            match attempted {
                Ok(arrived) => {
                    if let Some(kept) = &mut self.kept {
                        kept.reached(&endpoint);
                    }
                    return Ok(arrived);
                }
                Err(Failure { fault, processed: Processed::No }) if self.upload.is_some() => {
                    last = fault;
                }
                Err(Failure { fault, .. }) => return Err(fault),
            }
        }
        if tried.is_empty() {
            self.cluster.stats.upstream_cx_none_healthy.inc();
        }
        Err(last)
    }

    /// The cluster whose endpoint was picked, and whose settings hold.
    fn leaf(&self) -> &Arc<Cluster> {
        self.member.as_ref().unwrap_or(&self.cluster)
    }

    fn pick(
        &mut self,
        connection: &Connection,
        tried: &[EndpointId],
    ) -> Option<Arc<EndpointState>> {
        if self.cluster.original_destination.is_some() {
            // There is no other place to try.
            return if tried.is_empty() { self.original(connection) } else { None };
        }
        let balancer = &self.cluster.balancer;
        let picked = if tried.is_empty() {
            balancer.pick_for(self.random, self.hash)?
        } else {
            balancer.pick_avoiding(connection.worker.random_u64(), self.hash, tried)?
        };
        if picked.panicking {
            self.cluster.stats.lb_healthy_panic.inc();
        }
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

    /// One attempt. Puts the body back if nothing was taken from it.
    async fn attempt(
        &mut self,
        connection: &Rc<Connection>,
        endpoint: &Arc<EndpointState>,
    ) -> Result<(Response<()>, Exchange), Failure> {
        let lane = self.reach(connection, endpoint).await?;
        match upstream::begin_request(self.leaf()) {
            Ok(slot) => self.record.sent(slot),
            Err(failure) => {
                lane.release();
                return Err(failure);
            }
        }
        let Some(upload) = self.upload.take() else {
            return Err(Failure::unknown(Fault::UpstreamReset));
        };
        let mut exchange = lane.begin(&mut self.outgoing, upload);
        let timer = connection.worker.timer();
        match await_head(&mut exchange, self.limits, timer, &self.interim).await {
            Ok(head) => Ok((head, exchange)),
            Err(failure) => {
                self.upload = exchange.recover_upload();
                Err(failure)
            }
        }
    }

    /// A connection of the pool, or a new one. Opening one is rare, so only its future is boxed.
    async fn reach(
        &self,
        connection: &Rc<Connection>,
        endpoint: &Arc<EndpointState>,
    ) -> Result<Lane, Failure> {
        let pools = connection.worker.pools();
        let pool = match &self.leaf().connection.proxy_protocol {
            None => pools.of(endpoint),
            Some(asked) => connection.own_pools.of(pools, endpoint, || {
                let addresses = connection.peer.ip().zip(connection.local);
                greeting(asked, addresses, &connection.tlvs)
            }),
        };
        let protocol = match &self.outgoing.tunnel {
            Some(Tunnel::Terminated) => Protocol::Http1,
            _ => upstream::protocol(self.leaf(), self.outgoing.downstream),
        };
        if self.outgoing.tunnel.is_some() {
            return self.reach_for_tunnel(pool, endpoint, protocol).await;
        }
        match upstream::reuse(&pool, self.leaf(), protocol, self.is_lost_if_stale()) {
            Some(lane) => Ok(lane),
            None => {
                let limits = self.limits;
                Box::pin(upstream::open(pool, self.leaf(), endpoint, protocol, limits)).await
            }
        }
    }

    /// A connection that a tunnel takes over as a whole: one that nothing else was sent on.
    async fn reach_for_tunnel(
        &self,
        pool: Rc<Pool>,
        endpoint: &Arc<EndpointState>,
        protocol: Protocol,
    ) -> Result<Lane, Failure> {
        if protocol == Protocol::Http2 {
            // Its streams are shared, and the upstream was not asked whether it knows RFC 8441.
            return Err(Failure::unknown(Fault::UpgradeRefused));
        }
        Box::pin(upstream::open(pool, self.leaf(), endpoint, protocol, self.limits)).await
    }

    /// Whether the request could not be sent again if its connection turned out to be closed.
    fn is_lost_if_stale(&self) -> bool {
        !is_safe(&self.outgoing.method)
            || self.upload.as_ref().is_none_or(|upload| upload.framing() != Framing::None)
    }

    /// Turns what came of it into the response.
    pub(crate) fn end(self, connection: &Connection, arrival: Arrival) -> Response<Body> {
        match arrival {
            Ok((head, exchange)) => self.respond(connection, head, exchange),
            Err(fault) => {
                match fault {
                    Fault::RequestTimeout => self.record.timed_out(),
                    Fault::StreamDuration | Fault::SlowRequest => self.record.too_long(),
                    Fault::StreamIdle => self.record.stream_idle(),
                    _ => {}
                }
                let mut headers = HeaderMap::new();
                if !connection.chain.suppress_envoy_headers
                    && let Some(name) = fault.overload_header()
                {
                    headers.insert(name, HeaderValue::from_static("true"));
                }
                let status = Some(fault.status().as_u16());
                let said = (fault.details(), fault.flags());
                self.mutate(connection, &mut headers, status, said);
                let response = local_reply::fault_with(fault, self.is_grpc, headers);
                self.record.responded(response.status());
                response
            }
        }
    }

    /// The route's changes of the response.
    fn mutate(
        &self,
        connection: &Connection,
        headers: &mut HeaderMap,
        status: Option<u16>,
        (details, flags): (&str, &str),
    ) {
        let view = self.kept.as_ref().map_or(View::default(), |kept| {
            let view = kept.view(connection, &self.cluster.name, self.record.began());
            View { status, details: Some(details), flags, ..view }
        });
        mutation::apply(&self.response_headers, headers, Side::Response, &view);
    }

    fn respond(
        mut self,
        connection: &Connection,
        head: Response<()>,
        mut exchange: Exchange,
    ) -> Response<Body> {
        self.record.upstream_responded(head.status());
        self.record.responded(head.status());
        let (mut head, ()) = head.into_parts();
        let upgrade = head.headers.remove(UPGRADE).filter(|_| is_switch(&head));
        headers::remove_hop_by_hop(&mut head.headers, head.version);
        if let Some(upgrade) = upgrade {
            head.headers.insert(UPGRADE, upgrade);
        }
        if exchange.is_tunnel() {
            self.record.upgraded();
        }
        // Where the request goes on, as in a tunnel, there is no end of it to count from.
        if !connection.chain.suppress_envoy_headers
            && !exchange.takes_more()
            && let Some(millis) = self.record.upstream_millis()
        {
            headers::set_upstream_time(&mut head.headers, millis);
        }
        if let Some(cookie) = self.cookie.take() {
            head.headers.append(SET_COOKIE, *cookie);
        }
        let status = Some(head.status.as_u16());
        self.mutate(connection, &mut head.headers, status, ("via_upstream", ""));
        let spelling = exchange.spelling();
        let body = if exchange.is_end_stream() {
            Body::empty()
        } else if let Some(whole) = exchange.take_whole() {
            Body::full(whole)
        } else {
            let timer = connection.worker.timer();
            Body::upstream(Streaming::new(exchange, self.record, self.limits, timer))
        };
        Response::from_parts(head, body.spelled(spelling))
    }
}

fn is_switch(head: &response::Parts) -> bool {
    head.status == StatusCode::SWITCHING_PROTOCOLS
}

/// Waits for the response's head while the request's body goes up.
async fn await_head(
    exchange: &mut Exchange,
    limits: Limits,
    mut timer: Timer,
    client: &Interim,
) -> Result<Response<()>, Failure> {
    let began = Instant::now();
    poll_fn(|cx| {
        while let Poll::Ready(answer) = exchange.poll_head(cx) {
            match answer {
                Ok(Answer::Final(head)) => return Poll::Ready(Ok(head)),
                // The client's 100 came from us, when its body was first asked for.
                Ok(Answer::Interim(hint)) if hint.status() == StatusCode::CONTINUE => {}
                Ok(Answer::Interim(mut hint)) => {
                    headers::remove_hop_by_hop(hint.headers_mut(), Version::HTTP_11);
                    client.send(cx, &hint);
                }
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        let last_moved = exchange.upload_moved().unwrap_or(began);
        let Some((at, fault)) = limits.next(last_moved) else { return Poll::Pending };
        timer.poll_at(cx, at).map(|()| {
            let fault = match fault {
                Fault::StreamDuration if exchange.takes_more() => Fault::SlowRequest,
                fault => fault,
            };
            Err(Failure::unknown(fault))
        })
    })
    .await
}

/// Methods that ask for nothing to be changed (RFC 9110 §9.2.1).
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}
