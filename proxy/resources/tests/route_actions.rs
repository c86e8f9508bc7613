//! What routes do with requests, as configurations say it.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use prost::Message;
use weft_proto::{json::from_yaml, pb::envoy::config::route::v3::RouteConfiguration as Wire};
use weft_resources::{
    ClusterChoice, Forward, HashInput, HostRewrite, PathRewrite, RouteAction, RouteConfiguration,
    RouteTarget, StreamLimit, decode,
};

/// The bytes of a configuration with one route.
fn config(matcher: &str, action: &str) -> Vec<u8> {
    let text = format!(
        "{{name: r, virtual_hosts: [{{name: h, domains: ['*'], routes: [{{match: {matcher}, {action}}}]}}]}}"
    );
    from_yaml::<Wire>(&text).unwrap().encode_to_vec()
}

fn action(matcher: &str, action: &str) -> RouteAction {
    let mut config = decode::<RouteConfiguration>(&config(matcher, action)).unwrap().resource;
    config.virtual_hosts.remove(0).routes.remove(0).action.action
}

fn forward(fields: &str) -> Forward {
    match action("{prefix: /}", &format!("route: {{{fields}}}")) {
        RouteAction::Forward(forward) => *forward,
        other => panic!("not forwarding: {other:?}"),
    }
}

fn refusal(fields: &str) -> String {
    let bytes = config("{prefix: /}", &format!("route: {{{fields}}}"));
    let reasons = decode::<RouteConfiguration>(&bytes).unwrap_err();
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn paths_are_rewritten_in_one_way() {
    let regex = "regex_rewrite: {pattern: {regex: '^/a/(.*)'}, substitution: '/b/\\1'}";
    let PathRewrite::Regex(rewrite) = forward(&format!("cluster: a, {regex}")).path else {
        panic!("not by an expression")
    };
    assert_eq!(rewrite.replace_all("/a/x"), "/b/x");
    let both = refusal(&format!("cluster: a, prefix_rewrite: /c, {regex}"));
    assert!(both.contains("regex_rewrite: must not be set together with prefix_rewrite"), "{both}");
    let bad = "regex_rewrite: {pattern: {regex: '('}, substitution: x}";
    assert!(refusal(&format!("cluster: a, {bad}")).contains("unclosed group"));
    let bad = "regex_rewrite: {pattern: {regex: a}, substitution: '\\3'}";
    assert!(refusal(&format!("cluster: a, {bad}")).contains("needs group 3"));
}

#[test]
fn hosts_are_rewritten_in_every_way() {
    let host = |how: &str| forward(&format!("cluster: a, {how}")).host;
    assert_eq!(host("host_rewrite_literal: ''"), HostRewrite::Keep);
    assert_eq!(host("auto_host_rewrite: false"), HostRewrite::Keep);
    let header = host("host_rewrite_header: X-Host");
    assert_eq!(header, HostRewrite::Header("x-host".parse().unwrap()));
    let regex = "{pattern: {regex: '^/([^/]+)/.*$'}, substitution: '\\1.test'}";
    let HostRewrite::PathRegex(rewrite) = host(&format!("host_rewrite_path_regex: {regex}")) else {
        panic!("not by the path")
    };
    assert_eq!(rewrite.replace_all("/shop/x"), "shop.test");
    let text = refusal("cluster: a, host_rewrite_header: 'no name'");
    assert!(text.contains("host_rewrite_header"), "{text}");
}

#[test]
fn clusters_may_be_named_by_headers() {
    let RouteTarget::Header(name) = forward("cluster_header: X-To").target else {
        panic!("no header")
    };
    assert_eq!(name, "x-to");
    let several = "weighted_clusters: {header_name: x-random, clusters: \
                   [{cluster_header: x-to, weight: 1}, {name: b, weight: 2}]}";
    let RouteTarget::Weighted(weighted) = forward(several).target else { panic!("not weighted") };
    assert_eq!(weighted.random_header.unwrap(), "x-random");
    let [first, second] = &*weighted.clusters else { panic!("not two") };
    assert_eq!(first.cluster, ClusterChoice::Header("x-to".parse().unwrap()));
    assert_eq!(second.cluster, ClusterChoice::Name("b".into()));
    for (cluster, part) in [
        ("{weight: 1}", "clusters[0].name"),
        ("{name: a, cluster_header: b, weight: 1}", "clusters[0].cluster_header"),
        ("{name: a}", "clusters[0].weight"),
    ] {
        let text = refusal(&format!("weighted_clusters: {{clusters: [{cluster}]}}"));
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn each_of_several_clusters_has_its_own_headers() {
    let cluster = "{name: a, weight: 1, host_rewrite_literal: inner.test, \
                   request_headers_to_add: [{header: {key: x-a, value: '1'}}], \
                   request_headers_to_remove: [x-b], \
                   response_headers_to_add: [{header: {key: x-c, value: '1'}}], \
                   response_headers_to_remove: [x-d]}";
    let target = forward(&format!("weighted_clusters: {{clusters: [{cluster}]}}")).target;
    let RouteTarget::Weighted(weighted) = target else { panic!("not weighted") };
    let [only] = &*weighted.clusters else { panic!("not one") };
    assert_eq!(only.host_rewrite.as_ref().unwrap(), "inner.test");
    assert!(!only.request_headers.is_empty() && !only.response_headers.is_empty());
}

#[test]
fn streams_are_limited_in_time() {
    let limit = "max_stream_duration: {max_stream_duration: 3s, grpc_timeout_header_max: 0s, \
                 grpc_timeout_header_offset: 0.1s}";
    let read = forward(&format!("cluster: a, timeout: 1s, {limit}"));
    assert_eq!(read.timeout, None, "the newer limit takes its place");
    let wanted = StreamLimit {
        limit: Some(Duration::from_secs(3)),
        grpc_max: Some(Duration::ZERO),
        grpc_offset: Some(Duration::from_millis(100)),
    };
    assert_eq!(read.stream_limit, wanted);
    assert_eq!(forward("cluster: a").stream_limit, StreamLimit::default());
}

#[test]
fn a_request_can_be_hashed_by_its_parts() {
    let policies = "[{header: {header_name: x-user, regex_rewrite: {pattern: {regex: a}, \
                    substitution: b}}, terminal: true}, {cookie: {name: c, ttl: 0s, path: /}}, \
                    {connection_properties: {source_ip: true}}, {query_parameter: {name: q}}, \
                    {filter_state: {key: k}}]";
    let policies = forward(&format!("cluster: a, hash_policy: {policies}")).hash_policy;
    let [header, cookie, source, query] = &*policies else { panic!("{policies:?}") };
    assert!(header.is_terminal && !cookie.is_terminal);
    let HashInput::Header { name, rewrite: Some(_) } = &header.input else { panic!("{header:?}") };
    assert_eq!(name.to_string(), "x-user");
    let HashInput::Cookie(cookie) = &cookie.input else { panic!("{cookie:?}") };
    assert_eq!((&*cookie.name, &*cookie.path, cookie.ttl), ("c", "/", Some(Duration::ZERO)));
    assert_eq!(source.input, HashInput::SourceIp);
    assert_eq!(query.input, HashInput::Query("q".into()));
}

#[test]
fn what_needs_no_cluster() {
    assert!(matches!(action("{prefix: /}", "non_forwarding_action: {}"), RouteAction::Nowhere));
    let file = "direct_response: {status: 200, body: {filename: /some/file}}";
    let RouteAction::Direct(direct) = action("{prefix: /}", file) else { panic!("not direct") };
    assert_eq!(direct.body, weft_resources::DataSource::File("/some/file".into()));
}
