//! Bytes from the network never make reading panic, and what is refused says why.

use proptest::prelude::*;
use prost::{Message, Name};
use weft_proto::pb::{
    envoy::{
        config::{
            cluster::v3::Cluster as WireCluster,
            listener::v3::{Filter, FilterChain, Listener as WireListener, filter},
            route::v3::{
                Route, RouteConfiguration as WireRoutes, RouteMatch, VirtualHost,
                route_match::PathSpecifier,
            },
        },
        extensions::filters::network::http_connection_manager::v3::HttpConnectionManager,
    },
    google::protobuf::Any,
};
use weft_resources::{Assignment, Cluster, Listener, Reason, Resource, RouteConfiguration, decode};

fn outcome<R: Resource>(bytes: &[u8]) -> Result<(), Vec<Reason>> {
    decode::<R>(bytes).map(drop)
}

fn read_as_everything(bytes: &[u8]) {
    for outcome in [
        outcome::<Cluster>(bytes),
        outcome::<Assignment>(bytes),
        outcome::<Listener>(bytes),
        outcome::<RouteConfiguration>(bytes),
    ] {
        if let Err(reasons) = outcome {
            assert!(!reasons.is_empty());
            assert!(reasons.iter().all(|reason| !reason.to_string().is_empty()));
        }
    }
}

/// A message with something of everything, to be damaged.
fn samples() -> Vec<Vec<u8>> {
    let path = Some(PathSpecifier::Prefix("/".to_owned()));
    let matcher = RouteMatch { path_specifier: path, ..RouteMatch::default() };
    let routes = WireRoutes {
        name: "routes".to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: "host".to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![Route { r#match: Some(matcher), ..Route::default() }],
            ..VirtualHost::default()
        }],
        ..WireRoutes::default()
    };
    let http = HttpConnectionManager { stat_prefix: "in".to_owned(), ..Default::default() };
    let any = Any { type_url: HttpConnectionManager::type_url(), value: http.encode_to_vec() };
    let config_type = Some(filter::ConfigType::TypedConfig(any));
    let filter = Filter { name: "http".to_owned(), config_type };
    let chain = FilterChain { filters: vec![filter], ..FilterChain::default() };
    let listener = WireListener { filter_chains: vec![chain], ..WireListener::default() };
    let cluster = WireCluster { name: "cluster".to_owned(), ..WireCluster::default() };
    vec![routes.encode_to_vec(), listener.encode_to_vec(), cluster.encode_to_vec()]
}

proptest! {
    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn damaged_resources(
        which in 0usize..3,
        damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8),
        cut in any::<u16>(),
    ) {
        let mut bytes = samples().swap_remove(which);
        for (at, value) in damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(1 + usize::from(cut) % bytes.len());
        read_as_everything(&bytes);
    }
}

#[test]
fn messages_nested_beyond_reason_are_refused() {
    // `wrr_locality` holding a `wrr_locality`, and so on.
    use weft_proto::pb::envoy::{
        config::{
            cluster::v3::{LoadBalancingPolicy, load_balancing_policy::Policy},
            core::v3::TypedExtensionConfig,
        },
        extensions::load_balancing_policies::wrr_locality::v3::WrrLocality,
    };
    let mut policy = LoadBalancingPolicy::default();
    for _ in 0..40 {
        let nested = WrrLocality { endpoint_picking_policy: Some(policy) };
        let any = Any { type_url: WrrLocality::type_url(), value: nested.encode_to_vec() };
        let extension = TypedExtensionConfig { name: "nested".to_owned(), typed_config: Some(any) };
        policy = LoadBalancingPolicy {
            policies: vec![Policy { typed_extension_config: Some(extension) }],
        };
    }
    let cluster = WireCluster {
        name: "deep".to_owned(),
        load_balancing_policy: Some(policy),
        ..WireCluster::default()
    };
    assert!(outcome::<Cluster>(&cluster.encode_to_vec()).is_err());
}
