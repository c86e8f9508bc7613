//! `envoy.config.route.v3.RouteConfiguration`.

use std::sync::Arc;

use http::HeaderName;
use weft_proto::pb::{
    envoy::config::route::v3 as wire,
    google::protobuf::{UInt32Value, UInt64Value},
};
use weft_route::{MatchOptions, RouteSpec, TlsRequirement, VirtualHostSpec};

use crate::{
    destination::ClusterChoice,
    headers::{self, HeaderMutations, HeaderProgram},
    http_filter::{self, CorsPolicy, RouteFilters, descriptors},
    matching,
    mirror::{self, Mirror},
    name::{ClusterName, RouteConfigName},
    path::At,
    problem::{Notes, Problem},
    retry_policy::{self, RetryPolicy},
    route_action::{self, RouteAction},
    scalar,
};

/// Largest direct response, unless `max_direct_response_body_size_bytes` says otherwise.
const DIRECT_RESPONSE_LIMIT: u32 = 4096;

/// Virtual hosts and their routes.
#[derive(Debug)]
pub struct RouteConfiguration {
    /// `name`; may be empty for one that is part of a listener.
    pub name: RouteConfigName,
    /// `virtual_hosts`.
    pub virtual_hosts: Vec<VirtualHostSpec<RouteRule>>,
    /// What hosts and paths are compared with.
    pub matching: MatchOptions,
    /// `internal_only_headers`: what only callers inside may say.
    pub internal_only: Box<[HeaderName]>,
    /// `validate_clusters`. Unless set it is true for one that is part of a listener, and false
    /// for one that came by RDS.
    pub validate_clusters: Option<bool>,
    /// Where it stands in the resource it is part of; empty for one of its own.
    pub path: Box<str>,
}

impl RouteConfiguration {
    /// Every cluster that a route can choose, with the path of the action that names it.
    pub fn clusters(&self) -> impl Iterator<Item = (String, &ClusterName)> {
        self.virtual_hosts.iter().enumerate().flat_map(move |(host_index, host)| {
            host.routes.iter().enumerate().flat_map(move |(route_index, route)| {
                let names = match &route.action.action {
                    RouteAction::Forward(forward) => forward.clusters(),
                    RouteAction::Redirect(_) | RouteAction::Direct(_) | RouteAction::Nowhere => {
                        Vec::new()
                    }
                };
                names.into_iter().map(move |name| {
                    let part = format!("virtual_hosts[{host_index}].routes[{route_index}].route");
                    (self.path_of(&part), name)
                })
            })
        })
    }

    /// The path of a part of it within the whole resource.
    pub fn path_of(&self, part: &str) -> String {
        if self.path.is_empty() { part.to_owned() } else { format!("{}.{part}", self.path) }
    }
}

/// What a matched route does.
#[derive(Debug)]
pub struct RouteRule {
    /// The action.
    pub action: RouteAction,
    /// Header changes towards the upstream: those of the route, its virtual host and the route
    /// configuration, in the order that `most_specific_header_mutations_wins` asks for.
    pub request_headers: HeaderProgram,
    /// The same towards the client.
    pub response_headers: HeaderProgram,
    /// `typed_per_filter_config` of the route, its virtual host and the route configuration.
    pub filters: RouteFilters,
    /// `include_request_attempt_count` of the virtual host.
    pub count_attempts: bool,
    /// `include_is_timeout_retry_header` of the virtual host.
    pub tell_timeouts: bool,
    /// `include_attempt_count_in_response` of the virtual host.
    pub tell_attempts: bool,
}

/// Changes to requests and to responses at one level.
type Changes = (HeaderMutations, HeaderMutations);

/// What routes inherit from the levels above them.
struct Inherited<'a> {
    config: &'a Changes,
    host: &'a Changes,
    most_specific_wins: bool,
    filters: &'a RouteFilters,
    count_attempts: bool,
    tell_timeouts: bool,
    body_limit: Option<u64>,
    retry: Option<&'a Arc<RetryPolicy>>,
    /// `hedge_policy` of the virtual host.
    hedges: Option<bool>,
    tell_attempts: bool,
    mirrors: &'a Arc<[Mirror<ClusterChoice>]>,
    direct_response_limit: u32,
}

impl Inherited<'_> {
    /// All changes of a route in order. What is applied later overwrites, so by default the
    /// route configuration has the last word.
    fn combine(&self, route: &Changes) -> (HeaderProgram, HeaderProgram) {
        let in_order = |pick: fn(&Changes) -> &HeaderMutations| {
            let (config, host, route) = (pick(self.config), pick(self.host), pick(route));
            HeaderProgram::new(if self.most_specific_wins {
                [config, host, route]
            } else {
                [route, host, config]
            })
        };
        (in_order(|(request, _)| request), in_order(|(_, response)| response))
    }
}

/// Reads a route configuration.
pub(crate) fn read(
    message: &wire::RouteConfiguration,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<RouteConfiguration> {
    refuse_unfollowed(message, at, notes);
    let level = headers::Level {
        request_add: &message.request_headers_to_add,
        request_remove: &message.request_headers_to_remove,
        response_add: &message.response_headers_to_add,
        response_remove: &message.response_headers_to_remove,
    };
    let config = headers::level(&level, at, notes);
    let limit = message.max_direct_response_body_size_bytes.as_ref();
    let rules = http_filter::rules(&message.typed_per_filter_config, at, notes);
    mirror::refuse(&rules, at, notes);
    let filters = RouteFilters::default().and(&rules);
    let mirrors = mirror::read(&message.request_mirror_policies, at, notes).into();
    let inherited = Inherited {
        config: &config,
        host: &Changes::default(),
        most_specific_wins: message.most_specific_header_mutations_wins,
        filters: &filters,
        count_attempts: false,
        tell_timeouts: false,
        body_limit: None,
        retry: None,
        hedges: None,
        tell_attempts: false,
        mirrors: &mirrors,
        direct_response_limit: limit.map_or(DIRECT_RESPONSE_LIMIT, |limit| limit.value),
    };
    let mut virtual_hosts = Vec::with_capacity(message.virtual_hosts.len());
    for (index, host) in message.virtual_hosts.iter().enumerate() {
        virtual_hosts.push(virtual_host(host, &inherited, &at.item("virtual_hosts", index), notes));
    }
    Some(RouteConfiguration {
        name: RouteConfigName::from(message.name.as_str()),
        virtual_hosts,
        matching: match_options(message, at, notes),
        internal_only: headers::plain_names(
            &message.internal_only_headers,
            "internal_only_headers",
            at,
            notes,
        ),
        validate_clusters: message.validate_clusters.as_ref().map(|validate| validate.value),
        path: at.to_string().into(),
    })
}

fn match_options(
    message: &wire::RouteConfiguration,
    at: &At<'_>,
    notes: &mut Notes,
) -> MatchOptions {
    let vhost_header = Some(message.vhost_header.as_str()).filter(|name| !name.is_empty());
    MatchOptions {
        ignore_port_in_host_matching: message.ignore_port_in_host_matching,
        vhost_header: vhost_header
            .and_then(|name| headers::header_name(name, &at.field("vhost_header"), notes)),
        ignore_path_parameters: message.ignore_path_parameters_in_path_matching,
    }
}

fn refuse_unfollowed(message: &wire::RouteConfiguration, at: &At<'_>, notes: &mut Notes) {
    const SUPPORTED: &str = "virtual_hosts are";
    for (set, field, what) in [
        (message.vhds.is_some(), "vhds", "virtual hosts on demand"),
        (!message.route_specifiers.is_empty(), "route_specifiers", "an extension"),
        (!message.cluster_specifier_plugins.is_empty(), "cluster_specifier_plugins", "a plugin"),
    ] {
        if set {
            notes.unsupported::<()>(&at.field(field), what, SUPPORTED);
        }
    }
}

#[expect(deprecated, reason = "older management servers send these, and Envoy honours them")]
fn virtual_host(
    message: &wire::VirtualHost,
    inherited: &Inherited<'_>,
    at: &At<'_>,
    notes: &mut Notes,
) -> VirtualHostSpec<RouteRule> {
    use wire::virtual_host::TlsRequirementType as Tls;
    let require_tls = match Tls::try_from(message.require_tls) {
        Ok(Tls::None) => TlsRequirement::None,
        Ok(Tls::ExternalOnly) => TlsRequirement::ExternalOnly,
        Ok(Tls::All) => TlsRequirement::All,
        Err(_) => {
            let unknown = Problem::UnknownEnum(message.require_tls);
            notes.refuse::<()>(&at.field("require_tls"), unknown);
            TlsRequirement::All
        }
    };
    if message.matcher.is_some() {
        notes.unsupported::<()>(&at.field("matcher"), "a matcher tree", "routes are");
    }
    let level = headers::Level {
        request_add: &message.request_headers_to_add,
        request_remove: &message.request_headers_to_remove,
        response_add: &message.response_headers_to_add,
        response_remove: &message.response_headers_to_remove,
    };
    let host = headers::level(&level, at, notes);
    let rules = http_filter::rules(&message.typed_per_filter_config, at, notes);
    mirror::refuse(&rules, at, notes);
    #[expect(deprecated, reason = "still sent by management servers, and Envoy honours it")]
    let cors = http_filter::own_cors(message.cors.as_ref(), at, notes);
    let described = descriptors::of_route(&message.rate_limits, at, notes);
    let filters = inherited.filters.and(&rules).and_cors(cors).and_host_descriptors(described);
    let own_mirrors: Arc<[_]> = mirror::read(&message.request_mirror_policies, at, notes).into();
    let retry = message.retry_policy.as_ref();
    let retry =
        retry.and_then(|it| retry_policy::read(it, &at.field("retry_policy"), notes)).map(Arc::new);
    let inherited = Inherited {
        host: &host,
        filters: &filters,
        retry: retry.as_ref(),
        hedges: message.hedge_policy.as_ref().map(|it| it.hedge_on_per_try_timeout),
        count_attempts: message.include_request_attempt_count,
        tell_timeouts: message.include_is_timeout_retry_header,
        body_limit: body_limit(
            message.request_body_buffer_limit.as_ref(),
            message.per_request_buffer_limit_bytes.as_ref(),
        ),
        tell_attempts: message.include_attempt_count_in_response,
        mirrors: if own_mirrors.is_empty() { inherited.mirrors } else { &own_mirrors },
        ..*inherited
    };
    let mut routes = Vec::with_capacity(message.routes.len());
    for (index, route) in message.routes.iter().enumerate() {
        routes.extend(self::route(route, &inherited, &at.item("routes", index), notes));
    }
    let (name, domains) = (message.name.clone(), message.domains.clone());
    VirtualHostSpec { name, domains, require_tls, routes }
}

/// How much of a request's body is kept, by the newer field or the deprecated one.
fn body_limit(newer: Option<&UInt64Value>, older: Option<&UInt32Value>) -> Option<u64> {
    newer.map(|limit| limit.value).or_else(|| older.map(|limit| limit.value.into()))
}

#[expect(deprecated, reason = "older management servers send these, and Envoy honours them")]
fn route(
    message: &wire::Route,
    inherited: &Inherited<'_>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<RouteSpec<RouteRule>> {
    let level = headers::Level {
        request_add: &message.request_headers_to_add,
        request_remove: &message.request_headers_to_remove,
        response_add: &message.response_headers_to_add,
        response_remove: &message.response_headers_to_remove,
    };
    let own = headers::level(&level, at, notes);
    let rules = http_filter::rules(&message.typed_per_filter_config, at, notes);
    let filters = inherited.filters.and(&rules).and_cors(route_cors(message, at, notes));
    let filters = match &message.action {
        Some(wire::route::Action::Route(action)) => described(&filters, action, at, notes),
        _ => filters,
    };
    let matcher = match &message.r#match {
        None => notes.refuse(&at.field("match"), Problem::Missing),
        Some(matcher) => matching::route_match(matcher, &at.field("match"), notes),
    };
    let path = matcher.as_ref().map(|matcher| &matcher.path);
    let mut action = route_action::read(message, path, inherited.direct_response_limit, at, notes);
    if let Some(RouteAction::Forward(forward)) = &mut action {
        forward.hedges = forward.hedges.or(inherited.hedges);
        if forward.retry.is_none() {
            forward.retry = inherited.retry.cloned();
        }
        forward.body_limit = body_limit(
            message.request_body_buffer_limit.as_ref(),
            message.per_request_buffer_limit_bytes.as_ref(),
        )
        .or(inherited.body_limit);
        if forward.mirrors.is_empty() {
            forward.mirrors = Arc::clone(inherited.mirrors);
        }
        let mirrors = std::mem::take(&mut forward.mirrors);
        forward.mirrors = mirror::apply(mirrors, &rules, at, notes);
    } else {
        mirror::refuse(&rules, at, notes);
    }
    let (request_headers, response_headers) = inherited.combine(&own);
    Some(RouteSpec {
        name: Some(message.name.clone()).filter(|name| !name.is_empty()),
        matcher: matcher?,
        action: RouteRule {
            action: action?,
            request_headers,
            response_headers,
            filters,
            count_attempts: inherited.count_attempts,
            tell_timeouts: inherited.tell_timeouts,
            tell_attempts: inherited.tell_attempts,
        },
    })
}

#[expect(deprecated, reason = "still sent by management servers, and Envoy honours it")]
fn described(
    filters: &RouteFilters,
    action: &wire::RouteAction,
    at: &At<'_>,
    notes: &mut Notes,
) -> RouteFilters {
    let rules = descriptors::of_route(&action.rate_limits, &at.field("route"), notes);
    let include_host = scalar::bool_or(action.include_vh_rate_limits.as_ref(), false);
    filters.and_descriptors(rules, include_host)
}

#[expect(deprecated, reason = "still sent by management servers, and Envoy honours it")]
fn route_cors(message: &wire::Route, at: &At<'_>, notes: &mut Notes) -> Option<CorsPolicy> {
    match &message.action {
        Some(wire::route::Action::Route(action)) => {
            http_filter::own_cors(action.cors.as_ref(), &at.field("route"), notes)
        }
        _ => None,
    }
}
