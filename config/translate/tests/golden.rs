//! What each dialect is sent, in full, as checked in under `golden/`.
//!
//! Run with `WEFT_BLESS=1` to write the files anew, and review the difference.

use std::fs;
use std::path::Path;

use weft_config::{Key, Mesh, Source, StringMap};
use weft_proto::type_url;
use weft_translate::{Dialect, Inbound, Instance, Node, Resources, Workloads, translate};

fn mesh(example: &str) -> Mesh {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(example);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => panic!("{}: {error}", path.display()),
    };
    match Mesh::parse(&[Source::new(example, text)]) {
        Ok(mesh) => mesh,
        Err(problems) => panic!("{problems}"),
    }
}

fn workloads() -> Workloads {
    let instance = |name: &str, port: u16, zone: &str, version: &str| Instance {
        healthy: true,
        zone: zone.to_owned(),
        name: name.to_owned(),
        address: ([127, 0, 0, 1], port).into(),
        labels: StringMap::from([("version".to_owned(), version.to_owned())]),
    };
    [
        ("catalog", instance("catalog-1", 21001, "zone-a", "v1")),
        ("inventory", instance("inventory-1", 21002, "zone-a", "v1")),
        ("inventory", instance("inventory-2", 21003, "zone-b", "v1")),
        ("inventory", instance("inventory-3", 21004, "zone-b", "v2")),
    ]
    .into_iter()
    .map(|(service, instance)| (Key::new("default", service), instance))
    .collect()
}

fn sidecar(service: &str) -> Node {
    let at = |port: u16| ([127, 0, 0, 1], port).into();
    Node {
        dialect: Dialect::Envoy,
        namespace: "default".to_owned(),
        service: Some(service.to_owned()),
        inbound: Some(Inbound { listen: at(15006), app: at(8080) }),
        gateway: None,
        outbound: Some(at(15001)),
    }
}

fn gateway(name: &str) -> Node {
    let gateway = Some(name.to_owned());
    Node { gateway, service: None, inbound: None, outbound: None, ..sidecar("") }
}

fn client(namespace: &str) -> Node {
    Node {
        dialect: Dialect::Grpc,
        namespace: namespace.to_owned(),
        service: None,
        inbound: None,
        gateway: None,
        outbound: None,
    }
}

fn written(resources: &Resources) -> String {
    let mut text = String::new();
    for (title, type_url, collection) in [
        ("listeners", type_url::LISTENER, &resources.listeners),
        ("routes", type_url::ROUTE_CONFIGURATION, &resources.routes),
        ("clusters", type_url::CLUSTER, &resources.clusters),
        ("endpoints", type_url::CLUSTER_LOAD_ASSIGNMENT, &resources.endpoints),
    ] {
        let all: serde_json::Map<String, serde_json::Value> = collection
            .iter()
            .map(|(name, resource)| {
                (name.to_string(), weft_proto::json::any_to_json(type_url, &resource.value))
            })
            .collect();
        text.push_str(&weft_config::to_yaml(&serde_json::json!({ title: all })));
    }
    for note in resources.notes.iter() {
        text.push_str(&format!("# {note}\n"));
    }
    text
}

fn compare(name: &str, resources: &Resources) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let found = written(resources);
    if std::env::var_os("WEFT_BLESS").is_some() {
        fs::write(&path, found).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let expected =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let differs =
        found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
    if let Some(line) = differs {
        let around = |text: &str| {
            text.lines().skip(line.saturating_sub(6)).take(12).collect::<Vec<_>>().join("\n")
        };
        panic!(
            "{name} differs at line {}:\n{}\n--- expected\n{}",
            line + 1,
            around(&found),
            around(&expected)
        );
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{name} is longer or shorter");
}

#[test]
fn the_sidecar_of_the_storefront() {
    compare(
        "shop-storefront.yaml",
        &translate(&mesh("shop.yaml"), &workloads(), &sidecar("storefront")),
    );
}

#[test]
fn the_sidecar_of_a_grpc_service_in_another_namespace() {
    let node = Node { namespace: "billing".to_owned(), ..sidecar("users") };
    compare("namespaces-users.yaml", &translate(&mesh("namespaces.yaml"), &workloads(), &node));
}

#[test]
fn a_grpc_client_of_the_shop() {
    compare(
        "shop-grpc-client.yaml",
        &translate(&mesh("shop.yaml"), &workloads(), &client("default")),
    );
}

#[test]
fn the_sidecar_of_a_mesh_that_is_open() {
    compare("open-web.yaml", &translate(&mesh("open.yaml"), &workloads(), &sidecar("web")));
}

/// Beside what any client is sent, the listener of its own address.
#[test]
fn a_grpc_server_of_the_shop() {
    let at = ([127, 0, 0, 1], 50051).into();
    let inbound = Some(Inbound { listen: at, app: at });
    let node = Node { service: Some("inventory".to_owned()), inbound, ..client("default") };
    let mut resources = translate(&mesh("shop.yaml"), &workloads(), &node);
    let others = translate(&mesh("shop.yaml"), &workloads(), &client("default"));
    assert_eq!(resources.listeners.len(), others.listeners.len() + 1);
    (resources.clusters, resources.endpoints) = Default::default();
    resources.routes = Default::default();
    compare("shop-grpc-server.yaml", &resources);
}

#[test]
fn a_grpc_client_with_routes() {
    compare(
        "namespaces-grpc-client.yaml",
        &translate(&mesh("namespaces.yaml"), &workloads(), &client("billing")),
    );
}

#[test]
fn everything_a_route_can_do() {
    compare(
        "routing-search.yaml",
        &translate(&mesh("routing.yaml"), &workloads(), &sidecar("search")),
    );
}

#[test]
fn standalone_with_a_database() {
    compare(
        "standalone-web.yaml",
        &translate(&mesh("standalone.yaml"), &Workloads::new(), &sidecar("web")),
    );
}

#[test]
fn a_tcp_service_of_its_own() {
    compare(
        "standalone-database.yaml",
        &translate(&mesh("standalone.yaml"), &Workloads::new(), &sidecar("database")),
    );
}

#[test]
fn policies_and_every_kind_of_route() {
    compare(
        "traffic-search.yaml",
        &translate(&mesh("traffic.yaml"), &Workloads::new(), &sidecar("search")),
    );
}

#[test]
fn policies_in_a_grpc_client() {
    compare(
        "traffic-grpc-client.yaml",
        &translate(&mesh("traffic.yaml"), &Workloads::new(), &client("default")),
    );
}

#[test]
fn a_gateway() {
    let node = gateway("public");
    compare("ingress-public.yaml", &translate(&mesh("ingress.yaml"), &workloads(), &node));
}

#[test]
fn limits_beside_an_instance_and_beside_its_callers() {
    let mesh = mesh("limits.yaml");
    compare("limits-checkout.yaml", &translate(&mesh, &Workloads::new(), &sidecar("checkout")));
}

#[test]
fn limits_that_a_service_counts_for_a_sidecar_that_calls_nobody_else() {
    let node = Node { outbound: None, ..sidecar("search") };
    let resources = translate(&mesh("limits.yaml"), &Workloads::new(), &node);
    assert!(resources.clusters.get("counter.default:8081").is_some());
    assert!(resources.clusters.get("checkout.default:80").is_none());
    compare("limits-search.yaml", &resources);
}

#[test]
fn limits_of_a_gateway() {
    let mesh = mesh("limits.yaml");
    compare("limits-front.yaml", &translate(&mesh, &Workloads::new(), &gateway("front")));
}

#[test]
fn a_sidecar_of_a_service_that_says_what_it_calls() {
    compare("local-shop.yaml", &translate(&mesh("local.yaml"), &workloads(), &sidecar("shop")));
}

#[test]
fn nothing_but_a_note_for_a_gateway_that_the_mesh_has_not_got() {
    let resources = translate(&mesh("ingress.yaml"), &workloads(), &gateway("inner"));
    let [note] = &*resources.notes else { panic!("one note") };
    assert_eq!(note.to_string(), "there is no Gateway/inner: this node listens for nothing");
    assert!(resources.listeners.is_empty() && resources.clusters.is_empty());
}

#[test]
fn nothing_for_a_node_that_asks_for_nothing() {
    let node = Node { service: None, inbound: None, outbound: None, ..sidecar("web") };
    assert_eq!(translate(&mesh("shop.yaml"), &workloads(), &node), Resources::default());
}

#[test]
fn a_service_that_the_mesh_has_not_got_is_served_and_noted() {
    let resources = translate(&mesh("shop.yaml"), &workloads(), &sidecar("new"));
    assert!(resources.listeners.get("inbound").is_some());
    let [note] = &*resources.notes else { panic!("one note") };
    assert_eq!(
        note.to_string(),
        "there is no Service/new: requests to this node are served, but nobody is sent here"
    );
}
