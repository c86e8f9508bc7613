//! What Gateway API calls the status of a document.

use serde_json::{Value, json};
use weft_config::{DocumentId, Key, Kind, Mesh, Progress, Source};

fn mesh(text: &str) -> Mesh {
    Mesh::parse(&[Source::new("t", text)]).unwrap_or_else(|problems| panic!("{problems}"))
}

fn status(mesh: &Mesh, kind: Kind, name: &str, progress: &Progress) -> Value {
    let id = DocumentId::new(kind, Key::new("default", name));
    let status = mesh.status(&id, progress).unwrap_or_else(|| panic!("{id} has a status"));
    serde_json::to_value(status).unwrap_or_else(|error| panic!("{error}"))
}

/// Type, status and reason of each condition.
fn conditions(of: &Value) -> Vec<String> {
    let word = |condition: &Value, name: &str| condition[name].as_str().unwrap_or("?").to_owned();
    let all = of["conditions"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|it| format!("{}={} {}", word(it, "type"), word(it, "status"), word(it, "reason")))
        .collect()
}

const CALLS: &str = "
{apiVersion: weft.dev/v1, kind: Service, metadata: {name: calls},
 spec: {ports: [{port: 80, protocol: grpc}, {port: 81}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: g}
spec: {parentRefs: [{kind: Service, name: calls}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: everywhere}
spec: {parentRefs: [{kind: Service, name: calls}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: overruled}
spec: {parentRefs: [{group: '', kind: Service, name: calls, port: 80}]}
";

#[test]
fn a_route_is_accepted_where_it_decides() {
    let mesh = mesh(CALLS);
    let of = |kind, name| status(&mesh, kind, name, &Progress::default())["parents"][0].clone();
    let good = ["Accepted=True Accepted", "ResolvedRefs=True ResolvedRefs"];
    assert_eq!(conditions(&of(Kind::GrpcRoute, "g")), good);
    let some = of(Kind::HttpRoute, "everywhere");
    assert_eq!(conditions(&some), good);
    assert_eq!(
        some["conditions"][0]["message"],
        "it decides at port 81 of calls; port 80 belongs to GRPCRoute/g"
    );
    let none = of(Kind::HttpRoute, "overruled");
    assert_eq!(conditions(&none), ["Accepted=False Conflicted", good[1]]);
    let parent = json!({"group": "", "kind": "Service", "name": "calls", "port": 80});
    assert_eq!(
        (&none["parentRef"], &none["controllerName"]),
        (&parent, &json!("weft.dev/control-plane"))
    );
}

const EDGE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: weft
  listeners:
    - {name: web, port: 80, protocol: HTTP}
    - {name: db, port: 81, protocol: TCP}
---
{apiVersion: weft.dev/v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: edge}, {name: edge, sectionName: web}]
  rules: [{backendRefs: [{name: a}]}]
";

#[test]
fn a_gateway_counts_its_routes_and_is_programmed_when_its_proxies_say_so() {
    let mesh = mesh(EDGE);
    let of = |connected, acknowledged, refused: Option<&str>| {
        let refused = refused.map(str::to_owned);
        status(&mesh, Kind::Gateway, "edge", &Progress { connected, acknowledged, refused })
    };
    let done = of(2, 2, None);
    assert_eq!(conditions(&done), ["Accepted=True Accepted", "Programmed=True Programmed"]);
    assert_eq!(done["addresses"], json!([{"type": "IPAddress", "value": "0.0.0.0"}]));
    let counts: Vec<_> = [0, 1].iter().map(|i| &done["listeners"][i]["attachedRoutes"]).collect();
    assert_eq!(counts, [&json!(1), &json!(0)]);
    let kinds = json!([
        {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"},
        {"group": "gateway.networking.k8s.io", "kind": "GRPCRoute"},
    ]);
    assert_eq!(done["listeners"][0]["supportedKinds"], kinds);
    assert_eq!(
        conditions(&done["listeners"][0]),
        [
            "Accepted=True Accepted",
            "ResolvedRefs=True ResolvedRefs",
            "Conflicted=False NoConflicts",
            "Programmed=True Programmed",
        ]
    );
    assert_eq!(conditions(&of(2, 1, None))[1], "Programmed=False Pending");
    assert_eq!(conditions(&of(0, 0, None))[1], "Programmed=Unknown Pending");
    assert_eq!(conditions(&of(2, 1, Some("no")))[1], "Programmed=False Invalid");
}

#[test]
fn two_references_to_one_place_are_both_accepted() {
    let mesh = mesh(EDGE);
    let parents = status(&mesh, Kind::HttpRoute, "r", &Progress::default())["parents"].clone();
    for parent in [&parents[0], &parents[1]] {
        assert_eq!(conditions(parent)[0], "Accepted=True Accepted");
    }
}

#[test]
fn other_documents_have_none() {
    let mesh = mesh(EDGE);
    let service = DocumentId::new(Kind::Service, Key::new("default", "a"));
    assert_eq!(mesh.status(&service, &Progress::default()), None);
    let nobody = DocumentId::new(Kind::Gateway, Key::new("default", "nobody"));
    assert_eq!(mesh.status(&nobody, &Progress::default()), None);
}
