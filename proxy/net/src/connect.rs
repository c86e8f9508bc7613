//! Outgoing connections, bounded in time.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    os::{fd::AsFd, unix::ffi::OsStrExt as _},
    path::Path,
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpSocket, UnixStream},
    time::timeout,
};

use crate::{
    option::{self, SocketOption, When},
    stream::Stream,
};

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
    pub(crate) fn apply(self, socket: &impl AsFd) -> io::Result<()> {
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// The address it comes from.
    pub source: Option<SocketAddr>,
    /// `IP_FREEBIND`: that address need not be one of this host.
    pub freebind: bool,
    /// Whether the system looks after it while it is silent.
    pub keepalive: Option<Keepalive>,
    /// Whatever else is to be set, in order.
    pub options: Vec<SocketOption>,
}

impl TcpOptions {
    fn apply(&self, socket: &TcpSocket, is_v4: bool) -> io::Result<()> {
        if let Some(keepalive) = self.keepalive {
            keepalive.apply(socket)?;
        }
        if self.freebind {
            let socket = SockRef::from(socket);
            if is_v4 { socket.set_freebind_v4(true) } else { socket.set_freebind_v6(true) }?;
        }
        option::apply(socket, &self.options, When::Prebind)?;
        if let Some(source) = self.source {
            socket.bind(source)?;
        }
        option::apply(socket, &self.options, When::Bound)
    }
}

/// Connects to `address` within `limit`; `TCP_NODELAY` is set.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect_tcp(
    address: SocketAddr,
    options: &TcpOptions,
    limit: Duration,
) -> Result<Stream, ConnectError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    options.apply(&socket, address.is_ipv4())?;
    let stream = timeout(limit, socket.connect(address))
        .await
        .map_err(|_| ConnectError::Timeout(limit))??;
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream))
}

/// How long each address is tried alone before the next one is tried beside it, as in Envoy.
const ATTEMPT_DELAY: Duration = Duration::from_millis(300);

/// An attempt under way.
type Attempt = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

/// In which order addresses of both families are tried (RFC 8305 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressOrder {
    /// Whether IPv4 comes first; `None` for the family of the first address.
    pub leads_v4: Option<bool>,
    /// So many of that family are tried before each of the other one.
    pub count: usize,
}

impl Default for AddressOrder {
    fn default() -> Self {
        Self { leads_v4: None, count: 1 }
    }
}

/// Connects to whichever of some addresses answers first, within `limit` for all of them together
/// (Happy Eyeballs, RFC 8305). They are tried one by one, each a moment after the one before or as
/// soon as that one has failed, alternating between the families.
///
/// # Errors
/// [`ConnectError`] of the last attempt.
pub async fn connect_any(
    addresses: &[SocketAddr],
    order: AddressOrder,
    options: impl Fn(SocketAddr) -> TcpOptions,
    limit: Duration,
) -> Result<Stream, ConnectError> {
    let ends = Instant::now() + limit;
    let order = alternate(addresses, order);
    let mut next = order.iter();
    let mut running: Vec<Attempt> = Vec::new();
    let mut failed = ConnectError::Io(io::ErrorKind::AddrNotAvailable.into());
    loop {
        if let Some(address) = next.next() {
            let left = ends.saturating_duration_since(Instant::now());
            let (address, options) = (*address, options(*address));
            running.push(Box::pin(async move { connect_tcp(address, &options, left).await }));
        }
        if running.is_empty() {
            return Err(failed);
        }
        let wait = if next.len() == 0 { limit } else { ATTEMPT_DELAY };
        // Overdue: another one is tried beside those under way.
        match timeout(wait, first_ended(&mut running)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => {}
        }
    }
}

/// The outcome of the attempt that ends first, which is taken out.
async fn first_ended(running: &mut Vec<Attempt>) -> Result<Stream, ConnectError> {
    poll_fn(|cx| {
        for at in 0..running.len() {
            let Some(attempt) = running.get_mut(at) else { break };
            if let Poll::Ready(outcome) = attempt.as_mut().poll(cx) {
                drop(running.swap_remove(at));
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    })
    .await
}

/// Both families in turn, each in its own order.
fn alternate(addresses: &[SocketAddr], order: AddressOrder) -> Vec<SocketAddr> {
    let AddressOrder { leads_v4, count } = order;
    let leads = leads_v4.unwrap_or_else(|| addresses.first().is_some_and(SocketAddr::is_ipv4));
    let (mut one, mut other): (VecDeque<SocketAddr>, VecDeque<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv4() == leads);
    let mut order = Vec::with_capacity(addresses.len());
    while !one.is_empty() || !other.is_empty() {
        let ahead = one.len().min(count.max(1));
        order.extend(one.drain(..ahead));
        order.extend(other.pop_front());
    }
    order
}

/// Connects to a Unix stream socket within `limit`; to an abstract one when the path begins with `@`.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect_pipe(path: &Path, limit: Duration) -> Result<Stream, ConnectError> {
    // The first byte of an abstract name is zero to the system.
    let name = path.as_os_str().as_bytes().strip_prefix(b"@").map(|name| [b"\0", name].concat());
    let path = name.as_deref().map_or(path, |name| Path::new(OsStr::from_bytes(name)));
    let stream = timeout(limit, UnixStream::connect(path))
        .await
        .map_err(|_| ConnectError::Timeout(limit))??;
    Ok(Stream::Unix(stream))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let given = addresses(&["[::1]:1", "[::1]:2", "[::1]:3", "127.0.0.1:4", "127.0.0.1:5"]);
        let ports = |leads_v4, count| -> Vec<u16> {
            let order = AddressOrder { leads_v4, count };
            alternate(&given, order).iter().map(SocketAddr::port).collect()
        };
        assert_eq!(ports(None, 1), [1, 4, 2, 5, 3]);
        assert_eq!(ports(None, 2), [1, 2, 4, 3, 5]);
        assert_eq!(ports(Some(false), 9), [1, 2, 3, 4, 5]);
        assert_eq!(ports(Some(true), 1), [4, 1, 5, 2, 3]);
        assert_eq!(ports(Some(true), 0), ports(Some(true), 1));
        assert!(alternate(&[], AddressOrder::default()).is_empty());
    }

    #[tokio::test]
    async fn what_refuses_is_passed_over_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let held = TcpListener::bind("127.0.0.1:0").unwrap();
            held.local_addr().unwrap()
        };
        let options = |_| TcpOptions::default();
        let limit = Duration::from_secs(10);
        assert!(
            connect_any(&[closed, closed, open], AddressOrder::default(), options, limit)
                .await
                .is_ok()
        );
        let all_refuse =
            connect_any(&[closed, closed], AddressOrder::default(), options, limit).await;
        assert!(matches!(all_refuse, Err(ConnectError::Io(_))));
        let none = connect_any(&[], AddressOrder::default(), options, limit).await;
        assert!(matches!(none, Err(ConnectError::Io(_))));
    }

    #[tokio::test]
    async fn a_foreign_source_needs_freebind() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        // Of a network for documentation: no machine has it.
        let source = Some("192.0.2.1:0".parse().unwrap());
        let mut kinds = Vec::new();
        for freebind in [false, true] {
            let options = TcpOptions { source, freebind, ..TcpOptions::default() };
            match connect_tcp(open, &options, Duration::from_millis(100)).await {
                Err(ConnectError::Io(error)) => kinds.push(Some(error.kind())),
                // It was bound, and no answer finds the way back.
                Err(ConnectError::Timeout(_)) | Ok(_) => kinds.push(None),
            }
        }
        assert_eq!(kinds[0], Some(io::ErrorKind::AddrNotAvailable));
        assert_ne!(kinds[1], kinds[0]);
    }

    /// A listener whose queue is full answers nobody, like an address that leads nowhere.
    #[tokio::test]
    async fn what_does_not_answer_is_overtaken() {
        let silent =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        silent.listen(0).unwrap();
        let nowhere = silent.local_addr().unwrap().as_socket().unwrap();
        let mut filling = Vec::new();
        let options = |_| TcpOptions::default();
        // Fill the queue until a connection is not answered any more.
        while let Ok(stream) =
            connect_tcp(nowhere, &TcpOptions::default(), Duration::from_millis(200)).await
        {
            filling.push(stream);
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let began = Instant::now();
        let limit = Duration::from_secs(30);
        assert!(
            connect_any(&[nowhere, open], AddressOrder::default(), options, limit).await.is_ok()
        );
        assert!(began.elapsed() < limit / 2, "{:?}", began.elapsed());
        let short = Duration::from_millis(100);
        let late = connect_any(&[nowhere, nowhere], AddressOrder::default(), options, short).await;
        assert!(matches!(late, Err(ConnectError::Timeout(_))));
    }
}
