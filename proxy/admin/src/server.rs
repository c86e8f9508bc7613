//! Accepting and serving connections.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tower_service::Service as _;
use weft_net::{Acceptor, Detected, Rewind, Stream, detect_http};

use crate::{
    command::Command,
    csds::{self, ClientStatus},
    refusal::Refusal,
    reply::{Reply, ReplyBody},
    router,
    source::Source,
};

/// Connections served at once; more wait to be accepted.
const CONNECTIONS: usize = 128;

/// How long a client may take to send a request's head, and an unused connection stays open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests of one h2 connection that are answered at once.
const STREAMS: u32 = 16;

/// An h2 client that does not answer a ping is gone.
const PING: Duration = Duration::from_secs(30);

/// How long to wait when the process has no room for another connection.
const BACKOFF: Duration = Duration::from_millis(100);

/// What may be set of the admin interface.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Host names that are answered to besides `localhost` and IP addresses.
    pub host_names: Vec<String>,
}

/// The admin interface.
pub struct Admin {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) settings: Settings,
    pub(crate) dumps: Arc<Semaphore>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Admin {
    /// An interface that shows `source` and sends what it is asked to do to `commands`.
    pub fn new(
        source: Arc<dyn Source>,
        commands: mpsc::UnboundedSender<Command>,
        settings: Settings,
    ) -> Arc<Self> {
        Arc::new(Self { source, settings, dumps: Arc::new(Semaphore::new(1)), commands })
    }

    /// Serves until the future is dropped; connections that are open then are finished by the
    /// runtime's other tasks.
    pub async fn serve(self: Arc<Self>, listener: Acceptor) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(room) = Arc::clone(&connections).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(Arc::clone(&self).connection(stream, room));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin interface could not accept a connection");
                    tokio::time::sleep(BACKOFF).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: Stream, _room: OwnedSemaphorePermit) {
        match timeout(HEAD_TIMEOUT, detect_http(Rewind::fresh(stream))).await {
            Ok(Ok((Detected::Http1, stream))) => self.http1(stream).await,
            Ok(Ok((Detected::Http2, stream))) => self.http2(stream).await,
            // Nothing was asked.
            Ok(Ok((Detected::Nothing, _)) | Err(_)) | Err(_) => {}
        }
    }

    async fn http1(self: Arc<Self>, stream: Rewind<Stream>) {
        let service = service_fn(move |request| Arc::clone(&self).answer(request));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "an admin connection ended early");
        }
    }

    async fn http2(self: Arc<Self>, stream: Rewind<Stream>) {
        let service = service_fn(move |request| Arc::clone(&self).answer(request));
        let served = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(PING)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "an admin connection ended early");
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: http::Request<Incoming>,
    ) -> Result<Reply, Infallible> {
        if !request.uri().path().starts_with(csds::PATH_PREFIX) {
            let (head, _) = request.into_parts();
            return Ok(router::answer(&self, &head).await);
        }
        if let Err(refusal) = router::admit_grpc(&self, &request) {
            return Ok(refusal.reply());
        }
        let reply = ClientStatus::service(&self).call(request).await?;
        Ok(reply.map(ReplyBody::Grpc))
    }

    /// Passes a command on.
    pub(crate) fn order(&self, command: Command) -> Result<(), Refusal> {
        tracing::info!(?command, "asked by the admin interface");
        self.commands.send(command).map_err(|_| Refusal::ShuttingDown)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("settings", &self.settings).finish_non_exhaustive()
    }
}
