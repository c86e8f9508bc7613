//! Hosts outside of the mesh that may be called.

use std::collections::BTreeMap;

use weft_config::Mesh;
use weft_config::model::policy::{EgressHost, LoadBalancer, TrafficSettings};
use weft_config::model::service::Protocol;
use weft_proto::pb::envoy::config::cluster::v3 as cluster;
use weft_proto::pb::envoy::config::route::v3 as route;
use weft_proto::pb::envoy::extensions::clusters::dynamic_forward_proxy::v3 as any_host;
use weft_proto::pb::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use weft_proto::pb::envoy::extensions::filters::http::dynamic_forward_proxy::v3 as forward;
use weft_proto::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;

use crate::cluster::{Source, egress_cluster_name};
use crate::treatment::Treatment;
use crate::wire::any;

/// The cluster of hosts that only requests name.
const ANY_HOST: &str = "egress/*";

fn hosts(mesh: &Mesh) -> &[EgressHost] {
    mesh.config().map_or(&[], |config| config.egress.hosts())
}

/// Whether hosts may be called that nobody has named before.
pub(crate) fn is_open(mesh: &Mesh) -> bool {
    mesh.config().is_some_and(|config| config.egress.is_open())
}

/// The names of all clusters of hosts outside.
pub(crate) fn cluster_names(mesh: &Mesh) -> impl Iterator<Item = String> {
    let any_host = is_open(mesh).then(|| ANY_HOST.to_owned());
    hosts(mesh).iter().map(egress_cluster_name).chain(any_host)
}

/// A cluster for each host and port, and one for all others where those may be called, with the
/// settings that hold for the whole mesh.
pub(crate) fn clusters(mesh: &Mesh) -> impl Iterator<Item = cluster::Cluster> {
    let settings = mesh.config().map(|config| config.defaults.clone()).unwrap_or_default();
    let open = is_open(mesh).then(|| any_host_cluster(&settings));
    let named = hosts(mesh).iter().map(move |host| {
        let source = Source::Dns { host: &host.host, port: host.port };
        crate::cluster::envoy(&egress_cluster_name(host), host.protocol, source, &settings)
    });
    named.chain(open)
}

/// Goes to whatever host a request names.
fn any_host_cluster(settings: &TrafficSettings) -> cluster::Cluster {
    use any_host::cluster_config::ClusterImplementationSpecifier::DnsCacheConfig;
    let source = Source::Discovery;
    // Requests name their host: there is nothing to choose from, and nobody who could be well.
    let settings = TrafficSettings {
        load_balancer: LoadBalancer::default(),
        health_check: None,
        ..settings.clone()
    };
    let base = crate::cluster::envoy(ANY_HOST, Protocol::Http, source, &settings);
    let config = any_host::ClusterConfig {
        cluster_implementation_specifier: Some(DnsCacheConfig(cache())),
        // Envoy wants names of certificates checked; without TLS there are none.
        allow_insecure_cluster_options: true,
        ..Default::default()
    };
    let kind = cluster::cluster::CustomClusterType {
        name: "envoy.clusters.dynamic_forward_proxy".to_owned(),
        typed_config: Some(any(&config)),
    };
    cluster::Cluster {
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::ClusterType(kind)),
        eds_cluster_config: None,
        lb_policy: cluster::cluster::LbPolicy::ClusterProvided.into(),
        ..base
    }
}

/// Holds a request until the host that it names was looked up.
pub(crate) fn filter() -> hcm::HttpFilter {
    use forward::filter_config::ImplementationSpecifier::DnsCacheConfig;
    let config = forward::FilterConfig {
        implementation_specifier: Some(DnsCacheConfig(cache())),
        ..Default::default()
    };
    hcm::HttpFilter {
        name: "envoy.filters.http.dynamic_forward_proxy".to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(any(&config))),
        ..Default::default()
    }
}

/// How hosts are looked up: the filter and the cluster have to say the same.
fn cache() -> DnsCacheConfig {
    DnsCacheConfig {
        name: "egress".to_owned(),
        dns_lookup_family: cluster::cluster::DnsLookupFamily::V4Preferred.into(),
        ..Default::default()
    }
}

/// A virtual host for each host and port, and one for all others where those may be called.
pub(crate) fn virtual_hosts(mesh: &Mesh) -> impl Iterator<Item = route::VirtualHost> {
    // Without a port a name means port 80, or the first port that may be called.
    let mut implied: BTreeMap<&str, u16> = BTreeMap::new();
    for host in hosts(mesh) {
        let port = implied.entry(&host.host).or_insert(host.port);
        if host.port == 80 {
            *port = 80;
        }
    }
    let named = hosts(mesh).iter().map(move |host| {
        let bare = implied.get(&*host.host) == Some(&host.port);
        let bare = bare.then(|| host.host.clone());
        let domains = bare.into_iter().chain([format!("{}:{}", host.host, host.port)]).collect();
        virtual_host(mesh, egress_cluster_name(host), host.protocol, domains)
    });
    let others = is_open(mesh)
        .then(|| virtual_host(mesh, ANY_HOST.to_owned(), Protocol::Http, vec!["*".to_owned()]));
    named.chain(others)
}

/// Everything to one cluster outside.
fn virtual_host(
    mesh: &Mesh,
    name: String,
    protocol: Protocol,
    domains: Vec<String>,
) -> route::VirtualHost {
    let treatment = Treatment::by_default(mesh, protocol);
    let action = route::RouteAction {
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(name.clone())),
        ..treatment.forward()
    };
    route::VirtualHost {
        domains,
        routes: vec![treatment.everything(&name, action)],
        name,
        ..Default::default()
    }
}
