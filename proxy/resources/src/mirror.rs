//! `request_mirror_policies`: clusters that get copies of requests, and whose answers nobody sees.

mod copies;

use std::sync::Arc;

use http::HeaderValue;
use weft_proto::pb::envoy::config::route::v3::route_action::RequestMirrorPolicy;
use weft_route::Fraction;

pub use self::copies::{AnswerComparison, ComparedHeader, Copies, Mirroring};
pub(crate) use self::copies::{apply, read as read_copies, refuse};
use crate::{
    destination::ClusterChoice,
    headers,
    http_filter::{self, HeaderChange},
    name::ClusterName,
    path::At,
    problem::{Notes, Problem},
    rewrite, scalar,
};

/// `RequestMirrorPolicy`. `C` says which cluster gets the copies.
#[derive(Clone, Debug)]
pub struct Mirror<C> {
    /// `cluster` or `cluster_header`.
    pub cluster: C,
    /// `runtime_fraction`: the share of requests that are copied (all by default).
    pub fraction: Option<Fraction>,
    /// Whether `-shadow` is appended to the host (unless `disable_shadow_host_suffix_append`).
    pub marks_host: bool,
    /// `request_headers_mutations`.
    pub changes: Box<[HeaderChange]>,
    /// `host_rewrite_literal`.
    pub host: Option<HeaderValue>,
    /// What the route says of these copies besides (`weft.mirroring.v1.Copies`).
    pub copies: Option<Arc<Copies>>,
}

/// Reads the policies of a route, a virtual host or a route configuration.
pub(crate) fn read(
    policies: &[RequestMirrorPolicy],
    at: &At<'_>,
    notes: &mut Notes,
) -> Vec<Mirror<ClusterChoice>> {
    let each = policies.iter().enumerate();
    each.filter_map(|(index, policy)| {
        one(policy, &at.item("request_mirror_policies", index), notes)
    })
    .collect()
}

fn one(
    message: &RequestMirrorPolicy,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Mirror<ClusterChoice>> {
    let cluster = match (message.cluster.as_str(), message.cluster_header.as_str()) {
        ("", "") => notes.refuse(&at.field("cluster"), Problem::Missing),
        (name, "") => Some(ClusterChoice::Name(ClusterName::from(name))),
        ("", header) => headers::header_name(header, &at.field("cluster_header"), notes)
            .map(ClusterChoice::Header),
        _ => notes.refuse(&at.field("cluster_header"), Problem::Conflict("cluster")),
    };
    let fraction = message.runtime_fraction.as_ref();
    let fraction =
        fraction.and_then(|share| scalar::fraction(share, &at.field("runtime_fraction"), notes));
    let list = &message.request_headers_mutations;
    let changes = http_filter::changes(list, "request_headers_mutations", at, notes);
    let host =
        rewrite::literal(&message.host_rewrite_literal, &at.field("host_rewrite_literal"), notes)?;
    Some(Mirror {
        cluster: cluster?,
        fraction,
        marks_host: !message.disable_shadow_host_suffix_append && host.is_none(),
        changes: changes.into(),
        host,
        copies: None,
    })
}
