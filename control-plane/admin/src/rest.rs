//! The REST form of the API.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest as _, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use weft_config::{DocumentId, Key, Kind, Source};

use crate::Admin;
use crate::admin::{ChangeOptions, Filter};
use crate::api::{self, Health, Info, Outcome, Proxy, Refusal, RefusalKind, Workload};

/// A mesh of 5,000 services is about 2 MB of documents.
pub(crate) const BODY_LIMIT: usize = 32 * 1024 * 1024;

type Shared = State<Arc<Admin>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ChangeQuery {
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    effects: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

type Queried<T> = Result<Query<T>, QueryRejection>;
type Pathed<T> = Result<Path<T>, PathRejection>;
type Name = (String, String, String);

pub(crate) async fn apply(
    State(admin): Shared,
    query: Queried<ChangeQuery>,
    request: Request,
) -> Result<Response, Refusal> {
    let options = options(query, request.headers())?;
    let outcome = admin.apply(sources(request).await?, options).await?;
    Ok(changed(outcome))
}

pub(crate) async fn delete_named(
    State(admin): Shared,
    query: Queried<ChangeQuery>,
    request: Request,
) -> Result<Response, Refusal> {
    let options = options(query, request.headers())?;
    let outcome = admin.delete_named(sources(request).await?, options).await?;
    Ok(changed(outcome))
}

pub(crate) async fn delete(
    State(admin): Shared,
    path: Pathed<Name>,
    query: Queried<ChangeQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let options = options(query, &headers)?;
    Ok(changed(admin.delete(vec![id(path)?], options).await?))
}

pub(crate) async fn one(State(admin): Shared, path: Pathed<Name>) -> Result<Response, Refusal> {
    let (revision, resource) = admin.get(id(path)?)?;
    Ok(tagged(revision, &resource))
}

pub(crate) async fn list(
    State(admin): Shared,
    query: Queried<ListQuery>,
) -> Result<Response, Refusal> {
    let Query(ListQuery { kind, namespace, name }) = query.map_err(bad_query)?;
    let kind = kind.map(|kind| parse_kind(&kind)).transpose()?;
    let found = admin.list(&Filter { kind, namespace, name });
    Ok(tagged(found.revision, &found))
}

pub(crate) async fn workloads(State(admin): Shared) -> Json<Vec<Workload>> {
    Json(admin.workloads())
}

pub(crate) async fn proxies(State(admin): Shared) -> Json<Vec<Proxy>> {
    Json((admin.proxies)())
}

pub(crate) async fn proxy(
    State(admin): Shared,
    path: Pathed<String>,
) -> Result<Json<Proxy>, Refusal> {
    let Path(node) = path.map_err(bad_path)?;
    admin.proxy(&node).map(Json)
}

pub(crate) async fn info(State(admin): Shared) -> Json<Info> {
    Json(admin.info())
}

pub(crate) async fn ready(State(admin): Shared) -> (StatusCode, Json<Health>) {
    let health = admin.health();
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

pub(crate) async fn openapi() -> Json<serde_json::Value> {
    Json(crate::openapi())
}

pub(crate) async fn schema() -> Json<serde_json::Value> {
    Json(weft_config::json_schema())
}

/// Named sources by their own media type; everything else is documents.
async fn sources(request: Request) -> Result<Vec<Source>, Refusal> {
    let media_type = request.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let several = media_type.split(';').next().unwrap_or_default().trim() == api::SOURCES;
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_LIMIT) {
        return Err(too_large());
    }
    let body = Bytes::from_request(request, &()).await.map_err(bad_body)?;
    let refuse = |text: String| Refusal::new(RefusalKind::BadRequest, &text);
    if several {
        let sources: Vec<api::Source> = serde_json::from_slice(&body)
            .map_err(|error| refuse(format!("the sources cannot be read: {error}")))?;
        let sources = sources.into_iter().map(|source| Source::new(source.name, source.text));
        return Ok(sources.collect());
    }
    let text = std::str::from_utf8(&body)
        .map_err(|error| refuse(format!("the body is not UTF-8: {error}")))?;
    Ok(vec![Source::new("request body", text)])
}

fn options(query: Queried<ChangeQuery>, headers: &HeaderMap) -> Result<ChangeOptions, Refusal> {
    let Query(ChangeQuery { dry_run, effects }) = query.map_err(bad_query)?;
    Ok(ChangeOptions { dry_run, effects, expect: expected(headers)? })
}

/// The revision of an `If-Match`; `*` is any.
fn expected(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let revision = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let revision = revision.and_then(|revision| revision.parse().ok());
    revision.map(Some).ok_or_else(|| {
        let text = format!(
            "if-match {text:?} is no ETag of this API\n  hint: send back one that came with an earlier answer, with its quotes"
        );
        Refusal::new(RefusalKind::BadRequest, &text)
    })
}

/// An answer with the revision that it holds for.
fn tagged(revision: u64, answer: &impl Serialize) -> Response {
    let mut response = Json(answer).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

#[expect(clippy::needless_pass_by_value, reason = "it is the end of it")]
fn changed(outcome: Outcome) -> Response {
    tagged(outcome.revision, &outcome)
}

fn id(path: Pathed<Name>) -> Result<DocumentId, Refusal> {
    let Path((kind, namespace, name)) = path.map_err(bad_path)?;
    Ok(DocumentId::new(parse_kind(&kind)?, Key::new(namespace, name)))
}

fn parse_kind(kind: &str) -> Result<Kind, Refusal> {
    kind.parse().map_err(|error: weft_config::UnknownKind| {
        Refusal::new(RefusalKind::BadRequest, &error.to_string())
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn bad_query(rejection: QueryRejection) -> Refusal {
    Refusal::new(RefusalKind::BadRequest, &rejection.body_text())
}

#[expect(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn bad_path(rejection: PathRejection) -> Refusal {
    Refusal::new(RefusalKind::BadRequest, &rejection.body_text())
}

#[expect(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn bad_body(rejection: BytesRejection) -> Refusal {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Refusal::new(RefusalKind::BadRequest, &rejection.body_text())
}

fn too_large() -> Refusal {
    let limit = BODY_LIMIT >> 20;
    let text =
        format!("the documents are larger than {limit} MiB\n  hint: apply them in several steps");
    Refusal::new(RefusalKind::TooLarge, &text)
}
