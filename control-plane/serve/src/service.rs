//! The gRPC services of discovery, over the hand-written messages.

use std::{
    convert::Infallible,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService, StreamingService},
    service::Routes,
};
use tonic_prost::ProstCodec;
use tower_service::Service;
use weft_xds::{Mode, server::Scope};

use crate::{
    conversation::{RESPONSES, Setting, converse},
    ledger::Ledger,
    method::{Delta, Dialect, SERVICES, Sotw},
    serve::Limits,
    source::Source,
};

/// A request that subscribes to a hundred thousand long names is 10 MB.
const REQUEST_LIMIT: usize = 64 * 1024 * 1024;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The discovery services: ADS, and one for each type that proxies are configured with.
#[derive(Clone)]
pub struct Discovery {
    setting: Setting,
    permits: Arc<Semaphore>,
}

impl Discovery {
    /// Services that offer what `source` says and write into `ledger`. Streams end when `stop`
    /// becomes true or its sender is dropped.
    pub fn new(
        source: Arc<dyn Source>,
        ledger: Ledger,
        limits: Limits,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(limits.streams));
        Self { setting: Setting { source, ledger, limits, stop }, permits }
    }

    /// All services, ready to be served, alone or with others.
    #[must_use]
    pub fn routes(&self) -> Routes {
        Routes::new(self.at::<0>())
            .add_service(self.at::<1>())
            .add_service(self.at::<2>())
            .add_service(self.at::<3>())
            .add_service(self.at::<4>())
    }

    fn at<const N: usize>(&self) -> At<N> {
        At(self.clone())
    }
}

/// The service at this place of [`SERVICES`].
#[derive(Clone)]
struct At<const N: usize>(Discovery);

impl<const N: usize> NamedService for At<N> {
    const NAME: &'static str = SERVICES[N].name;
}

impl<const N: usize> Service<http::Request<Body>> for At<N> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = &SERVICES[N];
        let (discovery, scope) = (self.0.clone(), service.scope);
        match service.mode(request.uri().path()) {
            Some(Mode::StateOfTheWorld) => {
                Box::pin(async move { Ok(discovery.answer::<Sotw>(scope, request).await) })
            }
            Some(Mode::Delta) => {
                Box::pin(async move { Ok(discovery.answer::<Delta>(scope, request).await) })
            }
            None => Box::pin(async {
                Ok(Status::unimplemented("discovery is by stream only").into_http())
            }),
        }
    }
}

impl Discovery {
    async fn answer<D: Dialect>(
        self,
        scope: Scope,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        let codec = ProstCodec::<D::Response, D::Request>::default();
        let mut grpc = Grpc::new(codec).max_decoding_message_size(REQUEST_LIMIT);
        grpc.streaming(Opening::<D> { discovery: self, scope, dialect: PhantomData }, request).await
    }
}

/// A stream that is being opened.
struct Opening<D> {
    discovery: Discovery,
    scope: Scope,
    dialect: PhantomData<fn() -> D>,
}

impl<D: Dialect> StreamingService<D::Request> for Opening<D> {
    type Response = D::Response;
    type ResponseStream = ReceiverStream<Result<D::Response, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<D::Request>>) -> Self::Future {
        let Ok(permit) = Arc::clone(&self.discovery.permits).try_acquire_owned() else {
            let text = "as many streams are open as this control plane serves; try again later";
            return std::future::ready(Err(Status::unavailable(text)));
        };
        let (responses, stream) = mpsc::channel(RESPONSES);
        let setting = self.discovery.setting.clone();
        tokio::spawn(converse::<D>(setting, self.scope, request.into_inner(), responses, permit));
        std::future::ready(Ok(Response::new(ReceiverStream::new(stream))))
    }
}
