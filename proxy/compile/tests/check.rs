//! What the control plane asks before it sends anything.

mod fixture;

use fixture::{
    any, assignment, bad_cluster, bad_routes, eds_cluster, inline_listener, rds_listener, routes,
};
use prost::Message;
use weft_compile::{ResourceType, check_resource};
use weft_proto::pb::envoy::config::listener::v3::{ApiListener, Filter, Listener, filter};

#[test]
fn it_says_what_a_proxy_would_say() {
    for (kind, bytes) in [
        (ResourceType::Cluster, eds_cluster("a", "a", 1)),
        (ResourceType::Assignment, assignment("a", &[1])),
        (ResourceType::RouteConfiguration, routes("r", "anywhere")),
        (ResourceType::Listener, rds_listener("in", 80, "r")),
        (ResourceType::Listener, inline_listener("in", 80, "anywhere")),
    ] {
        check_resource(kind, &bytes).unwrap();
    }
    for (kind, bytes, path) in [
        (ResourceType::Cluster, bad_cluster("a"), "lb_policy"),
        (ResourceType::RouteConfiguration, bad_routes("r"), "virtual_hosts"),
    ] {
        let reasons = check_resource(kind, &bytes).unwrap_err();
        assert!(reasons.iter().any(|reason| reason.path == path), "{reasons:?}");
    }
}

#[test]
fn listeners_for_grpc_clients_are_checked_too() {
    let sockets = Listener::decode(rds_listener("in", 80, "r")).unwrap();
    let [Filter { config_type: Some(filter::ConfigType::TypedConfig(http)), .. }] =
        sockets.filter_chains[0].filters.as_slice()
    else {
        panic!("one filter")
    };
    let api = |held| Listener {
        name: "catalog".to_owned(),
        api_listener: Some(ApiListener { api_listener: Some(held) }),
        ..Listener::default()
    };
    let good = api(http.clone()).encode_to_vec();
    check_resource(ResourceType::Listener, &good).unwrap();
    let bad = api(any(&Listener::default())).encode_to_vec();
    assert!(check_resource(ResourceType::Listener, &bad).is_err());
}
