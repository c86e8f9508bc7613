//! Sending a request on: rewriting it, choosing endpoints, and waiting for the response's head
//! within the limits.

mod attempts;
mod behind;
mod coming;
pub(crate) mod follow;
mod head;
mod hedge;
mod pick;
mod reach;

pub(crate) use self::{
    head::await_head,
    hedge::{Rivals, Slow},
};

use std::{
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Version,
    header::{EXPECT, SET_COOKIE, UPGRADE},
    request::Parts,
    response,
    uri::PathAndQuery,
};
use weft_compile::{
    Cluster, Forward, Hashed, HeaderProgram, HostRewrite, KeyFormat, Priority, RouteEntry,
    RouteNames, WeightedCluster, request_hash,
};
use weft_format::{Upstream, View};
use weft_route::RequestView;

use self::follow::Trail;
use crate::{
    body::{Body, Limits, Streaming},
    deadline::{self, Timing, Told},
    downstream::{Caller, Connection, Interim, RequestBody},
    facts::{self, Kept},
    fault::Fault,
    filters::Passage,
    head_rules::Origin,
    headers,
    local_reply::{self, Answer},
    mirror::{self, Mirrors, Witnesses},
    mutation::{self, Side},
    record::Record,
    reply_form,
    retry::{self, Asked, REPLAYED, Retries},
    rewrite,
    tunnel::Tunnel,
    upstream::{Authority, Exchange, Outgoing, Upload},
    wish::{Sticky, Wish},
};

/// What came of a request: a response's head with its body to follow, or a fault.
pub(crate) type Arrival = Result<(Response<()>, Exchange), Fault>;

/// A request on its way. Owns all it needs, so that no table is held up by a slow upstream.
pub(crate) struct Journey {
    outgoing: Outgoing,
    /// Taken by the attempt under way.
    upload: Option<Upload>,
    cluster: Arc<Cluster>,
    priority: Priority,
    /// Of an aggregate: the cluster of the endpoint picked last.
    member: Option<Arc<Cluster>>,
    record: Record,
    /// When the upstream must have agreed to a tunnel.
    agreed_by: Option<Instant>,
    limits: Limits,
    /// When the try under way must have ended by what its cluster says.
    sent_until: Option<Instant>,
    /// Empty for nearly every route.
    response_headers: HeaderProgram,
    /// What formats among them need; `None` where there are none.
    kept: Option<Box<Kept>>,
    random: u64,
    /// Of the request, where the cluster asks for one. Zero counts as one, which saves a word.
    hash: Option<NonZeroU64>,
    /// What makes it stick to an endpoint, or the next one.
    sticky: Option<Box<Sticky>>,
    is_grpc: bool,
    count_attempts: bool,
    tell_timeouts: bool,
    /// What is asked for beyond what every request gets.
    retries: Option<Box<Retries>>,
    /// The client is told of the attempts.
    tell_attempts: bool,
    attempts: u16,
    /// `auto_host_rewrite`, until an endpoint has given its name.
    auto_host: Option<AutoHost>,
    /// What is needed where a redirect may be followed.
    trail: Option<Box<Trail>>,
    interim: Interim,
}

/// How the host that an endpoint's name replaces is kept.
#[derive(Clone, Copy, Debug)]
struct AutoHost {
    append: bool,
    keep: bool,
}

/// Where a request goes, and by which decisions.
pub(crate) struct Choice<'a> {
    pub(crate) entry: &'a RouteEntry,
    pub(crate) to: &'a Forward,
    pub(crate) cluster: &'a Arc<Cluster>,
    /// Whom the request is for, as it came.
    pub(crate) asked: Authority,
    /// The path that the upstream sees, where that is another one.
    pub(crate) path: Option<PathAndQuery>,
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
    /// Of a request that was redirected here.
    pub(crate) trail: Option<Box<Trail>>,
    /// Whether filters want to know more of the request when its answer comes.
    pub(crate) keeps_facts: bool,
    /// Where copies of it go.
    pub(crate) mirrors: Mirrors<'a>,
    /// The endpoint that its session asks for.
    pub(crate) wish: Option<Box<Wish>>,
    /// A cookie that the client is given so that its next request is sent the same way.
    pub(crate) cookie: Option<HeaderValue>,
}

impl Journey {
    /// Makes the request ready for the wire.
    pub(crate) fn begin(
        connection: &Connection,
        choice: Choice<'_>,
        parts: Parts,
        (body, caller): (RequestBody, Caller),
        mut record: Record,
    ) -> Self {
        let Choice { entry, to, cluster, asked, path: rewritten, weighted, mirrors, .. } = choice;
        let Choice { random, origin, tunnel, is_grpc, trail, keeps_facts, .. } = choice;
        let Choice { wish, cookie: given, .. } = choice;
        let chain = &connection.chain;
        let mut fields = parts.headers;
        // Whoever is outside has lost such wishes when the request came in.
        let asked_retries = if origin.is_internal { Asked::take(&mut fields) } else { None };
        if !chain.client.proxies_continue {
            // The client's 100 (Continue) comes from us, when its body is first asked for.
            fields.remove(EXPECT);
        }
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let request_headers =
            weighted.map_or(&entry.request_headers, |weighted| &weighted.request_headers);
        let keep_originals = !chain.suppress_envoy_headers;
        let host = {
            // The headers themselves are filled in as they are at each level.
            let none = HeaderMap::new();
            let whole = || {
                let request = facts::request(&parts.method, path, &asked, origin.scheme, &none);
                let (names, began) = (Some(&*entry.names), record.began());
                let view = facts::view(connection, &origin, names, began, parts.version, request);
                let upstream = Upstream { cluster: Some(&cluster.name), ..Upstream::default() };
                View { upstream, ..view }
            };
            let is_written =
                request_headers.has_formats() || matches!(to.host, HostRewrite::Format(_));
            let known = if is_written { whole() } else { View::default() };
            mutation::apply(request_headers, &mut fields, Side::Request, &known);
            rewrite::host(&asked, (to, weighted), path, &mut fields, &known, keep_originals)
        };
        let authority = host.unwrap_or(asked);
        if rewritten.is_some() && keep_originals {
            headers::set_original_path(&mut fields, path);
        }
        if entry.count_attempts {
            headers::set_attempt(&mut fields, 1);
        }
        let limit = chain.client.max_stream_duration;
        let own_timeout = asked_retries.as_ref().and_then(|asked| asked.timeout);
        let expected = if chain.respect_expected_timeout && origin.is_internal {
            deadline::expected(&fields)
        } else {
            None
        };
        let mut timeout = deadline::timeout(to, expected.or(own_timeout), is_grpc, &fields);
        if chain.respect_expected_timeout && !origin.is_internal {
            timeout = deadline::at_most(timeout, &fields);
        }
        // The timeout of a route is for answers: a tunnel must be agreed to by then, and may last.
        let agreed_by = tunnel.as_ref().and(timeout);
        let agreed_by = agreed_by.and_then(|(limit, _)| record.began().checked_add(limit));
        let timing = Timing { timeout: timeout.filter(|_| tunnel.is_none()), limit };
        // A filter may have made gRPC of it.
        let is_call = is_grpc || (!chain.filters.is_empty() && local_reply::is_grpc(&fields));
        let deadline = deadline::of(to, timing, record.began(), is_call, &mut fields);
        let policy = cluster.retry.as_ref().or(to.retry.as_ref());
        let told = Told {
            whole: timeout.map(|(limit, _)| limit),
            per_try: retry::per_try_timeout(policy.map(Arc::as_ref), asked_retries.as_deref()),
            as_header: keep_originals,
            as_grpc: is_call && to.grpc_timeout.is_some(),
        };
        told.tell(Duration::ZERO, &mut fields);
        let path = rewritten
            .or_else(|| parts.uri.path_and_query().cloned())
            .unwrap_or(PathAndQuery::from_static("/"));
        let response_headers =
            weighted.map_or(&entry.response_headers, |weighted| &weighted.response_headers);
        let is_shown =
            response_headers.has_formats() || chain.local_replies.is_some() || keeps_facts;
        let kept = is_shown.then(|| {
            let request =
                facts::request(&parts.method, path.as_str(), &authority, origin.scheme, &fields);
            Kept::new(&entry.names, origin, parts.version, &parts.method, &request)
        });
        let (hash, cookie) = if cluster.balancer.hashes() {
            let request = Hashed {
                method: parts.method.as_str(),
                scheme: origin.scheme,
                authority: authority.as_bytes(),
                path: path.as_str(),
                fields: &fields,
                remote: origin.remote.ip(),
                local: connection.local,
            };
            request_hash(&to.hash_policy, request)
        } else {
            (None, None)
        };
        // Nearly no request has either, and is spared the view.
        // A session is kept by one endpoint, which no other can stand in for.
        let hedges = cluster.hedges.as_ref().filter(|_| wish.is_none());
        let asks = policy.is_some() || asked_retries.is_some() || hedges.is_some();
        let asks = asks && tunnel.is_none();
        let retries = if asks {
            let view = RequestView {
                authority: std::str::from_utf8(authority.as_bytes()).unwrap_or_default(),
                path_and_query: path.as_str(),
                method: parts.method.as_str(),
                scheme: origin.scheme,
                is_internal: origin.is_internal,
                headers: &fields,
                random,
            };
            Retries::new(policy, asked_retries, to.priority, told, hedges, &view)
                .map(|retries| retries.hedging(to.hedges))
        } else {
            None
        };
        let auto_host = matches!(to.host, HostRewrite::Auto)
            .then_some(AutoHost { append: to.append_x_forwarded_host, keep: keep_originals });
        let trail = Trail::of(to, &entry.names, origin, body.is_end_stream(), trail);
        let mut upload = match &tunnel {
            None => Upload::new(body, &fields),
            Some(_) if parts.method == Method::POST => Upload::payload(body),
            Some(_) => Upload::tunnel(body),
        };
        if trail.is_some() || retries.as_ref().is_some_and(|retries| retries.may_try_again()) {
            upload.keep(to.body_limit.unwrap_or(REPLAYED));
        }
        let limits =
            Limits { deadline, idle: to.idle_timeout.unwrap_or(chain.client.stream_idle_timeout) };
        let outgoing = Outgoing {
            method: parts.method,
            authority,
            path,
            headers: fields,
            downstream: parts.version,
            spelling: caller.spelling,
            key_format: if parts.version < Version::HTTP_2 {
                chain.client.http1.key_format
            } else {
                KeyFormat::AsReceived
            },
            tunnel,
        };
        let witnesses = if !mirrors.is_empty() && outgoing.tunnel.is_none() {
            let seen = (&origin, record.began(), &entry.names);
            reflect(connection, &mirrors, (&outgoing, cluster), (&mut upload, limits), seen)
        } else {
            Witnesses::new()
        };
        record.seen_by(witnesses);
        Self {
            upload: Some(upload),
            outgoing,
            cluster: Arc::clone(cluster),
            priority: to.priority,
            member: None,
            agreed_by,
            limits,
            sent_until: None,
            record,
            response_headers: response_headers.clone(),
            kept,
            count_attempts: entry.count_attempts,
            tell_timeouts: entry.tell_timeouts,
            retries,
            tell_attempts: entry.tell_attempts,
            attempts: 1,
            auto_host,
            trail,
            random,
            hash: hash.map(|hash| NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN)),
            sticky: Sticky::new(
                wish,
                weighted.map_or(&to.labels, |weighted| &weighted.labels).as_ref(),
                cookie.or(given),
            ),
            is_grpc,
            interim: caller.interim,
        }
    }

    /// Turns what came of it into the response.
    pub(crate) fn end(
        self,
        connection: &Connection,
        arrival: Arrival,
        passage: Option<&mut Passage>,
    ) -> Response<Body> {
        match arrival {
            Ok((head, exchange)) => self.respond(connection, head, exchange, passage),
            Err(fault) => {
                match fault {
                    Fault::RequestTimeout(_) => self.record.timed_out(),
                    Fault::StreamDuration(_) | Fault::SlowRequest(_) => self.record.too_long(),
                    Fault::StreamIdle | Fault::RequestIdle => self.record.stream_idle(),
                    Fault::RequestNotWhole => self.record.not_whole(),
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
                self.tell_attempts(&mut headers);
                self.mutate(connection, &mut headers, status, said);
                let mut answer = Answer { headers, ..Answer::fault(fault) };
                if let (Some(replies), Some(kept)) = (&connection.chain.local_replies, &self.kept) {
                    let view = kept.view(connection, &self.cluster.name, self.record.began());
                    reply_form::shape(&mut answer, replies, &view, self.is_grpc);
                }
                let mut response = answer.into_response(self.is_grpc);
                self.record.responded(response.status());
                let facts = self.kept.as_deref().map(|kept| (kept, &*self.cluster.name));
                let began = self.record.began();
                pass_back(connection, facts, began, (said, passage), &mut response);
                response
            }
        }
    }

    fn tell_attempts(&self, headers: &mut HeaderMap) {
        if self.tell_attempts {
            headers::set_attempt(headers, self.attempts.into());
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
        mut passage: Option<&mut Passage>,
    ) -> Response<Body> {
        self.record.upstream_responded(head.status());
        self.record.show_head(head.status(), head.headers());
        let began = self.record.began();
        let (mut head, ()) = head.into_parts();
        let upgrade = head.headers.remove(UPGRADE).filter(|_| is_switch(&head));
        headers::remove_hop_by_hop(&mut head.headers, head.version);
        if let Some(upgrade) = upgrade {
            head.headers.insert(UPGRADE, upgrade);
        }
        if exchange.is_tunnel() {
            self.record.upgraded();
            if let Some(tunnel) = &self.outgoing.tunnel {
                tunnel.agree(&mut head, self.outgoing.downstream, &self.outgoing.headers);
            }
        }
        self.record.responded(head.status);
        // Where the request goes on, as in a tunnel, there is no end of it to count from.
        if !connection.chain.suppress_envoy_headers
            && !exchange.takes_more()
            && let Some(millis) = self.record.upstream_millis()
        {
            headers::set_upstream_time(&mut head.headers, millis);
        }
        if let Some(cookie) = self.sticky.take().and_then(|sticky| sticky.cookie) {
            head.headers.append(SET_COOKIE, cookie);
        }
        self.tell_attempts(&mut head.headers);
        if let (Some(passage), Some(endpoint)) = (&mut passage, self.record.endpoint()) {
            passage.reached(endpoint);
        }
        let status = Some(head.status.as_u16());
        self.mutate(connection, &mut head.headers, status, ("via_upstream", ""));
        let spelling = exchange.spelling();
        let first = self.retries.as_mut().and_then(|retries| retries.first.take());
        let body = if first.is_none() && exchange.is_end_stream() {
            self.record.answered();
            self.record.show_whole(&[]);
            Body::empty()
        } else if let Some(whole) = exchange.take_whole() {
            self.record.answered();
            self.record.show_whole(&whole);
            Body::full(whole)
        } else {
            exchange.keep_no_more();
            let timer = connection.worker.timer();
            let limits = self.limits.within(self.sent_until);
            let try_idle = self.retries.as_ref().and_then(|retries| retries.per_try_idle());
            let streaming = Streaming::new(exchange, self.record, limits, timer);
            Body::upstream(streaming.with_idle(try_idle).begun_with(first))
        };
        let mut response = Response::from_parts(head, body.spelled(spelling));
        let facts = self.kept.as_deref().map(|kept| (kept, &*self.cluster.name));
        pass_back(connection, facts, began, (("via_upstream", ""), passage), &mut response);
        response
    }
}

/// Sends copies of a request on their way.
fn reflect(
    connection: &Connection,
    mirrors: &Mirrors<'_>,
    (outgoing, cluster): (&Outgoing, &Arc<Cluster>),
    body: (&mut Upload, Limits),
    (origin, began, names): (&Origin, Instant, &Arc<RouteNames>),
) -> Witnesses {
    let (method, path) = (&outgoing.method, outgoing.path.as_str());
    let view = if mirror::has_formats(mirrors) {
        let authority = &outgoing.authority;
        let request = facts::request(method, path, authority, origin.scheme, &outgoing.headers);
        let upstream = Upstream { cluster: Some(&cluster.name), ..Upstream::default() };
        let version = outgoing.downstream;
        View { upstream, ..facts::view(connection, origin, None, began, version, request) }
    } else {
        View::default()
    };
    mirror::send(connection, mirrors, (outgoing, cluster, names), body, &view)
}

/// Lets a response pass the filters of its chain.
fn pass_back(
    connection: &Connection,
    facts: Option<(&Kept, &str)>,
    began: Instant,
    ((details, flags), passage): ((&str, &str), Option<&mut Passage>),
    response: &mut Response<Body>,
) {
    let Some(passage) = passage else { return };
    let view = facts.map_or(View::default(), |(kept, cluster)| {
        let status = Some(response.status().as_u16());
        let view = kept.view(connection, cluster, began);
        View { status, details: Some(details), flags, ..view }
    });
    passage.back(&connection.chain, response, &view);
}

fn is_switch(head: &response::Parts) -> bool {
    head.status == StatusCode::SWITCHING_PROTOCOLS
}

/// Methods that ask for nothing to be changed (RFC 9110 §9.2.1).
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}
