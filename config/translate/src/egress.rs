//! Hosts outside of the mesh that may be called.

use std::collections::BTreeMap;

use weft_config::Mesh;
use weft_config::model::policy::EgressHost;
use weft_proto::pb::envoy::config::cluster::v3 as cluster;
use weft_proto::pb::envoy::config::route::v3 as route;

use crate::cluster::{Source, egress_cluster_name};
use crate::listener::everything;
use crate::treatment::Treatment;

fn hosts(mesh: &Mesh) -> &[EgressHost] {
    mesh.config().map_or(&[], |config| config.egress.hosts())
}

/// A cluster for each host and port, with the settings that hold for the whole mesh.
pub(crate) fn clusters(mesh: &Mesh) -> impl Iterator<Item = cluster::Cluster> {
    let settings = mesh.config().map(|config| config.defaults.clone()).unwrap_or_default();
    hosts(mesh).iter().map(move |host| {
        let source = Source::Dns { host: &host.host, port: host.port };
        crate::cluster::envoy(&egress_cluster_name(host), host.protocol, source, &settings)
    })
}

/// A virtual host for each host and port.
pub(crate) fn virtual_hosts(mesh: &Mesh) -> impl Iterator<Item = route::VirtualHost> {
    // Without a port a name means port 80, or the first port that may be called.
    let mut implied: BTreeMap<&str, u16> = BTreeMap::new();
    for host in hosts(mesh) {
        let port = implied.entry(&host.host).or_insert(host.port);
        if host.port == 80 {
            *port = 80;
        }
    }
    hosts(mesh).iter().map(move |host| {
        let name = egress_cluster_name(host);
        let action = route::RouteAction {
            cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(name.clone())),
            ..Treatment::by_default(mesh, host.protocol).forward()
        };
        let bare = implied.get(&*host.host) == Some(&host.port);
        let bare = bare.then(|| host.host.clone());
        route::VirtualHost {
            domains: bare.into_iter().chain([format!("{}:{}", host.host, host.port)]).collect(),
            routes: vec![everything(&name, action)],
            name,
            ..Default::default()
        }
    })
}
