//! The server's side of connections.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_stream::Stream;
use tonic::{
    service::Routes,
    transport::{Error, Server, server::Connected},
};
use weft_xds::server::Timing;

/// A connection that is silent for this long is asked whether it still lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// And taken for dead when it does not answer for this long.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams open at a time. More are told to come back later.
    pub streams: usize,
    /// How long a stream may take to say who it is.
    pub introduction: Duration,
    /// Over how long streams are closed when the server stops, so that their clients do not all
    /// come to another one at once.
    pub farewell: Duration,
    /// How long good order may delay an update.
    pub timing: Timing,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 20_000,
            introduction: Duration::from_secs(10),
            farewell: Duration::from_secs(2),
            timing: Timing::default(),
        }
    }
}

/// Serves connections of any kind (TCP, Unix sockets) until `stop` becomes true (or its sender is dropped), then refuses new connections, lets
/// the open streams end, and returns.
///
/// # Errors
/// When the listening socket fails for good.
pub async fn serve<C, E>(
    incoming: impl Stream<Item = Result<C, E>>,
    routes: Routes,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error>
where
    C: AsyncRead
        + AsyncWrite
        + Connected<ConnectInfo: Clone + Send + Sync>
        + Unpin
        + Send
        + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, async move {
            // A dropped sender means the same as true.
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await
}
