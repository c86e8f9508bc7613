//! The inventory: an HTTP service in two versions. The second also tells the warehouse.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

struct Identity {
    instance: String,
    version: String,
}

/// Serves until the process is asked to stop.
pub(super) async fn serve(
    listener: TcpListener,
    instance: String,
    version: String,
) -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/stock", get(stock))
        .with_state(Arc::new(Identity { instance, version }));
    axum::serve(listener, routes).with_graceful_shutdown(super::asked_to_stop()).await?;
    Ok(())
}

async fn stock(State(identity): State<Arc<Identity>>) -> Json<Value> {
    let mut answer = json!({
        "instance": identity.instance,
        "version": identity.version,
        "stock": {"shuttle": 12, "heddle": 40, "bobbin": 0},
    });
    if let (Some(fields), true) = (answer.as_object_mut(), identity.version != "v1") {
        fields.insert("warehouse".to_owned(), json!("north"));
    }
    Json(answer)
}
