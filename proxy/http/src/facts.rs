//! What formats are told about a request.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use http::{HeaderMap, Method, Version};
use weft_balance::{EndpointAddress, EndpointState};
use weft_compile::RouteNames;
use weft_format::{Address, Request, Upstream, View};
use weft_net::PeerAddress;

use crate::{
    client::Client, downstream::Connection, head_rules::Origin, upstream::Authority, worker::Worker,
};

/// What a client speaks, as people write it.
pub(crate) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// A request's head as formats see it.
pub(crate) fn request<'a>(
    method: &'a Method,
    path: &'a str,
    authority: &'a Authority,
    scheme: &'a str,
    headers: &'a HeaderMap,
) -> Request<'a> {
    Request { method: method.as_str(), path, authority: authority.as_bytes(), scheme, headers }
}

/// What is known of a request before it goes anywhere.
pub(crate) fn view<'a>(
    connection: &'a Connection,
    origin: &Origin,
    names: Option<&'a RouteNames>,
    began: Instant,
    version: Version,
    request: Request<'a>,
) -> View<'a> {
    View {
        request: Some(request),
        protocol: Some(protocol(version)),
        remote: address(origin.remote),
        route: names.and_then(|names| names.route.as_deref()),
        virtual_host: names.map(|names| &*names.virtual_host),
        // Only now, because nearly no route asks for it.
        began: SystemTime::now().checked_sub(began.elapsed()),
        duration: Some(began.elapsed()),
        ..of_connection(connection)
    }
}

/// What is known of a client's connection that speaks HTTP.
pub(crate) fn of_connection(connection: &Connection) -> View<'_> {
    View {
        remote: address(connection.peer),
        direct_remote: address(connection.peer),
        local: connection.local.map(Address::Ip),
        server_name: connection.server_name.as_deref(),
        metadata: connection.metadata.as_deref(),
        host: Some(connection.worker.host()),
        ..View::default()
    }
}

/// What is known of a client's connection whose bytes are passed on; `local` is where it connected to.
pub(crate) fn of_client<'a>(
    worker: &'a Worker,
    client: &'a Client,
    local: Option<SocketAddr>,
) -> View<'a> {
    View {
        remote: address(client.peer),
        direct_remote: address(client.direct_peer),
        local: local.map(Address::Ip),
        server_name: client.server_name.as_deref(),
        metadata: client.metadata.as_deref(),
        host: Some(worker.host()),
        ..View::default()
    }
}

fn address(peer: PeerAddress) -> Option<Address<'static>> {
    match peer {
        PeerAddress::Ip(address) => Some(Address::Ip(address)),
        PeerAddress::Pipe => None,
    }
}

/// What is kept of a request for formats that are written when its answer has come.
#[derive(Debug)]
pub(crate) struct Kept {
    names: Arc<RouteNames>,
    method: Method,
    path: Box<str>,
    authority: Box<[u8]>,
    origin: Origin,
    headers: HeaderMap,
    version: Version,
    /// The endpoint that answers.
    endpoint: Option<Arc<EndpointState>>,
}

impl Kept {
    /// Keeps what a request says now.
    pub(crate) fn new(
        names: &Arc<RouteNames>,
        origin: Origin,
        version: Version,
        method: &Method,
        request: &Request<'_>,
    ) -> Box<Self> {
        Box::new(Self {
            names: Arc::clone(names),
            method: method.clone(),
            path: request.path.into(),
            authority: request.authority.into(),
            origin,
            headers: request.headers.clone(),
            version,
            endpoint: None,
        })
    }

    /// The request has gone to this endpoint.
    pub(crate) fn reached(&mut self, endpoint: &Arc<EndpointState>) {
        self.endpoint = Some(Arc::clone(endpoint));
    }

    /// What is known when the answer has come.
    pub(crate) fn view<'a>(
        &'a self,
        connection: &'a Connection,
        cluster: &'a str,
        began: Instant,
    ) -> View<'a> {
        let request = Request {
            method: self.method.as_str(),
            path: &self.path,
            authority: &self.authority,
            scheme: self.origin.scheme,
            headers: &self.headers,
        };
        let endpoint = self.endpoint.as_ref().and_then(|endpoint| match endpoint.address() {
            EndpointAddress::Ip(address) => Some(Address::Ip(*address)),
            EndpointAddress::Pipe(path) => path.to_str().map(Address::Pipe),
            EndpointAddress::Name(_) => endpoint.ways().first().copied().map(Address::Ip),
        });
        let upstream = Upstream { cluster: Some(cluster), address: endpoint, protocol: None };
        View {
            upstream,
            ..view(connection, &self.origin, Some(&self.names), began, self.version, request)
        }
    }
}
