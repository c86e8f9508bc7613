//! What the request path reads: one immutable snapshot of everything.
//!
//! A request pins one [`Tables`] for its whole life. Nothing here knows protobuf.

mod inspection;
mod listener;
mod picking;
mod scopes;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderValue;
use weft_balance::{
    Balancer, Decay, DropOverloads, EndpointState, Outcome, Picked, Statuses, Subsets, Ticks,
    ZoneRouting,
};
use weft_route::HeaderKey;
use weft_telemetry::{ClusterStats, Http2Stats, HttpStats, Stats, TcpStats, UnderWay};

pub use inspection::{
    Inspection, KeptTlvs, ListenerFilter, ListenerFilterKind, PortRule, ProxyProtocolRules, TlvRule,
};
pub use listener::{
    AskedConnections, Chain, Chains, ConnectionLimit, FilterChain, Gate, HandOff, Listener,
};
pub use picking::Avoided;
pub use scopes::Scopes;

use weft_resources::{
    HeadRules, HttpFilter, LocalReplies, Priority, RetryPolicy, SlowStart, Upgrade,
};

use crate::{
    checks::Checks, dynamic_hosts::HostCache, hedges::Hedges, outliers::Outliers,
    routing::RouteConfig, slots::SharedNames,
};

// Values that are the same before and after compilation.
pub use weft_resources::{
    Address as BindAddress, Backoff, CircuitBreakers, ClientOptions, Codec, ConnectionSettings,
    FamilyOrder, Http2Options, Keepalive, ListenAddress, OriginalDestination, SocketOption,
    SocketSettings, SocketState, SocketValue, TcpKeepalive, TlvMerge, TlvValue, Tlvs, Tunneling,
    UpstreamProtocol, UpstreamProxyProtocol,
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
    /// Which listener has which address.
    pub(crate) hand_off: HandOff,
    /// Route configurations received by RDS, by [`RouteConfigId`].
    pub routes: Vec<Option<Arc<RouteConfig>>>,
    /// Warm clusters, by [`ClusterId`].
    pub clusters: Vec<Option<Arc<Cluster>>>,
    pub(crate) cluster_names: SharedNames,
}

impl Tables {
    /// The cluster in this slot, if it is known and warm.
    #[inline]
    pub fn cluster(&self, id: ClusterId) -> Option<&Arc<Cluster>> {
        self.clusters.get(id.0 as usize)?.as_ref()
    }

    /// The slot of a cluster by its name, for routes that are told the name by a request.
    pub fn cluster_named(&self, name: &str) -> Option<ClusterId> {
        self.cluster_names.get(name).copied().map(ClusterId)
    }

    /// The route configuration that an HTTP chain uses now, for a request with these headers.
    #[inline]
    pub fn routes_of<'a, 'v>(
        &'a self,
        chain: &'a HttpChain,
        said: impl Fn(&HeaderKey) -> Option<&'v [u8]>,
    ) -> Option<&'a Arc<RouteConfig>> {
        match &chain.routes {
            Routes::Scoped(scopes) => scopes.find(said),
            Routes::Inline(config) => Some(config),
            Routes::Rds(id) => self.routes.get(id.0 as usize)?.as_ref(),
        }
    }

    /// The warm listener of this name.
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        let at = self.listeners.binary_search_by(|l| l.name.as_ref().cmp(name)).ok()?;
        self.listeners.get(at)
    }

    /// The listener of the address that a redirected connection was meant for: of exactly this one,
    /// or of its port on all addresses.
    pub fn listener_at(&self, address: SocketAddr) -> Option<&Arc<Listener>> {
        self.listeners.get(self.hand_off.find(address)?)
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
    /// How connections of clients are held.
    pub client: ClientOptions,
    /// `upgrade_configs`.
    pub upgrades: Box<[Upgrade]>,
    /// What becomes of the heads of requests and responses.
    pub heads: HeadRules,
    /// `local_reply_config`.
    pub local_replies: Option<Box<LocalReplies<Bytes>>>,
    /// Where counters are found by names that only routes tell.
    pub registry: Arc<Stats>,
    /// `http_filters` before the router.
    pub filters: Box<[HttpFilter]>,
    /// Router's `suppress_envoy_headers`: no `x-envoy-*` headers are added.
    pub suppress_envoy_headers: bool,
    /// Router's `respect_expected_rq_timeout`: what a proxy before this one has told of the time
    /// holds.
    pub respect_expected_timeout: bool,
    /// `http2_protocol_options`.
    pub http2: Http2Options,
    /// `http2.*`.
    pub http2_stats: Arc<Http2Stats>,
}

/// The source of a chain's routes.
#[derive(Debug)]
pub enum Routes {
    /// `route_config`.
    Inline(Arc<RouteConfig>),
    /// `rds`: looked up in the pinned [`Tables`] for each request.
    Rds(RouteConfigId),
    /// `scoped_routes`.
    Scoped(Scopes),
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
    /// How long to rest between attempts.
    pub backoff: Option<Backoff>,
    /// A connection ends after this long,
    pub max_duration: Option<Duration>,
    /// or by chance later by up to this share.
    pub max_duration_jitter: f64,
    /// What an upstream is told of the connection besides, by type.
    pub tlvs: Tlvs,
    /// What becomes of it where the client's own header told something.
    pub tlv_merge: TlvMerge,
    /// Whether nothing is connected to before the client has said something.
    pub waits_for_data: bool,
    /// How an upstream is asked to take the bytes over HTTP, if it is.
    pub tunneling: Option<Tunneling>,
    /// Whether the client's address decides where hashes do.
    pub hashes_source: bool,
}

impl TcpChain {
    /// How long a connection may last, for a random number.
    pub fn longest_life(&self, random: u64) -> Option<Duration> {
        let share = share_of(random) * self.max_duration_jitter;
        self.max_duration.map(|limit| limit.saturating_add(limit.mul_f64(share)))
    }

    /// How long to rest before an attempt, counted from 0, for a random number: anything up to the
    /// interval, which doubles each time.
    pub fn pause(&self, attempt: u32, random: u64) -> Option<Duration> {
        let backoff = self.backoff.filter(|_| attempt > 0)?;
        let doubled = backoff.base.saturating_mul(2u32.saturating_pow(attempt - 1));
        Some(doubled.min(backoff.max).mul_f64(share_of(random)))
    }
}

/// A random number as a share of 1.
#[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
fn share_of(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
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
    /// Asks its endpoints whether they are well, where health checks are configured.
    pub checks: Option<Checks>,
    /// Whether every endpoint has been checked once since the cluster came; it takes no requests
    /// before.
    pub is_ready: bool,
    /// How the part that new endpoints take grows.
    pub slow_start: Option<SlowStart>,
    /// How fast it forgets how long requests took, where balancing goes by that.
    pub latencies: Option<Decay>,
    /// Takes note of how its requests go, where outlier detection is configured.
    pub outliers: Option<Outliers>,
    /// Sends requests that are slow to a second endpoint as well; carried over while its settings stay.
    pub hedges: Option<Arc<Hedges>>,
    /// Holds in place of what routes say of retries.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Requests that are not sent at all.
    pub drop_overloads: DropOverloads,
    /// Picks an endpoint.
    pub balancer: Balancer,
    /// Picks among those that have what a request asks for (`lb_subset_config`).
    pub subsets: Option<Box<Subsets>>,
    /// The states in which an endpoint takes requests that ask for it.
    pub live: Statuses,
    /// Of an aggregate: the clusters that its endpoints belong to, by the group of a pick. Their
    /// settings and limits hold for what goes there.
    pub members: Box<[Arc<Cluster>]>,
    /// `ORIGINAL_DST`: the request or its connection says where it goes.
    pub original_destination: Option<OriginalDestination>,
    /// `dynamic_forward_proxy`: the request names the host that it goes to.
    pub dynamic_hosts: Option<Arc<HostCache>>,
    /// Identifies cluster resource + endpoints; see [`Listener::hash`].
    pub hash: u64,
}

impl Cluster {
    /// A request to one of its endpoints, or a connection, has gone this way.
    #[inline]
    pub fn record(&self, endpoint: &EndpointState, outcome: Outcome) {
        if let Some(outliers) = &self.outliers {
            outliers.record(endpoint, outcome);
        }
    }

    /// An answer came after so long, or none will: `took` says how long, and what time it is, where that matters.
    #[inline]
    pub fn measure(
        &self,
        endpoint: &EndpointState,
        took: impl FnOnce() -> (Duration, Ticks),
        is_good: bool,
    ) {
        if let Some(decay) = self.latencies {
            let (took, now) = took();
            endpoint.measure(took, is_good, now, decay);
        }
    }

    /// Counts a pick that was decided by zones, or regardless of states.
    #[inline]
    pub fn count_pick(&self, picked: &Picked<'_>) {
        if picked.panicking {
            self.stats.lb_healthy_panic.inc();
        }
        match (picked.routing, picked.is_near) {
            (ZoneRouting::Off, _) => {}
            (ZoneRouting::Direct, _) => self.stats.lb_zone_routing_all_directly.inc(),
            (ZoneRouting::Residual, true) => self.stats.lb_zone_routing_sampled.inc(),
            (ZoneRouting::Residual, false) => self.stats.lb_zone_routing_cross_zone.inc(),
        }
    }

    /// What is under way for this priority.
    #[inline]
    pub fn under_way(&self, priority: Priority) -> &UnderWay {
        match priority {
            Priority::Default => &self.stats.default_priority,
            Priority::High => &self.stats.high_priority,
        }
    }

    /// How many of its requests of this priority may be tried again now.
    pub fn most_retries(&self, priority: Priority) -> u64 {
        self.circuit_breakers.of(priority).retries.most(self.requests_under_way(priority))
    }

    /// How many requests of this priority are under way, or wait for a connection.
    pub fn requests_under_way(&self, priority: Priority) -> u64 {
        let now = self.under_way(priority);
        now.requests.get() + now.pending_requests.get()
    }
}
