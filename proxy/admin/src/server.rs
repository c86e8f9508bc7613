//! Accepting and serving connections.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use crate::{command::Command, refusal::Refusal, reply::Reply, router, source::Source};

/// Connections served at once; more wait to be accepted.
const CONNECTIONS: usize = 128;

/// How long a client may take to send a request's head, and an unused connection stays open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

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
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
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

    async fn connection(self: Arc<Self>, stream: TcpStream, _room: OwnedSemaphorePermit) {
        let service = service_fn(move |request: http::Request<Incoming>| {
            let admin = Arc::clone(&self);
            async move {
                let (head, _) = request.into_parts();
                Ok::<Reply, Infallible>(router::answer(&admin, &head).await)
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "an admin connection ended early");
        }
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
