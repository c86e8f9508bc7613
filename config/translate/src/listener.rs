//! The Envoy-shaped dialect: the listeners of a sidecar, and its outbound routes.

use std::net::SocketAddr;
use std::time::Duration;

use prost::Message as _;
use weft_config::model::RateLimitPolicy;
use weft_config::model::policy::TrafficSettings;
use weft_config::model::service::{Protocol, Service, ServicePort};
use weft_config::{Backend, BoundRoute, Key, Mesh};
use weft_proto::pb::envoy::config::core::v3::TrafficDirection;
use weft_proto::pb::envoy::config::listener::v3 as listener;
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::extensions::filters::http::router::v3::Router;
use weft_proto::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use weft_proto::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use weft_proto::pb::envoy::extensions::filters::network::tcp_proxy::v3 as tcp_proxy;
use weft_proto::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;

use crate::adaptive;
use crate::cluster::{Inbound, cluster_name};
use crate::cors::with_cors;
use crate::egress;
use crate::encoded::EncodedHosts;
use crate::fault;
use crate::priority::with_priority;
use crate::rate_limit;
use crate::resources::{Resource, ResourceMap};
use crate::route::{backend_cluster, by_precedence};
use crate::rule;
use crate::stable::{self, append};
use crate::stickiness;
use crate::treatment::{Lasts, Treatment, lasting};
use crate::view::Viewpoint;
use crate::virtual_host::{Host, hosts};
use crate::wire::{address, ads, any, duration};

/// The listener, cluster and routes of requests to the application.
pub const INBOUND: &str = "inbound";
/// The listener and routes of the application's requests.
pub const OUTBOUND: &str = "outbound";

/// Takes the application's requests to any Service, told apart by host.
pub(crate) fn outbound(mesh: &Mesh, from: &Viewpoint, at: SocketAddr) -> listener::Listener {
    let routes = routes_of(mesh, mesh.services().keys().filter(|key| from.can_dial(mesh, key)));
    let mut manager = outgoing(mesh, OUTBOUND, &rate_limit::of_routes(routes));
    if egress::is_open(mesh) {
        manager.http_filters.insert(manager.http_filters.len() - 1, egress::filter());
    }
    listen(OUTBOUND, at, vec![http_filter(&manager)], TrafficDirection::Outbound)
}

/// The routes that decide about requests to any of these Services.
pub(crate) fn routes_of<'a>(
    mesh: &'a Mesh,
    services: impl Iterator<Item = &'a Key>,
) -> impl Iterator<Item = &'a BoundRoute> {
    // Only limits ask, and most meshes have none.
    let services = services.filter(|_| !mesh.rate_limits().is_empty());
    let ports = services.filter_map(|key| Some((key, mesh.services().get(key)?)));
    let ports = ports.flat_map(|(key, service)| service.ports.iter().map(move |port| (key, port)));
    ports.flat_map(|(key, port)| mesh.bound_routes(key, port.port)).map(AsRef::as_ref)
}

/// Takes requests by the routes of this name.
fn outgoing(mesh: &Mesh, routes: &str, limits: &[&RateLimitPolicy]) -> hcm::HttpConnectionManager {
    let mut manager = manager(routes, by_discovery(routes));
    rate_limit::with_limits(mesh, &mut manager, None, limits);
    if mesh.has_faults() {
        fault::with_faults(&mut manager);
    }
    if mesh.has_stickiness() {
        stickiness::with_sessions(&mut manager);
    }
    if mesh.has_cors() { with_cors(manager) } else { manager }
}

fn by_discovery(routes: &str) -> hcm::http_connection_manager::RouteSpecifier {
    let rds = hcm::Rds { config_source: Some(ads()), route_config_name: routes.to_owned() };
    hcm::http_connection_manager::RouteSpecifier::Rds(rds)
}

/// Takes requests to the application.
pub(crate) fn inbound(
    mesh: &Mesh,
    at: SocketAddr,
    speaks: Inbound,
    limited: Option<&RateLimitPolicy>,
    own: &TrafficSettings,
) -> listener::Listener {
    let filter = match speaks {
        Inbound::Tcp => tcp(INBOUND, ClusterSpecifier::Cluster(INBOUND.to_owned())),
        Inbound::Http1 | Inbound::Http2 | Inbound::AsCalled => {
            let routes =
                hcm::http_connection_manager::RouteSpecifier::RouteConfig(inbound_routes(own));
            let mut manager = hcm::HttpConnectionManager {
                request_headers_timeout: own.timeouts.request_headers.map(duration),
                ..manager(INBOUND, routes)
            };
            rate_limit::with_limits(mesh, &mut manager, limited, &[]);
            if let Some(said) = own.adaptive_concurrency {
                adaptive::with_limit(&mut manager, said);
            }
            http_filter(&manager)
        }
    };
    listen(INBOUND, at, vec![filter], TrafficDirection::Inbound)
}

/// Everything to the application. How long it may take is for the caller to say.
fn inbound_routes(own: &TrafficSettings) -> route::RouteConfiguration {
    let action = route::RouteAction {
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(INBOUND.to_owned())),
        ..lasting(Lasts::ForEver)
    };
    route::RouteConfiguration {
        name: INBOUND.to_owned(),
        virtual_hosts: vec![route::VirtualHost {
            name: INBOUND.to_owned(),
            domains: vec!["*".to_owned()],
            routes: with_priority(vec![everything(INBOUND, action)], &own.high_priority),
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(crate) fn everything(name: &str, action: route::RouteAction) -> route::Route {
    everything_as(name, route::route::Action::Route(action))
}

/// A route that matches every request.
pub(crate) fn everything_as(name: &str, action: route::route::Action) -> route::Route {
    route::Route {
        name: name.to_owned(),
        r#match: Some(route::RouteMatch {
            path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".to_owned())),
            ..Default::default()
        }),
        action: Some(action),
        ..Default::default()
    }
}

/// The listeners of ports that say where, as far as they can be dialled; not those of the node's
/// own Service, whose application may listen on that very address.
pub(crate) fn port_listeners<'a>(
    mesh: &'a Mesh,
    from: &'a Viewpoint,
    own: Option<&'a Key>,
) -> impl Iterator<Item = (String, listener::Listener)> + 'a {
    let others = mesh.services().iter().filter(move |(key, _)| Some(*key) != own);
    others.filter(move |(key, _)| from.can_dial(mesh, key)).flat_map(|(key, service)| {
        service.ports.iter().filter_map(|port| {
            let name = cluster_name(key, port.port);
            let at = port.listen?;
            if port.protocol.is_http() {
                let routes = mesh.bound_routes(key, port.port).iter().map(AsRef::as_ref);
                let limits = rate_limit::of_routes(routes);
                let filter = http_filter(&outgoing(mesh, &name, &limits));
                return Some((
                    name.clone(),
                    listen(&name, at, vec![filter], TrafficDirection::Outbound),
                ));
            }
            let chains = chains(mesh, key, port, &name);
            let mut listener = listen(&name, at, Vec::new(), TrafficDirection::Outbound);
            if chains.iter().any(|chain| chain.filter_chain_match.is_some()) {
                listener.listener_filters.push(tls_inspector());
            }
            listener.filter_chains = chains;
            Some((name, listener))
        })
    })
}

/// What becomes of connections to a port that is not HTTP.
fn chains(
    mesh: &Mesh,
    service: &Key,
    port: &ServicePort,
    name: &str,
) -> Vec<listener::FilterChain> {
    let chain =
        |target| listener::FilterChain { filters: vec![tcp(name, target)], ..Default::default() };
    let by_name = mesh.bound_tls_routes(service, port.port);
    if by_name.is_empty() {
        let target = match mesh.bound_tcp_route(service, port.port) {
            Some(route) => destination(&route.backends),
            None => ClusterSpecifier::Cluster(cluster_name(service, port.port)),
        };
        return vec![chain(target)];
    }
    // Names that no route has are not for this Service: without a chain they are closed.
    let routed = by_name.iter().map(|route| listener::FilterChain {
        name: route.key.to_string(),
        filter_chain_match: Some(listener::FilterChainMatch {
            server_names: route.hostnames.clone(),
            ..Default::default()
        }),
        ..chain(destination(&route.backends))
    });
    routed.collect()
}

pub(crate) fn tls_inspector() -> listener::ListenerFilter {
    listener::ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        config_type: Some(listener::listener_filter::ConfigType::TypedConfig(any(
            &TlsInspector::default(),
        ))),
        ..Default::default()
    }
}

/// One cluster or several by weight; the backends of a route for connections have a share.
pub(crate) fn destination(backends: &[Backend]) -> ClusterSpecifier {
    match rule::weighted(backends).as_slice() {
        [only] => ClusterSpecifier::Cluster(backend_cluster(only)),
        several => ClusterSpecifier::WeightedClusters(tcp_proxy::tcp_proxy::WeightedCluster {
            clusters: several
                .iter()
                .map(|backend| tcp_proxy::tcp_proxy::weighted_cluster::ClusterWeight {
                    name: backend_cluster(backend),
                    weight: backend.weight,
                    ..Default::default()
                })
                .collect(),
        }),
    }
}

/// The outbound routes as seen from somewhere: those of [`OUTBOUND`], and those of each HTTP port
/// that has a listener of its own.
pub(crate) fn outbound_routes(
    mesh: &Mesh,
    from: &Viewpoint,
    encoded: &mut EncodedHosts,
) -> ResourceMap {
    let mut map = ResourceMap::new();
    let named = route::RouteConfiguration { name: OUTBOUND.to_owned(), ..Default::default() };
    let mut outbound = named.encode_to_vec();
    for (key, service) in mesh.services().iter().filter(|(key, _)| from.can_dial(mesh, key)) {
        encoded.append(mesh, (key, service), from.namespace(), &mut outbound);
        let listening = |port: &&ServicePort| port.protocol.is_http() && port.listen.is_some();
        for port in service.ports.iter().filter(listening) {
            let hosts = hosts(mesh, service, key, from.namespace(), Protocol::is_http);
            let routes = port_routes(mesh, key, port.port, &hosts);
            map.insert(routes.name.as_str().into(), stable::configuration(routes));
        }
    }
    for host in egress::virtual_hosts(mesh) {
        append(host, &mut outbound);
    }
    map.insert(OUTBOUND.into(), Resource::encoded(outbound));
    map
}

/// The routes of a listener that is for one port: whatever host its callers name, it is this port,
/// unless a route tells host names apart.
fn port_routes(mesh: &Mesh, key: &Key, port: u16, hosts: &[Host<'_>]) -> route::RouteConfiguration {
    let name = cluster_name(key, port);
    let hosts = hosts.iter().filter(|host| host.port.port == port);
    let virtual_hosts = hosts.map(|host| {
        let other = (host.name != name).then(|| host.domains.clone());
        let domains = other.unwrap_or_else(|| vec!["*".to_owned()]);
        route::VirtualHost { domains, ..virtual_host(mesh, host) }
    });
    route::RouteConfiguration { virtual_hosts: virtual_hosts.collect(), name, ..Default::default() }
}

pub(crate) fn virtual_host(mesh: &Mesh, host: &Host<'_>) -> route::VirtualHost {
    let treatment = Treatment::of(mesh, host.service, host.port.protocol);
    let routes = if host.routes.is_empty() {
        let cluster = cluster_name(host.service, host.port.port);
        let action = route::RouteAction {
            cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(
                cluster.clone(),
            )),
            ..treatment.forward()
        };
        treatment.with_priority(vec![treatment.everything(&cluster, action)])
    } else {
        by_precedence(&host.routes)
            .iter()
            .flat_map(|candidate| {
                rule::routes(&candidate.name(), candidate.rule, candidate.matched, &treatment)
            })
            .collect()
    };
    route::VirtualHost {
        name: host.name.clone(),
        domains: host.domains.clone(),
        routes,
        ..Default::default()
    }
}

/// What the inbound listener of a node of this Service takes.
pub(crate) fn speaks(service: Option<&Service>) -> Inbound {
    service.map_or(Inbound::AsCalled, Inbound::of)
}

pub(crate) fn listen(
    name: &str,
    at: SocketAddr,
    filters: Vec<listener::Filter>,
    direction: TrafficDirection,
) -> listener::Listener {
    listener::Listener {
        name: name.to_owned(),
        address: Some(address(at)),
        filter_chains: vec![listener::FilterChain { filters, ..Default::default() }],
        traffic_direction: direction.into(),
        ..Default::default()
    }
}

pub(crate) fn http_filter(manager: &hcm::HttpConnectionManager) -> listener::Filter {
    filter("envoy.filters.network.http_connection_manager", manager)
}

/// A connection manager that does nothing but route.
pub(crate) fn manager(
    stat_prefix: &str,
    routes: hcm::http_connection_manager::RouteSpecifier,
) -> hcm::HttpConnectionManager {
    // What the proxy before has left of the time is all that there is.
    let router = Router { respect_expected_rq_timeout: true, ..Default::default() };
    hcm::HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        http_filters: vec![hcm::HttpFilter {
            name: "envoy.filters.http.router".to_owned(),
            config_type: Some(hcm::http_filter::ConfigType::TypedConfig(any(&router))),
            ..Default::default()
        }],
        route_specifier: Some(routes),
        ..Default::default()
    }
}

pub(crate) fn tcp(stat_prefix: &str, target: ClusterSpecifier) -> listener::Filter {
    let proxy = tcp_proxy::TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        cluster_specifier: Some(target),
        // A connection that says nothing may still be wanted: a pool of a database client.
        idle_timeout: Some(duration(Duration::ZERO)),
        ..Default::default()
    };
    filter("envoy.filters.network.tcp_proxy", &proxy)
}

fn filter<T: prost::Name>(name: &str, config: &T) -> listener::Filter {
    listener::Filter {
        name: name.to_owned(),
        config_type: Some(listener::filter::ConfigType::TypedConfig(any(config))),
    }
}
