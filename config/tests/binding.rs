//! Which of several documents decides, and what is in force when all are taken together.

use std::time::Duration;

use weft_config::model::policy::BalancingPolicy;
use weft_config::model::route::PathMatch;
use weft_config::{DocumentId, Key, Kind, Mesh, Source};

fn mesh(documents: &[(&str, &str, &str)]) -> Mesh {
    let texts: Vec<String> = documents
        .iter()
        .map(|(kind, name, spec)| {
            let known = Kind::ALL.into_iter().find(|known| known.as_str() == *kind);
            let version = known.map_or("unknown", Kind::api_version);
            format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: {name}}}, spec: {spec}}}\n")
        })
        .collect();
    match Mesh::parse(&[Source::new("t", texts.join("---\n"))]) {
        Ok(mesh) => mesh,
        Err(problems) => panic!("{problems}"),
    }
}

const CALLS: (&str, &str, &str) =
    ("Service", "calls", "{ports: [{port: 80, protocol: grpc}, {port: 81, protocol: http}]}");

fn key(name: &str) -> Key {
    Key::new("default", name)
}

#[test]
fn routes_for_calls_overrule_routes_for_requests_at_the_same_port() {
    let parent = "{parentRefs: [{kind: Service, name: calls}]}";
    let mesh = mesh(&[CALLS, ("HTTPRoute", "h", parent), ("GRPCRoute", "g", parent)]);
    let kinds = |port| {
        let routes = mesh.bound_routes(&key("calls"), port);
        routes.iter().map(|route| route.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(80), [Kind::GrpcRoute]);
    assert_eq!(kinds(81), [Kind::HttpRoute]);

    let of = |kind, name: &str| DocumentId::new(kind, key(name));
    let fate = |id: &DocumentId| {
        let attached = mesh.attachments(id).iter();
        attached.map(|it| (it.port, it.overruled_by.clone())).collect::<Vec<_>>()
    };
    let winner = of(Kind::GrpcRoute, "g");
    assert_eq!(fate(&of(Kind::HttpRoute, "h")), [(80, Some(winner.clone())), (81, None)]);
    assert_eq!(fate(&winner), [(80, None)]);
}

#[test]
fn of_routes_for_connections_the_first_by_name_decides() {
    let service = ("Service", "db", "{ports: [{port: 5432, protocol: tcp}]}");
    let spec = "{parentRefs: [{kind: Service, name: db}], rules: [{backendRefs: [{name: db}]}]}";
    let mesh = mesh(&[service, ("TCPRoute", "b", spec), ("TCPRoute", "a", spec)]);
    let bound = mesh.bound_tcp_route(&key("db"), 5432).expect("bound");
    assert_eq!(bound.key, key("a"));
    let [overruled] = mesh.attachments(&DocumentId::new(Kind::TcpRoute, key("b"))) else {
        panic!("attached once")
    };
    assert_eq!(overruled.overruled_by, Some(DocumentId::new(Kind::TcpRoute, key("a"))));
}

#[test]
fn methods_are_paths() {
    let cases = [
        ("{service: a.B, method: C}", PathMatch::Exact("/a.B/C".to_owned())),
        ("{service: a.B}", PathMatch::PathPrefix("/a.B".to_owned())),
        ("{method: C}", PathMatch::RegularExpression("/[^/]+/(?:C)".to_owned())),
        (
            "{type: RegularExpression, service: 'a|b', method: 'C.*'}",
            PathMatch::RegularExpression("/(?:a|b)/(?:C.*)".to_owned()),
        ),
    ];
    for (method, expected) in cases {
        let spec = format!(
            "{{parentRefs: [{{kind: Service, name: calls}}], rules: [{{matches: [{{method: {method}}}]}}]}}"
        );
        let mesh = mesh(&[CALLS, ("GRPCRoute", "g", &spec)]);
        let [route] = mesh.bound_routes(&key("calls"), 80) else { panic!("one route") };
        assert_eq!(route.rules[0].matches[0].path.as_ref(), Some(&expected), "{method}");
    }
}

#[test]
fn the_most_specific_setting_wins_field_by_field() {
    let mesh = mesh(&[
        CALLS,
        ("Subset", "v2", "{service: calls, labels: {version: v2}}"),
        (
            "MeshConfig",
            "default",
            "{defaults: {timeouts: {request: 1s, connect: 2s}, loadBalancer: {policy: Random}}}",
        ),
        (
            "TrafficPolicy",
            "p",
            "{targetRef: {kind: Service, name: calls}, timeouts: {request: 3s}, circuitBreaker: {maxRequests: 5}}",
        ),
        (
            "TrafficPolicy",
            "q",
            "{targetRef: {kind: Subset, name: v2}, circuitBreaker: {maxRequests: 6}}",
        ),
    ]);
    let service = mesh.settings(&key("calls"), None);
    assert_eq!(service.timeouts.request, Some(Duration::from_secs(3)));
    assert_eq!(service.timeouts.connect, Some(Duration::from_secs(2)));
    assert_eq!(service.load_balancer.policy, Some(BalancingPolicy::Random));
    assert_eq!(service.circuit_breaker.max_requests, Some(5));
    let subset = mesh.settings(&key("calls"), Some("v2"));
    assert_eq!(subset.circuit_breaker.max_requests, Some(6));
    assert_eq!(subset.timeouts, service.timeouts);
    assert_eq!(mesh.settings(&key("unknown"), None).timeouts.request, Some(Duration::from_secs(1)));
}
