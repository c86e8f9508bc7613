//! One client connection: which HTTP it speaks, and its life.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Sleep, sleep};
use weft_compile::{Codec, HttpChain};
use weft_net::{Detected, PeerAddress, Rewind, Stream, detect_http};
use weft_telemetry::GaugeGuard;

use crate::{
    body::Body,
    phase::{Phase, PhaseWatch},
    request,
    worker::Worker,
};

/// Envoy's `max_request_headers_kb`.
const MAX_HEAD: usize = 60 * 1024;
/// Read buffer bound of an HTTP/1 connection.
const MAX_BUFFER: usize = 64 * 1024;
/// Streams a client may have open at once unless the chain says otherwise.
const MAX_CONCURRENT_STREAMS: u32 = 1024;
/// Flow-control windows towards clients, in bytes: of a stream and of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What all requests of a connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) chain: Arc<HttpChain>,
    pub(crate) peer: PeerAddress,
    open_requests: Cell<u32>,
    last_busy: Cell<Instant>,
}

/// Serves an accepted connection until it ends.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    chain: Arc<HttpChain>,
    stream: Stream,
    peer: PeerAddress,
) {
    chain.stats.downstream_cx_total.inc();
    let _active = GaugeGuard::raise(Arc::clone(&chain), |chain| &chain.stats.downstream_cx_active);
    let detected = match chain.codec {
        Codec::Http1 => Ok((Detected::Http1, Rewind::fresh(stream))),
        Codec::Http2 => Ok((Detected::Http2, Rewind::fresh(stream))),
        Codec::Auto => detect(&worker, &chain, stream).await,
    };
    let Ok((detected, stream)) = detected else { return };
    let connection = Rc::new(Connection {
        worker,
        chain,
        peer,
        open_requests: Cell::new(0),
        last_busy: Cell::new(Instant::now()),
    });
    match detected {
        Detected::Http1 => serve_http1(connection, stream).await,
        Detected::Http2 => serve_http2(connection, stream).await,
        Detected::Nothing => {}
    }
}

/// A client that says nothing is held to the idle timeout, and let go when the worker closes.
async fn detect(
    worker: &Worker,
    chain: &HttpChain,
    stream: Stream,
) -> Result<(Detected, Rewind<Stream>), ()> {
    let mut phase = PhaseWatch::new(worker.phase_cell());
    let mut reading = pin!(detect_http(stream));
    let mut idle = pin!(chain.idle_timeout.map(sleep));
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

async fn serve_http1(connection: Rc<Connection>, stream: Rewind<Stream>) {
    let stats = &connection.chain.stats;
    stats.downstream_cx_http1_total.inc();
    let mut builder = http1::Builder::new();
    builder.half_close(true).max_buf_size(MAX_BUFFER).max_header_size(MAX_HEAD);
    if let Some(limit) = connection.chain.request_headers_timeout {
        builder.timer(TokioTimer::new()).header_read_timeout(limit);
    } else {
        builder.header_read_timeout(None);
    }
    let shared = Rc::clone(&connection);
    let service = service_fn(move |request| answer(&shared, request));
    let mut http = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let close = |http: Pin<&mut _>, phase| {
        // Closing an idle HTTP/1.1 connection can cross a request on its way, so that waits for
        // the last phase; until then each response carries `connection: close`.
        if phase == Phase::Closing {
            http1::Connection::graceful_shutdown(http);
        }
    };
    if let Err(error) = drive(&connection, http.as_mut(), close).await {
        count_protocol_error(&connection, &error);
    }
}

async fn serve_http2(connection: Rc<Connection>, stream: Rewind<Stream>) {
    connection.chain.stats.downstream_cx_http2_total.inc();
    let mut builder = http2::Builder::new(OnThisThread);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(
            connection.chain.max_concurrent_streams.unwrap_or(MAX_CONCURRENT_STREAMS),
        );
    let shared = Rc::clone(&connection);
    let service = service_fn(move |request| answer(&shared, request));
    let mut http = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // h2's GOAWAY comes in two steps, so no stream on its way is lost.
    let close = |http: Pin<&mut _>, _| http2::Connection::graceful_shutdown(http);
    if let Err(error) = drive(&connection, http.as_mut(), close).await {
        count_protocol_error(&connection, &error);
    }
}

/// Answers a request, which keeps its connection from being idle until then.
fn answer(
    connection: &Rc<Connection>,
    request: http::Request<Incoming>,
) -> impl Future<Output = Result<http::Response<Body>, Infallible>> + use<> {
    let open = OpenRequest::new(connection);
    let answer = request::handle(Rc::clone(connection), request);
    async move {
        let response = answer.await;
        drop(open);
        Ok(response)
    }
}

/// Polls the protocol machine until it ends, telling it of phases and of its idleness.
async fn drive<C>(
    connection: &Connection,
    mut http: Pin<&mut C>,
    mut close: impl FnMut(Pin<&mut C>, Phase),
) -> Result<(), hyper::Error>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut phase = PhaseWatch::new(connection.worker.phase_cell());
    let mut idle = pin!(IdleTimer::new(connection.chain.idle_timeout));
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

fn count_protocol_error(connection: &Connection, error: &hyper::Error) {
    if error.is_parse() || error.is_parse_too_large() {
        connection.chain.stats.downstream_cx_protocol_error.inc();
    }
    tracing::debug!(peer = ?connection.peer, %error, "client connection ended");
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

/// Runs h2 streams on the worker's own thread.
#[derive(Clone, Copy, Debug)]
struct OnThisThread;

impl<F> Executor<F> for OnThisThread
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(stream);
    }
}
