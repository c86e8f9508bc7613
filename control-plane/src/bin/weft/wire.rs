//! Small HTTP clients.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower_service::Service;

/// A pooling HTTP/1.1 client.
pub(crate) type Client<C> = hyper_util::client::legacy::Client<C, Full<Bytes>>;

/// A client whose connections are made by `connector`.
pub(crate) fn client<C>(connector: C) -> Client<C>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector)
}

/// The body of a request that has none.
pub(crate) fn empty() -> Full<Bytes> {
    Full::default()
}

/// Connects to one address, whatever the URI says: the URI's authority only names the service, as
/// it does for everything that is sent to a sidecar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToAddress(pub(crate) SocketAddr);

impl Service<Uri> for ToAddress {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self(address) = *self;
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        })
    }
}
