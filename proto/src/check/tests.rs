//! What check says of whole resources.

use proptest::prelude::*;
use prost::{Message as _, Name};

use super::*;
use crate::json::from_yaml;
use crate::pb::envoy::config::bootstrap::v3::Bootstrap;
use crate::pb::envoy::config::cluster::v3::Cluster;
use crate::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use crate::pb::envoy::config::listener::v3::Listener;
use crate::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use crate::type_url;
use crate::wire;

mod differential;
mod rules;

/// The findings about a resource given as YAML, one line each, `!` before a refusal.
fn said<M: Name + Default>(yaml: &str) -> Vec<String> {
    let message: M = from_yaml(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    let findings = check(&M::type_url(), &message.encode_to_vec());
    findings.iter().map(line).collect()
}

fn line(finding: &Finding) -> String {
    let mark = if finding.verdict == Verdict::Nack { "!" } else { "?" };
    format!("{mark} {finding}")
}

#[track_caller]
fn expect<M: Name + Default>(yaml: &str, expected: &[&str]) {
    assert_eq!(said::<M>(yaml), expected, "{yaml}");
}

/// A listener whose HTTP filters, routes and other settings are given.
fn http(settings: &str) -> String {
    format!(
        "{{name: l, address: {{socket_address: {{address: 0.0.0.0, port_value: 80}}}}, \
         filter_chains: [{{filters: [{{name: hcm, typed_config: {{\
         \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, \
         stat_prefix: s, {settings}}}}}]}}]}}"
    )
}

const HCM: &str = "filter_chains[0].filters[0].typed_config";

#[test]
fn a_bootstrap_for_a_management_server_is_taken() {
    let yaml = r#"
node: {id: envoy-1, cluster: probe, locality: {region: r1, zone: z1}}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 19000}}}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, set_node_on_first_message_only: true,
    grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  lds_config: {ads: {}, resource_api_version: V3}
  cds_config: {ads: {}, resource_api_version: V3}
static_resources: {clusters: [{name: xds, type: STATIC, connect_timeout: 1s,
  typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions,
    explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 5s}}}}},
  load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address:
    {address: 127.0.0.1, port_value: 18000}}}}]}]}}]}
"#;
    expect::<Bootstrap>(yaml, &[]);
    expect::<Bootstrap>(
        "{dynamic_resources: {ads_config: {api_type: REST, cluster_names: [a]}}}",
        &[
            "! dynamic_resources.ads_config.api_type: REST is not supported; supported: GRPC, DELTA_GRPC",
            "! dynamic_resources.ads_config.cluster_names: not supported: REST (it is \"a\")",
        ],
    );
    // An enum whose default is not supported must be set.
    expect::<Bootstrap>(
        "{dynamic_resources: {ads_config: {transport_api_version: V3}}}",
        &["! dynamic_resources.ads_config.api_type: must be one of GRPC, DELTA_GRPC"],
    );
}

#[test]
fn verdicts_name_the_field_and_what_is_supported() {
    expect::<Cluster>("{name: a, type: EDS, metadata: {}, alt_stat_name: b}", &[]);
    expect::<Cluster>(
        "{name: a, type: STRICT_DNS, ring_hash_lb_config: {hash_function: MURMUR_HASH_2}, circuit_breakers: {thresholds: [{}]}, health_checks: []}",
        &[
            "! ring_hash_lb_config.hash_function: MURMUR_HASH_2 is not supported; supported: XX_HASH",
        ],
    );
    expect::<RouteConfiguration>(
        "{virtual_hosts: [{name: v, domains: [\"*\"], routes: [{match: {prefix: /}, route: {cluster_specifier_plugin: x,
          retry_policy_typed_config: {}}}]}]}",
        &[
            "! virtual_hosts[0].routes[0].route.cluster_specifier_plugin: selects behaviour that is not supported (it is \"x\"); \
             supported: cluster, cluster_header, weighted_clusters",
            "? virtual_hosts[0].routes[0].route.retry_policy_typed_config: not supported: retries by an extension",
        ],
    );
}

#[test]
fn values_that_change_nothing_are_harmless() {
    expect::<Cluster>("{name: a, connection_pool_per_downstream_connection: false}", &[]);
    let direct = "filter_chains: [{use_proxy_proto: false}]";
    expect::<Listener>(&format!("{{{direct}}}"), &[]);
    expect::<Listener>(
        "{filter_chains: [{use_proxy_proto: true}]}",
        &[
            "! filter_chains[0].use_proxy_proto: not supported: the PROXY protocol here; the proxy_protocol listener filter is supported (it is true)",
        ],
    );
}

#[test]
fn lists_are_bounded_by_what_is_supported() {
    let several = "{api_type: GRPC, grpc_services: [{}, {}, {}, {}, {}, {}, {}, {}, {}]}";
    let findings = said::<Bootstrap>(&format!("{{dynamic_resources: {{ads_config: {several}}}}}"));
    let at = "dynamic_resources.ads_config.grpc_services";
    let bounded = format!("! {at}: has 9 elements, which is not supported; supported: 8");
    assert!(findings.contains(&bounded), "{findings:?}");
}

#[test]
fn extensions_are_taken_by_type() {
    let router = "{name: r, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}";
    let csrf = "typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.csrf.v3.CsrfPolicy}";
    let rds = "rds: {route_config_name: r, config_source: {ads: {}}}";
    expect::<Listener>(&http(&format!("{rds}, http_filters: [{router}]")), &[]);
    let at = format!("{HCM}.http_filters[0].typed_config");
    let text = "`envoy.extensions.filters.http.csrf.v3.CsrfPolicy` is not supported; supported: ";
    for (optional, verdict) in [("", "!"), ("is_optional: true, ", "?")] {
        let filters = format!("{{name: c, {optional}{csrf}}}, {router}");
        let found = said::<Listener>(&http(&format!("{rds}, http_filters: [{filters}]")));
        assert!(found[0].starts_with(&format!("{verdict} {at}: {text}")), "{found:?}");
        assert!(found[0].ends_with("weft.limits.v1.RateLimitHeaders"), "{found:?}");
    }
    // What says nothing is for its reader to judge.
    expect::<Listener>(
        &http(&format!("{rds}, http_filters: [{{name: c, typed_config: {{}}}}, {router}]")),
        &[],
    );
    // Of load balancing policies the first that is known counts.
    expect::<Cluster>(
        "{name: a, load_balancing_policy: {policies: [{typed_extension_config: {name: m, typed_config:
          {\"@type\": type.googleapis.com/envoy.extensions.load_balancing_policies.pick_first.v3.PickFirst}}}]}}",
        &["? load_balancing_policy.policies[0].typed_extension_config.typed_config: \
           `envoy.extensions.load_balancing_policies.pick_first.v3.PickFirst` is not supported; supported: \
           envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided, \
           envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest, \
           envoy.extensions.load_balancing_policies.maglev.v3.Maglev, \
           envoy.extensions.load_balancing_policies.random.v3.Random, \
           envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash, \
           envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin, \
           envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality, \
           weft.balancing.v1.PeakEwma"],
    );
    expect::<VirtualHost>(
        "{name: v, domains: [a], typed_per_filter_config: {b: {\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig,
          is_optional: true, config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.csrf.v3.CsrfPolicy}}}}",
        &["? typed_per_filter_config[\"b\"].config: `envoy.extensions.filters.http.csrf.v3.CsrfPolicy` is not supported; supported: \
           envoy.extensions.filters.http.buffer.v3.BufferPerRoute, \
           envoy.extensions.filters.http.cors.v3.CorsPolicy, \
           envoy.extensions.filters.http.fault.v3.HTTPFault, \
           envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, \
           envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, \
           envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute, \
           envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute, \
           weft.mirroring.v1.Mirroring"],
    );
}

#[test]
fn what_is_newer_than_this_build_is_seen() {
    let mut bytes = Cluster { name: "a".into(), ..Cluster::default() }.encode_to_vec();
    wire::put(&mut bytes, 3000, wire::Value::Varint(1));
    let findings = check(type_url::CLUSTER, &bytes);
    assert_eq!(
        findings.iter().map(line).collect::<Vec<_>>(),
        [
            "? field 3000 of envoy.config.cluster.v3.Cluster is newer than what this was built with, and not supported"
        ]
    );
    let unknown = Cluster { name: "a".into(), lb_policy: 77, ..Cluster::default() };
    let findings = check(type_url::CLUSTER, &unknown.encode_to_vec());
    assert!(line(&findings[0]).starts_with("! lb_policy: 77 is not supported; supported: ROUND"));
}

#[test]
fn only_roots_are_checked() {
    let finding = &check("type.googleapis.com/no.such.Type", b"")[0];
    assert_eq!(line(finding), "! `no.such.Type` is not a type of resource that is supported");
    assert_eq!(check(type_url::ROUTER, b"")[0].verdict, Verdict::Nack);
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    for (bytes, said) in [
        (b"\x0a\xff".as_slice(), "! is no encoded message"),
        (b"\x0a\x01\xff", "! name: is not UTF-8"),
        (
            b"\x0a\x01a\x18\x00\x22\x02\x08\x80",
            "! connect_timeout: is no duration within ±10,000 years",
        ),
        (b"\x08\x01", "! name: is malformed"),
        (b"\x08\x00", "! name: is malformed"),
        (b"\x0a\x01a\x20\x01", "! connect_timeout: is no encoded message"),
    ] {
        let lines: Vec<_> = check(type_url::CLUSTER, bytes).iter().map(line).collect();
        assert!(lines.iter().any(|line| line == said), "{lines:?} {said}");
    }
    // Deeper than a decoder goes, through a message that holds itself.
    let mut nested = Vec::new();
    for _ in 0..200 {
        let mut policy = Vec::new();
        wire::put(&mut policy, 1, wire::Value::Bytes(&nested));
        let mut any = Vec::new();
        let name = b"a/envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality";
        wire::put(&mut any, 1, wire::Value::Bytes(name));
        wire::put(&mut any, 2, wire::Value::Bytes(&policy));
        let mut extension = Vec::new();
        wire::put(&mut extension, 1, wire::Value::Bytes(b"n"));
        wire::put(&mut extension, 2, wire::Value::Bytes(&any));
        let mut entry = Vec::new();
        wire::put(&mut entry, 4, wire::Value::Bytes(&extension));
        nested.clear();
        wire::put(&mut nested, 1, wire::Value::Bytes(&entry));
    }
    let mut bytes = Vec::new();
    wire::put(&mut bytes, 1, wire::Value::Bytes(b"c"));
    wire::put(&mut bytes, 41, wire::Value::Bytes(&nested));
    let findings = check(type_url::CLUSTER, &bytes);
    assert_eq!(findings.last().unwrap().reason, "is nested too deeply");
}

#[test]
fn findings_are_bounded() {
    let mut bytes = Vec::new();
    for _ in 0..10_000 {
        wire::put(&mut bytes, 2, wire::Value::Bytes(b"\x0a\x00"));
    }
    assert_eq!(
        check(type_url::CLUSTER_LOAD_ASSIGNMENT, &bytes).len(),
        1,
        "only the name is missing"
    );
    let mut bytes = Vec::new();
    for _ in 0..10_000 {
        wire::put(&mut bytes, 5000, wire::Value::Varint(1));
    }
    assert_eq!(check(type_url::CLUSTER, &bytes).len(), MAX_FINDINGS);
}

#[test]
fn the_document_is_what_the_table_says() {
    let committed = include_str!("../../FIELDS.md");
    assert!(
        markdown() == committed,
        "run: cargo run -p weft-proto --example field-table > proto/FIELDS.md"
    );
}

#[test]
fn every_honoured_row_names_a_test() {
    let rows: Vec<_> = table().filter(|row| row.verdict == Verdict::Honour).collect();
    assert!(rows.len() > 150, "{}", rows.len());
    for row in rows {
        let named = row.note.split_once("::").is_some_and(|(file, function)| {
            (file.ends_with(".rs") || file.ends_with(".py")) && !function.is_empty()
        });
        assert!(named, "{}.{}: {}", row.message, row.field, row.note);
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes: Vec<u8>) {
        for url in [type_url::LISTENER, type_url::CLUSTER, type_url::ROUTE_CONFIGURATION,
                    type_url::CLUSTER_LOAD_ASSIGNMENT, type_url::BOOTSTRAP, type_url::VIRTUAL_HOST] {
            let _ = check(url, &bytes);
        }
    }
}
