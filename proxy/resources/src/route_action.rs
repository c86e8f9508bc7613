//! What a route does: forward, redirect or answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri};
use weft_proto::pb::envoy::config::route::v3 as wire;
use weft_route::PathMatch;

use crate::{
    cluster::optional,
    headers,
    name::ClusterName,
    path::At,
    problem::{Notes, Problem},
    redirect::{self, Redirect},
    scalar,
};

/// Envoy's default for the whole upstream answer.
const ROUTE_TIMEOUT: Duration = Duration::from_secs(15);

/// A route's action.
#[derive(Debug)]
pub enum RouteAction {
    /// `route`: send it on.
    Forward(Forward),
    /// `redirect`: answer with a redirect.
    Redirect(Redirect),
    /// `direct_response`: answer with fixed content.
    Direct(DirectResponse),
}

/// `RouteAction` of the wire.
#[derive(Debug)]
pub struct Forward {
    /// Cluster, or clusters by weight.
    pub destination: Destination,
    /// `timeout`: whole upstream answer within this time (15 s by default; `None` when 0).
    pub timeout: Option<Duration>,
    /// `idle_timeout`: overrides the connection manager's when set; `Some(None)` turns it off.
    pub idle_timeout: Option<Option<Duration>>,
    /// `host_rewrite_literal`.
    pub host_rewrite: Option<HeaderValue>,
    /// `prefix_rewrite`.
    pub prefix_rewrite: Option<PrefixRewrite>,
    /// `cluster_not_found_response_code` (503 by default).
    pub cluster_not_found: StatusCode,
}

/// Clusters by weight; one alone has weight 1. The weights sum to 1 or more and fit 32 bits.
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

/// `prefix_rewrite` of a prefix or exact path match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixRewrite {
    /// How many bytes of the path the match covered.
    pub matched: usize,
    /// What stands in their place.
    pub replacement: Box<str>,
}

/// `DirectResponseAction`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// The status.
    pub status: StatusCode,
    /// The body, empty for none.
    pub body: Bytes,
}

/// Reads a route's action. `path` is what the route matches, if that could be read.
pub(crate) fn read(
    message: &wire::Route,
    path: Option<&PathMatch>,
    direct_response_limit: u32,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<RouteAction> {
    use wire::route::Action;
    const SUPPORTED: &str = "route, redirect and direct_response are";
    match &message.action {
        None => notes.refuse(&at.field("action"), Problem::Missing),
        Some(Action::Route(action)) => {
            forward(action, path, &at.field("route"), notes).map(RouteAction::Forward)
        }
        Some(Action::Redirect(action)) => {
            redirect::read(action, path, &at.field("redirect"), notes).map(RouteAction::Redirect)
        }
        Some(Action::DirectResponse(action)) => {
            direct(action, direct_response_limit, &at.field("direct_response"), notes)
                .map(RouteAction::Direct)
        }
        Some(Action::FilterAction(_)) => {
            notes.unsupported(&at.field("filter_action"), "a filter's action", SUPPORTED)
        }
        Some(Action::NonForwardingAction(_)) => {
            notes.unsupported(&at.field("non_forwarding_action"), "no action", SUPPORTED)
        }
    }
}

fn forward(
    message: &wire::RouteAction,
    path: Option<&PathMatch>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Forward> {
    use wire::route_action::ClusterNotFoundResponseCode as NotFound;
    let destination = destination(message, at, notes);
    let timeout = message.timeout.as_ref();
    let timeout = scalar::timeout_or(timeout, Some(ROUTE_TIMEOUT), &at.field("timeout"), notes);
    let idle_timeout = message.idle_timeout.as_ref().map(|idle| {
        scalar::duration(idle, &at.field("idle_timeout"), notes).filter(|idle| !idle.is_zero())
    });
    let host_rewrite = host_rewrite(message, at, notes);
    let rewrite_at = at.field("prefix_rewrite");
    let prefix_rewrite = prefix_rewrite(&message.prefix_rewrite, path, &rewrite_at, notes);
    if message.regex_rewrite.is_some() {
        notes.unsupported::<()>(
            &at.field("regex_rewrite"),
            "rewriting by an expression",
            "prefix_rewrite is",
        );
    }
    let cluster_not_found = match NotFound::try_from(message.cluster_not_found_response_code) {
        Ok(NotFound::ServiceUnavailable) => StatusCode::SERVICE_UNAVAILABLE,
        Ok(NotFound::NotFound) => StatusCode::NOT_FOUND,
        Ok(NotFound::InternalServerError) => StatusCode::INTERNAL_SERVER_ERROR,
        Err(_) => {
            let unknown = Problem::UnknownEnum(message.cluster_not_found_response_code);
            return notes.refuse(&at.field("cluster_not_found_response_code"), unknown);
        }
    };
    Some(Forward {
        destination: destination?,
        timeout,
        idle_timeout,
        host_rewrite,
        prefix_rewrite,
        cluster_not_found,
    })
}

fn destination(message: &wire::RouteAction, at: &At<'_>, notes: &mut Notes) -> Option<Destination> {
    use wire::route_action::ClusterSpecifier as Kind;
    const SUPPORTED: &str = "cluster and weighted_clusters are";
    match &message.cluster_specifier {
        None => notes.refuse(&at.field("cluster_specifier"), Problem::Missing),
        Some(Kind::Cluster(name)) if name.is_empty() => {
            notes.refuse(&at.field("cluster"), Problem::Missing)
        }
        Some(Kind::Cluster(name)) => Some(Destination::one(name)),
        Some(Kind::WeightedClusters(clusters)) => {
            weighted(clusters, &at.field("weighted_clusters"), notes)
        }
        Some(Kind::ClusterHeader(_)) => {
            notes.unsupported(&at.field("cluster_header"), "a cluster named by a header", SUPPORTED)
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
) -> Option<Destination> {
    if message.random_value_specifier.is_some() {
        notes.unsupported::<()>(
            &at.field("random_value_specifier"),
            "choosing by anything but chance",
            "leave it out",
        );
    }
    let mut clusters = Vec::with_capacity(message.clusters.len());
    for (index, cluster) in message.clusters.iter().enumerate() {
        let at = at.item("clusters", index);
        refuse_per_cluster(cluster, &at, notes);
        let weight = optional(cluster.weight.as_ref());
        match (cluster.name.as_str(), weight) {
            ("", _) => notes.refuse(&at.field("name"), Problem::Missing)?,
            (_, None) => notes.refuse(&at.field("weight"), Problem::Missing)?,
            (name, Some(weight)) => clusters.push((ClusterName::from(name), weight)),
        }
    }
    let clusters: Box<[_]> = clusters.into();
    weights(clusters, &at.field("clusters"), notes)
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

fn refuse_per_cluster(
    message: &wire::weighted_cluster::ClusterWeight,
    at: &At<'_>,
    notes: &mut Notes,
) {
    const SUPPORTED: &str = "set it on the route";
    for (set, field) in [
        (!message.request_headers_to_add.is_empty(), "request_headers_to_add"),
        (!message.request_headers_to_remove.is_empty(), "request_headers_to_remove"),
        (!message.response_headers_to_add.is_empty(), "response_headers_to_add"),
        (!message.response_headers_to_remove.is_empty(), "response_headers_to_remove"),
        (message.host_rewrite_specifier.is_some(), "host_rewrite_literal"),
        (!message.cluster_header.is_empty(), "cluster_header"),
    ] {
        if set {
            let what = format!("{field} of one of several clusters");
            notes.unsupported::<()>(&at.field(field), what, SUPPORTED);
        }
    }
    crate::extension::per_filter_config(&message.typed_per_filter_config, at, notes);
}

fn host_rewrite(
    message: &wire::RouteAction,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HeaderValue> {
    use wire::route_action::HostRewriteSpecifier as Kind;
    match &message.host_rewrite_specifier {
        None => None,
        Some(Kind::HostRewriteLiteral(host)) if host.is_empty() => None,
        Some(Kind::HostRewriteLiteral(host)) => {
            headers::header_value(host.as_bytes(), &at.field("host_rewrite_literal"), notes)
        }
        // Switched off explicitly is what is done anyway.
        Some(Kind::AutoHostRewrite(switch)) if !switch.value => None,
        Some(_) => notes.unsupported(
            &at.field("host_rewrite_specifier"),
            "this way of rewriting the host",
            "host_rewrite_literal is",
        ),
    }
}

/// Reads a `prefix_rewrite`; empty means none.
pub(crate) fn prefix_rewrite(
    replacement: &str,
    path: Option<&PathMatch>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<PrefixRewrite> {
    if replacement.is_empty() {
        return None;
    }
    let is_path = replacement.starts_with('/') && replacement.parse::<Uri>().is_ok();
    if !is_path {
        return notes.refuse(at, Problem::PathText(replacement.to_owned()));
    }
    let Some(matched) = path?.matched_len() else {
        return notes.unsupported(
            at,
            "prefix_rewrite of a path matched by an expression",
            "with prefix, path and path_separated_prefix it is",
        );
    };
    Some(PrefixRewrite { matched, replacement: replacement.into() })
}

fn direct(
    message: &wire::DirectResponseAction,
    limit: u32,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<DirectResponse> {
    if message.body_format.is_some() {
        notes.unsupported::<()>(&at.field("body_format"), "a format", "body is");
    }
    let status = u16::try_from(message.status)
        .ok()
        .filter(|status| (200..600).contains(status))
        .and_then(|status| StatusCode::from_u16(status).ok());
    if status.is_none() {
        notes.refuse::<()>(&at.field("status"), Problem::Status(message.status));
    }
    let at = at.field("body");
    let body = match &message.body {
        None => Bytes::new(),
        Some(body) => scalar::inline_data(body, &at, notes)?,
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if body.len() > limit {
        return notes.refuse(&at, Problem::TooLarge { bytes: body.len(), limit });
    }
    Some(DirectResponse { status: status?, body })
}
