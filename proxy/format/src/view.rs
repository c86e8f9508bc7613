//! What is known about a request when a format is written out.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use http::HeaderMap;

/// Everything that operators can ask for. What is `None` is not known (yet).
#[derive(Clone, Copy, Debug, Default)]
pub struct View<'a> {
    /// The request's head.
    pub request: Option<Request<'a>>,
    /// The response's headers.
    pub response: Option<&'a HeaderMap>,
    /// The response's trailers.
    pub trailers: Option<&'a HeaderMap>,
    /// The response's status.
    pub status: Option<u16>,
    /// Why the response is what it is, in a word.
    pub details: Option<&'a str>,
    /// Envoy's flags of what went wrong, separated by commas; empty for nothing.
    pub flags: &'a str,
    /// What the client speaks, as `HTTP/1.1`.
    pub protocol: Option<&'a str>,
    /// Who the client is, as far as it can be trusted.
    pub remote: Option<Address<'a>>,
    /// Who the connection comes from.
    pub direct_remote: Option<Address<'a>>,
    /// The address that the client connected to.
    pub local: Option<Address<'a>>,
    /// The host that the client's TLS hello names.
    pub server_name: Option<&'a str>,
    /// What was found out of the connection or the request, for others to read.
    pub metadata: Option<&'a Metadata>,
    /// Where the request went.
    pub upstream: Upstream<'a>,
    /// Name of the route.
    pub route: Option<&'a str>,
    /// Name of the virtual host.
    pub virtual_host: Option<&'a str>,
    /// When the request began.
    pub began: Option<SystemTime>,
    /// How long it has taken.
    pub duration: Option<Duration>,
    /// Bytes of the request's body so far.
    pub received: u64,
    /// Bytes of the response's body so far.
    pub sent: u64,
    /// The body of an answer of the proxy's own.
    pub local_reply: Option<&'a [u8]>,
    /// The machine.
    pub host: Option<&'a Host>,
}

/// Values by name within a namespace.
pub type MetadataValues = BTreeMap<Box<str>, Box<str>>;

/// Dynamic metadata: values by namespace and name.
pub type Metadata = BTreeMap<Box<str>, MetadataValues>;

/// A request's head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `:method`.
    pub method: &'a str,
    /// `:path`, with the query string.
    pub path: &'a str,
    /// `:authority` or `host`.
    pub authority: &'a [u8],
    /// `:scheme`.
    pub scheme: &'a str,
    /// All other fields.
    pub headers: &'a HeaderMap,
}

/// Where a request went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upstream<'a> {
    /// Name of the cluster.
    pub cluster: Option<&'a str>,
    /// The endpoint.
    pub address: Option<Address<'a>>,
    /// What it speaks, as `HTTP/1.1`.
    pub protocol: Option<&'a str>,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Pipe(&'a str),
}

/// The machine that this runs on, as it was when the process began.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: Box<str>,
    /// The variables of the process.
    pub variables: BTreeMap<String, String>,
}

impl fmt::Debug for Host {
    /// Variables may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.name).finish_non_exhaustive()
    }
}
