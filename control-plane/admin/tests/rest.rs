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
use weft_config::{Mesh, Source};
use weft_control_admin::{Admin, Documents, api, router};
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
    ready: watch::Sender<bool>,
}

/// A control plane's admin side, with `files` as its mesh files.
async fn plane(files: &str) -> Plane {
    let files = Mesh::parse(&[Source::new("files.yaml", files)]).unwrap();
    let store = Sqlite::in_memory().unwrap();
    let documents = Arc::new(Documents::open(files, Arc::new(store.clone())).await.unwrap());
    let registry = Registry::new(Limits::default());
    let (ready, readiness) = watch::channel(false);
    let api = router(Admin {
        documents: Arc::clone(&documents),
        registered: registry.watch(),
        proxies: Box::new(Vec::new),
        ready: readiness,
        xds: "127.0.0.1:15010".into(),
        admin: "127.0.0.1:15080".into(),
    });
    Plane { api, documents, store, registry, ready }
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
    assert!(problem.location.as_ref().unwrap().starts_with("b.yaml:4:"), "{problem:?}");
    assert_eq!(problem.resource.as_deref(), Some("Subset/s"));
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
        assert!(refusal["error"].is_string(), "{method} {path}: {refusal}");
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
    plane.ready.send_replace(true);
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
