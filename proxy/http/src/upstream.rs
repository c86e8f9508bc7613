//! The upstream side of a request: a connection of this worker's pool, and the exchange of one
//! request and response on it.

mod claims;
mod h1;
mod h2;
mod idle_limit;
mod limits;
mod metered;
mod occupancy;
mod original;
mod own;
mod pool;
mod upload;

use std::{
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, Version,
    uri::{self, PathAndQuery},
};
use http_body::{Frame, SizeHint};
use tokio::{io::AsyncWriteExt as _, sync::oneshot, time::timeout};
use weft_balance::EndpointState;
use weft_compile::{Cluster, KeyFormat, Priority, UpstreamProtocol};
use weft_net::{ConnectError, Stream};

pub use claims::Claims;
pub(crate) use limits::{Full, Limited, Place, take, take_connection};
pub(crate) use original::{destination, host_of, named};
pub(crate) use own::OwnPools;
pub(crate) use pool::{Pool, Pools};
pub(crate) use upload::{Framing, Upload};

use crate::{
    body::Limits,
    dial::dial,
    fault::{Breaker, Fault, Processed},
    http1::Spelling,
    tunnel::Tunnel,
};

/// Whom a request is for, in the form in which it came: h2 needs the one and HTTP/1.1 the other, and
/// mostly nothing has to be converted.
#[derive(Clone, Debug)]
pub(crate) enum Authority {
    /// From `:authority` or an absolute target.
    Uri(uri::Authority),
    /// From `host`, or a rewrite.
    Field(HeaderValue),
}

impl Authority {
    /// Its text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Uri(authority) => authority.as_str().as_bytes(),
            Self::Field(value) => value.as_bytes(),
        }
    }

    /// As a header's value; `None` when it cannot be.
    pub(crate) fn to_value(&self) -> Option<HeaderValue> {
        match self {
            Self::Uri(authority) => HeaderValue::from_str(authority.as_str()).ok(),
            Self::Field(value) => Some(value.clone()),
        }
    }

    /// As part of a URI; `None` when it cannot be.
    pub(crate) fn to_uri(&self) -> Option<uri::Authority> {
        match self {
            Self::Uri(authority) => Some(authority.clone()),
            Self::Field(value) => uri::Authority::try_from(value.as_bytes()).ok(),
        }
    }
}

/// A request head, ready for the wire.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) authority: Authority,
    pub(crate) path: PathAndQuery,
    /// All other fields; `host` among them is ignored in favour of `authority`.
    pub(crate) headers: HeaderMap,
    /// What the client spoke.
    pub(crate) downstream: Version,
    /// How the client spelled the names of those fields.
    pub(crate) spelling: Spelling,
    /// What the client asks for in names of fields.
    pub(crate) key_format: KeyFormat,
    /// What the connection is to become.
    pub(crate) tunnel: Option<Tunnel>,
}

impl Outgoing {
    /// The same request for someone else. What its connection is to become is not copied.
    pub(crate) fn copy(&self) -> Self {
        Self {
            method: self.method.clone(),
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            downstream: self.downstream,
            spelling: self.spelling.clone(),
            key_format: self.key_format,
            tunnel: None,
        }
    }
}

/// An attempt failed before a response head came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) processed: Processed,
}

impl Failure {
    /// Nothing left this process, or the upstream says that it has not looked at it.
    pub(crate) fn unsent(fault: Fault) -> Self {
        Self { fault, processed: Processed::No }
    }

    /// The upstream has begun to answer.
    pub(crate) fn answered(fault: Fault) -> Self {
        Self { fault, processed: Processed::Yes }
    }

    /// The upstream may have seen the request.
    pub(crate) fn unknown(fault: Fault) -> Self {
        Self { fault, processed: Processed::Unknown }
    }
}

/// A connection that is ready to take a request.
pub(crate) enum Lane {
    Http1(h1::Lane),
    Http2(h2::Lane),
}

/// Which protocol a request is carried in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// The protocol that a cluster speaks for a request that came in `downstream`.
pub(crate) fn protocol(cluster: &Cluster, downstream: Version) -> Protocol {
    match cluster.connection.protocol {
        UpstreamProtocol::Http1 => Protocol::Http1,
        UpstreamProtocol::Http2 => Protocol::Http2,
        UpstreamProtocol::SameAsDownstream if downstream >= Version::HTTP_2 => Protocol::Http2,
        UpstreamProtocol::SameAsDownstream => Protocol::Http1,
    }
}

/// A connection of the pool that takes a request at once. With `ask` it is made sure that the peer
/// has not closed it.
pub(crate) fn reuse(
    pool: &Rc<Pool>,
    cluster: &Cluster,
    protocol: Protocol,
    ask: bool,
) -> Option<Lane> {
    match protocol {
        Protocol::Http1 => h1::reuse(pool, ask).map(Lane::Http1),
        Protocol::Http2 => h2::reuse(pool, cluster).map(Lane::Http2),
    }
}

/// Opens a connection to `endpoint`, or waits for one that becomes free or is being opened; within
/// `max_pending_requests`, and only where the pool is one of those that may be.
pub(crate) async fn open(
    pool: Rc<Pool>,
    cluster: &Arc<Cluster>,
    endpoint: &Arc<EndpointState>,
    protocol: Protocol,
    limits: Limits,
) -> Result<Lane, Failure> {
    if !pool.may_be_used(cluster) {
        cluster.stats.upstream_cx_pool_overflow.inc();
        return Err(Failure::unsent(Fault::UpstreamOverflow(Breaker::ConnectionPools)));
    }
    let Some(_pending) = take(cluster, Limited::PendingRequests, pool.priority) else {
        cluster.stats.upstream_rq_pending_overflow.inc();
        return Err(Failure::unsent(Fault::UpstreamOverflow(Breaker::PendingRequests)));
    };
    cluster.stats.upstream_rq_pending_total.inc();
    match protocol {
        Protocol::Http1 => h1::open(pool, cluster, endpoint, limits).await.map(Lane::Http1),
        Protocol::Http2 => h2::open(&pool, cluster, endpoint, limits).await.map(Lane::Http2),
    }
}

/// Counts a request that is about to be sent, within `max_requests`.
fn begin_request(cluster: &Arc<Cluster>, priority: Priority) -> Result<Place, Failure> {
    take(cluster, Limited::Requests, priority).ok_or_else(|| {
        cluster.stats.upstream_rq_active_overflow.inc();
        // Another endpoint of the cluster would not help.
        Failure::unsent(Fault::UpstreamOverflow(Breaker::Requests))
    })
}

/// Waits for a turn within the limits of a request.
async fn until<L>(
    limits: Limits,
    turn: oneshot::Receiver<occupancy::Turn<L>>,
) -> Result<occupancy::Turn<L>, Failure> {
    let came = match limits.next(Instant::now()) {
        None => turn.await,
        Some((at, fault)) => {
            tokio::time::timeout_at(at.into(), turn).await.map_err(|_| Failure::unsent(fault))?
        }
    };
    // Nobody drops a turn without giving it, but the worker at its end.
    came.map_err(|_| Failure::unsent(Fault::ConnectFailed))
}

impl Lane {
    /// Starts the exchange; bytes move when it is polled.
    pub(crate) fn begin(self, outgoing: &mut Outgoing, upload: Upload) -> Exchange {
        match self {
            Self::Http1(lane) => Exchange::Http1(lane.begin(outgoing, upload)),
            Self::Http2(lane) => Exchange::Http2(lane.begin(outgoing, upload)),
        }
    }

    /// The lane with the place of the request that is about to be sent on it. Without a place it is left
    /// to the next request.
    pub(crate) fn admitted(
        self,
        cluster: &Arc<Cluster>,
        priority: Priority,
    ) -> Result<(Self, Place), Failure> {
        match begin_request(cluster, priority) {
            Ok(place) => Ok((self, place)),
            Err(failure) => {
                self.release();
                Err(failure)
            }
        }
    }

    /// Leaves it to the next request.
    fn release(self) {
        match self {
            Self::Http1(lane) => lane.release(),
            // Its stream was not begun, and others share the connection.
            Self::Http2(_) => {}
        }
    }
}

/// A response's head.
#[derive(Debug)]
pub(crate) enum Answer {
    /// 1xx: a hint before the final one.
    Interim(Response<()>),
    Final(Response<()>),
}

/// One request and its response.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "either is moved once, into the box of its response's body"
)]
pub(crate) enum Exchange {
    Http1(h1::Exchange),
    Http2(h2::Exchange),
}

/// An exchange whose head has come: what is left is the body.
pub(crate) type Incoming = Exchange;

impl Exchange {
    /// Sends, and waits for the next response head. After an interim one another comes.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Failure>> {
        match self {
            Self::Http1(exchange) => exchange.poll_head(cx),
            Self::Http2(exchange) => exchange.poll_head(cx),
        }
    }

    /// The next part of the response's body; goes on sending the request's.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self {
            Self::Http1(exchange) => exchange.poll_frame(cx),
            Self::Http2(exchange) => exchange.poll_frame(cx),
        }
    }

    /// Goes on sending the request while nobody asks for the response.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Http1(exchange) => exchange.poll_upload(cx),
            Self::Http2(exchange) => exchange.poll_upload(cx),
        }
    }

    /// Whether more of the request's body is still asked for.
    pub(crate) fn takes_more(&self) -> bool {
        match self {
            Self::Http1(exchange) => !exchange.upload().is_finished(),
            Self::Http2(exchange) => exchange.takes_more(),
        }
    }

    /// Whether bytes go both ways from here on.
    pub(crate) fn is_tunnel(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_tunnel(),
            Self::Http2(exchange) => exchange.is_tunnel(),
        }
    }

    /// How the response's header names were spelled.
    pub(crate) fn spelling(&self) -> (Spelling, KeyFormat) {
        match self {
            Self::Http1(exchange) => exchange.spelling(),
            Self::Http2(_) => (Spelling::default(), KeyFormat::AsReceived),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_end_stream(),
            Self::Http2(exchange) => exchange.is_end_stream(),
        }
    }

    /// The whole body, if it came with the head: what is small need not be streamed.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        match self {
            Self::Http1(exchange) => exchange.take_whole(),
            Self::Http2(exchange) => exchange.take_whole(),
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(exchange) => exchange.size_hint(),
            Self::Http2(_) => SizeHint::default(),
        }
    }

    /// When the request's body last moved; `None` when there is no body.
    pub(crate) fn upload_moved(&self) -> Option<Instant> {
        match self {
            Self::Http1(exchange) => exchange.upload().last_moved(),
            Self::Http2(exchange) => exchange.upload()?.last_moved(),
        }
    }

    /// Whether the request could be sent from its beginning.
    pub(crate) fn can_start_again(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.upload().can_restart(),
            Self::Http2(exchange) => exchange.upload().is_some_and(Upload::can_restart),
        }
    }

    /// There will be no other try: what was sent of the body is not kept any longer.
    pub(crate) fn keep_no_more(&mut self) {
        let upload = match self {
            Self::Http1(exchange) => Some(exchange.upload_mut()),
            Self::Http2(exchange) => exchange.upload_mut(),
        };
        if let Some(upload) = upload {
            upload.keep_no_more();
        }
    }

    /// The whole request's body to be sent once more while this exchange goes on.
    pub(crate) fn copy_upload(&self) -> Option<Upload> {
        match self {
            Self::Http1(exchange) => exchange.upload().copied(),
            Self::Http2(exchange) => exchange.upload()?.copied(),
        }
    }

    /// The request's body, if it can be sent from its beginning.
    pub(crate) fn recover_upload(self) -> Option<Upload> {
        let upload = match self {
            Self::Http1(exchange) => exchange.into_upload(),
            Self::Http2(exchange) => exchange.into_upload()?,
        };
        upload.restarted()
    }
}

/// Opens a connection that begins with a greeting, if there is one, within `connect_timeout` and the
/// request's deadline.
pub(crate) async fn connect(
    cluster: &Cluster,
    endpoint: &Arc<EndpointState>,
    greeting: &[u8],
    deadline: Option<(Instant, Fault)>,
) -> Result<Stream, Failure> {
    endpoint.counts().cx_total.inc();
    let connected = open_and_greet(cluster, endpoint, greeting, deadline).await;
    if connected.is_err() {
        cluster.stats.upstream_cx_connect_fail.inc();
        endpoint.counts().cx_connect_fail.inc();
    }
    connected
}

async fn open_and_greet(
    cluster: &Cluster,
    endpoint: &EndpointState,
    greeting: &[u8],
    deadline: Option<(Instant, Fault)>,
) -> Result<Stream, Failure> {
    let mut stream = open_socket(cluster, endpoint, deadline).await?;
    if !greeting.is_empty() {
        let greeted = timeout(cluster.connection.connect_timeout, stream.write_all(greeting)).await;
        if !matches!(greeted, Ok(Ok(()))) {
            return Err(Failure::unsent(Fault::ConnectFailed));
        }
    }
    Ok(stream)
}

async fn open_socket(
    cluster: &Cluster,
    endpoint: &EndpointState,
    deadline: Option<(Instant, Fault)>,
) -> Result<Stream, Failure> {
    let left = deadline.map(|(at, fault)| (at.saturating_duration_since(Instant::now()), fault));
    let whole = cluster.connection.connect_timeout;
    let (limit, fault) =
        left.filter(|(left, _)| *left < whole).unwrap_or((whole, Fault::ConnectTimeout));
    let ways = endpoint.ways();
    let connected = dial(&cluster.connection, endpoint.address(), &ways, limit).await;
    connected.map_err(|error| {
        tracing::debug!(cluster = %cluster.name, endpoint = ?endpoint.address(), %error, "connect failed");
        match error {
            ConnectError::Timeout(_) => {
                if fault == Fault::ConnectTimeout {
                    cluster.stats.upstream_cx_connect_timeout.inc();
                }
                Failure::unsent(fault)
            }
            ConnectError::Io(_) => Failure::unsent(Fault::ConnectFailed),
        }
    })
}
