//! The admin API of a control plane, from the command line's side.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use clap::Args;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use serde::de::DeserializeOwned;
use weft_control_admin::api::Refusal;

use crate::exit::{Failure, refusal_text};
use crate::wire::{self, Client};

const ANSWER_LIMIT: usize = 256 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// Which control plane is meant.
#[derive(Args, Clone, Debug)]
pub(crate) struct Server {
    /// The admin address of the control plane.
    #[arg(
        long = "server",
        value_name = "URL",
        env = "WEFT_SERVER",
        default_value = "http://127.0.0.1:15080"
    )]
    url: String,
}

impl Server {
    /// The control plane whose admin address is `address`.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { url: format!("http://{address}") }
    }
}

/// A request to the admin API.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: &'a str,
    pub(crate) media_type: &'static str,
    pub(crate) body: Bytes,
    /// Only if this is still the revision.
    pub(crate) expected: Option<u64>,
    /// Another status of an answer of the same shape.
    pub(crate) or: Option<u16>,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            media_type: "application/json",
            body: Bytes::new(),
            expected: None,
            or: None,
        }
    }

    pub(crate) fn delete(path: &'a str) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }
}

/// Asks `server` and reads its answer.
pub(crate) async fn ask<T: DeserializeOwned>(server: &Server, ask: Ask<'_>) -> Result<T, Failure> {
    let url = format!("{}{}", server.url.trim_end_matches('/'), ask.path);
    let or = ask.or;
    let exchange = exchange(&url, ask);
    let (status, body) = tokio::time::timeout(PATIENCE, exchange)
        .await
        .unwrap_or_else(|_| Err(anyhow!("no answer within {} s", PATIENCE.as_secs())))
        .with_context(|| format!("{url}\n  hint: is the control plane running there? --server or WEFT_SERVER say where it is"))
        .map_err(Failure::Unreachable)?;
    if status.is_success() || or == Some(status.as_u16()) {
        return serde_json::from_slice(&body)
            .with_context(|| format!("{url}: the answer is not one of Weft's admin API"))
            .map_err(Failure::Unreachable);
    }
    Err(refused(&url, status, &body))
}

async fn exchange(url: &str, ask: Ask<'_>) -> anyhow::Result<(StatusCode, Bytes)> {
    let client: Client<HttpConnector> = wire::client(HttpConnector::new());
    let mut request = http::Request::builder()
        .method(ask.method)
        .uri(url)
        .header(http::header::CONTENT_TYPE, ask.media_type);
    if let Some(revision) = ask.expected {
        request = request.header(http::header::IF_MATCH, format!("\"{revision}\""));
    }
    let request = request.body(Full::new(ask.body))?;
    let answer = client.request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_LIMIT)
        .collect()
        .await
        .map_err(anyhow::Error::from_boxed)?;
    Ok((status, body.to_bytes()))
}

fn refused(url: &str, status: StatusCode, body: &[u8]) -> Failure {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
        return Failure::Unreachable(anyhow!("{url}: answered {status}"));
    };
    let text = refusal_text(&refusal);
    match status {
        StatusCode::NOT_FOUND => Failure::NotFound(text),
        status if status.is_server_error() => Failure::Unreachable(anyhow!(text)),
        _ => Failure::No(text),
    }
}
