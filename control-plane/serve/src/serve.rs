//! The server's side of connections.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{
    service::Routes,
    transport::{Error, Server},
};
use weft_xds::server::Timing;

use crate::{leash::Leashed, ledger::Ledger};

/// A connection that is silent for this long is asked whether it still lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// And taken for dead when it does not answer for this long.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a client may send without being listened to, on a stream and on a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// A stream for each type and the registration, or many registrations of one agent.
const STREAMS_PER_CONNECTION: u32 = 256;

/// Bounds of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams open at a time. More are told to come back later.
    pub streams: usize,
    /// How long a stream may take to say who it is.
    pub introduction: Duration,
    /// How many newcomers are told everything at the same time. More wait for their turn.
    pub joining: usize,
    /// How long a newcomer's turn is at most: one that does not answer holds up nobody longer.
    pub turn: Duration,
    /// How many names a stream may subscribe to.
    pub names: usize,
    /// How long a client may owe an answer before its connection is cut. Envoy holds back its
    /// answer while a cluster waits for its parts.
    pub answer: Duration,
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
            joining: 256,
            turn: Duration::from_secs(1),
            names: 100_000,
            answer: Duration::from_secs(120),
            farewell: Duration::from_secs(2),
            timing: Timing::default(),
        }
    }
}

/// Serves connections of any kind (TCP, Unix sockets) until `stop` becomes true (or its sender is
/// dropped), then tells clients to open no more streams, lets the open ones end, and returns.
/// Connections whose streams in `ledger` owe an answer for too long are cut.
///
/// # Errors
/// When the listening socket fails for good.
pub async fn serve<C, E>(
    incoming: impl Stream<Item = Result<C, E>>,
    routes: Routes,
    ledger: Ledger,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let served = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .add_routes(routes)
        .serve_with_incoming_shutdown(
            incoming.map(|connection| connection.map(Leashed::new)),
            async move {
                // A dropped sender means the same as true.
                let _ = stop.wait_for(|stop| *stop).await;
            },
        );
    tokio::select! {
        served = served => served,
        never = ledger.cut_debtors(limits.answer) => match never {},
    }
}
