//! Which addresses are bound, following the listeners of the published tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::oneshot;
use weft_compile::{BindAddress, ListenAddress, SocketSettings, Tables};
use weft_http::listen_options;
use weft_net::{Acceptor, ListenOptions, bind_pipe, bind_tcp};
use weft_telemetry::Stats;

use crate::workers::{Command, Workers};

/// A listening socket on its way to a worker.
pub(crate) enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// Unix stream.
    Unix(UnixListener),
}

/// An address of a listener that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listener {listener}: cannot bind {address}: {source}{}", hint(source))]
pub(crate) struct BindError {
    listener: Arc<str>,
    address: String,
    source: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (hint: another process or listener has it; see `ss -ltnp`)",
        io::ErrorKind::PermissionDenied => {
            " (hint: ports below 1024 need CAP_NET_BIND_SERVICE; a Unix socket needs a writable \
             folder)"
        }
        io::ErrorKind::AddrNotAvailable => " (hint: no interface of this host has the address)",
        _ => "",
    }
}

/// The sockets of all listeners.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    bound: BTreeMap<Place, Bound>,
    /// What could not be bound last time, and why, so that it is said once.
    failing: BTreeSet<(Place, Arc<str>, io::ErrorKind)>,
}

/// An address that is to be bound, and for whom where that makes it another one: any number of
/// listeners may ask for a port of the kernel's choice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    address: BindAddress,
    owner: Option<Arc<str>>,
}

impl Place {
    fn of(address: &BindAddress, listener: &Arc<str>) -> Self {
        let any_port = matches!(address, BindAddress::Ip(address) if address.port() == 0);
        Self { address: address.clone(), owner: any_port.then(|| Arc::clone(listener)) }
    }
}

/// One bound address. Dropping it lets the workers finish what the kernel has accepted, and stop.
#[derive(Debug)]
struct Bound {
    listener: Arc<str>,
    socket: SocketSettings,
    actual: BoundAddress,
    _accepting: Vec<oneshot::Sender<()>>,
}

/// Where a socket really listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BoundAddress {
    /// TCP, with the port the kernel chose if the configuration said 0.
    Ip(SocketAddr),
    /// Unix.
    Pipe(PathBuf),
}

impl std::fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Pipe(path) => path.display().fmt(f),
        }
    }
}

impl Sockets {
    /// Binds what is new, and then lets go of what is gone; an address that stays is not touched,
    /// whichever version of its listener uses it now. Everything that can be bound is, whatever
    /// fails. Returns the failures that are news.
    pub(crate) fn follow(
        &mut self,
        tables: &Tables,
        workers: &Workers,
        stats: &Stats,
    ) -> Vec<BindError> {
        let wanted = wanted(tables);
        let mut before = std::mem::take(&mut self.bound);
        let mut failed = Vec::new();
        let mut failing = BTreeSet::new();
        for listener in tables.listeners.iter().filter(|listener| listener.bind) {
            for wish in &listener.addresses {
                let address = &wish.address;
                let place = Place::of(address, &listener.name);
                let owner = wanted.get(&place).copied();
                let result = if owner != Some(&listener.name) {
                    let owner = owner.map_or("another", |name| name);
                    Err(io::Error::new(
                        io::ErrorKind::AddrInUse,
                        format!("listener {owner} has it"),
                    ))
                } else {
                    match before.remove(&place) {
                        Some(bound)
                            if bound.listener == listener.name && bound.serves(&wish.socket) =>
                        {
                            Ok(bound)
                        }
                        // Port by port the kernel lets both listen for a moment.
                        old => bind(wish, &listener.name, old.is_some(), workers),
                    }
                };
                match result {
                    Ok(bound) => drop(self.bound.insert(place, bound)),
                    Err(source) => {
                        let failure = (place, Arc::clone(&listener.name), source.kind());
                        let is_news = !self.failing.contains(&failure);
                        failing.insert(failure);
                        if !is_news {
                            continue;
                        }
                        stats.listener_create_failure.inc();
                        failed.push(BindError {
                            listener: Arc::clone(&listener.name),
                            address: address.to_string(),
                            source,
                        });
                    }
                }
            }
        }
        drop(before);
        self.failing = failing;
        stats.listeners_active.set(tables.listeners.len() as u64);
        failed
    }

    /// Stops accepting everywhere.
    pub(crate) fn close(&mut self) {
        self.bound.clear();
    }

    /// Every listener's name with where it really listens.
    pub(crate) fn addresses(&self) -> Vec<(Arc<str>, BoundAddress)> {
        self.bound.values().map(|b| (Arc::clone(&b.listener), b.actual.clone())).collect()
    }
}

/// Who gets each address: with several claims, the listener whose name comes first.
fn wanted(tables: &Tables) -> BTreeMap<Place, &Arc<str>> {
    let mut wanted = BTreeMap::new();
    for listener in tables.listeners.iter().filter(|listener| listener.bind) {
        for ListenAddress { address, .. } in &listener.addresses {
            wanted.entry(Place::of(address, &listener.name)).or_insert(&listener.name);
        }
    }
    wanted
}

impl Bound {
    /// Whether the socket is as a listener wants it. Whether each worker has a socket of its own
    /// cannot change while the address is bound, as in Envoy.
    fn serves(&self, wanted: &SocketSettings) -> bool {
        let reuse_port = self.socket.reuse_port;
        self.socket == SocketSettings { reuse_port, ..wanted.clone() }
    }
}

/// Binds an address for a listener. `ours` says that another listener of ours has it at this moment.
fn bind(
    wish: &ListenAddress,
    listener: &Arc<str>,
    ours: bool,
    workers: &Workers,
) -> io::Result<Bound> {
    let (actual, sockets) = bind_all(wish, ours, workers.count())?;
    let accepting = sockets
        .into_iter()
        .enumerate()
        .map(|(worker, socket)| {
            let (stop, until) = oneshot::channel();
            let listener = Arc::clone(listener);
            workers.tell(worker, Command::Accept { listener, socket, until });
            stop
        })
        .collect();
    Ok(Bound {
        listener: Arc::clone(listener),
        socket: wish.socket.clone(),
        actual,
        _accepting: accepting,
    })
}

/// Binds an address for one who accepts.
///
/// # Errors
/// What the system says.
pub(crate) fn bind_one(wish: &ListenAddress) -> io::Result<(Acceptor, BoundAddress)> {
    let (actual, mut sockets) = bind_all(wish, false, 1)?;
    let acceptor = match sockets.pop() {
        Some(Socket::Tcp(socket)) => Acceptor::from_tcp(socket)?,
        Some(Socket::Unix(socket)) => Acceptor::from_unix(socket)?,
        None => return Err(io::ErrorKind::AddrNotAvailable.into()),
    };
    Ok((acceptor, actual))
}

fn bind_all(
    wish: &ListenAddress,
    ours: bool,
    workers: usize,
) -> io::Result<(BoundAddress, Vec<Socket>)> {
    match &wish.address {
        BindAddress::Ip(address) => {
            bind_ip(*address, &listen_options(&wish.socket, Some(address.ip())), workers)
        }
        BindAddress::Pipe(path) => {
            bind_unix(path, &listen_options(&wish.socket, None), ours, workers)
        }
    }
}

/// A socket for each worker on the same port, or one that they share.
fn bind_ip(
    address: SocketAddr,
    options: &ListenOptions,
    workers: usize,
) -> io::Result<(BoundAddress, Vec<Socket>)> {
    let first = bind_tcp(address, options)?;
    let actual = first.local_addr()?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        let another =
            if options.reuse_port { bind_tcp(actual, options) } else { first.try_clone() };
        sockets.push(Socket::Tcp(another?));
    }
    sockets.push(Socket::Tcp(first));
    Ok((BoundAddress::Ip(actual), sockets))
}

/// A Unix socket has one queue, which the workers share.
fn bind_unix(
    path: &Path,
    options: &ListenOptions,
    ours: bool,
    workers: usize,
) -> io::Result<(BoundAddress, Vec<Socket>)> {
    if ours && !path.as_os_str().as_encoded_bytes().starts_with(b"@") {
        // Whoever comes from now on finds the new socket; the old one's queue is still served.
        std::fs::remove_file(path)?;
    }
    let first = bind_pipe(path, options)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        sockets.push(Socket::Unix(first.try_clone()?));
    }
    sockets.push(Socket::Unix(first));
    Ok((BoundAddress::Pipe(path.to_owned()), sockets))
}
