//! One client connection: which HTTP it speaks, and its life.

mod caller;
mod http1;
mod http2;
mod request_body;

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, Response};
use tokio::time::{Sleep, sleep};
use weft_compile::{Codec, HttpChain};
use weft_format::Metadata;
use weft_net::{Detected, PeerAddress, Rewind, Stream, Tlv, detect_http};
use weft_telemetry::GaugeGuard;

pub(crate) use caller::{Caller, Interim};
pub(crate) use request_body::{RequestBody, RequestBroken};

use crate::{
    body::Body,
    client::Client,
    lives::Life,
    phase::{Phase, PhaseWatch},
    request,
    upstream::OwnPools,
    worker::Worker,
};

/// What all requests of a connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) chain: Arc<HttpChain>,
    pub(crate) peer: PeerAddress,
    /// Where the client wanted to go before it was led here.
    pub(crate) meant_for: Option<SocketAddr>,
    pub(crate) life: Rc<Life>,
    /// The address that the client connected to, unless it is a socket's path.
    pub(crate) local: Option<SocketAddr>,
    /// What a proxy in front told of the client besides.
    pub(crate) tlvs: Vec<Tlv>,
    /// What was found out of it for others to read.
    pub(crate) metadata: Option<Box<Metadata>>,
    /// The host that its TLS hello names.
    pub(crate) server_name: Option<Box<str>>,
    /// Upstream connections that are for this client alone.
    pub(crate) own_pools: OwnPools,
    open_requests: Cell<u32>,
    last_busy: Cell<Instant>,
}

impl Connection {
    /// Counts what was not HTTP, and says why the connection ended.
    fn ended(&self, malformed: bool, error: &dyn std::error::Error) {
        if malformed {
            self.chain.stats.downstream_cx_protocol_error.inc();
        }
        tracing::debug!(peer = ?self.peer, %error, "client connection ended");
    }
}

/// Serves an accepted connection until it ends.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    chain: Arc<HttpChain>,
    stream: Rewind<Stream>,
    client: Client,
    life: Rc<Life>,
) {
    chain.stats.downstream_cx_total.inc();
    let (peer, local) = (client.peer, client.destination(stream.get_ref()));
    let _active = GaugeGuard::raise(Arc::clone(&chain), |chain| &chain.stats.downstream_cx_active);
    let detected = match chain.codec {
        Codec::Http1 => Ok((Detected::Http1, stream)),
        Codec::Http2 => Ok((Detected::Http2, stream)),
        Codec::Auto => detect(&life, &chain, stream).await,
    };
    let Ok((detected, stream)) = detected else { return };
    let connection = Rc::new(Connection {
        worker,
        chain,
        peer,
        meant_for: client.meant_for,
        life,
        local,
        tlvs: client.tlvs,
        metadata: client.metadata,
        server_name: client.server_name,
        own_pools: OwnPools::default(),
        open_requests: Cell::new(0),
        last_busy: Cell::new(Instant::now()),
    });
    match detected {
        Detected::Http1 => http1::serve(connection, stream).await,
        Detected::Http2 => http2::serve(connection, stream).await,
        Detected::Nothing => {}
    }
}

/// A client that says nothing is held to the idle timeout, and let go when its chain closes.
async fn detect(
    life: &Life,
    chain: &HttpChain,
    stream: Rewind<Stream>,
) -> Result<(Detected, Rewind<Stream>), ()> {
    let mut phase = PhaseWatch::new(life.phase_cell());
    let mut reading = pin!(detect_http(stream));
    let mut idle = pin!(chain.client.idle_timeout.map(sleep));
    poll_fn(|cx| {
        if let Poll::Ready(read) = reading.as_mut().poll(cx) {
            return Poll::Ready(read.map_err(drop));
        }
        while let Poll::Ready(phase) = phase.poll_changed(cx) {
            if phase == Phase::Closing {
                return Poll::Ready(Err(()));
            }
        }
        match idle.as_mut().as_pin_mut().map(|timer| timer.poll(cx)) {
            Some(Poll::Ready(())) => {
                chain.stats.downstream_cx_idle_timeout.inc();
                Poll::Ready(Err(()))
            }
            _ => Poll::Pending,
        }
    })
    .await
}

/// Answers a request, which keeps its connection from being idle until then.
fn answer(
    connection: &Rc<Connection>,
    request: Request<RequestBody>,
    caller: Caller,
) -> impl Future<Output = Response<Body>> + use<> {
    let open = OpenRequest::new(connection);
    let answer = request::handle(Rc::clone(connection), request, caller);
    async move {
        let response = answer.await;
        drop(open);
        response
    }
}

/// Polls the protocol machine until it ends, telling it of phases and of its idleness.
async fn drive<C, E>(
    connection: &Connection,
    mut http: Pin<&mut C>,
    mut close: impl FnMut(Pin<&mut C>, Phase),
) -> Result<(), E>
where
    C: Future<Output = Result<(), E>>,
{
    let mut phase = PhaseWatch::new(connection.life.phase_cell());
    let mut idle = pin!(IdleTimer::new(connection.chain.client.idle_timeout));
    poll_fn(|cx| {
        if let Poll::Ready(result) = http.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        let mut changed = false;
        while let Poll::Ready(phase) = phase.poll_changed(cx) {
            close(http.as_mut(), phase);
            changed = true;
        }
        if idle.as_mut().poll_expired(cx, connection).is_ready() {
            connection.chain.stats.downstream_cx_idle_timeout.inc();
            close(http.as_mut(), Phase::Closing);
            changed = true;
        }
        if changed { http.as_mut().poll(cx) } else { Poll::Pending }
    })
    .await
}

/// A request that keeps its connection from being idle.
struct OpenRequest(Rc<Connection>);

impl OpenRequest {
    fn new(connection: &Rc<Connection>) -> Self {
        connection.open_requests.set(connection.open_requests.get() + 1);
        Self(Rc::clone(connection))
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open_requests.set(self.0.open_requests.get() - 1);
        self.0.last_busy.set(Instant::now());
    }
}

/// `idle_timeout`: fires when no request was open for that long. Re-armed when it fires, so that a
/// busy connection never touches the timer.
struct IdleTimer {
    limit: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    fn new(limit: Option<Duration>) -> Self {
        Self { limit, timer: limit.map(|limit| Box::pin(sleep(limit))) }
    }

    fn poll_expired(self: Pin<&mut Self>, cx: &mut Context<'_>, on: &Connection) -> Poll<()> {
        let this = self.get_mut();
        let (Some(limit), Some(timer)) = (this.limit, &mut this.timer) else {
            return Poll::Pending;
        };
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = if on.open_requests.get() > 0 { now } else { on.last_busy.get() } + limit;
            if due <= now {
                this.timer = None;
                return Poll::Ready(());
            }
            timer.as_mut().reset(due.into());
        }
        Poll::Pending
    }
}
