//! Which routes a Gateway takes at which of its listeners, and what is refused in one.

use weft_config::model::gateway::RouteNamespaces;
use weft_config::{DocumentId, Key, Kind, Mesh, Problems, Source};

const HEAD: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: weft
  listeners:
    - {name: any, port: 80, protocol: HTTP}
    - {name: shop, port: 80, protocol: HTTP, hostname: '*.shop.com'}
    - {name: open, port: 81, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
    - {name: db, port: 82, protocol: TCP}
    - {name: tls, port: 83, protocol: TLS, hostname: '*.x.com', tls: {mode: Passthrough}}
---
{apiVersion: weft.dev/v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}
---
{apiVersion: weft.dev/v1, kind: Service, metadata: {name: c}, spec: {ports: [{port: 80, protocol: grpc}]}}
---
{apiVersion: weft.dev/v1, kind: Service, metadata: {name: db}, spec: {ports: [{port: 82, protocol: tcp}]}}
";

fn parse(routes: &[String]) -> Result<Mesh, Problems> {
    let text = [HEAD.to_owned()].iter().chain(routes).cloned().collect::<Vec<_>>().join("---\n");
    Mesh::parse(&[Source::new("t", text)])
}

fn mesh(routes: &[String]) -> Mesh {
    parse(routes).unwrap_or_else(|problems| panic!("{problems}"))
}

fn route(kind: &str, metadata: &str, spec: &str) -> String {
    let version = kind.parse::<Kind>().map_or("", Kind::api_version);
    format!("{{apiVersion: {version}, kind: {kind}, metadata: {{{metadata}}}, spec: {{{spec}}}}}\n")
}

fn key(name: &str) -> Key {
    Key::new("default", name)
}

/// The names of the routes for requests at a listener, with their host names.
fn at(mesh: &Mesh, listener: &str) -> Vec<(String, String)> {
    let routes = mesh.bound_listener(&key("edge"), listener).requests;
    routes.iter().map(|route| (route.key.name.clone(), route.hostnames.join(" "))).collect()
}

fn pair(name: &str, hostnames: &str) -> (String, String) {
    (name.to_owned(), hostnames.to_owned())
}

#[test]
fn routes_go_to_every_listener_that_fits_with_the_names_both_have() {
    let backend = "rules: [{backendRefs: [{name: a, port: 80}]}]";
    let mesh = mesh(&[
        route("HTTPRoute", "name: all", &format!("parentRefs: [{{name: edge}}], {backend}")),
        route(
            "HTTPRoute",
            "name: named",
            &format!(
                "parentRefs: [{{name: edge, port: 80}}], hostnames: [a.shop.com, b.com], {backend}"
            ),
        ),
        route(
            "HTTPRoute",
            "name: one",
            &format!("parentRefs: [{{name: edge, sectionName: shop}}], {backend}"),
        ),
    ]);
    assert_eq!(at(&mesh, "any"), [pair("all", ""), pair("named", "a.shop.com b.com")]);
    let shop = [pair("all", "*.shop.com"), pair("named", "a.shop.com"), pair("one", "*.shop.com")];
    assert_eq!(at(&mesh, "shop"), shop);
    assert_eq!(at(&mesh, "open"), [pair("all", "")]);
    assert!(mesh.bound_routes(&key("a"), 80).is_empty(), "calls within the mesh are not touched");
}

#[test]
fn the_oldest_route_decides_then_the_first_by_name() {
    let spec = "parentRefs: [{name: edge}], rules: [{backendRefs: [{name: db}]}]";
    let created = |name: &str, time: &str| {
        route("TCPRoute", &format!("name: {name}, creationTimestamp: {time}"), spec)
    };
    let old = created("z", "2025-01-01T00:00:00Z");
    let newer = created("b", "2026-01-01T00:00:00Z");
    let winner = |routes: &[String]| {
        let bound = mesh(routes).bound_listener(&key("edge"), "db").connections;
        bound.map(|route| route.key.name.clone())
    };
    let undated = route("TCPRoute", "name: a, creationTimestamp: null", spec);
    assert_eq!(winner(&[old.clone(), newer.clone(), undated.clone()]).as_deref(), Some("z"));
    assert_eq!(winner(&[newer, undated.clone()]).as_deref(), Some("b"));
    assert_eq!(winner(&[route("TCPRoute", "name: c", spec), undated]).as_deref(), Some("a"));
    let mesh = mesh(&[route("TCPRoute", "name: a", spec), old]);
    let [fate] = mesh.attachments(&DocumentId::new(Kind::TcpRoute, key("a"))) else {
        panic!("attached once")
    };
    assert_eq!(fate.overruled_by, Some(DocumentId::new(Kind::TcpRoute, key("z"))));
    assert_eq!((fate.listener.as_deref(), fate.port), (Some("db"), 82));
}

#[test]
fn routes_for_requests_and_for_calls_share_no_host_name_of_a_listener() {
    let http = |time: &str| {
        let metadata = format!("name: h, creationTimestamp: {time}");
        let spec = "parentRefs: [{name: edge, sectionName: any}], hostnames: ['*.com'], rules: [{backendRefs: [{name: a}]}]";
        route("HTTPRoute", &metadata, spec)
    };
    let grpc = |host: &str| {
        let spec = format!(
            "parentRefs: [{{name: edge, sectionName: any}}], hostnames: [{host}], rules: [{{backendRefs: [{{name: c}}]}}]"
        );
        route("GRPCRoute", "name: g, creationTimestamp: '2026-01-01T00:00:00Z'", &spec)
    };
    let old = "'2025-01-01T00:00:00Z'";
    let new = "'2027-01-01T00:00:00Z'";
    assert_eq!(at(&mesh(&[http(old), grpc("c.com")]), "any"), [pair("h", "*.com")]);
    assert_eq!(at(&mesh(&[http(new), grpc("c.com")]), "any"), [pair("g", "c.com")]);
    let both = [pair("h", "*.com"), pair("g", "c.org")];
    assert_eq!(at(&mesh(&[http(old), grpc("c.org")]), "any"), both);
}

#[test]
fn other_namespaces_are_let_in_where_the_listener_says_so() {
    let service = "{apiVersion: weft.dev/v1, kind: Service, metadata: {name: a, namespace: b}, spec: {ports: [{port: 80}]}}\n";
    let spec =
        "parentRefs: [{name: edge, namespace: default}], rules: [{backendRefs: [{name: a}]}]";
    let mesh = mesh(&[service.to_owned(), route("HTTPRoute", "name: r, namespace: b", spec)]);
    assert_eq!(at(&mesh, "open"), [pair("r", "")]);
    assert!(at(&mesh, "any").is_empty());
    let listener = mesh.gateways()[&key("edge")].listener("open").expect("there").routes_from;
    assert_eq!(listener, RouteNamespaces::All);
}

#[test]
fn what_cannot_be_attached_is_refused() {
    let cases = [
        ("HTTPRoute", "name: nobody", ".name", "no Gateway \"nobody\" (there are: edge)"),
        ("HTTPRoute", "name: a", ".name", "no Gateway \"a\", but there is a Service of that name"),
        (
            "HTTPRoute",
            "name: edge, port: 9",
            ".port",
            "no port \"9\" (there are: 80, 80, 81, 82, 83)",
        ),
        ("HTTPRoute", "name: edge, sectionName: x", ".sectionName", "no listener \"x\""),
        (
            "HTTPRoute",
            "name: edge, port: 82",
            "",
            "no such listener of Gateway \"edge\" takes a HTTPRoute",
        ),
        (
            "HTTPRoute",
            "name: edge, sectionName: shop",
            "",
            "no such listener of Gateway \"edge\" has a host name",
        ),
    ];
    for (kind, parent, field, message) in cases {
        let spec = format!(
            "parentRefs: [{{{parent}}}], hostnames: [other.org], rules: [{{backendRefs: [{{name: a}}]}}]"
        );
        let problems = parse(&[route(kind, "name: r", &spec)]).expect_err(parent);
        let found: Vec<_> =
            problems.iter().map(|it| (it.field.as_str(), it.reason.to_string())).collect();
        let field = format!("spec.parentRefs[0]{field}");
        assert!(
            found.iter().any(|(at, reason)| *at == field && reason.starts_with(message)),
            "{parent}: {found:?}"
        );
    }
    let spec = "parentRefs: [{name: edge, namespace: default, port: 80}], rules: [{}]";
    let problems = parse(&[route("HTTPRoute", "name: r, namespace: b", spec)]).expect_err("Same");
    assert!(problems.to_string().contains("takes no routes of the namespace \"b\""), "{problems}");
}

#[test]
fn what_a_gateway_cannot_do_is_refused_by_name() {
    let cases = [
        ("{name: l, port: 443, protocol: HTTPS}", "the protocol HTTPS is not supported"),
        ("{name: l, port: 443, protocol: UDP}", "the protocol UDP is not supported"),
        ("{name: l, port: 443, protocol: http}", "\"http\" is not one of HTTP, TCP, TLS"),
        ("{name: l, port: 443, protocol: TLS}", "the field \"tls\" is missing"),
        (
            "{name: l, port: 443, protocol: TLS, tls: {mode: Terminate}}",
            "taking TLS off at the gateway is not supported",
        ),
        (
            "{name: l, port: 443, protocol: TLS, tls: {mode: Passthrough, certificateRefs: []}}",
            "certificateRefs is not supported",
        ),
        ("{name: l, port: 80, protocol: HTTP, tls: {mode: Passthrough}}", "tls is not supported"),
        ("{name: l, port: 80, protocol: TCP, hostname: a.b}", "hostname is not supported"),
        (
            "{name: l, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector}}}",
            "allowing routes from Selector is not supported",
        ),
        (
            "{name: l, port: 80, protocol: HTTP, allowedRoutes: {kinds: []}}",
            "kinds is not supported",
        ),
        (
            "{name: l, port: 80, protocol: HTTP}, {name: m, port: 80, protocol: TCP}",
            "listeners \"m\" and \"l\" share port 80 and have different protocols",
        ),
        (
            "{name: l, port: 80, protocol: HTTP}, {name: m, port: 80, protocol: HTTP}",
            "nothing tells listeners \"m\" and \"l\" of port 80 apart",
        ),
        (
            "{name: l, port: 80, protocol: HTTP}, {name: l, port: 81, protocol: HTTP}",
            "the listener name \"l\" is given twice",
        ),
    ];
    for (listeners, message) in cases {
        let text = route(
            "Gateway",
            "name: g",
            &format!("gatewayClassName: weft, listeners: [{listeners}]"),
        );
        let problems = Mesh::parse(&[Source::new("t", text)]).expect_err(listeners);
        let first = problems.iter().next().map(|it| it.reason.to_string()).unwrap_or_default();
        assert!(first.starts_with(message), "{listeners}: {problems}");
    }
    for (field, message) in [
        ("addresses: [{type: Hostname, value: a.b}]", "the address type Hostname is not supported"),
        ("addresses: [{value: a.b}]", "\"a.b\" is not an IP address"),
        ("infrastructure: {}", "infrastructure is not supported"),
    ] {
        let spec = format!(
            "gatewayClassName: weft, {field}, listeners: [{{name: l, port: 80, protocol: HTTP}}]"
        );
        let text = route("Gateway", "name: g", &spec);
        let problems = Mesh::parse(&[Source::new("t", text)]).expect_err(field);
        assert!(problems.to_string().contains(message), "{problems}");
    }
}
