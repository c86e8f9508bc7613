//! Listening sockets.

use std::{
    io,
    net::SocketAddr,
    os::unix::{
        ffi::OsStrExt as _,
        fs::PermissionsExt as _,
        net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream},
    },
    path::Path,
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::{
    connect::Keepalive,
    option::{self, SocketOption, When},
    stream::{PeerAddress, Stream, canonical},
};

/// Pending connections the kernel holds for us. Bounded again by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What is asked of a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections the kernel holds before they are accepted; bounded again by `net.core.somaxconn`.
    pub backlog: i32,
    /// `IP_FREEBIND`: the address need not be one of this host (yet).
    pub freebind: bool,
    /// `IP_TRANSPARENT`: connections to any address are taken; needs `CAP_NET_ADMIN`.
    pub transparent: bool,
    /// `SO_REUSEPORT`: several sockets have the address, each with a queue of its own.
    pub reuse_port: bool,
    /// Whether `::` takes connections over IPv4 too.
    pub over_v4_too: bool,
    /// `TCP_FASTOPEN`: how many connections may begin with data before they are accepted.
    pub fast_open: Option<u32>,
    /// `SO_KEEPALIVE`, which accepted connections inherit.
    pub keepalive: Option<Keepalive>,
    /// The mode of a Unix socket's file; 0 leaves it to the process.
    pub mode: u32,
    /// Whatever else is to be set, in order.
    pub options: Vec<SocketOption>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: BACKLOG,
            freebind: false,
            transparent: false,
            reuse_port: true,
            over_v4_too: false,
            fast_open: None,
            keepalive: None,
            mode: 0,
            options: Vec::new(),
        }
    }
}

/// Binds and listens on `address`. With `SO_REUSEPORT` each worker has a socket and a queue of its
/// own, so that no accept wakes more than one of them.
///
/// # Errors
/// What the system says: address in use, not available, permission denied, an option it does not take.
pub fn bind_tcp(address: SocketAddr, options: &ListenOptions) -> io::Result<std::net::TcpListener> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(options.reuse_port)?;
    if address.is_ipv6() {
        socket.set_only_v6(!options.over_v4_too)?;
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
    if let Some(keepalive) = options.keepalive {
        keepalive.apply(&socket)?;
    }
    option::apply(&socket, &options.options, When::Prebind)?;
    socket.bind(&address.into())?;
    option::apply(&socket, &options.options, When::Bound)?;
    if let Some(length) = options.fast_open {
        option::apply(&socket, &[fast_open(length)], When::Bound)?;
    }
    socket.listen(options.backlog)?;
    option::apply(&socket, &options.options, When::Listening)?;
    Ok(socket.into())
}

fn fast_open(length: u32) -> SocketOption {
    let length = i32::try_from(length).unwrap_or(i32::MAX);
    SocketOption {
        level: libc::IPPROTO_TCP,
        name: libc::TCP_FASTOPEN,
        value: length.to_ne_bytes().into(),
        when: When::Bound,
    }
}

/// The address of a Unix socket: abstract when the path begins with `@`, else that of a file.
pub(crate) fn unix_address(path: &Path) -> io::Result<SockAddr> {
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => {
            let name = [b"\0", name].concat();
            SockAddr::unix(Path::new(std::ffi::OsStr::from_bytes(&name)))
        }
        None => SockAddr::unix(path),
    }
}

fn is_file(path: &Path) -> bool {
    !path.as_os_str().as_bytes().starts_with(b"@")
}

/// Binds and listens on a Unix stream socket: an abstract one when the path begins with `@`. A stale
/// socket file nobody listens on is replaced.
///
/// # Errors
/// What the system says; `AddrInUse` when somebody listens there.
pub fn bind_pipe(path: &Path, options: &ListenOptions) -> io::Result<StdUnixListener> {
    if is_file(path)
        && StdUnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    option::apply(&socket, &options.options, When::Prebind)?;
    socket.bind(&unix_address(path)?)?;
    option::apply(&socket, &options.options, When::Bound)?;
    if options.mode != 0 && is_file(path) {
        // Before anybody can connect.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(options.mode))?;
    }
    socket.listen(options.backlog)?;
    option::apply(&socket, &options.options, When::Listening)?;
    Ok(socket.into())
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
