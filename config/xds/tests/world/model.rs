//! A small mesh that changes at random and is consistent at every moment.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use weft_proto::pb::envoy::config::{
    cluster::v3::{
        Cluster,
        cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig},
    },
    core::v3::{AggregatedConfigSource, ConfigSource, config_source::ConfigSourceSpecifier},
    endpoint::v3::ClusterLoadAssignment,
    listener::v3::Listener,
    route::v3::RouteConfiguration,
};
use weft_xds::{Name, ResourceType};

pub(crate) const TYPES: [ResourceType; 4] =
    [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route];

/// Resources by name; the number is their content, and 0 is bad content.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) clusters: BTreeMap<String, u8>,
    /// By the name of their cluster, which always exists.
    pub(crate) endpoints: BTreeMap<String, u8>,
    /// With the name of the route that they use.
    listeners: BTreeMap<String, (u8, String)>,
    /// With the clusters that they lead to, which always exist.
    routes: BTreeMap<String, (u8, Vec<String>)>,
}

impl Model {
    /// Changes one thing, and what must change with it.
    pub(crate) fn change(&mut self, kind: u8, which: u8, content: u8) {
        let cluster = format!("c{}", which % 5);
        let route = format!("r{}", which % 3);
        match kind % 8 {
            0 | 1 => {
                self.clusters.insert(cluster.clone(), content);
                self.endpoints.entry(cluster).or_insert(1);
            }
            2 => {
                if let Some(endpoints) = self.endpoints.get_mut(&cluster) {
                    *endpoints = content;
                }
            }
            3 => {
                self.clusters.remove(&cluster);
                self.endpoints.remove(&cluster);
                for (content, clusters) in self.routes.values_mut() {
                    let before = clusters.len();
                    clusters.retain(|each| *each != cluster);
                    if clusters.len() < before {
                        *content = (*content).max(1) % 7 + 1;
                    }
                }
            }
            4 | 5 => {
                let clusters = self.clusters.keys().skip(usize::from(which % 2)).step_by(2);
                self.routes.insert(route, (content, clusters.cloned().collect()));
            }
            6 => {
                let listener = format!("l{}", which % 2);
                self.routes.entry(route.clone()).or_insert((1, Vec::new()));
                self.listeners.insert(listener, (content, route));
            }
            _ => {
                self.listeners.remove(&format!("l{}", which % 2));
            }
        }
    }

    pub(crate) fn encode(&self, of: ResourceType) -> BTreeMap<String, Bytes> {
        match of {
            ResourceType::Cluster => {
                encode(&self.clusters, |name, content| cluster(name, *content).encode_to_vec())
            }
            ResourceType::Endpoint => encode(&self.endpoints, |name, content| {
                ClusterLoadAssignment {
                    cluster_name: name.into(),
                    named_endpoints: [(content.to_string(), Default::default())].into(),
                    ..Default::default()
                }
                .encode_to_vec()
            }),
            ResourceType::Listener => encode(&self.listeners, |name, (content, route)| {
                Listener {
                    name: name.into(),
                    stat_prefix: format!("{content}/{route}"),
                    ..Default::default()
                }
                .encode_to_vec()
            }),
            ResourceType::Route => encode(&self.routes, |name, (content, clusters)| {
                RouteConfiguration {
                    name: name.into(),
                    request_headers_to_remove: vec![content.to_string()],
                    internal_only_headers: clusters.clone(),
                    ..Default::default()
                }
                .encode_to_vec()
            }),
            _ => BTreeMap::new(),
        }
    }
}

fn encode<T>(
    all: &BTreeMap<String, T>,
    one: impl Fn(&str, &T) -> Vec<u8>,
) -> BTreeMap<String, Bytes> {
    all.iter().map(|(name, each)| (name.clone(), one(name, each).into())).collect()
}

fn cluster(name: &str, content: u8) -> Cluster {
    let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
    Cluster {
        name: name.into(),
        alt_stat_name: content.to_string(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ConfigSource {
                config_source_specifier: Some(ads),
                ..Default::default()
            }),
            service_name: String::new(),
        }),
        ..Default::default()
    }
}

/// Whether a client refuses it.
pub(crate) fn is_bad(of: ResourceType, body: &Bytes) -> bool {
    let body = body.clone();
    let content = match of {
        ResourceType::Cluster => Cluster::decode(body).unwrap().alt_stat_name,
        ResourceType::Endpoint => {
            let all = ClusterLoadAssignment::decode(body).unwrap().named_endpoints;
            all.into_keys().next().unwrap()
        }
        ResourceType::Listener => {
            Listener::decode(body).unwrap().stat_prefix.split('/').next().unwrap().to_owned()
        }
        _ => RouteConfiguration::decode(body).unwrap().request_headers_to_remove[0].clone(),
    };
    content == "0"
}

/// The route that a listener uses.
pub(crate) fn route_of(listener: &Bytes) -> Name {
    let prefix = Listener::decode(listener.clone()).unwrap().stat_prefix;
    prefix.split('/').nth(1).unwrap().into()
}

/// The clusters that a route leads to.
pub(crate) fn clusters_of(route: &Bytes) -> Vec<String> {
    RouteConfiguration::decode(route.clone()).unwrap().internal_only_headers
}
