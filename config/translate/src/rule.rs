//! One rule's match → `Route`s in the Envoy-shaped dialect, and its action.

use weft_config::model::route::{
    Filters, Header, HeaderModifier, Match, NamedMatch, PathModifier, Redirect, RedirectStatus,
    ValueMatch,
};
use weft_config::{Backend, BoundRule};
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use weft_proto::pb::envoy::r#type::matcher::v3 as matcher;
use weft_proto::pb::google::protobuf::Any;

use crate::node::Dialect;
use crate::path::{regex, specifiers};
use crate::treatment::Treatment;
use crate::wire::{bool_value, uint32};

/// The routes of one match of a rule.
pub(crate) fn routes(
    name: &str,
    rule: &BoundRule,
    matched: &Match,
    treatment: &Treatment<'_>,
) -> Vec<route::Route> {
    let filters = &rule.filters;
    let routes = specifiers(matched.path.as_ref(), filters.path(), Dialect::Envoy)
        .into_iter()
        .flat_map(|(path, replacement)| {
            let mut route = route::Route {
                name: name.to_owned(),
                r#match: Some(route::RouteMatch {
                    path_specifier: Some(path),
                    headers: headers(matched),
                    query_parameters: matched.query_params.iter().map(query_parameter).collect(),
                    ..Default::default()
                }),
                action: Some(action(rule, replacement, treatment)),
                typed_per_filter_config: settings(rule, treatment),
                ..Default::default()
            };
            change_headers(&mut route, filters);
            let asked_before = filters.cors.as_ref().and_then(|_| preflight(&route, matched));
            [Some(route), asked_before].into_iter().flatten()
        })
        .collect();
    treatment.with_priority(routes)
}

/// What a rule says to filters, by their names.
fn settings(rule: &BoundRule, treatment: &Treatment<'_>) -> std::collections::HashMap<String, Any> {
    let cors = rule.filters.cors.iter().map(crate::cors::of_route);
    let limits = rule.rate_limit.iter().flat_map(|policy| crate::rate_limit::of_route(policy));
    let copies = crate::mirroring::of_route(rule);
    cors.chain(limits).chain(copies).chain(treatment.filters()).collect()
}

/// The route of the question that browsers ask before a request that a rule with `CORS` matches.
/// It has another method, and none of the headers of the request; without conditions on these the
/// route itself matches it.
fn preflight(route: &route::Route, matched: &Match) -> Option<route::Route> {
    if matched.method.is_none() && matched.headers.is_empty() {
        return None;
    }
    let asks_for = "access-control-request-method";
    let method = matched.method.map_or_else(
        || header_match(asks_for, HeaderMatchSpecifier::PresentMatch(true)),
        |method| header(asks_for, exact(method.as_str())),
    );
    let matched = route::RouteMatch {
        headers: vec![header(":method", exact("OPTIONS")), method],
        ..route.r#match.clone()?
    };
    Some(route::Route { r#match: Some(matched), ..route.clone() })
}

fn action(
    rule: &BoundRule,
    replacement: Option<String>,
    treatment: &Treatment<'_>,
) -> route::route::Action {
    if let Some(target) = &rule.filters.redirect {
        return route::route::Action::Redirect(redirect(target, replacement));
    }
    let Some(cluster_specifier) = destination(rule) else {
        // Gateway API: a rule none of whose backends has a weight answers 500.
        return route::route::Action::DirectResponse(route::DirectResponseAction {
            status: 500,
            ..Default::default()
        });
    };
    let mut action = route::RouteAction {
        cluster_specifier: Some(cluster_specifier),
        prefix_rewrite: replacement.unwrap_or_default(),
        ..treatment.forward_by(rule)
    };
    if let Some(hostname) =
        rule.filters.rewrite.as_ref().and_then(|rewrite| rewrite.hostname.clone())
    {
        action.host_rewrite_specifier =
            Some(route::route_action::HostRewriteSpecifier::HostRewriteLiteral(hostname));
    }
    route::route::Action::Route(action)
}

/// Where a rule sends requests; `None` when no backend has a weight.
pub(crate) fn destination(rule: &BoundRule) -> Option<route::route_action::ClusterSpecifier> {
    use route::route_action::ClusterSpecifier;
    use route::weighted_cluster::RandomValueSpecifier;
    match weighted(&rule.backends).as_slice() {
        [] => None,
        [only] if only.filters.is_empty() => {
            Some(ClusterSpecifier::Cluster(crate::route::backend_cluster(only)))
        }
        several => {
            let clusters = several.iter().map(|backend| share(backend));
            Some(ClusterSpecifier::WeightedClusters(route::WeightedCluster {
                clusters: clusters.collect(),
                random_value_specifier: (!rule.split_on.is_empty())
                    .then(|| RandomValueSpecifier::UseHashPolicy(bool_value(true))),
                ..Default::default()
            }))
        }
    }
}

/// The share of a backend, with the changes that go along with it.
fn share(backend: &Backend) -> route::weighted_cluster::ClusterWeight {
    let mut share = route::weighted_cluster::ClusterWeight {
        name: crate::route::backend_cluster(backend),
        weight: Some(uint32(backend.weight)),
        ..Default::default()
    };
    if let Some(modifier) = &backend.filters.request_headers {
        share.request_headers_to_add = to_add(modifier);
        share.request_headers_to_remove.clone_from(&modifier.remove);
    }
    if let Some(modifier) = &backend.filters.response_headers {
        share.response_headers_to_add = to_add(modifier);
        share.response_headers_to_remove.clone_from(&modifier.remove);
    }
    share
}

/// The backends that have a share.
pub(crate) fn weighted(backends: &[Backend]) -> Vec<&Backend> {
    backends.iter().filter(|backend| backend.weight > 0).collect()
}

fn headers(matched: &Match) -> Vec<route::HeaderMatcher> {
    let method = matched.method.map(|method| header(":method", exact(method.as_str())));
    method.into_iter().chain(plain_headers(matched)).collect()
}

/// The header matches without the method.
pub(crate) fn plain_headers(matched: &Match) -> impl Iterator<Item = route::HeaderMatcher> {
    matched.headers.iter().map(named_header)
}

pub(crate) fn named_header(named: &NamedMatch) -> route::HeaderMatcher {
    header(&named.name, string(&named.value))
}

pub(crate) fn header(name: &str, value: matcher::StringMatcher) -> route::HeaderMatcher {
    header_match(name, HeaderMatchSpecifier::StringMatch(value))
}

pub(crate) fn present(name: &str) -> route::HeaderMatcher {
    header_match(name, HeaderMatchSpecifier::PresentMatch(true))
}

fn header_match(name: &str, specifier: HeaderMatchSpecifier) -> route::HeaderMatcher {
    route::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        ..Default::default()
    }
}

fn query_parameter(named: &NamedMatch) -> route::QueryParameterMatcher {
    use route::query_parameter_matcher::QueryParameterMatchSpecifier;
    route::QueryParameterMatcher {
        name: named.name.clone(),
        query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(string(
            &named.value,
        ))),
    }
}

fn string(value: &ValueMatch) -> matcher::StringMatcher {
    match value {
        ValueMatch::Exact(value) => exact(value),
        ValueMatch::RegularExpression(pattern) => safe_regex(regex(pattern)),
    }
}

pub(crate) fn safe_regex(pattern: matcher::RegexMatcher) -> matcher::StringMatcher {
    matcher::StringMatcher {
        match_pattern: Some(matcher::string_matcher::MatchPattern::SafeRegex(pattern)),
        ..Default::default()
    }
}

pub(crate) fn starting_with(prefix: &str) -> matcher::StringMatcher {
    let pattern = matcher::string_matcher::MatchPattern::Prefix(prefix.to_owned());
    matcher::StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}

pub(crate) fn exact(value: &str) -> matcher::StringMatcher {
    matcher::StringMatcher {
        match_pattern: Some(matcher::string_matcher::MatchPattern::Exact(value.to_owned())),
        ..Default::default()
    }
}

fn redirect(target: &Redirect, replacement: Option<String>) -> route::RedirectAction {
    use route::redirect_action::{
        PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
    };
    let response_code = match target.status_code {
        RedirectStatus::MovedPermanently => RedirectResponseCode::MovedPermanently,
        RedirectStatus::Found => RedirectResponseCode::Found,
        RedirectStatus::SeeOther => RedirectResponseCode::SeeOther,
        RedirectStatus::TemporaryRedirect => RedirectResponseCode::TemporaryRedirect,
        RedirectStatus::PermanentRedirect => RedirectResponseCode::PermanentRedirect,
    };
    route::RedirectAction {
        host_redirect: target.hostname.clone().unwrap_or_default(),
        port_redirect: target.port.map(u32::from).unwrap_or_default(),
        response_code: response_code.into(),
        scheme_rewrite_specifier: target
            .scheme
            .map(|scheme| SchemeRewriteSpecifier::SchemeRedirect(scheme.as_str().to_owned())),
        path_rewrite_specifier: match &target.path {
            Some(PathModifier::ReplaceFullPath(to)) => {
                Some(PathRewriteSpecifier::PathRedirect(to.clone()))
            }
            Some(PathModifier::ReplacePrefixMatch(_)) | None => {
                replacement.map(PathRewriteSpecifier::PrefixRewrite)
            }
        },
        ..Default::default()
    }
}

fn change_headers(route: &mut route::Route, filters: &Filters) {
    if let Some(modifier) = &filters.request_headers {
        route.request_headers_to_add = to_add(modifier);
        route.request_headers_to_remove.clone_from(&modifier.remove);
    }
    if let Some(modifier) = &filters.response_headers {
        route.response_headers_to_add = to_add(modifier);
        route.response_headers_to_remove.clone_from(&modifier.remove);
    }
}

fn to_add(modifier: &HeaderModifier) -> Vec<core::HeaderValueOption> {
    use core::header_value_option::HeaderAppendAction::{
        AppendIfExistsOrAdd, OverwriteIfExistsOrAdd,
    };
    let option = |header: &Header, action: core::header_value_option::HeaderAppendAction| {
        core::HeaderValueOption {
            header: Some(core::HeaderValue {
                key: header.name.clone(),
                // A percent sign starts a formatter command; the user means what it says.
                value: header.value.replace('%', "%%"),
                ..Default::default()
            }),
            append_action: action.into(),
            ..Default::default()
        }
    };
    let set = modifier.set.iter().map(|header| option(header, OverwriteIfExistsOrAdd));
    set.chain(modifier.add.iter().map(|header| option(header, AppendIfExistsOrAdd))).collect()
}
