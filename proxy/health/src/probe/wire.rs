//! HTTP connections of checks.

use bytes::Bytes;
use http::{Request, Response, header::HOST};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;

use super::Place;

/// A connection that is driven by a task of its own, which ends with it.
#[derive(Debug)]
pub(super) struct Wire {
    sender: Sender,
    driver: JoinHandle<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Wire {
    pub(super) async fn open(place: &Place, http2: bool) -> Option<Self> {
        let io = TokioIo::new(place.connect().await?);
        Some(if http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.ok()?;
            let driver = tokio::spawn(async { drop(connection.await) });
            Self { sender: Sender::Http2(sender), driver }
        } else {
            let (sender, connection) = http1::handshake(io).await.ok()?;
            let driver = tokio::spawn(async { drop(connection.await) });
            Self { sender: Sender::Http1(sender), driver }
        })
    }

    /// Whether the other side has not closed it yet.
    pub(super) fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_ready() && !sender.is_closed(),
            Sender::Http2(sender) => sender.is_ready() && !sender.is_closed(),
        }
    }

    /// Sends a request whose URI is absolute; in HTTP/1.1 its authority becomes the host.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http2(sender) => sender.send_request(request).await,
            Sender::Http1(sender) => {
                let uri = request.uri();
                let host = uri.authority().and_then(|name| name.as_str().parse().ok());
                if let (Some(host), Some(path)) = (host, uri.path_and_query().cloned()) {
                    request.headers_mut().entry(HOST).or_insert(host);
                    *request.uri_mut() = path.into();
                }
                sender.send_request(request).await
            }
        }
    }
}
