//! What part of the mesh a node sees.

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_config::model::RateLimitPolicy;
use weft_config::model::rate_limit::RateLimitTarget;
use weft_config::{Key, Mesh};

use crate::cluster::cluster_name;
use crate::egress;
use crate::encoded::EncodedHosts;
use crate::gateway;
use crate::global_limit;
use crate::listener;
use crate::node::Node;
use crate::rate_limit;
use crate::resources::ResourceMap;
use crate::route::backend_cluster;

/// From where a proxy looks at the mesh. Nodes that look from the same place see the same, and
/// there are no more places than documents, so that what nodes claim cannot grow the memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Viewpoint {
    /// A Gateway: what its routes lead to.
    Gateway(Key),
    /// A Service that says what it calls, or a sidecar that calls nobody: that, and what its own
    /// sidecars ask.
    Service(Key),
    /// A namespace that has Services: all of the mesh.
    Namespace(String),
    /// Any other namespace.
    Elsewhere,
}

impl Viewpoint {
    /// That of a sidecar.
    pub(crate) fn of_sidecar(mesh: &Mesh, node: &Node) -> Self {
        let declares = |key: &Key| {
            mesh.services().get(key).is_some_and(|service| service.dependencies.is_some())
        };
        match node.service_key().filter(declares) {
            Some(service) => Self::Service(service),
            None => Self::of_namespace(mesh, &node.namespace),
        }
    }

    /// That of a client of all Services.
    pub(crate) fn of_namespace(mesh: &Mesh, namespace: &str) -> Self {
        if mesh.services().keys().any(|key| key.namespace == namespace) {
            Self::Namespace(namespace.to_owned())
        } else {
            Self::Elsewhere
        }
    }

    /// Whether the mesh still has this place.
    pub(crate) fn exists(&self, mesh: &Mesh) -> bool {
        match self {
            Self::Gateway(key) => mesh.gateways().contains_key(key),
            Self::Service(key) => mesh.services().contains_key(key),
            Self::Namespace(namespace) => {
                mesh.services().keys().any(|key| key.namespace == *namespace)
            }
            Self::Elsewhere => true,
        }
    }

    /// The namespace whose Services have bare names; no namespace is called "".
    pub(crate) fn namespace(&self) -> &str {
        match self {
            Self::Gateway(key) | Self::Service(key) => &key.namespace,
            Self::Namespace(namespace) => namespace,
            Self::Elsewhere => "",
        }
    }

    /// Whether callers here can dial a Service.
    pub(crate) fn can_dial(&self, mesh: &Mesh, service: &Key) -> bool {
        match self {
            Self::Service(own) => dependencies(mesh, own).any(|it| it == *service),
            Self::Gateway(_) => false,
            Self::Namespace(_) | Self::Elsewhere => true,
        }
    }

    /// Its routes.
    pub(crate) fn routes(&self, mesh: &Mesh, encoded: &mut EncodedHosts) -> ResourceMap {
        match self {
            Self::Gateway(key) => match mesh.gateways().get(key) {
                Some(gateway) => gateway::routes(mesh, key, gateway),
                None => ResourceMap::new(),
            },
            _ => listener::outbound_routes(mesh, self, encoded),
        }
    }

    /// The clusters that its routes lead to; `None` when it is all of them.
    pub(crate) fn reach(&self, mesh: &Mesh) -> Option<Arc<BTreeSet<String>>> {
        match self {
            Self::Gateway(key) => {
                let gateway = mesh.gateways().get(key)?;
                let backends = gateway::backends(mesh, key, gateway);
                let mut reach: BTreeSet<_> = backends.iter().map(backend_cluster).collect();
                let always = rate_limit::of_target(mesh, key, RateLimitTarget::Gateway);
                let routes = gateway::requests_of(mesh, key, gateway);
                let of_routes = rate_limit::of_routes(routes.iter().map(AsRef::as_ref));
                reach.extend(counting(mesh, always.into_iter().chain(of_routes)));
                Some(Arc::new(reach))
            }
            Self::Service(own) => {
                let mut reach = BTreeSet::new();
                for service in dependencies(mesh, own) {
                    reach.extend(of_service(mesh, &service));
                }
                // Its peers say how much of its requests its zone can carry.
                let port = mesh.services().get(own).and_then(|service| service.ports.first());
                reach.extend(port.map(|port| cluster_name(own, port.port)));
                reach.extend(egress::cluster_names(mesh));
                let inbound = rate_limit::of_target(mesh, own, RateLimitTarget::Service);
                let called: Vec<Key> = dependencies(mesh, own).collect();
                let of_routes = rate_limit::of_routes(listener::routes_of(mesh, called.iter()));
                reach.extend(counting(mesh, inbound.into_iter().chain(of_routes)));
                Some(Arc::new(reach))
            }
            Self::Namespace(_) | Self::Elsewhere => None,
        }
    }
}

/// The clusters of the services that count for policies.
fn counting<'a>(
    mesh: &'a Mesh,
    policies: impl Iterator<Item = &'a RateLimitPolicy> + 'a,
) -> impl Iterator<Item = String> + 'a {
    policies.filter_map(|policy| global_limit::cluster(mesh, policy))
}

/// The Services that a Service says it calls.
fn dependencies<'a>(mesh: &'a Mesh, own: &'a Key) -> impl Iterator<Item = Key> + 'a {
    let service = mesh.services().get(own);
    let declared = service.into_iter().flat_map(|service| service.dependencies.iter().flatten());
    declared.map(|it| it.key(&own.namespace))
}

/// The clusters of a Service, and those that its routes lead to.
fn of_service(mesh: &Mesh, key: &Key) -> Vec<String> {
    let Some(service) = mesh.services().get(key) else { return Vec::new() };
    let mut reach = Vec::new();
    for port in &service.ports {
        let rules = mesh.bound_routes(key, port.port).iter().flat_map(|route| &route.rules);
        reach.extend(rules.flat_map(|rule| rule.destinations()).map(backend_cluster));
        let connections = mesh.bound_tcp_route(key, port.port).into_iter();
        reach.extend(connections.flat_map(|route| &route.backends).map(backend_cluster));
        let by_name = mesh.bound_tls_routes(key, port.port).iter();
        reach.extend(by_name.flat_map(|route| &route.backends).map(backend_cluster));
    }
    reach.extend(service.ports.iter().map(|port| cluster_name(key, port.port)));
    reach
}

/// Those of `all` that are within reach.
pub(crate) fn within(all: &Arc<ResourceMap>, reach: &BTreeSet<String>) -> ResourceMap {
    let found = reach.iter().filter_map(|name| all.get_key_value(name.as_str()));
    found.map(|(name, resource)| (Arc::clone(name), resource.clone())).collect()
}
