//! The storefront: an HTTP service whose page comes from the catalog (gRPC) and the inventory
//! (HTTP), both called through the sidecar.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};

use super::proto::ListRequest;
use super::proto::catalog_client::CatalogClient;
use crate::wire::{self, ToAddress};

/// An answer of the inventory is small; this bounds what a stranger in its place could send.
const ANSWER_LIMIT: usize = 64 * 1024;

struct Storefront {
    instance: String,
    catalog: CatalogClient<Channel>,
    inventory: wire::Client<ToAddress>,
}

/// Serves until the process is asked to stop.
pub(super) async fn serve(
    listener: TcpListener,
    outbound: SocketAddr,
    instance: String,
) -> anyhow::Result<()> {
    // The connection goes to the sidecar; the authority tells it which service is meant.
    let channel = Endpoint::from_shared(format!("http://{outbound}"))?
        .origin(http::Uri::from_static("http://catalog"))
        .connect_lazy();
    let storefront = Storefront {
        instance,
        catalog: CatalogClient::new(channel),
        inventory: wire::client(ToAddress(outbound)),
    };
    let routes = Router::new().route("/", get(page)).with_state(Arc::new(storefront));
    axum::serve(listener, routes).with_graceful_shutdown(super::asked_to_stop()).await?;
    Ok(())
}

async fn page(State(storefront): State<Arc<Storefront>>) -> Response {
    match storefront.compose().await {
        Ok(page) => Json(page).into_response(),
        Err(error) => {
            (StatusCode::BAD_GATEWAY, Json(json!({"error": format!("{error:#}")}))).into_response()
        }
    }
}

impl Storefront {
    async fn compose(&self) -> anyhow::Result<Value> {
        let mut catalog = self.catalog.clone();
        let (catalog, inventory) = tokio::join!(catalog.list(ListRequest {}), self.stock());
        let catalog = catalog.context("catalog")?.into_inner();
        let inventory = inventory.context("inventory")?;
        let products: Vec<_> = catalog
            .products
            .iter()
            .map(|product| {
                let stock = inventory.pointer(&format!("/stock/{}", product.name));
                json!({"name": product.name, "priceCents": product.price_cents, "stock": stock})
            })
            .collect();
        Ok(json!({
            "storefront": {"instance": self.instance},
            "catalog": {"instance": catalog.instance},
            "inventory": {"instance": inventory.get("instance"), "version": inventory.get("version")},
            "products": products,
        }))
    }

    async fn stock(&self) -> anyhow::Result<Value> {
        let request = http::Request::get("http://inventory/stock").body(wire::empty())?;
        let answer = self.inventory.request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT);
        let body: Bytes = body.collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
        ensure!(status.is_success(), "answered {status}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }
}
