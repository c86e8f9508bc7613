//! The two kinds of routes for requests, seen as one.

use std::borrow::Cow;

use super::age;
use crate::document::{Key, Kind};
use crate::mesh::Mesh;
use crate::model::balancing::HashOn;
use crate::model::grpc_route::{GrpcMatch, GrpcRule};
use crate::model::route::{BackendRef, Filters, Match, ParentRef, RouteRetry, Rule, Timeouts};

/// A route of either kind.
pub(super) struct RequestRoute<'a> {
    pub(super) kind: Kind,
    pub(super) key: Key,
    pub(super) parent_refs: &'a [ParentRef],
    pub(super) hostnames: &'a [String],
    pub(super) rules: Vec<RequestRule<'a>>,
}

impl<'a> RequestRoute<'a> {
    /// All of a mesh, the oldest first.
    pub(super) fn all_of(mesh: &'a Mesh) -> Vec<Self> {
        let http = mesh.routes.values().map(|route| {
            let all = Self {
                kind: Kind::HttpRoute,
                key: route.metadata.key(),
                parent_refs: &route.parent_refs,
                hostnames: &route.hostnames,
                rules: route.rules.iter().map(RequestRule::of_http).collect(),
            };
            (&route.metadata, all)
        });
        let grpc = mesh.grpc_routes.values().map(|route| {
            let all = Self {
                kind: Kind::GrpcRoute,
                key: route.metadata.key(),
                parent_refs: &route.parent_refs,
                hostnames: &route.hostnames,
                rules: route.rules.iter().map(RequestRule::of_grpc).collect(),
            };
            (&route.metadata, all)
        });
        let mut routes: Vec<_> = http.chain(grpc).collect();
        routes.sort_by(|(a, _), (b, _)| age(a).cmp(&age(b)));
        routes.into_iter().map(|(_, route)| route).collect()
    }
}

/// A rule of either kind of route for requests.
pub(super) struct RequestRule<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) matches: Cow<'a, [Match]>,
    pub(super) filters: &'a Filters,
    pub(super) backend_refs: &'a [BackendRef],
    pub(super) timeouts: Timeouts,
    pub(super) retry: Option<&'a RouteRetry>,
    pub(super) split_on: &'a [HashOn],
}

impl<'a> RequestRule<'a> {
    fn of_http(rule: &'a Rule) -> Self {
        Self {
            name: rule.name.as_deref(),
            matches: rule.matches.as_slice().into(),
            filters: &rule.filters,
            backend_refs: &rule.backend_refs,
            timeouts: rule.timeouts,
            retry: rule.retry.as_ref(),
            split_on: &rule.split_on,
        }
    }

    fn of_grpc(rule: &'a GrpcRule) -> Self {
        Self {
            name: rule.name.as_deref(),
            matches: rule.matches.iter().map(GrpcMatch::to_http).collect(),
            filters: &rule.filters,
            backend_refs: &rule.backend_refs,
            timeouts: Timeouts::default(),
            retry: None,
            split_on: &rule.split_on,
        }
    }
}
