//! What the request path reads: one immutable snapshot of everything.
//!
//! A request pins one [`Tables`] for its whole life. Nothing here knows protobuf.

mod listener;

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode};
use weft_balance::{Balancer, DropOverloads};
use weft_route::RouteTable;
use weft_telemetry::{ClusterStats, HttpStats, TcpStats};

pub use listener::{Chain, Chains, FilterChain, Listener};

// Values that are the same before and after compilation.
pub use weft_resources::{
    Address as BindAddress, AppendAction, CircuitBreakers, Codec, ConnectionSettings,
    DirectResponse, HeaderMutations, HeaderSet, PrefixRewrite, Redirect, RedirectPath,
    UpstreamProtocol,
};

/// A cluster's slot in [`Tables::clusters`]. Stable for a name as long as the process lives, so
/// routes compiled once keep pointing at the right cluster whatever happens to its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(pub(crate) u32);

/// A route configuration's slot in [`Tables::routes`]; stable like [`ClusterId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteConfigId(pub(crate) u32);

/// Everything the data path needs, frozen.
#[derive(Debug, Default)]
pub struct Tables {
    /// Counts published tables, from 1.
    pub version: u64,
    /// Warm listeners, sorted by name.
    pub listeners: Vec<Arc<Listener>>,
    /// Route configurations received by RDS, by [`RouteConfigId`].
    pub routes: Vec<Option<Arc<RouteConfig>>>,
    /// Warm clusters, by [`ClusterId`].
    pub clusters: Vec<Option<Arc<Cluster>>>,
}

impl Tables {
    /// The cluster in this slot, if it is known and warm.
    #[inline]
    pub fn cluster(&self, id: ClusterId) -> Option<&Arc<Cluster>> {
        self.clusters.get(id.0 as usize)?.as_ref()
    }

    /// The route configuration that an HTTP chain uses now.
    #[inline]
    pub fn routes_of<'a>(&'a self, chain: &'a HttpChain) -> Option<&'a Arc<RouteConfig>> {
        match &chain.routes {
            Routes::Inline(config) => Some(config),
            Routes::Rds(id) => self.routes.get(id.0 as usize)?.as_ref(),
        }
    }

    /// The warm listener of this name.
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        let at = self.listeners.binary_search_by(|l| l.name.as_ref().cmp(name)).ok()?;
        self.listeners.get(at)
    }
}

/// `HttpConnectionManager`, compiled.
#[derive(Debug)]
pub struct HttpChain {
    /// `http.<stat_prefix>.*`.
    pub stats: Arc<HttpStats>,
    /// Which protocols are spoken to the client.
    pub codec: Codec,
    /// Where routes come from.
    pub routes: Routes,
    /// Value of the `server` response header (`server_name`; `weft` unless set).
    pub server_name: HeaderValue,
    /// `common_http_protocol_options.idle_timeout` (1 h by default; `None` never).
    pub idle_timeout: Option<Duration>,
    /// `request_headers_timeout`: a head must be complete within this time.
    pub request_headers_timeout: Option<Duration>,
    /// `stream_idle_timeout` (5 min by default).
    pub stream_idle_timeout: Option<Duration>,
    /// `use_remote_address`: trust the peer's address over `x-forwarded-for`, and append it.
    pub use_remote_address: bool,
    /// `generate_request_id` (true by default).
    pub generate_request_id: bool,
    /// `preserve_external_request_id`.
    pub preserve_external_request_id: bool,
    /// Router's `suppress_envoy_headers`: no `x-envoy-*` headers are added.
    pub suppress_envoy_headers: bool,
    /// `http2_protocol_options.max_concurrent_streams`, if set.
    pub max_concurrent_streams: Option<u32>,
}

/// The source of a chain's routes.
#[derive(Debug)]
pub enum Routes {
    /// `route_config`.
    Inline(Arc<RouteConfig>),
    /// `rds`: looked up in the pinned [`Tables`] for each request.
    Rds(RouteConfigId),
}

/// `tcp_proxy`, compiled.
#[derive(Debug)]
pub struct TcpChain {
    /// `tcp.<stat_prefix>.*`.
    pub stats: Arc<TcpStats>,
    /// Where connections go.
    pub target: Target,
    /// Closes a connection when no byte moved either way for this long (1 h by default).
    pub idle_timeout: Option<Duration>,
    /// Endpoints tried before giving up (`max_connect_attempts`, 1 by default).
    pub max_connect_attempts: u32,
}

/// One route configuration, compiled once.
#[derive(Debug)]
pub struct RouteConfig {
    /// The resource name.
    pub name: Arc<str>,
    /// Host and path matching; the entry is what to do.
    pub table: RouteTable<RouteEntry>,
}

/// What a matched route does.
#[derive(Debug)]
pub struct RouteEntry {
    /// The action.
    pub action: Action,
    /// Header changes of the route, its virtual host and the route configuration, already in
    /// Envoy's order (`most_specific_header_mutations_wins` applied).
    pub request_headers: HeaderMutations,
    /// The same towards the client.
    pub response_headers: HeaderMutations,
}

/// A route's action.
#[derive(Debug)]
pub enum Action {
    /// Send it on.
    Forward(Forward),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer with fixed content.
    Direct(DirectResponse),
}

/// `RouteAction`.
#[derive(Debug)]
pub struct Forward {
    /// Cluster, or clusters by weight.
    pub target: Target,
    /// Whole upstream answer within this time (15 s by default as in Envoy; `None` when 0).
    pub timeout: Option<Duration>,
    /// Overrides the chain's `stream_idle_timeout` when set; `Some(None)` turns it off.
    pub idle_timeout: Option<Option<Duration>>,
    /// `host_rewrite_literal`.
    pub host_rewrite: Option<HeaderValue>,
    /// `prefix_rewrite`, with the length in bytes of the matched prefix it replaces.
    pub prefix_rewrite: Option<PrefixRewrite>,
    /// Answer when the cluster is not in the pinned tables (`cluster_not_found_response_code`).
    pub cluster_not_found: StatusCode,
}

/// One cluster or several by weight.
#[derive(Debug)]
pub enum Target {
    /// Always this cluster.
    Cluster(ClusterId),
    /// Chosen per request.
    Weighted(Weighted),
}

/// `weighted_clusters`.
#[derive(Debug)]
pub struct Weighted {
    /// Sum of the weights, at least 1.
    pub total: u32,
    /// Clusters with the running sum of weights up to and including each.
    pub clusters: Box<[(u32, ClusterId)]>,
}

impl Weighted {
    /// The cluster for a random number (any `u64`; reduced modulo the total).
    #[inline]
    pub fn choose(&self, random: u64) -> Option<ClusterId> {
        let point = u32::try_from(random % u64::from(self.total.max(1))).unwrap_or(0);
        self.clusters.iter().find(|(upto, _)| point < *upto).map(|(_, id)| *id)
    }
}

/// A cluster that is ready to be used.
#[derive(Debug)]
pub struct Cluster {
    /// Its slot.
    pub id: ClusterId,
    /// The resource name.
    pub name: Arc<str>,
    /// `cluster.<name>.*`; carried over by name.
    pub stats: Arc<ClusterStats>,
    /// How to connect. Endpoint identities are carried over only while this is equal.
    pub connection: Arc<ConnectionSettings>,
    /// How much may be under way, counted by the gauges of `stats`.
    pub circuit_breakers: CircuitBreakers,
    /// Requests that are not sent at all.
    pub drop_overloads: DropOverloads,
    /// Picks an endpoint.
    pub balancer: Balancer,
    /// Identifies cluster resource + endpoints; see [`Listener::hash`].
    pub hash: u64,
}
