//! Which routes a port has, in the order in which they are tried.

use std::cmp::Reverse;

use weft_config::model::route::{Match, PathMatch};
use weft_config::{Backend, BoundRoute, BoundRule};

use crate::cluster::{cluster_name, subset_cluster_name};

/// One match of one rule of one route.
pub(crate) struct Candidate<'a> {
    pub(crate) route: &'a BoundRoute,
    pub(crate) rule_index: usize,
    pub(crate) rule: &'a BoundRule,
    pub(crate) matched: &'a Match,
}

impl Candidate<'_> {
    /// A name for dumps and logs: `namespace/route/rule`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.route.key, self.rule_index)
    }
}

/// Every match of the routes, by the precedence of Gateway API: exact paths, then regular
/// expressions, then prefixes, longer ones first; then a method, then more headers, then more
/// query parameters; then the order of route names and of rules.
///
/// Gateway API leaves the place of regular expressions open.
pub(crate) fn by_precedence<'a>(routes: &[&'a BoundRoute]) -> Vec<Candidate<'a>> {
    let mut candidates: Vec<Candidate<'a>> = routes
        .iter()
        .flat_map(|route| {
            route.rules.iter().enumerate().flat_map(move |(rule_index, rule)| {
                let candidate = move |matched| Candidate { route, rule_index, rule, matched };
                rule.matches.iter().map(candidate)
            })
        })
        .collect();
    // Stable: routes come in the order of their names, rules as written.
    candidates.sort_by_key(|candidate| precedence(candidate.matched));
    candidates
}

fn precedence(matched: &Match) -> impl Ord + use<> {
    let (rank, length) = match &matched.path {
        Some(PathMatch::Exact(path)) => (0, path.len()),
        Some(PathMatch::RegularExpression(pattern)) => (1, pattern.len()),
        Some(PathMatch::PathPrefix(prefix)) => (2, prefix.trim_end_matches('/').len().max(1)),
        None => (2, 1),
    };
    let method = matched.method.is_none();
    (
        rank,
        Reverse(length),
        method,
        Reverse(matched.headers.len()),
        Reverse(matched.query_params.len()),
    )
}

/// The cluster of a backend.
pub(crate) fn backend_cluster(backend: &Backend) -> String {
    match &backend.subset {
        Some(subset) => subset_cluster_name(&backend.service, subset, backend.port),
        None => cluster_name(&backend.service, backend.port),
    }
}
