//! Reads `HTTPRoute`.

use super::filters::filters;
use super::matches::route_match;
use super::refs::{backends, hostnames, parents};
use super::settings::{attempts, error_codes, some_time, span};
use super::stickiness::{NO_AFFINITY, split_on};
use super::{non_empty, unique};
use crate::model::filter::PathModifier;
use crate::model::route::{Match, PathMatch, RouteRetry, Rule, Timeouts};
use crate::model::{HttpRoute, Metadata};
use crate::problem::Conflict;
use crate::reader::{Object, Reader};
use crate::syntax::{SUBDOMAIN, is_subdomain};
use crate::tree::Node;

pub(super) fn http_route(
    reader: &mut Reader,
    node: &Node,
    metadata: Metadata,
) -> Option<HttpRoute> {
    reader.object(node, |reader, object| {
        let parents = parents(reader, object, &metadata.namespace);
        let hostnames = hostnames(reader, object);
        let rules = object.optional(reader, "rules", |reader, node| {
            let rules = reader.list(node, rule);
            let rules = non_empty(reader, node, rules);
            unique(reader, node, rules, |rule| {
                rule.name.clone().map(|name| (name.clone(), format!("the rule name {name:?}")))
            })
        });
        Some(HttpRoute {
            metadata,
            parent_refs: parents?,
            hostnames: hostnames?,
            rules: rules?.unwrap_or_else(|| vec![catch_all()]),
        })
    })
}

/// The rule of a route that has none: everything to the parent.
fn catch_all() -> Rule {
    Rule {
        name: None,
        matches: Vec::new(),
        filters: Default::default(),
        backend_refs: Vec::new(),
        timeouts: Timeouts::default(),
        retry: None,
        split_on: Vec::new(),
    }
}

fn rule(reader: &mut Reader, node: &Node) -> Option<Rule> {
    reader.object(node, |reader, object| {
        let name = object
            .optional(reader, "name", |reader, node| reader.text(node, SUBDOMAIN, is_subdomain));
        let matches = object.list(reader, "matches", route_match);
        let filters = object.optional(reader, "filters", filters).map(Option::unwrap_or_default);
        let backend_refs = backends(reader, object);
        let timeouts = object.optional(reader, "timeouts", timeouts).map(Option::unwrap_or_default);
        let no_affinity = object.unsupported(reader, "sessionPersistence", NO_AFFINITY);
        let split_on = split_on(reader, object, backend_refs.as_deref());
        let retry = object.optional(reader, "retry", retry);
        let rule = Rule {
            name: name?,
            matches: matches?,
            filters: filters?,
            backend_refs: backend_refs?,
            timeouts: timeouts?,
            retry: retry?,
            split_on: split_on?,
        };
        no_affinity?;
        check(reader, object, &rule).map(|()| rule)
    })
}

/// What the fields of a rule must agree on.
fn check(reader: &mut Reader, object: &Object<'_>, rule: &Rule) -> Option<()> {
    if rule.filters.redirect.is_some() && !rule.backend_refs.is_empty() {
        return reader.refuse(object.node(), Conflict::RedirectWithBackends.into());
    }
    let replaces_prefix = matches!(rule.filters.path(), Some(PathModifier::ReplacePrefixMatch(_)));
    let is_prefix = |path: &PathMatch| matches!(path, PathMatch::PathPrefix(_));
    if replaces_prefix && !rule.matches.iter().filter_map(|m| m.path.as_ref()).all(is_prefix) {
        return reader.refuse(object.node(), Conflict::PrefixWithoutPrefix.into());
    }
    let rewrite = rule.filters.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref());
    let rewrites_all = matches!(rewrite, Some(PathModifier::ReplaceFullPath(_)));
    let is_exact = |m: &Match| matches!(m.path, Some(PathMatch::Exact(_)));
    if rewrites_all && (rule.matches.is_empty() || !rule.matches.iter().all(is_exact)) {
        return reader.refuse(object.node(), Conflict::FullPathWithoutExact.into());
    }
    Some(())
}

fn timeouts(reader: &mut Reader, node: &Node) -> Option<Timeouts> {
    reader.object(node, |reader, object| {
        let request = object.optional(reader, "request", span);
        let backend_request = object.optional(reader, "backendRequest", span);
        let timeouts = Timeouts { request: request?, backend_request: backend_request? };
        // Gateway API; zero lifts a limit.
        if let (Some(whole), Some(one)) = (timeouts.request, timeouts.backend_request)
            && !whole.is_zero()
            && one > whole
        {
            return reader.refuse(object.node(), Conflict::TryLongerThanRequest.into());
        }
        Some(timeouts)
    })
}

fn retry(reader: &mut Reader, node: &Node) -> Option<RouteRetry> {
    reader.object(node, |reader, object| {
        let codes = object.optional(reader, "codes", error_codes);
        let attempts = object.optional(reader, "attempts", attempts);
        let backoff = object.optional(reader, "backoff", some_time);
        Some(RouteRetry {
            codes: codes?.unwrap_or_default(),
            attempts: attempts?,
            backoff: backoff?,
        })
    })
}
