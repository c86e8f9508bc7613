//! The REST API.

use std::sync::Arc;

use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::watch;
use weft_config::{DocumentId, Key, Kind, Mesh, Source};
use weft_discovery::Registered;

use crate::Documents;
use crate::api::{self, Changed, Info, Outcome, Proxy, Resource, Resources, Workload};
use crate::documents;
use crate::refuse::Refused;

/// A mesh of 5,000 services is about 2 MB of documents.
const BODY_LIMIT: usize = 32 * 1024 * 1024;

/// What the API shows and changes.
pub struct Admin {
    /// The mesh.
    pub documents: Arc<Documents>,
    /// The workloads.
    pub registered: watch::Receiver<Arc<Registered>>,
    /// The proxies: asked for at each request.
    pub proxies: Box<dyn Fn() -> Vec<Proxy> + Send + Sync>,
    /// Whether proxies are being served.
    pub ready: watch::Receiver<bool>,
    /// Where proxies connect, `ip:port`.
    pub xds: String,
    /// Where the API is, `ip:port`.
    pub admin: String,
}

type Shared = State<Arc<Admin>>;

/// The API as an axum router.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/v1/resources", put(apply).get(list))
        .route("/v1/resources/{kind}/{namespace}/{name}", get(one).delete(delete))
        .route("/v1/workloads", get(workloads))
        .route("/v1/proxies", get(proxies))
        .route("/v1/info", get(info))
        .route("/healthz", get(async || "live\n"))
        .route("/readyz", get(ready))
        .fallback(async || {
            let text = "there is nothing at this path\n  hint: the API is /v1/resources, /v1/workloads, /v1/proxies, /v1/info";
            Refused::new(StatusCode::NOT_FOUND, text)
        })
        .method_not_allowed_fallback(async || Refused::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method"))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::new(admin))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ApplyQuery {
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    kind: Option<String>,
    namespace: Option<String>,
}

async fn apply(
    State(admin): Shared,
    query: Result<Query<ApplyQuery>, QueryRejection>,
    request: Request,
) -> Result<Json<Outcome>, Refused> {
    let Query(ApplyQuery { dry_run }) = query.map_err(bad_query)?;
    let headers = request.headers().clone();
    let body = axum::body::Bytes::from_request(request, &()).await.map_err(bad_body)?;
    let sources = sources(&headers, &body)?;
    let changed = admin.documents.apply(sources, dry_run).await?;
    Ok(Json(outcome(changed, dry_run)))
}

/// Named sources by their own media type; everything else is documents.
fn sources(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Source>, Refused> {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media_type.split(';').next().unwrap_or_default().trim() == api::SOURCES {
        let sources: Vec<api::Source> = serde_json::from_slice(body).map_err(|error| {
            Refused::new(StatusCode::BAD_REQUEST, &format!("the sources cannot be read: {error}"))
        })?;
        return Ok(sources
            .into_iter()
            .map(|source| Source::new(source.name, source.text))
            .collect());
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        Refused::new(StatusCode::BAD_REQUEST, &format!("the body is not UTF-8: {error}"))
    })?;
    Ok(vec![Source::new("request body", text)])
}

async fn delete(
    State(admin): Shared,
    Path(path): Path<(String, String, String)>,
    query: Result<Query<ApplyQuery>, QueryRejection>,
) -> Result<Json<Outcome>, Refused> {
    let Query(ApplyQuery { dry_run }) = query.map_err(bad_query)?;
    let changed = admin.documents.delete(id(path)?, dry_run).await?;
    Ok(Json(outcome(changed, dry_run)))
}

async fn one(
    State(admin): Shared,
    Path(path): Path<(String, String, String)>,
) -> Result<Json<Resource>, Refused> {
    let id = id(path)?;
    let in_force = admin.documents.watch().borrow().clone();
    let found = resource(&admin.documents, &in_force.mesh, &id);
    found.map(Json).ok_or_else(|| crate::DocumentsError::NotFound(id).into())
}

async fn list(
    State(admin): Shared,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Resources>, Refused> {
    let Query(ListQuery { kind, namespace }) = query.map_err(bad_query)?;
    let kind = kind.map(|kind| parse_kind(&kind)).transpose()?;
    let in_force = admin.documents.watch().borrow().clone();
    let resources = in_force
        .mesh
        .ids()
        .filter(|id| kind.is_none_or(|kind| id.kind == kind))
        .filter(|id| namespace.as_ref().is_none_or(|namespace| id.key.namespace == *namespace))
        .filter_map(|id| resource(&admin.documents, &in_force.mesh, &id))
        .collect();
    Ok(Json(Resources { revision: in_force.revision.0, resources }))
}

async fn workloads(State(admin): Shared) -> Json<Vec<Workload>> {
    let registered = admin.registered.borrow().clone();
    Json(registered.workloads.iter().map(|workload| Workload::from(&**workload)).collect())
}

async fn proxies(State(admin): Shared) -> Json<Vec<Proxy>> {
    Json((admin.proxies)())
}

async fn info(State(admin): Shared) -> Json<Info> {
    Json(Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        xds: admin.xds.clone(),
        admin: admin.admin.clone(),
        revision: admin.documents.watch().borrow().revision.0,
    })
}

async fn ready(State(admin): Shared) -> Result<&'static str, Refused> {
    if *admin.ready.borrow() {
        Ok("ready\n")
    } else {
        Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "no configuration has been computed yet"))
    }
}

fn outcome(changed: documents::Changed, dry_run: bool) -> Outcome {
    let resources = changed.documents.into_iter().map(|(id, change)| Changed {
        kind: id.kind.to_string(),
        namespace: id.key.namespace,
        name: id.key.name,
        change,
    });
    Outcome { revision: changed.revision.0, dry_run, resources: resources.collect() }
}

fn resource(documents: &Documents, mesh: &Mesh, id: &DocumentId) -> Option<Resource> {
    let document = mesh.document(id)?;
    Some(Resource {
        kind: document.kind,
        namespace: document.namespace,
        name: document.name,
        kept: documents.kept(id),
        document: document.json,
    })
}

fn id((kind, namespace, name): (String, String, String)) -> Result<DocumentId, Refused> {
    Ok(DocumentId::new(parse_kind(&kind)?, Key::new(namespace, name)))
}

fn parse_kind(kind: &str) -> Result<Kind, Refused> {
    kind.parse().map_err(|error: weft_config::UnknownKind| {
        Refused::new(StatusCode::BAD_REQUEST, &error.to_string())
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn bad_query(rejection: QueryRejection) -> Refused {
    Refused::new(rejection.status(), &rejection.body_text())
}

#[expect(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn bad_body(rejection: BytesRejection) -> Refused {
    let text = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            format!(
                "the documents are larger than {} MiB\n  hint: apply them in several steps",
                BODY_LIMIT >> 20
            )
        }
        _ => rejection.body_text(),
    };
    Refused::new(rejection.status(), &text)
}
