//! Which cluster a route sends a request to.

use http::{HeaderName, HeaderValue};
use weft_proto::pb::envoy::config::route::v3 as wire;

use crate::{
    cluster::optional,
    headers::{self, HeaderMutations},
    http_filter::{self, FilterRule},
    metadata::{self, Labels},
    mirror,
    name::ClusterName,
    path::At,
    problem::{Notes, Problem},
    rewrite,
};

/// Clusters by weight, for connections; one alone has weight 1. The weights sum to 1 or more and
/// fit 32 bits.
#[derive(Debug)]
pub struct Destination(Box<[(ClusterName, u32)]>);

impl Destination {
    /// Always this cluster.
    pub(crate) fn one(name: &str) -> Self {
        Self(Box::new([(ClusterName::from(name), 1)]))
    }

    /// The clusters and their weights, at least one.
    pub fn clusters(&self) -> &[(ClusterName, u32)] {
        &self.0
    }
}

/// Checks the sum of weights.
pub(crate) fn weights(
    clusters: Box<[(ClusterName, u32)]>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Destination> {
    let sum: u64 = clusters.iter().map(|(_, weight)| u64::from(*weight)).sum();
    if (1..=u64::from(u32::MAX)).contains(&sum) {
        Some(Destination(clusters))
    } else {
        notes.refuse(at, Problem::Weights(sum))
    }
}

/// `RouteAction.cluster_specifier`.
#[derive(Debug)]
pub enum RouteTarget {
    /// `cluster`.
    Cluster(ClusterName),
    /// `cluster_header`: the cluster that this header names.
    Header(HeaderName),
    /// `weighted_clusters`.
    Weighted(WeightedClusters),
}

/// `WeightedCluster`.
#[derive(Debug)]
pub struct WeightedClusters {
    /// At least one; the weights sum to 1 or more and fit 32 bits.
    pub clusters: Box<[WeightedCluster]>,
    /// `header_name`: the header whose number chooses, where it has one.
    pub random_header: Option<HeaderName>,
    /// `use_hash_policy`: the hash of the request chooses, where it has one.
    pub by_hash: bool,
}

/// `WeightedCluster.ClusterWeight`.
#[derive(Debug)]
pub struct WeightedCluster {
    /// `name` or `cluster_header`.
    pub cluster: ClusterChoice,
    /// Its share of the sum of all weights.
    pub weight: u32,
    /// `metadata_match`: labels that an endpoint must have, more specific than those of the route.
    pub labels: Labels,
    /// `host_rewrite_literal`, done before what the route does to the host.
    pub host_rewrite: Option<HeaderValue>,
    /// Header changes towards the upstream, before those of the route.
    pub request_headers: HeaderMutations,
    /// Header changes towards the client, before those of the route.
    pub response_headers: HeaderMutations,
    /// `typed_per_filter_config`, more specific than that of the route.
    pub filters: Vec<FilterRule>,
}

/// A cluster by its name, or by a header that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterChoice {
    /// This cluster.
    Name(ClusterName),
    /// The cluster that the header names.
    Header(HeaderName),
}

impl RouteTarget {
    /// The clusters that can be told without a request.
    pub fn names(&self) -> Vec<&ClusterName> {
        match self {
            Self::Cluster(name) => vec![name],
            Self::Header(_) => Vec::new(),
            Self::Weighted(weighted) => {
                let names = weighted.clusters.iter().map(|cluster| match &cluster.cluster {
                    ClusterChoice::Name(name) => Some(name),
                    ClusterChoice::Header(_) => None,
                });
                names.flatten().collect()
            }
        }
    }
}

/// Reads where a route sends requests.
pub(crate) fn read(
    message: &wire::RouteAction,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<RouteTarget> {
    use wire::route_action::ClusterSpecifier as Kind;
    const SUPPORTED: &str = "cluster, weighted_clusters and cluster_header are";
    match &message.cluster_specifier {
        None => notes.refuse(&at.field("cluster_specifier"), Problem::Missing),
        Some(Kind::Cluster(name)) if name.is_empty() => {
            notes.refuse(&at.field("cluster"), Problem::Missing)
        }
        Some(Kind::Cluster(name)) => Some(RouteTarget::Cluster(ClusterName::from(name.as_str()))),
        Some(Kind::WeightedClusters(clusters)) => {
            weighted(clusters, &at.field("weighted_clusters"), notes).map(RouteTarget::Weighted)
        }
        Some(Kind::ClusterHeader(name)) => {
            headers::header_name(name, &at.field("cluster_header"), notes).map(RouteTarget::Header)
        }
        Some(Kind::ClusterSpecifierPlugin(_)) => {
            notes.unsupported(&at.field("cluster_specifier_plugin"), "a plugin", SUPPORTED)
        }
        Some(Kind::InlineClusterSpecifierPlugin(_)) => {
            notes.unsupported(&at.field("inline_cluster_specifier_plugin"), "a plugin", SUPPORTED)
        }
    }
}

fn weighted(
    message: &wire::WeightedCluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<WeightedClusters> {
    use wire::weighted_cluster::RandomValueSpecifier as Random;
    let (random_header, by_hash) = match &message.random_value_specifier {
        None => (None, false),
        Some(Random::HeaderName(name)) => {
            (headers::header_name(name, &at.field("header_name"), notes), false)
        }
        Some(Random::UseHashPolicy(switch)) => (None, switch.value),
    };
    let mut clusters = Vec::with_capacity(message.clusters.len());
    for (index, cluster) in message.clusters.iter().enumerate() {
        clusters.extend(one_of_several(cluster, &at.item("clusters", index), notes));
    }
    if clusters.len() < message.clusters.len() {
        return None;
    }
    let sum: u64 = clusters.iter().map(|cluster| u64::from(cluster.weight)).sum();
    if !(1..=u64::from(u32::MAX)).contains(&sum) {
        return notes.refuse(&at.field("clusters"), Problem::Weights(sum));
    }
    Some(WeightedClusters { clusters: clusters.into(), random_header, by_hash })
}

fn one_of_several(
    message: &wire::weighted_cluster::ClusterWeight,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<WeightedCluster> {
    use wire::weighted_cluster::cluster_weight::HostRewriteSpecifier as Kind;
    let filters = http_filter::rules(&message.typed_per_filter_config, at, notes);
    mirror::refuse(&filters, at, notes);
    let level = headers::Level {
        request_add: &message.request_headers_to_add,
        request_remove: &message.request_headers_to_remove,
        response_add: &message.response_headers_to_add,
        response_remove: &message.response_headers_to_remove,
    };
    let (request_headers, response_headers) = headers::level(&level, at, notes);
    let host_rewrite = match &message.host_rewrite_specifier {
        None => None,
        Some(Kind::HostRewriteLiteral(host)) => {
            rewrite::literal(host, &at.field("host_rewrite_literal"), notes)?
        }
    };
    let cluster = match (message.name.as_str(), message.cluster_header.as_str()) {
        ("", "") => notes.refuse(&at.field("name"), Problem::Missing),
        (name, "") => Some(ClusterChoice::Name(ClusterName::from(name))),
        ("", header) => headers::header_name(header, &at.field("cluster_header"), notes)
            .map(ClusterChoice::Header),
        _ => notes.refuse(&at.field("cluster_header"), Problem::Conflict("name")),
    };
    let weight = match optional(message.weight.as_ref()) {
        None => notes.refuse(&at.field("weight"), Problem::Missing),
        weight => weight,
    };
    Some(WeightedCluster {
        cluster: cluster?,
        weight: weight?,
        labels: metadata::labels(message.metadata_match.as_ref()),
        host_rewrite,
        request_headers,
        response_headers,
        filters,
    })
}
