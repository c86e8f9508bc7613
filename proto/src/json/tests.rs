//! Whole messages, also against prost-reflect, which has the same mapping.

use prost::Message as _;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, SerializeOptions};

use super::*;
use crate::discovery::Any;
use crate::pb::envoy::config::bootstrap::v3::Bootstrap;
use crate::pb::envoy::config::cluster::v3::{Cluster, cluster};
use crate::pb::envoy::config::core::v3::{HealthStatus, Node};
use crate::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use crate::pb::envoy::config::listener::v3::Listener;
use crate::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

const BOOTSTRAP: &str = r#"
node: {id: envoy-1, cluster: probe, locality: {region: r1, zone: z1}}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 19000}}}
dynamic_resources:
  ads_config: {api_type: GRPC, transport_api_version: V3, set_node_on_first_message_only: true,   # or DELTA_GRPC
    grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  lds_config: {ads: {}, resource_api_version: V3}
  cds_config: {ads: {}, resource_api_version: V3}
static_resources: {clusters: [{name: xds, type: STATIC, connect_timeout: 1s,
  typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions,
    explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 5s}}}}},
  load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 18000}}}}]}]}}]}   # or pipe: {path: /x/ads.sock}
"#;

const LISTENER: &str = r#"
name: in
address: {socket_address: {address: 0.0.0.0, port_value: 80, protocol: TCP}}
perConnectionBufferLimitBytes: 32768
metadata:
  filter_metadata:
    z: {text: "1", number: 1, real: 0.5, yes: true, nothing: null, list: [a, [], {}]}
    a: {}
filter_chains:
- filters:
  - name: http
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: in
      stream_idle_timeout: 0.25s
      use_remote_address: false
      route_config:
        name: r
        virtual_hosts:
        - name: all
          domains: ["*"]
          routes:
          - match: {prefix: /, runtime_fraction: {default_value: {numerator: 5, denominator: MILLION}}}
            direct_response: {status: 200, body: {inline_bytes: aGk=}}
      http_filters:
      - name: router
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, dynamic_stats: true}
      - name: typed
        typed_config:
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/a.B
          value: {c: 1}
"#;

fn pool() -> DescriptorPool {
    DescriptorPool::decode(include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin")).as_slice())
        .expect("descriptors")
}

/// Reads `yaml` both ways and writes it both ways; both must agree.
fn agrees_with_reflection<M: Name + Default + PartialEq + fmt::Debug>(
    pool: &DescriptorPool,
    yaml: &str,
) -> M {
    let ours: M = from_yaml(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    let descriptor = pool.get_message_by_name(&M::full_name()).expect("a known type");
    let value: Value = serde_yaml_ng::from_str(yaml).expect("YAML");
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let theirs = DynamicMessage::deserialize_with_options(descriptor.clone(), value, &options)
        .unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    assert_eq!(ours, M::decode(theirs.encode_to_vec().as_slice()).expect("prost"), "{yaml}");

    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
    let dynamic =
        DynamicMessage::decode(descriptor, ours.encode_to_vec().as_slice()).expect("ours");
    let printed = dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("prost-reflect prints");
    assert_eq!(as_floats(to_json(&ours)), as_floats(printed), "{yaml}");
    // And what is printed is read, from each form.
    assert!(from_yaml::<M>(&to_yaml(&ours)).expect("our YAML") == ours, "{}", to_yaml(&ours));
    let text = to_json(&ours).to_string();
    assert!(from_json::<M>(&text).expect("our JSON") == ours, "{text}");
    ours
}

/// Numbers without the difference between `1` and `1.0`.
fn as_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.into_iter().map(as_floats).collect(),
        Value::Object(entries) => {
            entries.into_iter().map(|(key, value)| (key, as_floats(value))).collect()
        }
        other => other,
    }
}

#[test]
fn a_bootstrap_is_read_and_written_back() {
    let bootstrap: Bootstrap = agrees_with_reflection(&pool(), BOOTSTRAP);
    assert_eq!(bootstrap.node.as_ref().unwrap().locality.as_ref().unwrap().zone, "z1");
    let xds = &bootstrap.static_resources.as_ref().unwrap().clusters[0];
    assert_eq!(xds.connect_timeout.as_ref().unwrap().seconds, 1);
    let any = xds.typed_extension_protocol_options.values().next().unwrap();
    let options = HttpProtocolOptions::decode(any.value.as_slice()).unwrap();
    assert!(options.upstream_protocol_options.is_some());
    let yaml = to_yaml(&bootstrap);
    assert!(
        yaml.contains("\n      api_type: GRPC\n") || yaml.contains("\n    api_type: GRPC\n"),
        "{yaml}"
    );
    assert!(yaml.contains("connect_timeout: 1s"), "{yaml}");
}

#[test]
fn a_listener_is_read_and_written_back() {
    let listener: Listener = agrees_with_reflection(&pool(), LISTENER);
    let printed = to_json(&listener);
    let chain = &printed["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(chain["stream_idle_timeout"], "0.250s");
    assert_eq!(chain["use_remote_address"], false, "a wrapper that is set is not left out");
    assert_eq!(printed["metadata"]["filter_metadata"]["z"]["nothing"], Value::Null);
    let keys: Vec<_> = printed["metadata"]["filter_metadata"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["a", "z"], "maps are sorted");
    assert!(printed["address"]["socket_address"].get("protocol").is_none(), "TCP is the default");
}

#[test]
fn every_kind_of_value_agrees_with_reflection() {
    let pool = pool();
    for yaml in [
        "{}",
        "{name: c, type: EDS}",
        "{name: c, type: 3, lbPolicy: LEAST_REQUEST}",
        "{dns_refresh_rate: 1.000001s, cleanup_interval: -3s}",
        "{max_requests_per_connection: 7, per_connection_buffer_limit_bytes: \"8\"}",
        "{preconnect_policy: {per_upstream_preconnect_ratio: 1.5}}",
        "{common_lb_config: {healthy_panic_threshold: {value: 1e1}}}",
        "{metadata: {filter_metadata: {a: {b: [1, x, true, null]}}}}",
        "{dns_resolvers: [{pipe: {path: \"é \\\"#: \"}}]}",
        "{name: \"yes\", alt_stat_name: \"0x1\", eds_cluster_config: {service_name: \"\"}}",
        "{ring_hash_lb_config: {minimum_ring_size: \"18446744073709551615\"}}",
        "{load_balancing_policy: {policies: [{typed_extension_config: {name: x, typed_config:
          {\"@type\": type.googleapis.com/google.protobuf.Duration, value: 1s}}}]}}",
        "{load_balancing_policy: {policies: [{typed_extension_config: {name: x, typed_config:
          {\"@type\": type.googleapis.com/google.protobuf.Struct, value: {a: 1}}}}]}}",
    ] {
        agrees_with_reflection::<Cluster>(&pool, yaml);
    }
}

#[test]
fn both_spellings_and_enum_numbers_are_taken() {
    let cluster: Cluster =
        from_json(r#"{"connectTimeout": "2s", "lb_policy": 1, "type": "EDS"}"#).unwrap();
    assert_eq!(cluster.connect_timeout.unwrap().seconds, 2);
    assert_eq!(cluster.lb_policy, 1);
    assert_eq!(cluster.cluster_discovery_type, Some(cluster::ClusterDiscoveryType::Type(3)));
    let yaml = "{endpoints: [{lb_endpoints: [{health_status: DRAINING}]}]}";
    let assignment: ClusterLoadAssignment = from_yaml(yaml).unwrap();
    let endpoint = &assignment.endpoints[0].lb_endpoints[0];
    assert_eq!(endpoint.health_status, i32::from(HealthStatus::Draining));
}

#[test]
fn anchors_are_followed() {
    let yaml = "
static_resources:
  clusters:
  - {name: a, connect_timeout: &t 3s}
  - {name: b, connect_timeout: *t}
";
    let bootstrap: Bootstrap = from_yaml(yaml).unwrap();
    let clusters = bootstrap.static_resources.unwrap().clusters;
    assert_eq!(clusters[1].connect_timeout.as_ref().unwrap().seconds, 3);
}

#[test]
fn an_any_of_unknown_type_keeps_its_bytes() {
    let any = Any { type_url: "type.googleapis.com/no.such.Type".into(), value: "hi".into() };
    let printed = any_to_json(&any.type_url, &any.value);
    assert_eq!(
        printed.to_string(),
        r#"{"@type":"type.googleapis.com/no.such.Type","value":"aGk="}"#
    );
    let yaml = format!("{{typed_extension_protocol_options: {{k: {printed}}}}}");
    let cluster: Cluster = from_yaml(&yaml).unwrap();
    let read = &cluster.typed_extension_protocol_options["k"];
    assert_eq!(
        (read.type_url.as_str(), read.value.as_slice()),
        (any.type_url.as_str(), &*any.value)
    );
    assert_eq!(to_json(&cluster)["typed_extension_protocol_options"]["k"], printed);
}

#[test]
fn bytes_that_are_no_message_are_printed_as_such() {
    let printed = any_to_json(crate::type_url::CLUSTER, b"\x0a\xff");
    assert_eq!(printed["value"], "Cv8=");
    let mut nested = Vec::new();
    for _ in 0..200 {
        let mut outer = Vec::new();
        crate::wire::put(&mut outer, 6, crate::wire::Value::Bytes(&nested));
        nested = Vec::new();
        crate::wire::put(&mut nested, 1, crate::wire::Value::Bytes(&outer));
    }
    let deep = any_to_json("type.googleapis.com/google.protobuf.ListValue", &nested);
    assert!(deep["value"].is_string(), "too deep to be taken apart");
}

/// Each text is no `Bootstrap`; the error is the line after it.
#[test]
fn errors_say_where_and_what() {
    for (yaml, expected) in [
        (
            "static_resources:\n  clusters:\n  - name: a\n    lb_polcy: RANDOM\n",
            "line 4, column 5: static_resources.clusters[0].lb_polcy: unknown field; did you mean `lb_policy`?",
        ),
        (
            "static_resources: {clusters: [{connect_timeout: 1m}]}",
            "line 1, column 49: static_resources.clusters[0].connect_timeout: a duration is expected: seconds with an `s`, such as 0.25s",
        ),
        (
            "static_resources: {clusters: [{lb_policy: RANDUM}]}",
            "line 1, column 43: static_resources.clusters[0].lb_policy: `RANDUM` is none of the values ROUND_ROBIN, LEAST_REQUEST, RING_HASH, RANDOM, MAGLEV, CLUSTER_PROVIDED, LOAD_BALANCING_POLICY_CONFIG",
        ),
        ("node: {id: 7}", "line 1, column 12: node.id: a string is expected; write it \"7\""),
        (
            "node: [a]",
            "line 1, column 7: node: envoy.config.core.v3.Node is expected as a map, not a list",
        ),
        ("node: {id: a, id: b}", "line 1, column 15: node.id: is given twice"),
        (
            "flags_path: true",
            "line 1, column 13: flags_path: a string is expected; write it \"true\"",
        ),
        (
            "admin: {address: {pipe: {path: a, mode: -1}}}",
            "line 1, column 41: admin.address.pipe.mode: a whole number from 0 to 4294967295 is expected, not `-1`",
        ),
        (
            "admin: {address: {pipe: {path: a}, socket_address: {address: b}}}",
            "line 1, column 36: admin.address.socket_address: excludes `pipe`, which is given too",
        ),
        (
            "static_resources: {clusters: [{typed_extension_protocol_options: {k: {a: 1}}}]}",
            "line 1, column 70: static_resources.clusters[0].typed_extension_protocol_options[\"k\"]: `@type` is missing, which names the type of this message",
        ),
        (
            "static_resources: {clusters: [{typed_extension_protocol_options: {k: {\"@type\": a/no.Such, b: 1}}}]}",
            "line 1, column 80: static_resources.clusters[0].typed_extension_protocol_options[\"k\"].@type: the type `no.Such` is not known",
        ),
        (
            "enable_dispatcher_stats: 1",
            "line 1, column 26: enable_dispatcher_stats: true or false is expected, not `1`",
        ),
        (
            "zzzzzzzzzzz: 1",
            "line 1, column 1: zzzzzzzzzzz: unknown field of envoy.config.bootstrap.v3.Bootstrap",
        ),
        ("", "line 1, column 1: the document is empty"),
        ("---\na: 1\n---\nb: 1\n", "line 3, column 1: one document is expected, this is another"),
        ("node: {id: !secret x}", "line 1, column 12: the tag !secret has no meaning here"),
        ("{[a]: b}", "line 1, column 2: a key must be a string"),
        ("node: *x", "line 1, column 7: no YAML: while parsing node, found unknown anchor"),
    ] {
        let error = from_yaml::<Bootstrap>(yaml).unwrap_err();
        assert_eq!(error.to_string(), expected, "{yaml}");
    }
    let error = from_json::<Bootstrap>("{\"node\":\n {\"idd\": \"a\"}}").unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 3: node.idd: unknown field; did you mean `id`?");
}

#[test]
fn bombs_and_towers_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", "));
    }
    assert!(from_yaml::<Node>(&bomb).unwrap_err().reason.contains("values"));
    let tower = format!("metadata: {}{}", "{a: ".repeat(200), "}".repeat(200));
    assert!(from_yaml::<Node>(&tower).unwrap_err().reason.contains("levels deep"));
}

proptest::proptest! {
    #[test]
    fn any_bytes_print(bytes: Vec<u8>) {
        let _ = any_to_json(crate::type_url::LISTENER, &bytes);
        let _ = any_to_json("google.protobuf.Struct", &bytes);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-z@{}\\[\\]:, \\n\"'&*!~.0-9-]{0,60}") {
        let _ = from_yaml::<Bootstrap>(&text);
        let _ = from_json::<Bootstrap>(&text);
    }

    #[test]
    fn strings_survive_yaml(text: String, key: String) {
        let node = Node { id: text, cluster: key, ..Node::default() };
        let read: Node = from_yaml(&to_yaml(&node)).unwrap();
        proptest::prop_assert_eq!(&read, &node);
        let read: Node = from_json(&to_json(&node).to_string()).unwrap();
        proptest::prop_assert_eq!(read, node);
    }
}

#[test]
fn all_that_is_wrong_is_said_in_the_order_of_the_text() {
    let text = "
name: [a]
conect_timeout: 5s
type: STATIK
connect_timeout: soon
connect_timeout: 5s
load_assignment:
  endpoints:
    - lb_endpoints: [{endpoint: {}}, {endpoint: 5}]
      priorty: 1
typed_extension_protocol_options: {a: 1, b: {'@type': nowhere}}
";
    let error = from_yaml::<Cluster>(text).unwrap_err().to_string();
    let places: Vec<&str> = error.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    let expected = [
        "name",
        "conect_timeout",
        "type",
        "connect_timeout",
        "connect_timeout",
        "load_assignment.endpoints[0].lb_endpoints[1].endpoint",
        "load_assignment.endpoints[0].priorty",
        "typed_extension_protocol_options[\"a\"]",
        "typed_extension_protocol_options[\"b\"].@type",
    ];
    assert_eq!(places, expected, "{error}");
}

#[test]
fn what_is_said_of_a_hostile_text_has_an_end() {
    let error = from_yaml::<Cluster>(&format!("name: [{}]", "a, ".repeat(10))).unwrap_err();
    assert_eq!(error.all().len(), 1);
    let text = format!(
        "metadata: {{filter_metadata: {{{}}}}}",
        (0..5000).fold(String::new(), |text, n| format!("{text}k{n}: 1, "))
    );
    let error = from_yaml::<Cluster>(&text).unwrap_err();
    assert_eq!(error.all().len(), 101);
}
