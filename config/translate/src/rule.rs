//! One rule's match → `Route`s in the Envoy-shaped dialect, and its action.

use std::time::Duration;

use weft_config::model::route::{
    Filters, Header, HeaderModifier, Match, NamedMatch, PathModifier, Redirect, RedirectStatus,
    ValueMatch,
};
use weft_config::model::service::Protocol;
use weft_config::{Backend, BoundRule};
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::r#type::matcher::v3 as matcher;

use crate::node::Dialect;
use crate::path::{regex, specifiers};
use crate::wire::{duration, uint32};

/// How long a request to an `http` port may take when its rule does not say.
const HTTP_TIMEOUT: Duration = Duration::from_secs(15);

/// How long requests to a port may take when nothing more specific is said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// What the Service's policy says.
    pub(crate) request: Option<Duration>,
    /// What the port speaks.
    pub(crate) protocol: Protocol,
}

/// The routes of one match of a rule.
pub(crate) fn routes(
    name: &str,
    rule: &BoundRule,
    matched: &Match,
    patience: Patience,
) -> Vec<route::Route> {
    let filters = &rule.filters;
    specifiers(matched.path.as_ref(), filters.path(), Dialect::Envoy)
        .into_iter()
        .map(|(path, replacement)| {
            let mut route = route::Route {
                name: name.to_owned(),
                r#match: Some(route::RouteMatch {
                    path_specifier: Some(path),
                    headers: headers(matched),
                    query_parameters: matched.query_params.iter().map(query_parameter).collect(),
                    ..Default::default()
                }),
                action: Some(action(rule, replacement, patience)),
                ..Default::default()
            };
            change_headers(&mut route, filters);
            route
        })
        .collect()
}

fn action(
    rule: &BoundRule,
    replacement: Option<String>,
    patience: Patience,
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
        ..forward(rule.timeout, patience)
    };
    if let Some(hostname) =
        rule.filters.rewrite.as_ref().and_then(|rewrite| rewrite.hostname.clone())
    {
        action.host_rewrite_specifier =
            Some(route::route_action::HostRewriteSpecifier::HostRewriteLiteral(hostname));
    }
    route::route::Action::Route(action)
}

/// An action that has the timeouts of the port and nothing else.
pub(crate) fn forward(timeout: Option<Duration>, patience: Patience) -> route::RouteAction {
    let default = if patience.protocol.is_http2() { Duration::ZERO } else { HTTP_TIMEOUT };
    let timeout = timeout.or(patience.request).unwrap_or(default);
    route::RouteAction {
        timeout: Some(duration(timeout)),
        // Otherwise the connection manager's five minutes would end a quiet stream.
        idle_timeout: timeout.is_zero().then(|| duration(Duration::ZERO)),
        ..Default::default()
    }
}

/// Where a rule sends requests; `None` when no backend has a weight.
pub(crate) fn destination(rule: &BoundRule) -> Option<route::route_action::ClusterSpecifier> {
    use route::route_action::ClusterSpecifier;
    match weighted(&rule.backends).as_slice() {
        [] => None,
        [only] => Some(ClusterSpecifier::Cluster(crate::route::backend_cluster(only))),
        several => {
            let clusters = several.iter().map(|backend| route::weighted_cluster::ClusterWeight {
                name: crate::route::backend_cluster(backend),
                weight: Some(uint32(backend.weight)),
                ..Default::default()
            });
            Some(ClusterSpecifier::WeightedClusters(route::WeightedCluster {
                clusters: clusters.collect(),
                ..Default::default()
            }))
        }
    }
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
    matched.headers.iter().map(|named| header(&named.name, string(&named.value)))
}

fn header(name: &str, value: matcher::StringMatcher) -> route::HeaderMatcher {
    route::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(route::header_matcher::HeaderMatchSpecifier::StringMatch(
            value,
        )),
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
        ValueMatch::RegularExpression(pattern) => matcher::StringMatcher {
            match_pattern: Some(matcher::string_matcher::MatchPattern::SafeRegex(regex(pattern))),
            ..Default::default()
        },
    }
}

fn exact(value: &str) -> matcher::StringMatcher {
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
