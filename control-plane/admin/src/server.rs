//! Serving the API, within limits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How long a failed accept is not repeated, as when no file descriptors are left.
const REST: Duration = Duration::from_millis(50);

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time; more of them wait.
    pub connections: usize,
    /// How long the head of a request may take to come.
    pub head: Duration,
    /// Requests of one HTTP/2 connection at the same time.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 512, head: Duration::from_secs(10), streams: 100 }
    }
}

/// Serves HTTP/1.1 and HTTP/2 until `stop` says so, then finishes what is under way.
///
/// # Errors
/// When the listener is of no use any more.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(limits.head);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .keep_alive_interval(limits.head)
        .keep_alive_timeout(limits.head);
    let server = Arc::new(server);
    let connections = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // A dropped sender means the same as true.
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => talk(stream, &router, &server, &graceful, permit),
            Err(error) => {
                tracing::warn!(%error, "a connection to the admin API cannot be accepted");
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

fn talk(
    stream: TcpStream,
    router: &Router,
    server: &Arc<auto::Builder<TokioExecutor>>,
    graceful: &GracefulShutdown,
    permit: OwnedSemaphorePermit,
) {
    // An answer that waits for its last acknowledgement is slow, not wrong.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.clone());
    let watcher = graceful.watcher();
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(error, "a connection to the admin API ended");
        }
        drop(permit);
    });
}
