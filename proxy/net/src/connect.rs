//! Outgoing connections, bounded in time.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpSocket, UnixStream},
    time::timeout,
};

use crate::stream::Stream;

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The peer did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// `SO_KEEPALIVE` and its settings; what is not set is up to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Probes without an answer before the connection is given up.
    pub probes: Option<u32>,
    /// How long a connection is silent before the first probe.
    pub time: Option<Duration>,
    /// Between probes.
    pub interval: Option<Duration>,
}

impl Keepalive {
    fn apply(self, socket: &TcpSocket) -> io::Result<()> {
        let mut settings = TcpKeepalive::new();
        if let Some(probes) = self.probes {
            settings = settings.with_retries(probes);
        }
        if let Some(time) = self.time {
            settings = settings.with_time(time);
        }
        if let Some(interval) = self.interval {
            settings = settings.with_interval(interval);
        }
        SockRef::from(socket).set_tcp_keepalive(&settings)
    }
}

/// What a connection is to be like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// The address it comes from.
    pub source: Option<SocketAddr>,
    /// Whether the system looks after it while it is silent.
    pub keepalive: Option<Keepalive>,
}

/// Connects to `address` within `limit`; `TCP_NODELAY` is set.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect_tcp(
    address: SocketAddr,
    options: TcpOptions,
    limit: Duration,
) -> Result<Stream, ConnectError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(keepalive) = options.keepalive {
        keepalive.apply(&socket)?;
    }
    if let Some(source) = options.source {
        socket.bind(source)?;
    }
    let stream = timeout(limit, socket.connect(address))
        .await
        .map_err(|_| ConnectError::Timeout(limit))??;
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream))
}

/// Connects to a Unix stream socket within `limit`.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect_pipe(path: &Path, limit: Duration) -> Result<Stream, ConnectError> {
    let stream = timeout(limit, UnixStream::connect(path))
        .await
        .map_err(|_| ConnectError::Timeout(limit))??;
    Ok(Stream::Unix(stream))
}
