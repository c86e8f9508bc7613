//! The catalog: a gRPC service.

use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::proto::catalog_server::{Catalog, CatalogServer};
use super::proto::{ListRequest, ListResponse, Product};

/// Name and price in cents.
const PRODUCTS: [(&str, u32); 3] = [("shuttle", 1250), ("heddle", 480), ("bobbin", 120)];

struct Shelf {
    instance: String,
}

#[tonic::async_trait]
impl Catalog for Shelf {
    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let products =
            PRODUCTS.map(|(name, price_cents)| Product { name: name.to_owned(), price_cents });
        Ok(Response::new(ListResponse {
            instance: self.instance.clone(),
            products: products.into(),
        }))
    }
}

/// Serves until the process is asked to stop.
pub(super) async fn serve(listener: TcpListener, instance: String) -> anyhow::Result<()> {
    tonic::transport::Server::builder()
        .add_service(CatalogServer::new(Shelf { instance }))
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            super::asked_to_stop(),
        )
        .await?;
    Ok(())
}
