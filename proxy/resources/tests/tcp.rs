//! Chains that pass bytes on, and what stands before them.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use prost::{Message, Name};
use weft_proto::{
    json,
    pb::{
        envoy::{
            config::{cluster::v3::Cluster as WireCluster, listener::v3::Listener as Wire},
            extensions::filters::network::tcp_proxy::v3::TcpProxy,
        },
        google::protobuf::Any,
    },
};
use weft_resources::{
    Backoff, Cluster, Decoded, FilterChain, Gate, KeptTlvs, Listener, ListenerKind, Terminal,
    TlvValue, TokenRate, decode,
};

const FILTERS: &str = "\"@type\": type.googleapis.com/envoy.extensions.filters.network";
const SOCKETS: &str = "\"@type\": type.googleapis.com/envoy.extensions.transport_sockets";

/// A listener of one chain with these filters, before a `tcp_proxy` with these settings.
fn listener(before: &str, settings: &str) -> String {
    format!(
        "{{name: in, address: {{socket_address: {{address: 127.0.0.1, port_value: 80}}}}, \
         filter_chains: [{{filters: [{before} {{name: tcp, typed_config: {{\
         {FILTERS}.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: c{settings}}}}}]}}]}}"
    )
}

fn read(yaml: &str) -> Result<FilterChain, String> {
    let message: Wire = json::from_yaml(yaml).unwrap();
    let decoded = decode::<Listener>(&message.encode_to_vec());
    let decoded = decoded.map_err(|reasons| format!("{reasons:?}"))?;
    let ListenerKind::Sockets(mut sockets) = decoded.resource.kind else { panic!("no sockets") };
    Ok(sockets.chains.remove(0))
}

#[test]
fn settings_are_read() {
    let limit = format!(
        "{{name: l, typed_config: {{{FILTERS}.connection_limit.v3.ConnectionLimit, stat_prefix: l, \
         max_connections: 7, delay: 2s}}}},"
    );
    let off = limit.replace("delay: 2s", "runtime_enabled: {default_value: false}");
    let sni = format!("{{name: s, typed_config: {{{FILTERS}.sni_cluster.v3.SniCluster}}}},");
    let settings = ", backoff_options: {base_interval: 0.1s}, max_connect_attempts: 3, \
                    max_downstream_connection_duration: 60s, hash_policy: [{source_ip: {}}], \
                    max_downstream_connection_duration_jitter_percentage: {value: 25}";
    let chain = read(&listener(&format!("{limit}{off}{sni}"), settings)).unwrap();
    let [Gate::AtOnce(limit)] = &chain.gates[..] else { panic!("{chain:?}") };
    assert_eq!((limit.max, limit.delay), (7, Some(Duration::from_secs(2))));
    assert!(chain.sni_cluster);
    let Terminal::Tcp(tcp) = chain.terminal else { panic!("not TCP") };
    let expected = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(1) };
    assert_eq!(tcp.backoff, Some(expected));
    assert_eq!(tcp.max_duration, Some(Duration::from_secs(60)));
    assert!((tcp.max_duration_jitter - 0.25).abs() < 1e-9);
    assert_eq!(tcp.max_connect_attempts, 3);
    let tunneling = |config: &str| {
        let chain = read(&listener("", &format!(", tunneling_config: {{{config}}}"))).unwrap();
        let Terminal::Tcp(tcp) = chain.terminal else { panic!("not TCP") };
        tcp.tunneling.unwrap()
    };
    assert_eq!(tunneling("hostname: h").post, None);
    assert_eq!(tunneling("hostname: h, use_post: true").post.unwrap().as_str(), "/");
    let named = tunneling("hostname: h, use_post: true, post_path: /here");
    assert_eq!((named.host.as_str(), named.post.unwrap().as_str()), ("h", "/here"));
}

#[test]
fn what_is_not_followed_is_refused_by_name() {
    for (settings, named) in [
        (", tunneling_config: {hostname: '%NONE%'}", "tunneling_config.hostname"),
        (", tunneling_config: {hostname: h, post_path: /x}", "tunneling_config.post_path"),
        (", tunneling_config: {hostname: h, use_post: true, post_path: x}", "post_path"),
        (
            ", tunneling_config: {hostname: h, headers_to_add: [{header: {key: host, value: x}}]}",
            "headers_to_add[0].header.key",
        ),
        (", metadata_match: {filter_metadata: {a: {}}}", "metadata_match"),
        (", on_demand: {}", "on_demand"),
        (
            ", proxy_protocol_tlvs: [{type: 1, value: eA==, format_string: {text_format_source: {inline_string: x}}}]",
            "proxy_protocol_tlvs[0].value",
        ),
        (", proxy_protocol_tlvs: [{type: 1, format_string: {json_format: {a: b}}}]", "json_format"),
        (", proxy_protocol_tlvs: [{type: 1}]", "proxy_protocol_tlvs[0].value"),
        (", upstream_connect_mode: ON_DOWNSTREAM_DATA", "max_early_data_bytes"),
        (", backoff_options: {base_interval: 2s, max_interval: 1s}", "max_interval"),
    ] {
        let text = read(&listener("", settings)).unwrap_err();
        assert!(text.contains(named), "{settings}: {text}");
    }
}

#[test]
fn connections_come_at_a_rate() {
    let rate = |bucket: &str, more: &str| {
        let filter = format!(
            "{{name: r, typed_config: {{{FILTERS}.local_ratelimit.v3.LocalRateLimit, stat_prefix: r, \
             token_bucket: {{{bucket}}}{more}}}}},"
        );
        read(&listener(&filter, ""))
    };
    let chain = rate("max_tokens: 5, fill_interval: 0.05s", ", share_key: k").unwrap();
    let [Gate::Rate(found)] = &chain.gates[..] else { panic!("{chain:?}") };
    let tokens = TokenRate { most: 5, tokens: 1, interval: Duration::from_millis(50) };
    assert_eq!((found.tokens, found.share_key.as_deref()), (tokens, Some("k")));
    for (bucket, named) in [
        ("max_tokens: 5, fill_interval: 0.049s", "fill_interval"),
        ("max_tokens: 1, tokens_per_fill: 0, fill_interval: 1s", "tokens_per_fill"),
        ("max_tokens: 1", "fill_interval"),
    ] {
        let text = rate(bucket, "").unwrap_err();
        assert!(text.contains(named), "{bucket}: {text}");
    }
}

#[test]
fn a_service_is_asked_about_connections() {
    const SERVICE: &str =
        "transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: rls}}";
    const ENTRIES: &str = "{entries: [{key: a, value: \"%PROTOCOL%\"}, {key: b, value: c}]}";
    let asked = |from: &str, to: &str| {
        let filter = format!(
            "{{name: r, typed_config: {{{FILTERS}.ratelimit.v3.RateLimit, stat_prefix: r, \
             domain: tcp, rate_limit_service: {{{SERVICE}}}, descriptors: [{ENTRIES}], \
             timeout: 1s}}}},"
        );
        assert!(filter.contains(from));
        read(&listener(&filter.replace(from, to), ""))
    };
    let question = |from: &str, to: &str| match asked(from, to).unwrap().gates.remove(0) {
        Gate::Asked(question) => question,
        other => panic!("{other:?}"),
    };
    let plain = question(", timeout: 1s", "");
    assert_eq!((&*plain.domain, plain.denies_on_error), ("tcp", false));
    assert_eq!(plain.timeout, Some(Duration::from_millis(20)));
    let [entries] = &plain.descriptors[..] else { panic!("{plain:?}") };
    let keys: Vec<_> = entries.iter().map(|(key, value)| (&**key, value.as_literal())).collect();
    assert_eq!(keys, [("a", None), ("b", Some("c"))]);
    assert_eq!(question("timeout: 1s", "timeout: 0s").timeout, None);
    for (from, to, named) in [
        ("timeout: 1s", "timeout: -1s", "timeout"),
        ("domain: tcp", "domain: ''", "domain"),
        (ENTRIES, "", "descriptors"),
        ("%PROTOCOL%", "%NONE", "descriptors[0].entries[0].value"),
        (SERVICE, "transport_api_version: V3", "rate_limit_service.grpc_service"),
    ] {
        let text = asked(from, to).unwrap_err();
        assert!(text.contains(named), "{to}: {text}");
    }
}

fn cluster(socket: &str) -> Result<Decoded<Cluster>, String> {
    let yaml = format!("{{name: c, transport_socket: {{name: s, typed_config: {{{socket}}}}}}}");
    let message: WireCluster = json::from_yaml(&yaml).unwrap();
    decode::<Cluster>(&message.encode_to_vec()).map_err(|reasons| format!("{reasons:?}"))
}

#[test]
fn clusters_may_be_told_who_the_client_is() {
    let upstream = format!("{SOCKETS}.proxy_protocol.v3.ProxyProtocolUpstreamTransport");
    let raw = format!(
        "transport_socket: {{name: r, typed_config: {{{SOCKETS}.raw_buffer.v3.RawBuffer}}}}"
    );
    let second = format!(
        "{upstream}, {raw}, config: {{version: V2, pass_through_tlvs: {{match_type: INCLUDE, tlv_type: [5]}}}}"
    );
    let read = cluster(&second).unwrap();
    let told = read.resource.connection.proxy_protocol.unwrap();
    assert_eq!((told.binary, told.pass), (true, KeptTlvs::Only([5].into())));
    assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    let first = cluster(&format!("{upstream}, {raw}")).unwrap().resource.connection;
    assert!(!first.proxy_protocol.unwrap().binary);
    assert!(cluster(&upstream).unwrap_err().contains("transport_socket"));
    let added = format!("{upstream}, {raw}, config: {{added_tlvs: [{{type: 9, value: eA==}}]}}");
    let added = cluster(&added).unwrap().resource.connection.proxy_protocol.unwrap().added;
    assert_eq!(added, [(9, TlvValue::Bytes(b"x"[..].into()))].into());
    for wrong in ["type: 256, value: eA==", "type: 9"] {
        let wrong = format!("{upstream}, {raw}, config: {{added_tlvs: [{{{wrong}}}]}}");
        assert!(cluster(&wrong).unwrap_err().contains("added_tlvs[0]"));
    }
}

#[test]
fn a_type_that_is_no_filter_is_named() {
    let any = Any { type_url: TcpProxy::type_url(), value: vec![0xff] };
    let yaml = listener("", "");
    let mut message: Wire = json::from_yaml(&yaml).unwrap();
    message.filter_chains[0].filters[0].config_type =
        Some(weft_proto::pb::envoy::config::listener::v3::filter::ConfigType::TypedConfig(any));
    let reasons = decode::<Listener>(&message.encode_to_vec()).unwrap_err();
    assert!(reasons[0].path.contains("filters[0].typed_config"), "{reasons:?}");
}
