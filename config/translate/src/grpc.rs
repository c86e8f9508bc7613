//! The gRPC-shaped dialect (gRFC A27, A28, A31, A36): what a client dials is the name of a listener,
//! and what a server listens on is part of the name of one.

use std::net::SocketAddr;
use std::time::Duration;

use weft_config::model::policy::{Fault, HashOn, TrafficSettings, TrafficTimeouts};
use weft_config::model::service::Protocol;
use weft_config::{BoundRule, DocumentId, Key, Kind, Mesh};
use weft_proto::pb::envoy::config::core::v3::TrafficDirection;
use weft_proto::pb::envoy::config::listener::v3 as listener;
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;

use crate::fault;
use crate::listener::{everything_as, http_filter, listen, manager};
use crate::node::Dialect;
use crate::path::specifiers;
use crate::resources::{Note, Resource, ResourceMap};
use crate::retry::Tries;
use crate::route::{Candidate, by_precedence};
use crate::rule::{destination, plain_headers};
use crate::treatment::{hash_on, hash_policy};
use crate::virtual_host::{Host, hosts};
use crate::wire::{ads, any, duration};

/// Listeners and routes for clients of a namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientView {
    pub(crate) listeners: ResourceMap,
    pub(crate) routes: ResourceMap,
    pub(crate) notes: Vec<Note>,
}

/// What the parts of a server's listener are called.
const SERVER: &str = "server";

/// Only ports that speak HTTP/2 can be called by gRPC.
pub(crate) fn view(mesh: &Mesh, namespace: &str) -> ClientView {
    let mut view = ClientView::default();
    for (key, service) in mesh.services() {
        if service.ports.iter().any(|port| port.protocol.is_http2()) {
            view.notes.extend(ignored_settings(mesh, key));
        }
        let fault = mesh.settings(key, None).fault;
        for host in hosts(mesh, service, key, namespace, Protocol::is_http2) {
            let routes = route_configuration(mesh, &host, &mut view.notes);
            view.routes.insert(host.name.as_str().into(), Resource::new(&routes));
            // A wildcard cannot be dialled.
            for target in host.domains.iter().filter(|domain| !domain.starts_with('*')) {
                let listener = api_listener(target, &host.name, fault.as_ref());
                view.listeners.insert(target.as_str().into(), Resource::new(&listener));
            }
        }
    }
    view
}

fn api_listener(target: &str, routes: &str, said: Option<&Fault>) -> listener::Listener {
    let rds = hcm::Rds { config_source: Some(ads()), route_config_name: routes.to_owned() };
    let mut manager = manager(routes, hcm::http_connection_manager::RouteSpecifier::Rds(rds));
    if let Some(said) = said {
        fault::with_fault(&mut manager, said);
    }
    listener::Listener {
        name: target.to_owned(),
        api_listener: Some(listener::ApiListener { api_listener: Some(any(&manager)) }),
        ..Default::default()
    }
}

/// The name under which a gRPC server asks for the listener of an address, as its bootstrap's
/// `server_listener_resource_name_template` says.
pub(crate) fn server_listener_name(at: SocketAddr) -> String {
    format!("grpc/server?xds.resource.listening_address={at}")
}

/// Lets a gRPC server take every call on its address.
pub(crate) fn server_listener(at: SocketAddr) -> listener::Listener {
    let name = server_listener_name(at);
    let taken = route::route::Action::NonForwardingAction(route::NonForwardingAction::default());
    let routes = route::RouteConfiguration {
        name: SERVER.to_owned(),
        virtual_hosts: vec![route::VirtualHost {
            name: SERVER.to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![everything_as(SERVER, taken)],
            ..Default::default()
        }],
        ..Default::default()
    };
    let specifier = hcm::http_connection_manager::RouteSpecifier::RouteConfig(routes);
    let filters = vec![http_filter(&manager(SERVER, specifier))];
    listen(&name, at, filters, TrafficDirection::Inbound)
}

/// What these clients cannot do of the policies for a Service and its Subsets.
fn ignored_settings<'a>(mesh: &'a Mesh, key: &'a Key) -> impl Iterator<Item = Note> + 'a {
    let subsets = mesh
        .subsets()
        .iter()
        .filter(move |(subset, of)| subset.namespace == key.namespace && of.service == key.name);
    let subsets = subsets.map(|(subset, _)| (Kind::Subset, subset, Some(subset.name.as_str())));
    [(Kind::Service, key, None)].into_iter().chain(subsets).filter_map(move |(kind, id, subset)| {
        let settings = mesh.settings(key, subset);
        let mut ignored = crate::cluster::ignored_by_grpc(&settings);
        // What is dropped they are told along with endpoints.
        let by_name = mesh.services().get(key).is_some_and(|service| service.dns().is_some());
        if by_name && settings.drop.is_some() {
            ignored.push("drop");
        }
        let target = DocumentId::new(kind, id.clone());
        (!ignored.is_empty()).then_some(Note::SettingsInGrpcClient { target, ignored })
    })
}

fn route_configuration(
    mesh: &Mesh,
    host: &Host<'_>,
    notes: &mut Vec<Note>,
) -> route::RouteConfiguration {
    let settings = mesh.settings(host.service, None);
    let routes = if host.routes.is_empty() {
        let cluster = crate::cluster::cluster_name(host.service, host.port.port);
        let action = route::RouteAction {
            cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(cluster)),
            max_stream_duration: stream_limit(None, settings.timeouts),
            retry_policy: Tries::of_policy(&settings.retries).and_then(|it| it.for_clients()),
            hash_policy: hash_policies(&settings),
            ..Default::default()
        };
        vec![route::Route {
            name: host.name.clone(),
            r#match: Some(route::RouteMatch {
                path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".to_owned())),
                ..Default::default()
            }),
            action: Some(route::route::Action::Route(action)),
            ..Default::default()
        }]
    } else {
        by_precedence(&host.routes)
            .iter()
            .flat_map(|candidate| client_routes(candidate, &settings, notes))
            .collect()
    };
    route::RouteConfiguration {
        name: host.name.clone(),
        virtual_hosts: vec![route::VirtualHost {
            name: host.name.clone(),
            // The listener has told the hosts apart; the client may override its authority.
            domains: vec!["*".to_owned()],
            routes,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn client_routes(
    candidate: &Candidate<'_>,
    settings: &TrafficSettings,
    notes: &mut Vec<Note>,
) -> Vec<route::Route> {
    let matched = candidate.matched;
    // gRPC calls are POST requests without a query: what asks for others never matches.
    let other_method = matched.method.is_some_and(|method| method.as_str() != "POST");
    if other_method || !matched.query_params.is_empty() {
        return Vec::new();
    }
    let mut backends = candidate.rule.backends.iter();
    let has_filters =
        !candidate.rule.filters.is_empty() || backends.any(|backend| !backend.filters.is_empty());
    if has_filters {
        let route = candidate.route.id();
        let note = Note::FiltersInGrpcClient { route, rule: candidate.rule_index };
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    if !candidate.rule.split_on.is_empty() {
        let route = candidate.route.id();
        let note = Note::SplitInGrpcClient { route, rule: candidate.rule_index };
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    if let Some(policy) = &candidate.rule.rate_limit {
        let policy = DocumentId::new(Kind::RateLimitPolicy, policy.metadata.key());
        let note = Note::LimitInGrpc { policy };
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    specifiers(matched.path.as_ref(), None, Dialect::Grpc)
        .into_iter()
        .map(|(path, _)| route::Route {
            name: candidate.name(),
            r#match: Some(route::RouteMatch {
                path_specifier: Some(path),
                headers: plain_headers(matched).collect(),
                ..Default::default()
            }),
            action: Some(client_action(candidate.rule, settings, has_filters)),
            ..Default::default()
        })
        .collect()
}

/// gRPC clients can tell calls apart by headers alone (gRFC A42).
fn hash_policies(settings: &TrafficSettings) -> Vec<route::route_action::HashPolicy> {
    let headers = hash_on(settings).iter().filter(|on| matches!(on, HashOn::Header(_)));
    headers.map(hash_policy).collect()
}

/// gRPC clients ignore `timeout` (gRFC A31).
fn stream_limit(
    of_rule: Option<Duration>,
    policy: TrafficTimeouts,
) -> Option<route::route_action::MaxStreamDuration> {
    let request = of_rule.or(policy.request).filter(|limit| !limit.is_zero());
    request.into_iter().chain(policy.max_stream).min().map(|limit| {
        route::route_action::MaxStreamDuration {
            max_stream_duration: Some(duration(limit)),
            ..Default::default()
        }
    })
}

fn client_action(
    rule: &BoundRule,
    settings: &TrafficSettings,
    has_filters: bool,
) -> route::route::Action {
    // gRPC clients ignore filters without a word, and a call must not go where the rule does not
    // send it: it fails.
    let (false, Some(cluster_specifier)) = (has_filters, destination(rule)) else {
        return route::route::Action::NonForwardingAction(route::NonForwardingAction::default());
    };
    route::route::Action::Route(route::RouteAction {
        cluster_specifier: Some(cluster_specifier),
        max_stream_duration: stream_limit(rule.timeout, settings.timeouts),
        retry_policy: Tries::of(rule, &settings.retries).and_then(|tries| tries.for_clients()),
        hash_policy: hash_policies(settings),
        ..Default::default()
    })
}
