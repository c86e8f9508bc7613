//! h2 towards clients.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    rc::Rc,
};

use hyper::{rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use weft_net::{Rewind, Stream};

use super::{Connection, MAX_HEAD, RequestBody, answer, drive};

/// Streams a client may have open at once unless the chain says otherwise.
const MAX_CONCURRENT_STREAMS: u32 = 1024;
/// Flow-control windows towards clients, in bytes: of a stream and of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Serves a connection until it ends.
pub(super) async fn serve(connection: Rc<Connection>, stream: Rewind<Stream>) {
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
    let service = service_fn(move |request: http::Request<_>| {
        let answer = answer(&shared, request.map(RequestBody::http2));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut http = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // h2's GOAWAY comes in two steps, so no stream on its way is lost.
    let close = |http: Pin<&mut _>, _| http2::Connection::graceful_shutdown(http);
    if let Err(error) = drive(&connection, http.as_mut(), close).await {
        let malformed = error.is_parse() || error.is_parse_too_large();
        connection.ended(malformed, &error);
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
