//! `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`.

use std::time::Duration;

use weft_proto::pb::envoy::extensions::filters::network::tcp_proxy::v3 as wire;

use crate::{
    cluster::optional,
    destination::{self, Destination},
    name::ClusterName,
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// Envoy's default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// Forwards the bytes of a connection.
#[derive(Debug)]
pub struct TcpProxy {
    /// `stat_prefix`.
    pub stat_prefix: Box<str>,
    /// Where connections go.
    pub destination: Destination,
    /// `idle_timeout`: closes a connection when no byte moved either way for this long (1 h by
    /// default; `None` when 0).
    pub idle_timeout: Option<Duration>,
    /// `max_connect_attempts`: endpoints tried before giving up (1 by default).
    pub max_connect_attempts: u32,
}

/// Reads the filter.
pub(crate) fn read(message: &wire::TcpProxy, at: &At<'_>, notes: &mut Notes) -> Option<TcpProxy> {
    if message.stat_prefix.is_empty() {
        notes.refuse::<()>(&at.field("stat_prefix"), Problem::Missing);
    }
    const SUPPORTED: &str = "leave it out";
    for (set, field, what) in [
        (message.tunneling_config.is_some(), "tunneling_config", "tunnelling"),
        (message.on_demand.is_some(), "on_demand", "discovery on demand"),
        (!message.hash_policy.is_empty(), "hash_policy", "hashing"),
    ] {
        if set {
            notes.unsupported::<()>(&at.field(field), what, SUPPORTED);
        }
    }
    let destination = destination(message, at, notes);
    let idle_at = at.field("idle_timeout");
    let idle = message.idle_timeout.as_ref();
    let idle_timeout = scalar::timeout_or(idle, Some(IDLE_TIMEOUT), &idle_at, notes);
    let max_connect_attempts = optional(message.max_connect_attempts.as_ref()).unwrap_or(1);
    Some(TcpProxy {
        stat_prefix: message.stat_prefix.as_str().into(),
        destination: destination?,
        idle_timeout,
        max_connect_attempts: max_connect_attempts.max(1),
    })
}

fn destination(message: &wire::TcpProxy, at: &At<'_>, notes: &mut Notes) -> Option<Destination> {
    use wire::tcp_proxy::ClusterSpecifier as Kind;
    match &message.cluster_specifier {
        None => notes.refuse(&at.field("cluster_specifier"), Problem::Missing),
        Some(Kind::Cluster(name)) if name.is_empty() => {
            notes.refuse(&at.field("cluster"), Problem::Missing)
        }
        Some(Kind::Cluster(name)) => Some(Destination::one(name)),
        Some(Kind::WeightedClusters(weighted)) => {
            let at = at.field("weighted_clusters");
            let clusters = weighted
                .clusters
                .iter()
                .map(|cluster| (ClusterName::from(cluster.name.as_str()), cluster.weight))
                .collect();
            destination::weights(clusters, &at.field("clusters"), notes)
        }
    }
}
