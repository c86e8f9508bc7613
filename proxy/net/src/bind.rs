//! Listening sockets.

use std::{io, net::SocketAddr, os::unix::net::UnixListener as StdUnixListener, path::Path};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::stream::{PeerAddress, Stream, canonical};

/// Pending connections the kernel holds for us. Bounded again by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What is asked of a listening TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections the kernel holds before they are accepted; bounded again by `net.core.somaxconn`.
    pub backlog: i32,
    /// `IP_FREEBIND`: the address need not be one of this host (yet).
    pub freebind: bool,
    /// `IP_TRANSPARENT`: connections to any address are taken; needs `CAP_NET_ADMIN`.
    pub transparent: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: BACKLOG, freebind: false, transparent: false }
    }
}

/// Binds and listens on `address`. With `SO_REUSEPORT` each worker has a socket and a queue of its
/// own, so that no accept wakes more than one of them.
///
/// # Errors
/// What the system says: address in use, not available, permission denied.
pub fn bind_tcp(address: SocketAddr, options: ListenOptions) -> io::Result<std::net::TcpListener> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        if options.freebind {
            socket.set_freebind_v6(true)?;
        }
    } else if options.freebind {
        socket.set_freebind_v4(true)?;
    }
    match address {
        _ if !options.transparent => {}
        SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
        SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
    }
    socket.bind(&address.into())?;
    socket.listen(options.backlog)?;
    Ok(socket.into())
}

/// Binds and listens on a Unix stream socket. A stale socket file nobody listens on is replaced.
///
/// # Errors
/// What the system says; `AddrInUse` when somebody listens there.
pub fn bind_pipe(path: &Path) -> io::Result<StdUnixListener> {
    if std::os::unix::net::UnixStream::connect(path)
        .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let listener = StdUnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A listening socket of either kind on a worker's runtime.
#[derive(Debug)]
pub enum Acceptor {
    /// TCP.
    Tcp(TcpListener),
    /// Unix stream.
    Unix(UnixListener),
}

impl Acceptor {
    /// Registers a bound socket with the current runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn from_tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        TcpListener::from_std(listener).map(Self::Tcp)
    }

    /// Registers a bound Unix socket with the current runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn from_unix(listener: StdUnixListener) -> io::Result<Self> {
        UnixListener::from_std(listener).map(Self::Unix)
    }

    /// The next connection, with `TCP_NODELAY` set. Cancel safe.
    ///
    /// # Errors
    /// What the system says; `EMFILE`-like errors pass with time.
    pub async fn accept(&self) -> io::Result<(Stream, PeerAddress)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), PeerAddress::Ip(canonical(peer))))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), PeerAddress::Pipe))
            }
        }
    }
}
