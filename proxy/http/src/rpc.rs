//! Calls of our own to gRPC services behind clusters: one message there, and one back. They go over
//! the worker's pools, within the limits of their cluster.

use std::{
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{CONTENT_TYPE, TE},
    uri::{self, PathAndQuery},
};
use weft_balance::{EndpointAddress, EndpointState};
use weft_compile::{Cluster, GrpcService, KeyFormat, Priority, Tables};

use crate::{
    body::Limits,
    downstream::{Interim, RequestBody},
    fault::{Fault, Processed, SetBy},
    forward::await_head,
    http1::Spelling,
    record::UpstreamRecord,
    upstream::{self, Authority, Exchange, Failure, Outgoing, Pool, Upload},
    worker::Worker,
};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Bytes that an answer may have. What we ask is answered in a few hundred.
const LONGEST: usize = 1 << 20;

/// Why a call brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failed {
    /// The configuration names a cluster that is not there.
    #[error("its cluster is not there: add it, or correct the cluster_name of the grpc_service")]
    NoCluster,
    /// No endpoint takes requests.
    #[error("its cluster has no endpoint that takes requests")]
    NoEndpoint,
    /// There was no whole answer.
    #[error("no answer came: {}", .0.details())]
    NoAnswer(Fault),
    /// The answer is not one of gRPC.
    #[error("the answer has the status {0}: is the cluster one of a gRPC service?")]
    Http(StatusCode),
    /// The service says that the call failed.
    #[error("the service answered with the status {0} of gRPC")]
    Grpc(u16),
    /// The answer ended without saying how the call went.
    #[error("the answer ended without a status of gRPC: does the cluster speak HTTP/2?")]
    NoStatus,
    /// The answer is too long.
    #[error("the answer is longer than {LONGEST} bytes")]
    TooLong,
    /// The message of the answer makes no sense.
    #[error("{0}")]
    Message(#[from] weft_rls::Malformed),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::NoAnswer(failure.fault)
    }
}

/// A call that is about to be made.
pub(crate) struct Call {
    worker: Rc<Worker>,
    cluster: Arc<Cluster>,
    endpoint: Arc<EndpointState>,
    pool: Rc<Pool>,
    path: PathAndQuery,
    authority: Authority,
    headers: HeaderMap,
    body: Bytes,
    limits: Limits,
}

impl Call {
    /// A call of a method with this message, over connections of the pools that `pool_of` knows. It
    /// waits for its answer for as long as `timeout` says.
    pub(crate) fn new(
        (worker, pool_of): (
            &Rc<Worker>,
            impl FnOnce(&Arc<Cluster>, &Arc<EndpointState>) -> Rc<Pool>,
        ),
        tables: &Tables,
        service: &GrpcService,
        (path, body): (&'static str, Bytes),
        timeout: Option<Duration>,
    ) -> Result<Self, Failed> {
        let id = tables.cluster_named(&service.cluster).ok_or(Failed::NoCluster)?;
        let named = tables.cluster(id).ok_or(Failed::NoCluster)?;
        let Some(picked) = named.pick(None, worker.random_u64(), None, &[]) else {
            named.stats.upstream_cx_none_healthy.inc();
            return Err(Failed::NoEndpoint);
        };
        let cluster = named.members.get(picked.group).unwrap_or(named);
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let deadline = deadline.map(|at| (at, Fault::RequestTimeout(SetBy::Route)));
        Ok(Self {
            worker: Rc::clone(worker),
            cluster: Arc::clone(cluster),
            endpoint: Arc::clone(picked.endpoint),
            pool: pool_of(cluster, picked.endpoint),
            path: PathAndQuery::from_static(path),
            authority: authority(service, picked.endpoint),
            headers: headers(service, timeout),
            body,
            limits: Limits { deadline, idle: None },
        })
    }

    /// The message of the answer, with what gRPC puts before it.
    pub(crate) async fn answer(self) -> Result<Bytes, Failed> {
        match self.attempt().await {
            // A pooled connection that ended as it was taken: another one is opened.
            Err(Attempt { failed: Failed::NoAnswer(_), again: true }) => self.attempt().await,
            done => done,
        }
        .map_err(|attempt| attempt.failed)
    }

    async fn attempt(&self) -> Result<Bytes, Attempt> {
        let mut record = UpstreamRecord::begin(&self.cluster, self.endpoint.begin_request());
        let done = self.exchange(&mut record).await;
        match &done {
            Err(Attempt { failed: Failed::NoAnswer(Fault::RequestTimeout(_)), .. }) => {
                record.timed_out();
            }
            Err(Attempt { failed: Failed::NoAnswer(fault), .. }) => record.failed(*fault),
            Ok(_) | Err(_) => {}
        }
        record.over(Instant::now());
        done
    }

    async fn exchange(&self, record: &mut UpstreamRecord) -> Result<Bytes, Attempt> {
        let Self { worker, cluster, endpoint, pool, limits, .. } = self;
        // gRPC is HTTP/2, unless the cluster says that it is not.
        let protocol = upstream::protocol(cluster, Version::HTTP_2);
        let reused = upstream::reuse(pool, cluster, protocol, true);
        let is_reused = reused.is_some();
        let lane = match reused {
            Some(lane) => lane,
            None => upstream::open(Rc::clone(pool), cluster, endpoint, protocol, *limits).await?,
        };
        let (lane, place) = lane.admitted(cluster, Priority::Default)?;
        record.sent(place);
        let mut outgoing = self.outgoing();
        let upload = Upload::new(RequestBody::whole(self.body.clone(), None), &outgoing.headers);
        let mut exchange = lane.begin(&mut outgoing, upload);
        let waiting = (&Interim::Unwanted, false);
        let head = await_head(&mut exchange, (limits, &mut None), worker.timer(), waiting).await;
        let head = head.map_err(|failure| Attempt {
            again: is_reused && failure.processed == Processed::No,
            failed: failure.into(),
        })?;
        record.responded(head.status());
        if head.status() != StatusCode::OK {
            return Err(Failed::Http(head.status()).into());
        }
        if let Some(status) = status(head.headers()) {
            // Of trailers alone: without a message there is no answer.
            return Err(Failed::Grpc(status).into());
        }
        Ok(self.message(&mut exchange).await?)
    }

    /// Reads the body, and the trailers that say whether it is an answer.
    async fn message(&self, exchange: &mut Exchange) -> Result<Bytes, Failed> {
        let mut message = BytesMut::new();
        let mut timer = self.worker.timer();
        let mut last_moved = Instant::now();
        poll_fn(|cx| {
            loop {
                let Poll::Ready(frame) = exchange.poll_frame(cx) else {
                    let Some((at, fault)) = self.limits.next(last_moved) else {
                        return Poll::Pending;
                    };
                    return timer.poll_at(cx, at).map(|()| Err(Failed::NoAnswer(fault)));
                };
                last_moved = Instant::now();
                let frame = match frame {
                    Some(Ok(frame)) => frame,
                    Some(Err(fault)) => return Poll::Ready(Err(Failed::NoAnswer(fault))),
                    None => return Poll::Ready(Err(Failed::NoStatus)),
                };
                match frame.into_data() {
                    Ok(data) if message.len() + data.len() > LONGEST => {
                        return Poll::Ready(Err(Failed::TooLong));
                    }
                    Ok(data) => message.extend_from_slice(&data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return Poll::Ready(match status(&trailers) {
                            Some(0) => Ok(std::mem::take(&mut message).freeze()),
                            Some(status) => Err(Failed::Grpc(status)),
                            None => Err(Failed::NoStatus),
                        });
                    }
                }
            }
        })
        .await
    }

    fn outgoing(&self) -> Outgoing {
        Outgoing {
            method: Method::POST,
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            downstream: Version::HTTP_2,
            spelling: Spelling::default(),
            key_format: KeyFormat::AsReceived,
            tunnel: None,
        }
    }
}

/// A try that brought no answer.
struct Attempt {
    failed: Failed,
    /// Whether the service cannot have seen it, and another connection may help.
    again: bool,
}

impl<F: Into<Failed>> From<F> for Attempt {
    fn from(failed: F) -> Self {
        Self { failed: failed.into(), again: false }
    }
}

/// What is configured, or the name of the cluster. Names that no authority can have are replaced by the
/// endpoint's address.
fn authority(service: &GrpcService, endpoint: &EndpointState) -> Authority {
    let said = service.authority.as_deref().unwrap_or(&service.cluster);
    let address = || match endpoint.address() {
        EndpointAddress::Ip(address) => uri::Authority::try_from(address.to_string()).ok(),
        EndpointAddress::Name(name) => uri::Authority::try_from(&**name).ok(),
        EndpointAddress::Pipe(_) => None,
    };
    match uri::Authority::try_from(said).ok().or_else(address) {
        Some(authority) => Authority::Uri(authority),
        None => Authority::Field(HeaderValue::from_static("localhost")),
    }
}

fn headers(service: &GrpcService, timeout: Option<Duration>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4 + service.metadata.len());
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(TE, TRAILERS);
    let told = timeout.and_then(grpc_timeout);
    if let Some(told) = told {
        headers.insert(TIMEOUT, told);
    }
    for (name, value) in &service.metadata {
        // Both were looked at when the configuration was read.
        let name = HeaderName::try_from(name.as_str());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// At most eight digits: in milliseconds that is a day, and what is longer is not told.
fn grpc_timeout(timeout: Duration) -> Option<HeaderValue> {
    let millis = timeout.as_millis().max(1);
    (millis < 100_000_000).then(|| HeaderValue::try_from(format!("{millis}m")).ok())?
}

/// The status of a call; one that is no number is `UNKNOWN`.
fn status(headers: &HeaderMap) -> Option<u16> {
    const UNKNOWN: u16 = 2;
    let value = headers.get(STATUS)?;
    Some(value.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(UNKNOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_told_how_long_it_is_waited_for() {
        let told = |millis| grpc_timeout(Duration::from_millis(millis));
        assert_eq!(told(20).unwrap(), "20m");
        assert_eq!(told(99_999_999).unwrap(), "99999999m");
        assert_eq!(told(100_000_000), None);
        assert_eq!(grpc_timeout(Duration::from_micros(3)).unwrap(), "1m");
    }

    #[test]
    fn a_status_is_a_number() {
        let of = |text| HeaderMap::from_iter([(STATUS, HeaderValue::from_static(text))]);
        assert_eq!(status(&of("14")), Some(14));
        assert_eq!(status(&of("-1")), Some(2));
        assert_eq!(status(&HeaderMap::new()), None);
    }
}
