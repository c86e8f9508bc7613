//! A sound resource costs no allocation to check.

use prost::Message;
use weft_proto::pb::envoy::config::{
    cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener,
    route::v3::RouteConfiguration,
};
use weft_proto::{check::check, json, type_url};

const LISTENER: &str = r#"
name: l
address: {socket_address: {address: 0.0.0.0, port_value: 80}}
filter_chains:
- filters:
  - name: hcm
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: s
      rds: {route_config_name: r, config_source: {ads: {}}}
      http_filters:
      - name: router
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
"#;

const ROUTES: &str = r#"
name: r
virtual_hosts:
- name: v
  domains: [a, "*.b"]
  routes:
  - match: {prefix: /, headers: [{name: x, string_match: {exact: y}}]}
    route: {weighted_clusters: {clusters: [{name: c, weight: 1}, {name: d, weight: 2}]}, timeout: 1s}
  - match: {safe_regex: {regex: "/.*"}}
    direct_response: {status: 404, body: {inline_string: none}}
"#;

const ENDPOINTS: &str = r"
cluster_name: c
endpoints:
- locality: {region: r, zone: z}
  load_balancing_weight: 3
  lb_endpoints:
  - {endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 1}}}, health_status: HEALTHY}
  - {endpoint: {address: {pipe: {path: /tmp/a}}}, load_balancing_weight: 7}
";

#[test]
fn checking_what_is_sound_does_not_allocate() {
    let cluster: Cluster = json::from_yaml(
        "{name: c, type: EDS, eds_cluster_config: {eds_config: {ads: {}}}, connect_timeout: 1s}",
    )
    .unwrap();
    let listener: Listener = json::from_yaml(LISTENER).unwrap();
    let routes: RouteConfiguration = json::from_yaml(ROUTES).unwrap();
    let endpoints: ClusterLoadAssignment = json::from_yaml(ENDPOINTS).unwrap();
    for (url, bytes) in [
        (type_url::CLUSTER, cluster.encode_to_vec()),
        (type_url::LISTENER, listener.encode_to_vec()),
        (type_url::ROUTE_CONFIGURATION, routes.encode_to_vec()),
        (type_url::CLUSTER_LOAD_ASSIGNMENT, endpoints.encode_to_vec()),
    ] {
        let mut findings = Vec::new();
        let allocations = allocation_counter::measure(|| findings = check(url, &bytes));
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(allocations.count_total, 0, "{url}");
    }
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 64])));
    assert_eq!(counted.count_total, 1, "allocations are counted");
}
