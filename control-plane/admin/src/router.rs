//! Both forms of the API on one port.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;
use tonic::server::NamedService;
use weft_proto::admin::DESCRIPTORS;

use crate::api::{Refusal, RefusalKind};
use crate::operation::OPERATIONS;
use crate::rest::BODY_LIMIT;
use crate::{Admin, Guard, grpc, guard};

/// How long a request may take, its body included.
const PATIENCE: Duration = Duration::from_secs(30);

/// REST, gRPC and its reflection as one router. Streams end when `stop` says so.
pub fn router(admin: Arc<Admin>, guard: Guard, stop: watch::Receiver<bool>) -> Router {
    let mut router = Router::new();
    for operation in OPERATIONS {
        router = router.route(operation.path, (operation.handler)(operation.method.filter()));
    }
    let router = router
        .fallback(async || {
            let text = "there is nothing at this path\n  hint: /v1/openapi.json says what there is";
            Refusal::new(RefusalKind::NotFound, text)
        })
        .method_not_allowed_fallback(async || {
            let text =
                "this path does not take that method\n  hint: /v1/openapi.json says which it takes";
            Refusal::new(RefusalKind::MethodNotAllowed, text)
        })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn(bounded))
        .with_state(Arc::clone(&admin));
    with_reflection(with_service(router, grpc::server(admin, stop)))
        .layer(middleware::from_fn_with_state(guard, guard::check))
}

fn with_reflection(router: Router) -> Router {
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
    };
    // They can only fail on descriptors that our own build has made wrong, which a test would see.
    match (described().build_v1(), described().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => with_service(with_service(router, v1), v1alpha),
        _ => router,
    }
}

fn with_service<S>(router: Router, service: S) -> Router
where
    S: NamedService
        + tower::Service<
            Request,
            Response = Response<tonic::body::Body>,
            Error = std::convert::Infallible,
        > + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    router.route_service(&format!("/{}/{{*method}}", S::NAME), service)
}

/// Ends what takes too long, such as a body that does not come.
async fn bounded(request: Request, next: Next) -> Response {
    tokio::time::timeout(PATIENCE, next.run(request)).await.unwrap_or_else(|_| {
        let text = format!("no more than {} s are waited for a request", PATIENCE.as_secs());
        Refusal::new(RefusalKind::Timeout, &text).into_response()
    })
}
