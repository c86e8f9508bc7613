//! HTTP/1 towards clients.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    rc::Rc,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use weft_net::{Rewind, Stream};

use super::{Connection, MAX_HEAD, RequestBody, answer, drive};
use crate::phase::Phase;

/// Read buffer bound of a connection.
const MAX_BUFFER: usize = 64 * 1024;

/// Serves a connection until it ends.
pub(super) async fn serve(connection: Rc<Connection>, stream: Rewind<Stream>) {
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
    let service = service_fn(move |request: http::Request<_>| {
        let answer = answer(&shared, request.map(RequestBody::http1));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut http = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let close = |http: Pin<&mut _>, phase| {
        // Closing an idle HTTP/1.1 connection can cross a request on its way, so that waits for
        // the last phase; until then each response carries `connection: close`.
        if phase == Phase::Closing {
            http1::Connection::graceful_shutdown(http);
        }
    };
    if let Err(error) = drive(&connection, http.as_mut(), close).await {
        let malformed = error.is_parse() || error.is_parse_too_large();
        connection.ended(malformed, &error);
    }
}
