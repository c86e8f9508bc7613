//! Outgoing connections, bounded in time.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream},
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

/// Connects to `address` within `limit`; `TCP_NODELAY` is set.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect_tcp(address: SocketAddr, limit: Duration) -> Result<Stream, ConnectError> {
    let stream = timeout(limit, TcpStream::connect(address))
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
