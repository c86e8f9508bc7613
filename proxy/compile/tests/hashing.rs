//! What endpoints are placed by where requests are hashed.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod fixture;

use fixture::{Proxy, find};
use prost::Message as _;
use weft_compile::ResourceType::Cluster as CDS;
use weft_proto::{json::from_yaml, pb::envoy::config::cluster::v3::Cluster};

/// What each of three endpoints is placed by, if not by its address.
fn keys(balancing: &str) -> Vec<Option<String>> {
    let address =
        |port| format!("address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}");
    let text = format!(
        "{{name: a, {balancing}, load_assignment: {{cluster_name: a, endpoints: [{{lb_endpoints: [\
         {{endpoint: {{{}}}}}, {{endpoint: {{hostname: named, {}}}}}, \
         {{endpoint: {{hostname: named, {}}}, metadata: {{filter_metadata: {{envoy.lb: {{hash_key: keyed}}}}}}}}]}}]}}}}",
        address(1),
        address(2),
        address(3)
    );
    let bytes = from_yaml::<Cluster>(&text).unwrap().encode_to_vec();
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", bytes.into())]);
    let tables = proxy.tables();
    let cluster = find(&tables, "a").unwrap();
    cluster
        .balancer
        .hosts()
        .iter()
        .map(|host| host.hash_key.as_deref().map(str::to_owned))
        .collect()
}

#[test]
fn endpoints_are_placed_by_what_is_asked_for() {
    let keyed = Some("keyed".to_owned());
    let by_name =
        "common_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}}";
    assert_eq!(keys("lb_policy: RING_HASH"), [None, None, keyed.clone()]);
    let named = Some("named".to_owned());
    assert_eq!(keys(&format!("lb_policy: MAGLEV, {by_name}")), [None, named, keyed]);
    assert_eq!(keys("lb_policy: RANDOM"), [None, None, None]);
}
