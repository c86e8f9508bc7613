//! Connections whose bytes an upstream gets over HTTP (`tunneling_config`): by CONNECT, or as the body
//! of a POST.

use std::{
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderValue, Method, Version, uri::PathAndQuery};
use smallvec::SmallVec;
use tokio::time::{sleep, timeout};
use weft_balance::{EndpointId, EndpointState, Outcome};
use weft_compile::{Cluster, KeyFormat, Priority, TcpChain, Tunneling};
use weft_format::{Upstream, View};
use weft_net::{Rewind, Stream};

use super::{
    Client, Moving, hash_of,
    raw_body::{Raw, RawBody},
    told,
};
use crate::{
    body::Limits,
    downstream::{Interim, RequestBody},
    facts,
    forward::await_head,
    greeting::greeting,
    http1::Spelling,
    mutation::{self, Side},
    record::UpstreamRecord,
    timer::Timer,
    tunnel::Tunnel,
    upstream::{
        self, Authority, Exchange, Failure, Lane, Outgoing, OwnPools, Pool, Protocol, Upload,
    },
    worker::Worker,
};

/// How long a connection is waited for is the cluster's to say.
const NO_LIMITS: Limits = Limits { deadline: None, idle: None };

/// A tunnel that an upstream has agreed to, and what it counts for.
struct Agreed {
    exchange: Exchange,
    record: UpstreamRecord,
}

/// Asks as many endpoints for a tunnel as `max_connect_attempts` allows, and passes bytes through the
/// first one that agrees.
pub(super) async fn carry(
    worker: &Worker,
    (chain, tunneling): (&TcpChain, &Tunneling),
    cluster: &Arc<Cluster>,
    stream: Rewind<Stream>,
    client: &Client,
) {
    let local = client.destination(stream.get_ref());
    let began = Instant::now();
    let view = View {
        upstream: Upstream { cluster: Some(&cluster.name), ..Upstream::default() },
        duration: Some(began.elapsed()),
        ..facts::of_client(worker, client, local)
    };
    let Some(request) = request(tunneling, &view) else {
        tracing::debug!(cluster = %cluster.name, "the hostname of the tunnel comes out invalid");
        return;
    };
    let raw = Raw::new(stream);
    let own = OwnPools::default();
    let pool_of = |cluster: &Arc<Cluster>, endpoint: &Arc<EndpointState>| {
        own.pool_for(worker.pools(), cluster, endpoint, Priority::Default, |asked| {
            let addresses = client.peer.ip().zip(local);
            greeting(asked, addresses, &told(chain, client, &view), &view)
        })
    };
    let mut tried: SmallVec<[EndpointId; 4]> = SmallVec::new();
    for attempt in 0..chain.max_connect_attempts.max(1) {
        if let Some(pause) = chain.pause(attempt, worker.random_u64()) {
            sleep(pause).await;
        }
        let picked = cluster.pick(None, worker.random_u64(), hash_of(chain, client), &tried);
        let Some(picked) = picked else {
            if tried.is_empty() {
                cluster.stats.upstream_cx_none_healthy.inc();
            }
            return;
        };
        tried.push(picked.endpoint.id());
        let leaf = cluster.members.get(picked.group).unwrap_or(cluster);
        let pool = pool_of(leaf, picked.endpoint);
        let asking = agree(worker, (leaf, picked.endpoint), pool, (&request, &raw));
        let agreed = match chain.idle_timeout {
            None => asking.await,
            Some(limit) => timeout(limit, asking).await.ok().flatten(),
        };
        if let Some(agreed) = agreed {
            return pass(worker, chain, &raw, agreed).await;
        }
    }
    cluster.stats.upstream_cx_connect_attempts_exceeded.inc();
}

/// What every attempt asks for.
struct Request {
    authority: HeaderValue,
    headers: HeaderMap,
    /// The path of a POST.
    post: Option<PathAndQuery>,
}

/// `None` when the host comes out as something that is none.
fn request(tunneling: &Tunneling, view: &View<'_>) -> Option<Request> {
    let mut host = Vec::new();
    tunneling.host.render(view, "-", &mut host);
    let authority = HeaderValue::from_maybe_shared(Bytes::from(host)).ok()?;
    let mut headers = HeaderMap::new();
    mutation::apply(&tunneling.headers, &mut headers, Side::Request, view);
    Some(Request { authority, headers, post: tunneling.post.clone() })
}

impl Request {
    fn outgoing(&self) -> Outgoing {
        let is_post = self.post.is_some();
        Outgoing {
            method: if is_post { Method::POST } else { Method::CONNECT },
            authority: Authority::Field(self.authority.clone()),
            path: self.post.clone().unwrap_or(PathAndQuery::from_static("/")),
            headers: self.headers.clone(),
            downstream: Version::HTTP_11,
            spelling: Spelling::default(),
            key_format: KeyFormat::default(),
            tunnel: (!is_post).then_some(Tunnel::Connect),
        }
    }

    fn upload(&self, raw: &Rc<Raw>) -> Upload {
        let body = RequestBody::Raw(RawBody(Rc::clone(raw)));
        match self.post {
            Some(_) => Upload::new(body, &self.headers),
            None => Upload::tunnel(body),
        }
    }
}

/// Asks one endpoint, of which it is noted what came of it.
async fn agree(
    worker: &Worker,
    (cluster, endpoint): (&Arc<Cluster>, &Arc<EndpointState>),
    pool: Rc<Pool>,
    (request, raw): (&Request, &Rc<Raw>),
) -> Option<Agreed> {
    let mut record = UpstreamRecord::begin(cluster, endpoint.begin_request());
    let asked = async {
        let lane = reach(cluster, endpoint, pool).await?;
        let (lane, place) = lane.admitted(cluster, Priority::Default)?;
        record.sent(place);
        let mut exchange = lane.begin(&mut request.outgoing(), request.upload(raw));
        let limits = (&NO_LIMITS, &mut None);
        let client = (&Interim::Unwanted, false);
        let head = await_head(&mut exchange, limits, worker.timer(), client).await?;
        Ok::<_, Failure>((head, exchange))
    };
    let (head, exchange) = match asked.await {
        Ok(answered) => answered,
        Err(failure) => {
            record.failed(failure.fault);
            return None;
        }
    };
    let status = head.status();
    record.outcome(Outcome::Responded(status.as_u16()));
    record.responded(status);
    if !status.is_success() {
        tracing::debug!(cluster = %cluster.name, %status, "the upstream does not agree to a tunnel");
        return None;
    }
    Some(Agreed { exchange, record })
}

async fn reach(
    cluster: &Arc<Cluster>,
    endpoint: &Arc<EndpointState>,
    pool: Rc<Pool>,
) -> Result<Lane, Failure> {
    let protocol = upstream::protocol(cluster, Version::HTTP_11);
    // Of HTTP/1.1 a tunnel takes the whole connection: one that nothing else was sent on.
    let shared = match protocol {
        Protocol::Http1 => None,
        Protocol::Http2 => upstream::reuse(&pool, cluster, protocol, false),
    };
    match shared {
        Some(lane) => Ok(lane),
        None => upstream::open(pool, cluster, endpoint, protocol, NO_LIMITS).await,
    }
}

/// Why nothing goes through a tunnel any more.
enum End {
    Finished,
    Idle,
    Broken,
}

/// Passes bytes both ways until both sides have ended, one broke, or nothing moved for too long.
async fn pass(worker: &Worker, chain: &TcpChain, raw: &Raw, agreed: Agreed) {
    raw.open();
    let mut moving =
        Moving { moved: weft_net::Moved::default(), stats: &chain.stats, beyond: None };
    let Agreed { exchange, record } = agreed;
    let mut passing = Passing {
        exchange,
        raw,
        out: Bytes::new(),
        upstream_ended: false,
        told_client: false,
        sent: 0,
        timer: worker.timer(),
        last_moved: Instant::now(),
    };
    let end = poll_fn(|cx| {
        let end = passing.poll(cx);
        let before = moving.moved;
        moving.moved.a_to_b = raw.received();
        moving.moved.b_to_a = passing.sent;
        if end.is_ready() {
            return end;
        }
        let Some(limit) = chain.idle_timeout else { return Poll::Pending };
        if moving.moved != before {
            passing.last_moved = Instant::now();
        }
        let idle_at = passing.last_moved + limit;
        passing.timer.poll_at(cx, idle_at).map(|()| End::Idle)
    })
    .await;
    match end {
        End::Finished => {}
        End::Idle => chain.stats.idle_timeout.inc(),
        End::Broken => raw.reset_on_drop(),
    }
    record.over(Instant::now());
}

struct Passing<'a> {
    exchange: Exchange,
    raw: &'a Raw,
    /// What came and waits for the client.
    out: Bytes,
    upstream_ended: bool,
    /// The client knows that nothing more comes.
    told_client: bool,
    sent: u64,
    timer: Timer,
    last_moved: Instant,
}

impl Passing<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if !self.out.is_empty() {
                match self.raw.poll_write(cx, &self.out) {
                    Poll::Ready(Ok(written)) if written > 0 => {
                        self.out.advance(written);
                        self.sent += written as u64;
                        continue;
                    }
                    Poll::Ready(_) => return Poll::Ready(End::Broken),
                    Poll::Pending => break,
                }
            }
            if self.upstream_ended {
                if !self.told_client && self.raw.poll_shutdown(cx).is_ready() {
                    self.told_client = true;
                }
                break;
            }
            match self.exchange.poll_frame(cx) {
                // Trailers are nothing that a raw connection could be told.
                Poll::Ready(Some(Ok(frame))) => self.out = frame.into_data().unwrap_or_default(),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(End::Broken),
                Poll::Ready(None) => self.upstream_ended = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        self.exchange.poll_upload(cx);
        // The end of an HTTP/1.1 answer is the end of its connection.
        let is_over = matches!(self.exchange, Exchange::Http1(_)) || !self.exchange.takes_more();
        if self.told_client && is_over { Poll::Ready(End::Finished) } else { Poll::Pending }
    }
}
