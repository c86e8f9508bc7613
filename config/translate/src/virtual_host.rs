//! The host names of a Service port, and the routes behind each.

use std::collections::BTreeMap;

use weft_config::model::service::{Protocol, Service, ServicePort};
use weft_config::{BoundRoute, Key, Mesh};

/// A set of host names that lead to the same routes.
pub(crate) struct Host<'a> {
    /// Unique among all hosts.
    pub(crate) name: String,
    /// What callers dial: the name, with and without the port.
    pub(crate) domains: Vec<String>,
    /// The Service.
    pub(crate) service: &'a Key,
    /// Its port.
    pub(crate) port: &'a ServicePort,
    /// The routes that decide; without any, requests go to the endpoints of the port.
    pub(crate) routes: Vec<&'a BoundRoute>,
}

/// The hosts of the ports of a Service that `takes` agrees with, as dialled from `namespace`.
///
/// A port can be left out of a name when it is 80, or when the Service has no port 80 and it is
/// the first one taken.
pub(crate) fn hosts<'a>(
    mesh: &'a Mesh,
    service: &'a Service,
    key: &'a Key,
    namespace: &str,
    takes: fn(Protocol) -> bool,
) -> Vec<Host<'a>> {
    let ports: Vec<&ServicePort> =
        service.ports.iter().filter(|port| takes(port.protocol)).collect();
    let implied = |ports: &[&ServicePort]| {
        let default = ports.iter().find(|port| port.port == 80).or(ports.first());
        default.map(|port| port.port)
    };
    let qualified = format!("{}.{}", key.name, key.namespace);
    let mut own = vec![qualified.clone()];
    if key.namespace == namespace {
        own.insert(0, key.name.clone());
    }
    own.extend(service.hostnames.iter().cloned());
    let is_own = |hostname: &String| *hostname == key.name || own.contains(hostname);

    let mut hosts: Vec<Host<'a>> = Vec::new();
    let mut others: BTreeMap<&str, Vec<(&'a ServicePort, Vec<&'a BoundRoute>)>> = BTreeMap::new();
    for port in &ports {
        let routes: Vec<&BoundRoute> =
            mesh.bound_routes(key, port.port).iter().map(AsRef::as_ref).collect();
        let mut of_own = routes.clone();
        of_own.retain(|route| route.hostnames.is_empty() || route.hostnames.iter().any(is_own));
        // A route that names hosts takes nothing away from the others.
        let domains = domains(&own, port.port, implied(&ports) == Some(port.port));
        hosts.push(Host {
            name: format!("{qualified}:{}", port.port),
            domains,
            service: key,
            port,
            routes: of_own,
        });
        for route in &routes {
            for hostname in route.hostnames.iter().filter(|hostname| !is_own(hostname)) {
                let claims = others.entry(hostname).or_default();
                match claims.iter_mut().find(|(other, _)| other.port == port.port) {
                    Some((_, routes)) => routes.push(route),
                    None => claims.push((port, vec![route])),
                }
            }
        }
    }
    for (hostname, claims) in others {
        let claimed: Vec<&ServicePort> = claims.iter().map(|(port, _)| *port).collect();
        for (port, routes) in claims {
            let domains =
                domains(&[hostname.to_owned()], port.port, implied(&claimed) == Some(port.port));
            hosts.push(Host {
                name: format!("{hostname}:{}", port.port),
                domains,
                service: key,
                port,
                routes,
            });
        }
    }
    hosts
}

fn domains(names: &[String], port: u16, implied: bool) -> Vec<String> {
    names
        .iter()
        .flat_map(|name| {
            let bare = implied.then(|| name.clone());
            bare.into_iter().chain([format!("{name}:{port}")])
        })
        .collect()
}
