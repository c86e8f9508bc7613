//! A change costs what it touches: the rest stays the same allocation.

use std::sync::Arc;

use prost::Message as _;
use weft_config::{Key, Mesh, Source, StringMap};
use weft_proto::pb::envoy::config::core::v3::HealthStatus;
use weft_proto::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, LbEndpoint};
use weft_translate::{Collection, Dialect, Instance, Node, Resources, Translator, Workloads};

const SHOP: &str = include_str!("../../examples/shop.yaml");

fn mesh(text: &str) -> Arc<Mesh> {
    match Mesh::parse(&[Source::new("shop.yaml", text)]) {
        Ok(mesh) => Arc::new(mesh),
        Err(problems) => panic!("{problems}"),
    }
}

fn node(dialect: Dialect) -> Node {
    Node {
        dialect,
        namespace: "default".to_owned(),
        service: None,
        inbound: None,
        gateway: None,
        outbound: Some(([127, 0, 0, 1], 15001).into()),
    }
}

fn instance(name: &str, port: u16, version: &str) -> Instance {
    Instance {
        healthy: true,
        zone: String::new(),
        name: name.to_owned(),
        address: ([127, 0, 0, 1], port).into(),
        labels: StringMap::from([("version".to_owned(), version.to_owned())]),
    }
}

/// Names of what is not the same allocation in both.
fn changed(before: &Collection, after: &Collection) -> Vec<String> {
    let differs = |name: &str, value: &[u8]| {
        before.get(name).is_none_or(|before| !std::ptr::eq(before.value.as_ref(), value))
    };
    after
        .iter()
        .filter(|(name, after)| differs(name, &after.value))
        .map(|(name, _)| name.to_string())
        .collect()
}

fn changes(before: &Resources, after: &Resources) -> [Vec<String>; 4] {
    [
        changed(&before.listeners, &after.listeners),
        changed(&before.routes, &after.routes),
        changed(&before.clusters, &after.clusters),
        changed(&before.endpoints, &after.endpoints),
    ]
}

#[test]
fn an_instance_that_is_ill_is_an_endpoint_that_is_unhealthy() {
    let mut translator = Translator::new(mesh(SHOP), Workloads::new());
    let ill = Instance { healthy: false, ..instance("b", 2, "v1") };
    let inventory = Key::new("default", "inventory");
    assert!(translator.set_instances(&inventory, vec![instance("a", 1, "v1"), ill]));
    let resources = translator.resources(&node(Dialect::Envoy));
    let assignment = resources.endpoints.get("inventory.default:80").expect("of the example");
    let assignment = ClusterLoadAssignment::decode(assignment.value.clone()).expect("ours");
    let health = |endpoint: &LbEndpoint| endpoint.health_status();
    let found: Vec<_> =
        assignment.endpoints.iter().flat_map(|zone| &zone.lb_endpoints).map(health).collect();
    assert_eq!(found, [HealthStatus::Unknown, HealthStatus::Unhealthy]);
}

#[test]
fn a_workload_touches_the_endpoints_of_its_service_and_nothing_else() {
    let mut translator = Translator::new(mesh(SHOP), Workloads::new());
    let node = node(Dialect::Grpc);
    let before = translator.resources(&node);
    let inventory = Key::new("default", "inventory");

    assert!(translator.set_instances(&inventory, vec![instance("i", 1, "v1")]));
    let mut after = before.clone();
    translator.refresh(&node, &mut after);
    let touched = ["inventory.default/inventory-v1:80", "inventory.default:80"].map(str::to_owned);
    assert_eq!(changes(&before, &after), [vec![], vec![], vec![], touched.to_vec()]);

    assert!(!translator.set_instances(&inventory, vec![instance("i", 1, "v1")]), "nothing new");
    let mut again = after.clone();
    translator.refresh(&node, &mut again);
    assert!(again.endpoints.is_same(&after.endpoints));
}

#[test]
fn a_weight_touches_the_routes_and_nothing_else() {
    let mut translator = Translator::new(mesh(SHOP), Workloads::new());
    let node = node(Dialect::Envoy);
    let before = translator.resources(&node);
    translator.set_mesh(mesh(&SHOP.replace("weight: 90", "weight: 50")));
    let after = translator.resources(&node);
    // The one listener of this node is its own and small: made anew, with the same version.
    assert_eq!(after.listeners, before.listeners);
    let [_, routes, clusters, endpoints] = changes(&before, &after);
    assert_eq!((routes, clusters, endpoints), (vec!["outbound".to_owned()], vec![], vec![]));
}

#[test]
fn the_same_mesh_again_changes_nothing() {
    let mut translator = Translator::new(mesh(SHOP), Workloads::new());
    let grpc = node(Dialect::Grpc);
    let before = translator.resources(&grpc);
    translator.set_mesh(mesh(SHOP));
    let after = translator.resources(&grpc);
    assert!(before.listeners.is_same(&after.listeners) && before.routes.is_same(&after.routes));
    assert!(before.clusters.is_same(&after.clusters) && before.endpoints.is_same(&after.endpoints));
}

/// 500 Services, and a route for each.
fn many(weight: u32) -> Arc<Mesh> {
    let documents = (0..500).map(|n| {
        let weight = if n == 250 { weight } else { 1 };
        format!(
            "{{apiVersion: weft.dev/v1, kind: Service, metadata: {{name: s{n}}}, spec: {{ports: [{{port: 80, protocol: grpc}}]}}}}\n---\n\
             {{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: s{n}}},\n \
             spec: {{parentRefs: [{{kind: Service, name: s{n}}}], rules: [{{backendRefs: [{{name: s{n}, weight: {weight}}}, {{name: s{}}}]}}]}}}}\n---\n",
            (n + 1) % 500
        )
    });
    mesh(&documents.collect::<String>())
}

#[test]
fn of_five_hundred_services_one_is_touched() {
    let at = |n: u16| instance(&format!("i{n}"), 20_000 + n, "v1");
    let workloads = (0..500).flat_map(|service| {
        (0..10).map(move |n| (Key::new("default", format!("s{service}")), at(n)))
    });
    let mut translator = Translator::new(many(1), workloads.collect());
    let nodes = [node(Dialect::Envoy), node(Dialect::Grpc)];
    let count = |before: &Resources, after: &Resources| {
        // The one listener of a sidecar is its own and small: it is made anew, and the same.
        let [listeners, routes, clusters, endpoints] =
            changes(before, after).map(|names| names.len());
        [
            if before.listeners == after.listeners { 0 } else { listeners },
            routes,
            clusters,
            endpoints,
        ]
    };
    let before = nodes.each_ref().map(|node| translator.resources(node));
    assert_eq!(before[1].listeners.len(), 500 * 4, "name, name with port, and both with namespace");
    assert_eq!((before[0].clusters.len(), before[0].endpoints.len()), (500, 500));

    translator.set_mesh(many(7));
    let after = nodes.each_ref().map(|node| translator.resources(node));
    // A proxy has all its routes in one resource; a gRPC client has one for each Service.
    assert_eq!(count(&before[0], &after[0]), [0, 1, 0, 0]);
    assert_eq!(count(&before[1], &after[1]), [0, 1, 0, 0]);

    translator.set_instances(&Key::new("default", "s7"), (0..9).map(at).collect());
    for (node, before) in nodes.iter().zip(&after) {
        let mut now = before.clone();
        translator.refresh(node, &mut now);
        assert_eq!(count(before, &now), [0, 0, 0, 1]);
    }
}

/// What a Service does not call can change without a word to its sidecars.
#[test]
fn a_change_out_of_sight_changes_nothing() {
    let mesh_of = |weight: u32| {
        let text = "
{apiVersion: weft.dev/v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}], dependencies: [{name: b}]}}
---
{apiVersion: weft.dev/v1, kind: Service, metadata: {name: b}, spec: {ports: [{port: 80}]}}
---
{apiVersion: weft.dev/v1, kind: Service, metadata: {name: c}, spec: {ports: [{port: 80}], endpoints: [{static: [{address: '127.0.0.1:1', weight: WEIGHT}]}]}}
";
        mesh(&text.replace("WEIGHT", &weight.to_string()))
    };
    let mut translator = Translator::new(mesh_of(1), Workloads::new());
    let node = Node { service: Some("a".to_owned()), ..node(Dialect::Envoy) };
    let before = translator.resources(&node);
    assert_eq!(before.clusters.len(), 2, "what it calls, and its own instances");
    translator.set_mesh(mesh_of(2));
    translator.set_instances(&Key::new("default", "c"), vec![instance("i", 1, "v1")]);
    let mut after = before.clone();
    translator.refresh(&node, &mut after);
    assert!(before.clusters.is_same(&after.clusters) && before.routes.is_same(&after.routes));
    assert!(before.endpoints.is_same(&after.endpoints));

    translator.set_instances(&Key::new("default", "b"), vec![instance("i", 1, "v1")]);
    translator.refresh(&node, &mut after);
    assert!(!before.endpoints.is_same(&after.endpoints), "what it calls is told");
}

#[test]
fn a_service_that_leaves_takes_its_resources_with_it() {
    let services = "
apiVersion: weft.dev/v1
kind: Service
metadata: {name: a}
spec: {ports: [{port: 80}]}
---
apiVersion: weft.dev/v1
kind: Service
metadata: {name: b}
spec: {ports: [{port: 80}]}
";
    let mut translator = Translator::new(mesh(services), Workloads::new());
    let node = node(Dialect::Envoy);
    assert_eq!(translator.resources(&node).clusters.len(), 2);
    let without_b = services.split("---").next().unwrap_or_default();
    translator.set_mesh(mesh(without_b));
    let resources = translator.resources(&node);
    let clusters: Vec<_> = resources.clusters.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(clusters, ["a.default:80"]);
    assert_eq!(resources.endpoints.len(), 1);
}
