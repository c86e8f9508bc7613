//! The Envoy-shaped dialect: what a gateway listens for, and its routes.
//!
//! Every port has one listener for each address, whichever listeners of the Gateway share it: they
//! are told apart by host name (HTTP) or by server name (TLS).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weft_config::model::RateLimitPolicy;
use weft_config::model::gateway::{Gateway, GatewayListener, ListenerProtocol};
use weft_config::model::rate_limit::RateLimitTarget;
use weft_config::model::route::Scheme;
use weft_config::model::service::Protocol;
use weft_config::{Backend, BoundRoute, BoundRule, Key, ListenerRoutes, Mesh};
use weft_proto::pb::envoy::config::core::v3::TrafficDirection;
use weft_proto::pb::envoy::config::listener::v3 as listener;
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;

use crate::cors::with_cors;
use crate::fault;
use crate::listener::{destination, http_filter, listen, manager, tcp, tls_inspector};
use crate::rate_limit;
use crate::resources::ResourceMap;
use crate::route::{Candidate, by_precedence};
use crate::rule;
use crate::stable;
use crate::stickiness;
use crate::treatment::Treatment;
use crate::wire::{ads, bool_value, duration};

/// How long a client from outside may take to say what it wants: without a limit, connections
/// that never do are a cheap way to take up all there are.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The routes and, without the address, the listeners of a port of a Gateway:
/// `gateway/<namespace>/<name>:<port>`.
pub(crate) fn port_name(gateway: &Key, port: u16) -> String {
    format!("gateway/{gateway}:{port}")
}

/// A listener of the Gateway, with its routes.
struct Side<'a> {
    listener: &'a GatewayListener,
    routes: ListenerRoutes,
}

impl Side<'_> {
    /// The name that it is for; without one it is for all.
    fn hostname(&self) -> &str {
        self.listener.hostname.as_deref().unwrap_or("*")
    }
}

fn ports<'a>(mesh: &Mesh, key: &Key, gateway: &'a Gateway) -> BTreeMap<u16, Vec<Side<'a>>> {
    let mut ports: BTreeMap<u16, Vec<Side<'a>>> = BTreeMap::new();
    for listener in &gateway.listeners {
        let routes = mesh.bound_listener(key, &listener.name);
        ports.entry(listener.port).or_default().push(Side { listener, routes });
    }
    ports
}

/// Every destination of the routes of a Gateway.
pub(crate) fn backends(mesh: &Mesh, key: &Key, gateway: &Gateway) -> Vec<Backend> {
    let mut backends = Vec::new();
    for side in ports(mesh, key, gateway).into_values().flatten() {
        let rules = side.routes.requests.iter().flat_map(|route| &route.rules);
        backends.extend(rules.flat_map(|rule| rule.destinations().cloned()));
        let connections = side.routes.connections.iter();
        backends.extend(connections.flat_map(|route| route.backends.clone()));
        let by_name = side.routes.server_names.iter();
        backends.extend(by_name.flat_map(|route| route.backends.clone()));
    }
    backends
}

/// The routes that decide about requests to a Gateway.
pub(crate) fn requests_of(mesh: &Mesh, key: &Key, gateway: &Gateway) -> Vec<Arc<BoundRoute>> {
    let listeners = gateway.listeners.iter();
    listeners.flat_map(|listener| mesh.bound_listener(key, &listener.name).requests).collect()
}

/// The listeners of a Gateway. A port for connections that no route is attached to has none: there
/// would be nothing to do with them.
pub(crate) fn listeners(
    mesh: &Mesh,
    key: &Key,
    gateway: &Gateway,
) -> Vec<(String, listener::Listener)> {
    let mut listeners = Vec::new();
    for (port, sides) in ports(mesh, key, gateway) {
        let name = port_name(key, port);
        let always = rate_limit::of_target(mesh, key, RateLimitTarget::Gateway);
        let Some(chains) = chains(mesh, &name, &sides, always) else { continue };
        let by_name = sides.iter().any(|side| side.listener.protocol == ListenerProtocol::Tls);
        for at in gateway.sockets(port) {
            let name = format!("gateway/{key}/{at}");
            let mut listener = listen(&name, at, Vec::new(), TrafficDirection::Unspecified);
            listener.filter_chains.clone_from(&chains);
            listener.listener_filters.extend(by_name.then(tls_inspector));
            listeners.push((name, listener));
        }
    }
    listeners
}

fn chains(
    mesh: &Mesh,
    name: &str,
    sides: &[Side<'_>],
    limited: Option<&RateLimitPolicy>,
) -> Option<Vec<listener::FilterChain>> {
    let chain = |filter| listener::FilterChain { filters: vec![filter], ..Default::default() };
    let [first, ..] = sides else { return None };
    match first.listener.protocol {
        ListenerProtocol::Http => {
            let routes: Vec<&BoundRoute> =
                sides.iter().flat_map(|side| &side.routes.requests).map(AsRef::as_ref).collect();
            Some(vec![chain(requests(mesh, name, &routes, limited))])
        }
        ListenerProtocol::Tcp => {
            let route = first.routes.connections.as_ref()?;
            Some(vec![chain(tcp(name, destination(&route.backends)))])
        }
        ListenerProtocol::Tls => {
            let chains: Vec<_> = sides
                .iter()
                .flat_map(|side| side.routes.server_names.iter().map(move |route| (side, route)))
                .filter_map(|(side, route)| {
                    let own = |name: &&String| belongs(sides, side, name);
                    let names: Vec<String> = route.hostnames.iter().filter(own).cloned().collect();
                    let matched =
                        listener::FilterChainMatch { server_names: names, ..Default::default() };
                    (!matched.server_names.is_empty()).then(|| listener::FilterChain {
                        name: format!("{}/{}", side.listener.name, route.key),
                        filter_chain_match: Some(matched),
                        ..chain(tcp(name, destination(&route.backends)))
                    })
                })
                .collect();
            (!chains.is_empty()).then_some(chains)
        }
    }
}

/// Takes requests of strangers: what they say of addresses before them is not believed, and paths
/// are made plain before anything is decided by them.
fn requests(
    mesh: &Mesh,
    name: &str,
    takes: &[&BoundRoute],
    limited: Option<&RateLimitPolicy>,
) -> listener::Filter {
    let rds = hcm::Rds { config_source: Some(ads()), route_config_name: name.to_owned() };
    let routes = hcm::http_connection_manager::RouteSpecifier::Rds(rds);
    let head_timeout = mesh.config().and_then(|config| config.defaults.timeouts.request_headers);
    let mut manager = hcm::HttpConnectionManager {
        use_remote_address: Some(bool_value(true)),
        normalize_path: Some(bool_value(true)),
        merge_slashes: true,
        request_headers_timeout: Some(duration(head_timeout.unwrap_or(HEAD_TIMEOUT))),
        ..manager(name, routes)
    };
    rate_limit::with_limits(
        mesh,
        &mut manager,
        limited,
        &rate_limit::of_routes(takes.iter().copied()),
    );
    if mesh.has_faults() {
        fault::with_faults(&mut manager);
    }
    if mesh.has_stickiness() {
        stickiness::with_sessions(&mut manager);
    }
    let mut rules = takes.iter().flat_map(|route| &route.rules);
    let has_cors = rules.any(|rule| rule.filters.cors.is_some());
    http_filter(&if has_cors { with_cors(manager) } else { manager })
}

/// Whether requests for `name` are for this listener: the one with the narrowest host name takes
/// them all, also those that it has no route for.
fn belongs(sides: &[Side<'_>], side: &Side<'_>, name: &str) -> bool {
    let covering = sides.iter().filter(|other| covers(other.hostname(), name));
    let narrowest = covering.max_by_key(|other| width(other.hostname()));
    narrowest.is_some_and(|narrowest| narrowest.listener.name == side.listener.name)
}

/// Whether everything that `name` stands for belongs to `pattern`.
fn covers(pattern: &str, name: &str) -> bool {
    pattern == name || pattern.strip_prefix('*').is_some_and(|suffix| name.ends_with(suffix))
}

/// Sorts host names from the widest to the narrowest, as Gateway API compares them.
fn width(name: &str) -> (bool, usize) {
    (!name.starts_with('*'), name.len())
}

/// The routes of the ports of a Gateway that take requests.
pub(crate) fn routes(mesh: &Mesh, key: &Key, gateway: &Gateway) -> ResourceMap {
    let mut map = ResourceMap::new();
    for (port, sides) in ports(mesh, key, gateway) {
        if sides.iter().all(|side| side.listener.protocol == ListenerProtocol::Http) {
            let name = port_name(key, port);
            let routes = route::RouteConfiguration {
                virtual_hosts: virtual_hosts(mesh, &sides),
                // Clients put a port into `Host` that is not 80; no host is told apart by it.
                ignore_port_in_host_matching: true,
                name: name.clone(),
                ..Default::default()
            };
            map.insert(name.into(), stable::configuration(routes));
        }
    }
    map
}

fn virtual_hosts(mesh: &Mesh, sides: &[Side<'_>]) -> Vec<route::VirtualHost> {
    let mut hosts = Vec::new();
    for side in sides {
        // Its own name is there even without a route, so that a wider listener does not get it.
        let mut names: Vec<&str> = vec![side.hostname()];
        for route in &side.routes.requests {
            names.extend(route.hostnames.iter().map(String::as_str));
        }
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().filter(|name| belongs(sides, side, name)) {
            hosts.push(route::VirtualHost {
                name: format!("{}/{name}", side.listener.name),
                domains: vec![name.to_owned()],
                routes: routes_for(mesh, side, name),
                ..Default::default()
            });
        }
    }
    hosts
}

/// All routes that requests for `name` can take, those of the narrowest host name first, and of
/// each by precedence.
fn routes_for(mesh: &Mesh, side: &Side<'_>, name: &str) -> Vec<route::Route> {
    let mut by_width: BTreeMap<Reverse<(bool, usize)>, Vec<&BoundRoute>> = BTreeMap::new();
    for route in &side.routes.requests {
        let everything = (route.hostnames.is_empty()).then_some("*");
        let names = route.hostnames.iter().map(String::as_str).chain(everything);
        if let Some(best) = names.filter(|own| covers(own, name)).map(width).max() {
            by_width.entry(Reverse(best)).or_default().push(route);
        }
    }
    let candidates = by_width.values().flat_map(|routes| by_precedence(routes));
    candidates
        .flat_map(|candidate| {
            let treatment = treatment(mesh, &candidate);
            let rule = with_redirect_port(candidate.rule, side.listener.port);
            rule::routes(&candidate.name(), &rule, candidate.matched, &treatment)
        })
        .collect()
}

/// Gateway API: a redirect that names neither port nor scheme leads to the port of the listener,
/// and one with a scheme to the port of that. Port 80 is what clients and proxies leave out anyway.
fn with_redirect_port(rule: &BoundRule, port: u16) -> Cow<'_, BoundRule> {
    let redirect = rule.filters.redirect.as_ref();
    let Some(redirect) = redirect.filter(|redirect| redirect.port.is_none() && port != 80) else {
        return Cow::Borrowed(rule);
    };
    let wanted = match (redirect.scheme, &redirect.hostname) {
        (None, _) => port,
        // Another host is written without the port that the request had.
        (Some(_), Some(_)) => return Cow::Borrowed(rule),
        (Some(Scheme::Http), None) => 80,
        (Some(Scheme::Https), None) => 443,
    };
    let mut rule = rule.clone();
    if let Some(redirect) = &mut rule.filters.redirect {
        redirect.port = Some(wanted);
    }
    Cow::Owned(rule)
}

/// How requests are treated is for the Service that they go to, the first of several.
fn treatment<'a>(mesh: &'a Mesh, candidate: &Candidate<'_>) -> Treatment<'a> {
    let Some(first) = candidate.rule.backends.first() else {
        return Treatment::by_default(mesh, Protocol::Http);
    };
    let service = mesh.services().get(&first.service);
    let port = service.and_then(|service| service.port(first.port));
    Treatment::of(mesh, &first.service, port.map_or(Protocol::Http, |port| port.protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrower_names_come_before_wider_ones() {
        let mut names = ["*", "*.x", "a.x", "*.a.x", "bb.x"];
        names.sort_by_key(|name| Reverse(width(name)));
        assert_eq!(names, ["bb.x", "a.x", "*.a.x", "*.x", "*"]);
        assert!(covers("*", "a.x") && covers("*.x", "*.a.x") && covers("a.x", "a.x"));
        assert!(!covers("*.x", "x") && !covers("*.x", "*") && !covers("a.x", "*.x"));
    }
}
