//! One bounded GET to a loopback address.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};

use crate::wire::{self, ToAddress};

/// Statistics of a large mesh fit; a stranger's endless answer does not.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// The body of a successful answer.
pub(crate) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Bytes> {
    let exchange = async {
        let request = http::Request::get(format!("http://{address}{path}")).body(wire::empty())?;
        let answer = wire::client(ToAddress(address)).request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT)
            .collect()
            .await
            .map_err(anyhow::Error::from_boxed)?;
        ensure!(status.is_success(), "answered {status}");
        anyhow::Ok(body.to_bytes())
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .map_err(|_| anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs()))
        .flatten()
        .with_context(|| format!("http://{address}{path}"))
}
