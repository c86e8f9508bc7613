//! Reaching a management server.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use tonic::{
    metadata::MetadataMap,
    transport::{Channel, Endpoint, Error, Uri},
};
use weft_compile::{GrpcService, Question};
use weft_net::{AddressOrder, ConnectError, Stream, TcpOptions, connect_any, connect_pipe};
use weft_resolve::{LookupError, lookup};
use weft_resources::DnsQuery;

/// A server that does not answer a ping within this time is gone.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is asked, streams or not.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Envoy's default of `Cluster.connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a management server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerAddress {
    /// Host (name or literal) and port.
    Tcp(String, u16),
    /// A Unix socket, abstract when it begins with `@`.
    Pipe(PathBuf),
}

/// A static cluster that management servers are reached by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Its endpoints, at least one.
    pub(crate) addresses: Vec<ServerAddress>,
    /// `connect_timeout`.
    pub(crate) connect_timeout: Duration,
    /// How names among its addresses are looked up; `None` leaves it to the system.
    pub(crate) query: Option<Arc<DnsQuery>>,
}

/// Why there is no connection to a management server.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    /// Its name is not known.
    #[error("looking {0} up: {1}")]
    Unknown(Arc<str>, #[source] LookupError),
    /// Nobody answers there.
    #[error(transparent)]
    Closed(#[from] ConnectError),
}

impl From<ServerAddress> for Server {
    fn from(address: ServerAddress) -> Self {
        Self { addresses: vec![address], connect_timeout: CONNECT_TIMEOUT, query: None }
    }
}

/// A management server as one source asks it.
#[derive(Debug)]
pub(crate) struct Service {
    name: Arc<str>,
    server: Server,
    authority: Option<Arc<str>>,
    metadata: HeaderMap,
    attempts: AtomicUsize,
}

impl Service {
    pub(crate) fn new(server: Server, grpc: &GrpcService) -> Self {
        let mut metadata = HeaderMap::new();
        for (name, value) in &grpc.metadata {
            // Both were checked when they were read.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::from_bytes(value))
            {
                metadata.append(name, value);
            }
        }
        Self {
            name: Arc::clone(&grpc.cluster),
            server,
            authority: grpc.authority.clone(),
            metadata,
            attempts: AtomicUsize::new(0),
        }
    }

    /// The name of the cluster.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `initial_metadata`.
    pub(crate) fn metadata(&self) -> MetadataMap {
        MetadataMap::from_headers(self.metadata.clone())
    }

    /// Opens a connection to one of the endpoints; each attempt takes the next one.
    ///
    /// # Errors
    /// When there is none within the time, or the address cannot be an authority.
    pub(crate) async fn connect(&self) -> Result<Channel, Error> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        let addresses = &self.server.addresses;
        let nowhere = ServerAddress::Tcp(String::new(), 0);
        let address = addresses.get(attempt % addresses.len().max(1)).unwrap_or(&nowhere);
        dial(address, &self.server, (self.authority.as_deref(), attempt)).await
    }
}

/// Opens a connection to a management server.
///
/// # Errors
/// When there is none within the time, or the address cannot be an authority.
pub(crate) async fn connect(address: &ServerAddress) -> Result<Channel, Error> {
    dial(address, &Server::from(address.clone()), (None, 0)).await
}

async fn dial(
    address: &ServerAddress,
    server: &Server,
    (authority, attempt): (Option<&str>, usize),
) -> Result<Channel, Error> {
    let connect_timeout = server.connect_timeout;
    let endpoint = |uri: String| {
        let endpoint = Endpoint::from_shared(uri)?
            .connect_timeout(connect_timeout)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        match authority.and_then(|authority| format!("http://{authority}").parse().ok()) {
            Some(origin) => Ok(endpoint.origin(origin)),
            None => Ok(endpoint),
        }
    };
    match address {
        ServerAddress::Tcp(host, port) => {
            let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let endpoint = endpoint(format!("http://{shown}:{port}"))?;
            let Some(query) = server.query.clone().filter(|_| host.parse::<IpAddr>().is_err())
            else {
                return endpoint.connect().await;
            };
            let (host, port) = (Arc::from(host.as_str()), *port);
            let question = Question { host, is_service: false, query };
            let connector = tower::service_fn(move |_: Uri| {
                let question = question.clone();
                async move {
                    open_by_name(&question, port, (connect_timeout, attempt))
                        .await
                        .map(TokioIo::new)
                }
            });
            endpoint.connect_with_connector(connector).await
        }
        ServerAddress::Pipe(path) => {
            let path = path.clone();
            let connector = tower::service_fn(move |_: Uri| {
                let path = path.clone();
                async move { connect_pipe(&path, connect_timeout).await.map(TokioIo::new) }
            });
            endpoint("http://localhost".to_owned())?.connect_with_connector(connector).await
        }
    }
}

/// Looks a name up as its cluster says, anew for each attempt, and connects to whichever of its
/// addresses answers first.
async fn open_by_name(
    question: &Question,
    port: u16,
    (limit, attempt): (Duration, usize),
) -> Result<Stream, OpenError> {
    let found = lookup(question, attempt as u64).await;
    let found = found.map_err(|error| OpenError::Unknown(Arc::clone(&question.host), error))?;
    let addresses: Vec<SocketAddr> =
        found.leads.iter().map(|lead| SocketAddr::new(lead.ip, port)).collect();
    let order = AddressOrder::default();
    Ok(connect_any(&addresses, order, |_| TcpOptions::default(), limit).await?)
}
