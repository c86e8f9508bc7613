//! Sending a request on: rewriting it, choosing endpoints, and waiting for the response's head
//! within the limits.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use http::{HeaderValue, Method, Response, request::Parts, uri::PathAndQuery};
use hyper::body::Incoming;
use smallvec::SmallVec;
use tokio::time::{Sleep, sleep_until};
use weft_balance::{EndpointId, EndpointState};
use weft_compile::{Cluster, Forward, RouteEntry};

use crate::{
    body::{Body, Limits, Streaming},
    connection::Connection,
    fault::{Fault, Processed},
    headers, local_reply,
    record::Record,
    redirect::push_rewritten,
    request::Head,
    upstream::{self, Exchange, Failure, Outgoing, Upload},
};

/// How often one request is tried when each time it was provably not processed.
const ATTEMPTS: usize = 3;

/// A request that is going to be forwarded, and by which decisions.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) to: &'a Forward,
    pub(crate) entry: &'a RouteEntry,
    pub(crate) cluster: &'a Arc<Cluster>,
    pub(crate) random: u64,
}

impl Plan<'_> {
    /// Authority and path as the upstream shall see them.
    pub(crate) fn rewrite(
        &self,
        head: &Head<'_>,
        parts: &Parts,
    ) -> Result<(HeaderValue, PathAndQuery), Fault> {
        let authority = match (&self.to.host_rewrite, parts.headers.get(http::header::HOST)) {
            (Some(rewritten), _) => rewritten.clone(),
            (None, Some(host)) if host.as_bytes() == head.authority.as_bytes() => host.clone(),
            (None, _) => HeaderValue::from_str(head.authority)
                .map_err(|_| Fault::BadRequest("authority is not a header value"))?,
        };
        let path = match (&self.to.prefix_rewrite, parts.uri.path_and_query()) {
            (Some(rewrite), _) => {
                let mut path = String::with_capacity(head.path_and_query.len() + 16);
                push_rewritten(&mut path, rewrite, head.path_and_query);
                PathAndQuery::try_from(path)
                    .map_err(|_| Fault::BadRequest("rewritten path is not a path"))?
            }
            (None, Some(path)) => path.clone(),
            (None, None) => PathAndQuery::from_static("/"),
        };
        Ok((authority, path))
    }

    /// Forwards the request and returns the response, its body still streaming.
    pub(crate) async fn forward(
        &self,
        parts: Parts,
        authority: HeaderValue,
        path: PathAndQuery,
        body: Incoming,
        mut record: Record,
        is_grpc: bool,
    ) -> Response<Body> {
        let limits = self.limits(&record);
        let mut outgoing = Outgoing {
            method: parts.method,
            authority,
            path,
            headers: parts.headers,
            downstream: parts.version,
        };
        self.prepare(&mut outgoing);
        let upload = Upload::new(body, &outgoing.headers);
        let result = self.attempts(&mut outgoing, upload, limits, &mut record).await;
        let chain = &self.connection.chain;
        match result {
            Ok((head, exchange)) => {
                record.upstream_responded(head.status());
                record.responded(head.status());
                let (mut head, ()) = head.into_parts();
                headers::remove_hop_by_hop(&mut head.headers);
                if !chain.suppress_envoy_headers
                    && let Some(millis) = record.upstream_millis()
                {
                    headers::set_upstream_time(&mut head.headers, millis);
                }
                headers::mutate(&mut head.headers, &self.entry.response_headers);
                let body = if exchange.is_end_stream() {
                    Body::empty()
                } else {
                    Body::upstream(Streaming::new(exchange, record, limits))
                };
                Response::from_parts(head, body)
            }
            Err(fault) => {
                match fault {
                    Fault::RequestTimeout => record.timed_out(),
                    Fault::StreamIdle => record.stream_idle(),
                    _ => {}
                }
                let mut response = local_reply::fault(fault, is_grpc);
                headers::mutate(response.headers_mut(), &self.entry.response_headers);
                record.responded(response.status());
                response
            }
        }
    }

    fn limits(&self, record: &Record) -> Limits {
        Limits {
            deadline: self.to.timeout.map(|timeout| record.began() + timeout),
            idle: self.to.idle_timeout.unwrap_or(self.connection.chain.stream_idle_timeout),
        }
    }

    fn prepare(&self, outgoing: &mut Outgoing) {
        let chain = &self.connection.chain;
        headers::remove_hop_by_hop(&mut outgoing.headers);
        headers::keep_only_te_trailers(&mut outgoing.headers);
        self.connection.worker.with_random(|random| {
            headers::add_forwarding(
                &mut outgoing.headers,
                chain,
                self.connection.peer,
                "http",
                random,
            );
        });
        headers::mutate(&mut outgoing.headers, &self.entry.request_headers);
        if !chain.suppress_envoy_headers
            && let Some(timeout) = self.to.timeout
        {
            let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            headers::set_expected_timeout(&mut outgoing.headers, millis);
        }
    }

    /// Tries endpoints until one answers, the request may have been processed, or none is left.
    async fn attempts(
        &self,
        outgoing: &mut Outgoing,
        mut upload: Upload,
        limits: Limits,
        record: &mut Record,
    ) -> Result<(Response<()>, Exchange), Fault> {
        let mut tried: SmallVec<[EndpointId; ATTEMPTS]> = SmallVec::new();
        let mut last = Fault::NoHealthyUpstream;
        while tried.len() < ATTEMPTS {
            let Some(endpoint) = self.pick(&tried) else { break };
            if !tried.is_empty() {
                self.cluster.stats.upstream_rq_retry.inc();
            }
            tried.push(endpoint.id());
            record.begin_upstream(self.cluster, endpoint.begin_request());
            match self.attempt(endpoint, outgoing, upload, limits).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered {
                    failure: Failure { fault, processed: Processed::No },
                    upload: Some(kept),
                }) => {
                    last = fault;
                    upload = kept;
                }
                Err(Unanswered { failure, .. }) => return Err(failure.fault),
            }
        }
        if tried.is_empty() {
            self.cluster.stats.upstream_cx_none_healthy.inc();
        }
        Err(last)
    }

    fn pick(&self, tried: &[EndpointId]) -> Option<&Arc<EndpointState>> {
        if tried.is_empty() {
            self.cluster.balancer.pick(self.random)
        } else {
            self.cluster.balancer.pick_avoiding(self.connection.worker.random_u64(), tried)
        }
    }

    async fn attempt(
        &self,
        endpoint: &Arc<EndpointState>,
        outgoing: &mut Outgoing,
        upload: Upload,
        limits: Limits,
    ) -> Result<(Response<()>, Exchange), Unanswered> {
        let worker = &self.connection.worker;
        let lane = match upstream::reach(worker, self.cluster, endpoint, outgoing, limits.deadline)
            .await
        {
            Ok(lane) => lane,
            // Nothing was sent, so the body is as it was.
            Err(failure) => return Err(Unanswered { failure, upload: Some(upload) }),
        };
        let mut exchange = lane.begin(outgoing, upload);
        match await_head(&mut exchange, limits).await {
            Ok(head) => Ok((head, exchange)),
            Err(failure) => Err(Unanswered { failure, upload: exchange.recover_upload() }),
        }
    }
}

/// An attempt that brought no response, and the request body if nothing was taken from it.
struct Unanswered {
    failure: Failure,
    upload: Option<Upload>,
}

/// Waits for the response's head while the request's body goes up.
async fn await_head(exchange: &mut Exchange, limits: Limits) -> Result<Response<()>, Failure> {
    let began = Instant::now();
    let mut timer = pin!(None::<Sleep>);
    poll_fn(|cx| {
        if let Poll::Ready(head) = exchange.poll_head(cx) {
            return Poll::Ready(head);
        }
        loop {
            let last_moved = exchange.upload_moved().unwrap_or(began);
            let Some((at, fault)) = limits.next(last_moved) else { return Poll::Pending };
            if timer.is_none() {
                timer.set(Some(sleep_until(at.into())));
            }
            let Some(mut armed) = timer.as_mut().as_pin_mut() else { return Poll::Pending };
            if armed.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= at {
                return Poll::Ready(Err(Failure { fault, processed: Processed::Unknown }));
            }
            armed.reset(at.into());
        }
    })
    .await
}

/// Methods that ask for nothing to be changed (RFC 9110 §9.2.1).
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}
