//! The REST API, request by request.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;
use weft_config::{Mesh, Places, Source};
use weft_control_admin::{Admin, Documents, Guard, Readiness, Trouble, api, openapi, router};
use weft_discovery::{Limits, Phase, Registry, Workload, WorkloadId};
use weft_store::{Change, Document, Key, Revision, Sqlite, Store};

const CATALOG: &str = "
apiVersion: weft.dev/v1
kind: Service
metadata: {name: catalog}
spec: {ports: [{port: 80, protocol: grpc}]}
";
const INVENTORY: &str = "
apiVersion: weft.dev/v1
kind: Service
metadata: {name: inventory}
spec: {ports: [{port: 80, protocol: http}]}
---
apiVersion: weft.dev/v1
kind: Subset
metadata: {name: inventory-v1}
spec: {service: inventory, labels: {version: v1}}
";

struct Plane {
    api: Router,
    documents: Arc<Documents>,
    store: Sqlite,
    registry: Registry,
    ready: watch::Sender<Readiness>,
}

/// A control plane's admin side, with `files` as its mesh files.
async fn plane(files: &str) -> Plane {
    let sources = [Source::new("files.yaml", files)];
    let files = Mesh::parse(&sources).unwrap();
    let store = Sqlite::in_memory().unwrap();
    let documents = Documents::open(files, Places::of(&sources), Arc::new(store.clone())).await;
    plane_of(documents.unwrap(), store)
}

fn plane_of(documents: Documents, store: Sqlite) -> Plane {
    let documents = Arc::new(documents);
    let registry = Registry::new(Limits::default());
    let (ready, readiness) = watch::channel(Readiness::Computing);
    let admin = Admin {
        documents: Arc::clone(&documents),
        registered: registry.watch(),
        proxies: Box::new(|| vec![proxy()]),
        preview: Arc::new(|mesh: Mesh| {
            let created = mesh.services().keys().map(ToString::to_string).collect();
            let (nodes, of) = (vec!["sidecar-1".to_owned()], "CDS".to_owned());
            vec![api::Effect { nodes, r#type: of, created, updated: vec![], deleted: vec![] }]
        }),
        ready: readiness,
        xds: "127.0.0.1:15010".into(),
        admin: "127.0.0.1:15080".into(),
    };
    let (_, stop) = watch::channel(false);
    let api = router(Arc::new(admin), Guard::default(), stop);
    Plane { api, documents, store, registry, ready }
}

fn proxy() -> api::Proxy {
    api::Proxy {
        node: "sidecar-1".into(),
        agent: "weft 0.1.0".into(),
        service: Some("default/catalog".into()),
        gateway: None,
        since: "2026-01-01T00:00:00Z".into(),
        converged: true,
        types: Vec::new(),
        quarantined: Vec::new(),
        withheld: Vec::new(),
    }
}

impl Plane {
    async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        self.answer(request).await
    }

    async fn answer(&self, request: Request<Body>) -> (StatusCode, Value) {
        let answer = self.api.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn names(&self, query: &str) -> Vec<String> {
        let (_, found) = self.send("GET", &format!("/v1/resources{query}"), Body::empty()).await;
        let found: api::Resources = serde_json::from_value(found).unwrap();
        found
            .resources
            .into_iter()
            .map(|one| format!("{}/{} {}", one.kind, one.name, one.kept.as_str()))
            .collect()
    }
}

#[tokio::test]
async fn documents_are_applied_read_and_deleted() {
    let plane = plane("").await;
    let (status, outcome) = plane.send("PUT", "/v1/resources", INVENTORY).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        outcome,
        json!({"revision": 1, "dryRun": false, "resources": [
            {"kind": "Service", "namespace": "default", "name": "inventory", "change": "created"},
            {"kind": "Subset", "namespace": "default", "name": "inventory-v1", "change": "created"},
        ]})
    );
    assert_eq!(plane.names("").await, ["Service/inventory store", "Subset/inventory-v1 store"]);
    assert_eq!(plane.names("?kind=subsets").await, ["Subset/inventory-v1 store"]);
    assert_eq!(plane.names("?namespace=other").await, [""; 0]);

    let (status, subset) =
        plane.send("GET", "/v1/resources/subset/default/inventory-v1", Body::empty()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(subset["document"]["spec"]["labels"]["version"], "v1");

    let (status, outcome) =
        plane.send("DELETE", "/v1/resources/Subset/default/inventory-v1", Body::empty()).await;
    assert_eq!((status, &outcome["revision"]), (StatusCode::OK, &json!(2)));
    assert_eq!(plane.names("").await, ["Service/inventory store"]);
    let (status, _) =
        plane.send("GET", "/v1/resources/Subset/default/inventory-v1", Body::empty()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_same_again_is_no_change() {
    let plane = plane("").await;
    plane.send("PUT", "/v1/resources", INVENTORY).await;
    let (_, outcome) = plane.send("PUT", "/v1/resources", format!("{INVENTORY}---{CATALOG}")).await;
    assert_eq!(outcome["revision"], 2);
    let changes: Vec<_> =
        outcome["resources"].as_array().unwrap().iter().map(|one| &one["change"]).collect();
    assert_eq!(changes, ["unchanged", "unchanged", "created"]);
    let (_, outcome) = plane.send("PUT", "/v1/resources", INVENTORY).await;
    assert_eq!(outcome["revision"], 2);
}

#[tokio::test]
async fn a_dry_run_tells_and_changes_nothing() {
    let plane = plane("").await;
    let (status, outcome) = plane.send("PUT", "/v1/resources?dryRun=true", INVENTORY).await;
    assert_eq!((status, &outcome["dryRun"]), (StatusCode::OK, &json!(true)));
    assert_eq!(outcome["resources"][0]["change"], "created");
    assert_eq!(plane.names("").await, [""; 0]);
    assert_eq!(plane.store.list().await.unwrap().revision, Revision(0));
}

#[tokio::test]
async fn a_wrong_document_is_refused_with_place_field_and_hint_and_nothing_is_applied() {
    let plane = plane("").await;
    let subset = "apiVersion: weft.dev/v1\nkind: Subset\nmetadata: {name: s}\nspec: {service: inventori, labels: {a: b}}\n";
    let sources =
        json!([{"name": "a.yaml", "text": INVENTORY}, {"name": "b.yaml", "text": subset}]);
    let request = Request::put("/v1/resources")
        .header("content-type", api::SOURCES)
        .body(sources.to_string().into());
    let (status, refusal) = plane.answer(request.unwrap()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let refusal: api::Refusal = serde_json::from_value(refusal).unwrap();
    let [problem] = &refusal.problems[..] else { panic!("{refusal:?}") };
    assert_eq!((problem.file.as_deref(), problem.line), (Some("b.yaml"), Some(4)));
    assert_eq!(problem.document.as_deref(), Some("Subset/s"));
    assert_eq!(problem.field.as_deref(), Some("spec.service"));
    assert!(problem.hint.is_some());
    assert_eq!(plane.names("").await, [""; 0]);
}

#[tokio::test]
async fn what_others_refer_to_cannot_be_deleted() {
    let plane = plane("").await;
    plane.send("PUT", "/v1/resources", INVENTORY).await;
    let (status, refusal) =
        plane.send("DELETE", "/v1/resources/Service/default/inventory", Body::empty()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refusal}");
    assert_eq!(plane.names("").await.len(), 2);
}

#[tokio::test]
async fn what_a_file_says_is_changed_in_the_file() {
    let plane = plane(CATALOG).await;
    assert_eq!(plane.names("").await, ["Service/catalog file"]);
    let (status, _) = plane.send("PUT", "/v1/resources", CATALOG).await;
    assert_eq!(status, StatusCode::OK, "to say the same is no change");
    let (status, refusal) =
        plane.send("PUT", "/v1/resources", CATALOG.replace("grpc", "http2")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refusal["hint"].as_str().unwrap().contains("file"), "{refusal}");
    let (status, _) =
        plane.send("DELETE", "/v1/resources/Service/default/catalog", Body::empty()).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_change_that_another_author_makes_in_the_store_comes_into_force() {
    let plane = plane("").await;
    let following = Arc::clone(&plane.documents);
    tokio::spawn(async move { following.follow_store().await });
    let mut in_force = plane.documents.watch();
    let text = json!({"apiVersion": "weft.dev/v1", "kind": "Service", "metadata": {"name": "x"},
        "spec": {"ports": [{"port": 80, "protocol": "http"}]}});
    let key = Key { kind: "Service".into(), namespace: "default".into(), name: "x".into() };
    let put = vec![Document { key, text: text.to_string() }];
    // May come before or after the follower starts to listen: what is stored then counts as seen,
    // so the API's own change is made against it all the same.
    plane.store.apply(Change { expect: Revision(0), put, delete: Vec::new() }).await.unwrap();
    let (status, outcome) = plane.send("PUT", "/v1/resources", CATALOG).await;
    assert_eq!((status, &outcome["revision"]), (StatusCode::OK, &json!(2)));
    in_force.wait_for(|now| now.revision == Revision(2)).await.unwrap();
    assert_eq!(plane.names("").await, ["Service/catalog store", "Service/x store"]);
}

#[tokio::test]
async fn bad_requests_are_told_what_is_bad() {
    let plane = plane("").await;
    for (method, path, body, status) in [
        ("GET", "/nowhere", "", StatusCode::NOT_FOUND),
        ("POST", "/v1/resources", "", StatusCode::METHOD_NOT_ALLOWED),
        ("GET", "/v1/resources?kind=pod", "", StatusCode::BAD_REQUEST),
        ("GET", "/v1/resources?colour=red", "", StatusCode::BAD_REQUEST),
        ("DELETE", "/v1/resources/pod/default/x", "", StatusCode::BAD_REQUEST),
        ("PUT", "/v1/resources", "{", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let (found, refusal) = plane.send(method, path, body).await;
        assert_eq!(found, status, "{method} {path}");
        assert_eq!(refusal["status"], status.as_u16(), "{method} {path}: {refusal}");
        let refusal: api::Refusal = serde_json::from_value(refusal).unwrap();
        assert_eq!(refusal.kind.status(), status.as_u16());
    }
    let (status, refusal) = plane.send("PUT", "/v1/resources", vec![b' '; 33 << 20]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(refusal["hint"].is_string());
    let (status, _) = plane.send("PUT", "/v1/resources", vec![0xff, 0xfe]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn readiness_and_workloads_are_shown() {
    let plane = plane("").await;
    assert_eq!(plane.send("GET", "/healthz", Body::empty()).await.0, StatusCode::OK);
    assert_eq!(
        plane.send("GET", "/readyz", Body::empty()).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    plane.ready.send_replace(Readiness::Serving { revision: 1 });
    assert_eq!(plane.send("GET", "/readyz", Body::empty()).await.0, StatusCode::OK);

    let mut session = plane.registry.open();
    session
        .update(Workload {
            id: WorkloadId {
                namespace: "default".into(),
                service: "catalog".into(),
                instance: "c1".into(),
            },
            address: ([127, 0, 0, 1], 15006).into(),
            labels: [("version".to_owned(), "v1".to_owned())].into(),
            zone: String::new(),
            version: String::new(),
            phase: Phase::Serving,
        })
        .unwrap();
    let (_, workloads) = plane.send("GET", "/v1/workloads", Body::empty()).await;
    assert_eq!(workloads[0]["service"], "catalog");
    assert_eq!(workloads[0]["phase"], "serving");
    let (_, info) = plane.send("GET", "/v1/info", Body::empty()).await;
    assert_eq!(info["xds"], "127.0.0.1:15010");
}

#[tokio::test]
async fn a_change_can_be_bound_to_the_revision_that_its_author_has_read() {
    let plane = plane("").await;
    let put = |tag: &str, body: &str| {
        let request = Request::put("/v1/resources").header("if-match", tag);
        plane.answer(request.body(body.to_owned().into()).unwrap())
    };
    let (status, _) = put("\"0\"", INVENTORY).await;
    assert_eq!(status, StatusCode::OK);
    let (status, refusal) = put("\"0\"", CATALOG).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{refusal}");
    assert_eq!(refusal["revision"], 1);
    assert_eq!(refusal["type"], "urn:weft:problem:stale-revision");
    assert_eq!(plane.names("").await.len(), 2, "nothing was applied");
    assert_eq!(put("1", CATALOG).await.0, StatusCode::BAD_REQUEST, "an ETag has quotes");
    assert_eq!(put("\"1\"", CATALOG).await.0, StatusCode::OK);
    assert_eq!(put("*", CATALOG).await.0, StatusCode::OK);

    let request = Request::get("/v1/resources").body(Body::empty()).unwrap();
    let answer = plane.api.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["etag"], "\"2\"");
}

#[tokio::test]
async fn several_documents_are_deleted_at_once_or_not_at_all() {
    let plane = plane("").await;
    plane.send("PUT", "/v1/resources", format!("{INVENTORY}---{CATALOG}")).await;
    let unknown = CATALOG.replace("name: catalog", "name: nobody");
    let (status, refusal) =
        plane.send("DELETE", "/v1/resources", format!("{INVENTORY}---{unknown}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(refusal["detail"].as_str().unwrap().contains("Service/nobody"), "{refusal}");
    assert_eq!(plane.names("").await.len(), 3);
    let (status, outcome) = plane.send("DELETE", "/v1/resources?dryRun=true", INVENTORY).await;
    assert_eq!((status, outcome["resources"].as_array().unwrap().len()), (StatusCode::OK, 2));
    assert_eq!(plane.names("").await.len(), 3);
    // The Service could not go alone, as the Subset refers to it.
    let (status, _) = plane.send("DELETE", "/v1/resources", INVENTORY).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(plane.names("").await, ["Service/catalog store"]);
    let (status, _) = plane.send("DELETE", "/v1/resources", "just text").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn resources_are_found_by_name_and_say_where_they_are_written() {
    let plane = plane(CATALOG).await;
    plane.send("PUT", "/v1/resources", INVENTORY).await;
    assert_eq!(plane.names("?name=inventory").await, ["Service/inventory store"]);
    let (_, catalog) =
        plane.send("GET", "/v1/resources/service/default/catalog", Body::empty()).await;
    assert_eq!(catalog["place"], "files.yaml:2:1");
}

#[tokio::test]
async fn a_dry_run_can_tell_what_proxies_would_be_sent() {
    let plane = plane("").await;
    let (_, outcome) = plane.send("PUT", "/v1/resources?dryRun=true&effects=true", CATALOG).await;
    assert_eq!(
        outcome["effects"],
        json!([{"nodes": ["sidecar-1"], "type": "CDS", "created": ["default/catalog"]}])
    );
}

#[tokio::test]
async fn a_folder_is_only_read_and_its_trouble_is_told() {
    let mesh = Mesh::parse(&[Source::new("a.yaml", CATALOG)]).unwrap();
    let documents = Documents::of_folder("/mesh".to_owned(), mesh, Places::default());
    let plane = plane_of(documents, Sqlite::in_memory().unwrap());
    let (status, refusal) = plane.send("PUT", "/v1/resources", INVENTORY).await;
    assert_eq!(
        (status, &refusal["type"]),
        (StatusCode::CONFLICT, &json!("urn:weft:problem:kept-in-files"))
    );
    assert!(refusal["detail"].as_str().unwrap().contains("/mesh"), "{refusal}");
    let path = "/v1/resources/Service/default/catalog";
    assert_eq!(plane.send("DELETE", path, Body::empty()).await.0, StatusCode::CONFLICT);

    plane.ready.send_replace(Readiness::Serving { revision: 1 });
    let problems = Mesh::parse(&[Source::new("a.yaml", "kind: [")]).unwrap_err();
    plane.documents.follow_folder(Err(Trouble::from(&problems)));
    let (status, health) = plane.send("GET", "/readyz", Body::empty()).await;
    assert_eq!(status, StatusCode::OK, "what was good before is served");
    let check = &health["checks"][1];
    assert_eq!(
        (&check["status"], &check["problems"][0]["file"]),
        (&json!("degraded"), &json!("a.yaml"))
    );
    assert_eq!(plane.names("").await, ["Service/catalog file"]);

    let mesh = Mesh::parse(&[Source::new("a.yaml", INVENTORY)]).unwrap();
    plane.documents.follow_folder(Ok((mesh, Places::default())));
    assert_eq!(plane.names("").await.len(), 2);
    let (_, health) = plane.send("GET", "/readyz", Body::empty()).await;
    assert_eq!(health["checks"][1]["status"], "ok");
}

#[tokio::test]
async fn proxies_are_shown_one_by_one_and_health_says_why() {
    let plane = plane("").await;
    assert_eq!(
        plane.send("GET", "/v1/proxies/sidecar-1", Body::empty()).await.1["service"],
        "default/catalog"
    );
    assert_eq!(
        plane.send("GET", "/v1/proxies/other", Body::empty()).await.0,
        StatusCode::NOT_FOUND
    );
    let (_, health) = plane.send("GET", "/readyz", Body::empty()).await;
    assert_eq!(health["ready"], false);
    assert!(health["checks"][0]["detail"].as_str().unwrap().contains("computed"), "{health}");
}

#[tokio::test]
async fn web_pages_are_kept_out() {
    let plane = plane("").await;
    let request = |name: &str, value: &str| {
        let request = Request::put("/v1/resources").header(name, value);
        plane.answer(request.body(CATALOG.into()).unwrap())
    };
    for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let (status, refusal) = request(name, value).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{refusal}");
    }
    assert_eq!(request("host", "localhost:15080").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_description_is_served_and_every_path_of_it_is_there() {
    let plane = plane(CATALOG).await;
    let (_, served) = plane.send("GET", "/v1/openapi.json", Body::empty()).await;
    assert_eq!(served, openapi());
    for (path, methods) in served["paths"].as_object().unwrap() {
        let path = path
            .replace("{kind}", "service")
            .replace("{namespace}", "default")
            .replace("{name}", "catalog")
            .replace("{node}", "sidecar-1");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let (status, answer) = plane.send(method, &path, Body::empty()).await;
            let described = methods.get(method.to_lowercase()).is_some();
            let taken = status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(taken, described, "{method} {path}: {status} {answer}");
        }
    }
    let (_, schema) = plane.send("GET", "/v1/schema.json", Body::empty()).await;
    assert!(schema["oneOf"].is_array());
}

#[tokio::test]
async fn routes_say_what_became_of_them() {
    let plane = plane("").await;
    let route = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: inventory}
spec:
  parentRefs: [{kind: Service, group: '', name: inventory}]
  rules: [{backendRefs: [{name: inventory, port: 80}]}]
";
    let (status, refusal) =
        plane.send("PUT", "/v1/resources", format!("{INVENTORY}---{route}")).await;
    assert_eq!(status, StatusCode::OK, "{refusal}");
    let path = "/v1/resources/httproute/default/inventory";
    let (_, found) = plane.send("GET", path, Body::empty()).await;
    let condition = &found["status"]["parents"][0]["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Accepted"), &json!("True")));
    let (_, service) =
        plane.send("GET", "/v1/resources/service/default/inventory", Body::empty()).await;
    assert!(service.get("status").is_none());
}
