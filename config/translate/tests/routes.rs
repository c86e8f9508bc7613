//! Which host leads where, and in which order routes are tried.

use prost::Message;
use weft_config::{Mesh, Source};
use weft_proto::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost, route::Action};
use weft_translate::{Dialect, Node, Workloads, translate};

fn mesh(text: &str) -> Mesh {
    match Mesh::parse(&[Source::new("t", text)]) {
        Ok(mesh) => mesh,
        Err(problems) => panic!("{problems}"),
    }
}

fn route(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

fn service(name: &str, ports: &str) -> String {
    format!(
        "---\napiVersion: weft.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: {ports}}}\n"
    )
}

fn node(dialect: Dialect, namespace: &str) -> Node {
    Node {
        dialect,
        namespace: namespace.to_owned(),
        service: None,
        inbound: None,
        gateway: None,
        outbound: Some(([127, 0, 0, 1], 15001).into()),
    }
}

fn hosts(text: &str, namespace: &str) -> Vec<VirtualHost> {
    let resources = translate(&mesh(text), &Workloads::new(), &node(Dialect::Envoy, namespace));
    let Some(outbound) = resources.routes.get("outbound") else { panic!("no routes") };
    match RouteConfiguration::decode(outbound.value.clone()) {
        Ok(routes) => routes.virtual_hosts,
        Err(error) => panic!("{error}"),
    }
}

fn domains(text: &str, namespace: &str) -> Vec<(String, String)> {
    let hosts = hosts(text, namespace);
    hosts.into_iter().map(|host| (host.name, host.domains.join(" "))).collect()
}

fn names(host: &VirtualHost) -> Vec<&str> {
    host.routes.iter().map(|route| route.name.as_str()).collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, domains)| ((*name).to_owned(), (*domains).to_owned())).collect()
}

#[test]
fn a_bare_name_means_port_80_or_the_first() {
    let text =
        service("a", "[{port: 9000}, {port: 80}]") + &service("b", "[{port: 9001}, {port: 9000}]");
    let expected = owned(&[
        ("a.default:9000", "a:9000 a.default:9000"),
        ("a.default:80", "a a:80 a.default a.default:80"),
        ("b.default:9001", "b b:9001 b.default b.default:9001"),
        ("b.default:9000", "b:9000 b.default:9000"),
    ]);
    assert_eq!(domains(&text, "default"), expected);
}

#[test]
fn other_namespaces_need_the_qualified_name() {
    let text = service("a", "[{port: 80}]");
    let expected = owned(&[("a.default:80", "a.default a.default:80")]);
    assert_eq!(domains(&text, "other"), expected);
}

#[test]
fn a_tcp_port_has_no_host() {
    let text = service("a", "[{port: 80, protocol: tcp, listen: '127.0.0.1:1'}]");
    assert!(hosts(&text, "default").is_empty());
}

#[test]
fn host_names_of_routes_are_hosts_of_their_own() {
    let text = service("a", "[{port: 81}, {port: 82}]")
        + &route("one", "{parentRefs: [{kind: Service, name: a}], hostnames: [x.example.com]}")
        + &route(
            "two",
            "{parentRefs: [{kind: Service, name: a, port: 82}], hostnames: [x.example.com]}",
        )
        + &route("own", "{parentRefs: [{kind: Service, name: a, port: 82}], hostnames: [a]}");
    let hosts = hosts(&text, "default");
    let found: Vec<_> =
        hosts.iter().map(|host| (host.domains.join(" "), names(host).join(" "))).collect();
    let expected = owned(&[
        ("a a:81 a.default a.default:81", "a.default:81"),
        ("a:82 a.default:82", "default/own/0"),
        ("x.example.com x.example.com:81", "default/one/0"),
        ("x.example.com:82", "default/one/0 default/two/0"),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn matches_are_tried_in_the_order_of_gateway_api() {
    let rule = |matched: &str| format!("{{matches: [{matched}]}}");
    let rules = [
        rule("{}"),
        rule("{path: {value: /a}}"),
        rule("{path: {value: /a}, queryParams: [{name: q, value: '1'}]}"),
        rule("{path: {value: /a}, headers: [{name: h, value: '1'}]}"),
        rule("{path: {value: /a}, headers: [{name: h, value: '1'}, {name: i, value: '1'}]}"),
        rule("{path: {value: /a}, method: GET}"),
        rule("{path: {value: /a/b}}"),
        rule("{path: {type: RegularExpression, value: '/.*'}}"),
        rule("{path: {type: Exact, value: /a}}"),
        rule("{path: {type: Exact, value: /a/b/c}}"),
    ];
    let text = service("a", "[{port: 80}]")
        + &route(
            "r",
            &format!("{{parentRefs: [{{kind: Service, name: a}}], rules: [{}]}}", rules.join(", ")),
        );
    let hosts = hosts(&text, "default");
    let order: Vec<&str> =
        names(&hosts[0]).iter().map(|name| name.trim_start_matches("default/r/")).collect();
    assert_eq!(order, ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]);
}

#[test]
fn equal_matches_keep_the_order_of_names_and_rules() {
    let spec = "{parentRefs: [{kind: Service, name: a}], rules: [{}, {}]}";
    let text = service("a", "[{port: 80}]") + &route("z", spec) + &route("b", spec);
    let hosts = hosts(&text, "default");
    assert_eq!(names(&hosts[0]), ["default/b/0", "default/b/1", "default/z/0", "default/z/1"]);
}

#[test]
fn what_may_have_been_done_is_repeated_only_where_that_does_no_harm() {
    let matchers = |retries: &str| -> Vec<String> {
        let policy = format!(
            "---\napiVersion: weft.dev/v1\nkind: TrafficPolicy\nmetadata: {{name: p}}\nspec: {{targetRef: {{kind: Service, name: a}}, retries: {retries}}}\n"
        );
        let hosts = hosts(&(service("a", "[{port: 80}]") + &policy), "default");
        let Some(Action::Route(action)) = &hosts[0].routes[0].action else { panic!("{hosts:?}") };
        let policy = action.retry_policy.as_ref().unwrap();
        policy.retriable_request_headers.iter().map(|it| format!("{} {it:?}", it.name)).collect()
    };
    assert!(matchers("{on: [connect-failure, refused-stream, unavailable]}").is_empty());
    let idempotent = matchers("{on: [5xx]}");
    assert_eq!(idempotent.len(), 8);
    assert!(idempotent.iter().any(|it| it.starts_with(":method") && it.contains("\"PUT\"")));
    assert!(!idempotent.iter().any(|it| it.contains("\"POST\"")));
    assert!(idempotent.iter().any(|it| it.starts_with("idempotency-key")));
    assert_eq!(idempotent, matchers("{on: [connect-failure], codes: [503]}"));
    let chosen = matchers("{on: [reset], methods: [POST]}");
    assert_eq!(chosen.len(), 3);
    assert!(chosen[0].contains("\"POST\""));
}

#[test]
fn time_limits() {
    let text = service("a", "[{port: 80}, {port: 81, protocol: grpc}]")
        + &route(
            "r",
            "{parentRefs: [{kind: Service, name: a}], rules: [{timeouts: {request: 0s}}, {timeouts: {request: 90ms}}, {}]}",
        );
    let limits = |host: &VirtualHost| -> Vec<(Option<(i64, i32)>, bool)> {
        let limit = |action: &Option<Action>| match action {
            Some(Action::Route(route)) => (
                route.timeout.as_ref().map(|limit| (limit.seconds, limit.nanos)),
                route.idle_timeout.is_some(),
            ),
            other => panic!("{other:?}"),
        };
        host.routes.iter().map(|route| limit(&route.action)).collect()
    };
    let hosts = hosts(&text, "default");
    let (none, short) = ((Some((0, 0)), true), (Some((0, 90_000_000)), false));
    assert_eq!(limits(&hosts[0]), [none, short, (Some((0, 0)), false)], "http");
    assert_eq!(limits(&hosts[1]), [none, short, none], "grpc");
}

#[test]
fn backends_without_weight_get_nothing_and_alone_answer_500() {
    let text = service("a", "[{port: 80}]")
        + &service("b", "[{port: 80}]")
        + &route(
            "r",
            "{parentRefs: [{kind: Service, name: a}], rules: [
                {backendRefs: [{name: a, weight: 0}]},
                {backendRefs: [{name: a, weight: 0}, {name: b}]}]}",
        );
    let hosts = hosts(&text, "default");
    let actions: Vec<_> = hosts[0].routes.iter().map(|route| route.action.clone()).collect();
    assert!(matches!(&actions[0], Some(Action::DirectResponse(answer)) if answer.status == 500));
    let Some(Action::Route(action)) = &actions[1] else { panic!("{actions:?}") };
    let cluster = weft_proto::pb::envoy::config::route::v3::route_action::ClusterSpecifier::Cluster;
    assert_eq!(action.cluster_specifier, Some(cluster("b.default:80".to_owned())));
}

#[test]
fn grpc_clients_are_told_of_ports_they_can_call_only() {
    let text = service("a", "[{port: 80}, {port: 9000, protocol: grpc}]")
        + &route(
            "r",
            "{parentRefs: [{kind: Service, name: a}], hostnames: [x.example.com, '*.example.com']}",
        );
    let resources = translate(&mesh(&text), &Workloads::new(), &node(Dialect::Grpc, "default"));
    let targets: Vec<_> = resources.listeners.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(
        targets,
        ["a", "a.default", "a.default:9000", "a:9000", "x.example.com", "x.example.com:9000"]
    );
    let clusters: Vec<_> = resources.clusters.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(clusters, ["a.default:9000"]);
}
