//! The routes of the tables: what the request path knows of a route configuration.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use weft_balance::Criteria;
use weft_resources::{
    BodyFormat, GrpcTimeout, HashPolicy, InternalRedirect, Mirror, Priority, RetryPolicy,
    RouteFilters, StreamLimit, Upgrade,
};
use weft_route::RouteTable;

use crate::tables::{ClusterId, Tables};

// Values that are the same before and after compilation.
pub use weft_resources::{
    AppendAction, HeaderMutations, HeaderProgram, HeaderSet, HeaderText, HostRewrite, PathRewrite,
    PrefixRewrite, Redirect, RedirectPath,
};

/// One route configuration, compiled once.
#[derive(Debug)]
pub struct RouteConfig {
    /// The resource name.
    pub name: Arc<str>,
    /// Host and path matching; the entry is what to do.
    pub table: RouteTable<Arc<RouteEntry>>,
    /// `internal_only_headers`.
    pub internal_only: Box<[HeaderName]>,
}

/// What a matched route does.
#[derive(Debug)]
pub struct RouteEntry {
    /// The action.
    pub action: Action,
    /// Header changes of the route, its virtual host and the route configuration, already in
    /// Envoy's order (`most_specific_header_mutations_wins` applied).
    pub request_headers: HeaderProgram,
    /// The same towards the client.
    pub response_headers: HeaderProgram,
    /// What the route says to the filters of chains (`typed_per_filter_config`).
    pub filters: RouteFilters,
    /// What the route is called.
    pub names: Arc<RouteNames>,
    /// `include_request_attempt_count`: the upstream is told which attempt it sees.
    pub count_attempts: bool,
    /// `include_is_timeout_retry_header`: the upstream is told whether the try before took too long.
    pub tell_timeouts: bool,
    /// `include_attempt_count_in_response`: the client is told how many there were.
    pub tell_attempts: bool,
}

/// What a route is called, for formats and logs.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteNames {
    /// `Route.name`, if it has one.
    pub route: Option<Box<str>>,
    /// `VirtualHost.name`.
    pub virtual_host: Arc<str>,
}

impl RouteEntry {
    /// `RouteAction.priority`; what is sent to no cluster has none to be preferred by.
    pub fn priority(&self) -> Priority {
        match &self.action {
            Action::Forward(forward) => forward.priority,
            Action::Redirect(_) | Action::Direct(_) | Action::Nowhere => Priority::Default,
        }
    }
}

/// A route's action.
#[derive(Debug)]
pub enum Action {
    /// Send it on.
    Forward(Box<Forward>),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer with fixed content.
    Direct(DirectResponse),
    /// `non_forwarding_action`: there is nowhere to send it.
    Nowhere,
}

/// `DirectResponseAction`.
#[derive(Clone, Debug)]
pub struct DirectResponse {
    /// The status.
    pub status: StatusCode,
    /// The body, empty for none.
    pub body: Bytes,
    /// `body_format`.
    pub format: Option<BodyFormat>,
}

/// `RouteAction`.
#[derive(Debug)]
pub struct Forward {
    /// The cluster, or how it is chosen.
    pub target: RouteTarget,
    /// Whole upstream answer within this time (15 s by default as in Envoy; `None` when 0).
    pub timeout: Option<Duration>,
    /// Overrides the chain's `stream_idle_timeout` when set; `Some(None)` turns it off.
    pub idle_timeout: Option<Option<Duration>>,
    /// `max_stream_duration`.
    pub stream_limit: StreamLimit,
    /// `max_grpc_timeout`.
    pub grpc_timeout: Option<GrpcTimeout>,
    /// What becomes of the host.
    pub host: HostRewrite,
    /// `append_x_forwarded_host`.
    pub append_x_forwarded_host: bool,
    /// What becomes of the path.
    pub path: PathRewrite,
    /// Answer when the cluster is not in the pinned tables (`cluster_not_found_response_code`).
    pub cluster_not_found: StatusCode,
    /// `hash_policy`, for clusters whose policy hashes.
    pub hash_policy: Box<[HashPolicy]>,
    /// `upgrade_configs`.
    pub upgrades: Box<[Upgrade]>,
    /// Bytes of a request's body that are kept to send it once more, where that is said.
    pub body_limit: Option<usize>,
    /// `internal_redirect_policy`.
    pub internal_redirect: Option<Arc<InternalRedirect>>,
    /// `retry_policy`.
    pub retry: Option<Arc<RetryPolicy>>,
    /// `hedge_on_per_try_timeout`.
    pub hedges: bool,
    /// `metadata_match`, for clusters with subsets.
    pub labels: Option<Arc<Criteria>>,
    /// `priority`.
    pub priority: Priority,
    /// `request_mirror_policies`.
    pub mirrors: Box<[Mirror<ClusterChoice>]>,
}

/// How a route chooses a cluster.
#[derive(Debug)]
pub enum RouteTarget {
    /// Always this cluster.
    Cluster(ClusterId),
    /// The cluster that this header names.
    Header(HeaderName),
    /// By weight.
    Weighted(WeightedRoute),
}

/// `WeightedCluster`.
#[derive(Debug)]
pub struct WeightedRoute {
    /// Sum of the weights, at least 1.
    pub total: u32,
    /// The header whose number chooses, where it has one.
    pub random_header: Option<HeaderName>,
    /// `use_hash_policy`: the hash of the request chooses, where it has one.
    pub by_hash: bool,
    /// The clusters in order.
    pub clusters: Box<[WeightedCluster]>,
}

/// `WeightedCluster.ClusterWeight`.
#[derive(Debug)]
pub struct WeightedCluster {
    /// The running sum of weights up to and including this one.
    pub up_to: u32,
    /// The cluster.
    pub cluster: ClusterChoice,
    /// `metadata_match` of its own and of the route.
    pub labels: Option<Arc<Criteria>>,
    /// `host_rewrite_literal`.
    pub host_rewrite: Option<HeaderValue>,
    /// Header changes towards the upstream: its own, and those of the route after them.
    pub request_headers: HeaderProgram,
    /// Header changes towards the client: its own, and those of the route after them.
    pub response_headers: HeaderProgram,
    /// What the route and this cluster of it say to the filters of chains.
    pub filters: RouteFilters,
}

/// A cluster by its slot, or by a header that names it.
#[derive(Debug)]
pub enum ClusterChoice {
    /// This cluster.
    Id(ClusterId),
    /// The cluster that the header names.
    Header(HeaderName),
}

impl RouteTarget {
    /// Whether the hash of a request chooses.
    #[inline]
    pub fn is_by_hash(&self) -> bool {
        matches!(self, Self::Weighted(weighted) if weighted.by_hash)
    }

    /// The cluster for a request, and its part of the weights if they decided: by this number, which
    /// is a random one or the hash of the request.
    #[inline]
    pub fn choose(
        &self,
        tables: &Tables,
        headers: &HeaderMap,
        number: u64,
    ) -> (Option<ClusterId>, Option<&WeightedCluster>) {
        match self {
            Self::Cluster(id) => (Some(*id), None),
            Self::Header(name) => (named(tables, headers, name), None),
            Self::Weighted(weighted) => {
                let Some(chosen) = weighted.choose(headers, number) else { return (None, None) };
                (chosen.cluster.choose(tables, headers), Some(chosen))
            }
        }
    }
}

impl ClusterChoice {
    /// The cluster for a request; `None` where its header names none.
    pub fn choose(&self, tables: &Tables, headers: &HeaderMap) -> Option<ClusterId> {
        match self {
            Self::Id(id) => Some(*id),
            Self::Header(name) => named(tables, headers, name),
        }
    }
}

fn named(tables: &Tables, headers: &HeaderMap, name: &HeaderName) -> Option<ClusterId> {
    tables.cluster_named(headers.get(name)?.to_str().ok()?)
}

impl WeightedRoute {
    /// The cluster for a random number (any `u64`; reduced modulo the total), unless the request
    /// brings its own.
    #[inline]
    pub fn choose(&self, headers: &HeaderMap, random: u64) -> Option<&WeightedCluster> {
        let brought = self.random_header.as_ref().and_then(|name| only_number(headers, name));
        let point = brought.unwrap_or(random) % u64::from(self.total.max(1));
        self.clusters.iter().find(|cluster| point < u64::from(cluster.up_to))
    }
}

/// The number that a header holds, if there is one line of it and nothing else in it.
fn only_number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let mut lines = headers.get_all(name).iter();
    let number = lines.next()?.to_str().ok()?.trim().parse().ok()?;
    lines.next().is_none().then_some(number)
}
