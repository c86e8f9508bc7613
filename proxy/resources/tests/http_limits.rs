//! Limits and faults of HTTP filters: what of them is refused, and where.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use prost::Message as _;
use weft_proto::{json, pb::envoy::config::listener::v3::Listener as Wire};
use weft_resources::{Listener, decode};

const FILTERS: &str = "\"@type\": type.googleapis.com/envoy.extensions.filters";

/// What is said of a listener with this HTTP filter, and with this in its route.
fn said(filter: &str, route: &str) -> String {
    let yaml = format!(
        "{{name: in, address: {{socket_address: {{address: 127.0.0.1, port_value: 80}}}}, \
         filter_chains: [{{filters: [{{name: h, typed_config: {{\
         {FILTERS}.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, \
         route_config: {{virtual_hosts: [{{name: v, domains: ['*'], routes: [{{\
         match: {{prefix: /}}, route: {{cluster: c{route}}}}}]}}]}}, http_filters: [\
         {{name: f, typed_config: {{{FILTERS}.http.{filter}}}}}, \
         {{name: r, typed_config: {{{FILTERS}.http.router.v3.Router}}}}]}}}}]}}]}}"
    );
    let message: Wire = json::from_yaml(&yaml).unwrap();
    match decode::<Listener>(&message.encode_to_vec()) {
        Ok(decoded) => format!("{:?}", decoded.warnings),
        Err(reasons) => reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

fn limit(settings: &str) -> String {
    said(&format!("local_ratelimit.v3.LocalRateLimit, stat_prefix: l, {settings}"), "")
}

fn described(actions: &str) -> String {
    said("fault.v3.HTTPFault", &format!(", rate_limits: [{{actions: [{actions}]}}]"))
}

#[test]
fn limits_are_refused_by_name() {
    const BUCKET: &str = "token_bucket: {max_tokens: 1, fill_interval: 1s}";
    assert_eq!(limit(BUCKET), "[]");
    let one = format!("{{entries: [{{key: a, value: b}}], {BUCKET}}}");
    assert_eq!(limit(&format!("descriptors: [{one}]")), "[]");
    for (settings, named) in [
        ("token_bucket: {max_tokens: 1, fill_interval: 0.01s}", "token_bucket.fill_interval"),
        ("max_dynamic_descriptors: 0", "max_dynamic_descriptors"),
        (
            "rate_limits: [{actions: [{remote_address: {}}], apply_on_stream_done: true}]",
            "rate_limits[0].apply_on_stream_done",
        ),
        (
            "rate_limits: [{actions: [{remote_address: {}}], limit: {rate_limit: \
             {requests_per_unit: 1, unit: DAY}}}]",
            "rate_limits[0].limit: a limit that requests bring with them is not supported",
        ),
        (
            "rate_limits: [{actions: [{remote_address: {}}], hits_addend: {number: 2000000000}}]",
            "hits_addend.number",
        ),
        (
            "rate_limits: [{actions: [{remote_address: {}}], hits_addend: \
             {number: 1, is_negative_hits: true}}]",
            "is_negative_hits",
        ),
        ("local_cluster_rate_limit: {}", "local_cluster_rate_limit"),
        (&*format!("descriptors: [{one}, {one}]"), "descriptors[1]: \"a=b\" is there twice"),
        ("filter_enabled: {}", "filter_enabled.default_value"),
    ] {
        let text = limit(settings);
        assert!(text.contains(named), "{settings}: {text}");
    }
}

#[test]
fn questions_to_services_are_refused_by_name() {
    let asks = |settings: &str| said(&format!("ratelimit.v3.RateLimit, {settings}"), "");
    const SERVICE: &str =
        "rate_limit_service: {grpc_service: {envoy_grpc: {cluster_name: rls}}}, domain: d";
    assert_eq!(asks(SERVICE), "[]");
    for (settings, named) in [
        ("domain: d", "rate_limit_service: is required"),
        ("rate_limit_service: {grpc_service: {envoy_grpc: {cluster_name: c}}}", "domain"),
        ("domain: d, rate_limit_service: {grpc_service: {}}", "grpc_service"),
        (&*format!("{SERVICE}, request_type: all"), "request_type: must be one of"),
        (&format!("{SERVICE}, stage: 11"), "stage"),
        (&format!("{SERVICE}, timeout: -1s"), "timeout"),
        (&format!("{SERVICE}, rate_limited_status: {{code: 777}}"), "rate_limited_status.code"),
        (&format!("{SERVICE}, enable_retry_after_header: true"), "enable_retry_after_header"),
        (&format!("{SERVICE}, filter_enabled: {{}}"), "filter_enabled.default_value"),
        (
            "domain: d, rate_limit_service: {grpc_service: {retry_policy: {}, \
             envoy_grpc: {cluster_name: c}}}",
            "grpc_service.retry_policy: asking again is not supported",
        ),
        (
            "domain: d, rate_limit_service: {grpc_service: {google_grpc: {target_uri: x, \
             stat_prefix: x}}}",
            "google_grpc",
        ),
    ] {
        let text = asks(settings);
        assert!(text.contains(named), "{settings}: {text}");
    }
}

#[test]
fn descriptions_are_refused_by_name() {
    for good in ["{remote_address: {}}", "{generic_key: {descriptor_value: a}}"] {
        assert_eq!(described(good), "[]");
    }
    for (actions, named) in [
        ("{metadata: {descriptor_key: a, metadata_key: {key: k, path: [{key: p}]}}}", "metadata"),
        ("{request_headers: {header_name: 'a b', descriptor_key: k}}", "header_name"),
        ("{header_value_match: {descriptor_value: v}}", "header_value_match.headers"),
        ("{}", "rate_limits[0].actions[0]"),
    ] {
        let text = described(actions);
        assert!(text.contains(named), "{actions}: {text}");
    }
}

#[test]
fn faults_are_refused_by_name() {
    let fault = |settings: &str| said(&format!("fault.v3.HTTPFault, {settings}"), "");
    assert_eq!(fault("delay: {fixed_delay: 1s, percentage: {numerator: 1}}"), "[]");
    for (settings, named) in [
        ("abort: {percentage: {numerator: 1}}", "abort"),
        ("abort: {http_status: 199}", "abort.http_status"),
        ("abort: {http_status: 600}", "abort.http_status"),
        ("abort: {grpc_status: 70000}", "abort.grpc_status"),
        ("delay: {}", "delay"),
        ("delay: {fixed_delay: 0s}", "delay.fixed_delay"),
        ("downstream_nodes: [n]", "downstream_nodes"),
        ("response_rate_limit: {fixed_limit: {limit_kbps: 0}}", "response_rate_limit.fixed_limit"),
    ] {
        let text = fault(settings);
        assert!(text.contains(named), "{settings}: {text}");
    }
}
