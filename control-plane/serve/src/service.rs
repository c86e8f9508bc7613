//! The gRPC services of discovery, over the hand-written messages.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, header::CONTENT_TYPE};
use tokio::sync::{Semaphore, watch};
use tonic::{Status, body::Body, server::NamedService, service::Routes};
use tower_service::Service;
use weft_xds::{Mode, server::Scope};

use crate::{
    conversation::{Opening, Setting, converse},
    csds::ConfigStatus,
    leash::Leash,
    ledger::Ledger,
    method::{Delta, Dialect, SERVICES, Sotw},
    replies::Replies,
    requests::Requests,
    serve::Limits,
    source::Source,
};

/// The discovery services: ADS, one for each type, and CSDS, which tells what the others did.
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
        let joining = Arc::new(Semaphore::new(limits.joining));
        Self { setting: Setting { source, ledger, limits, joining, stop }, permits }
    }

    /// All services, ready to be served, alone or with others.
    #[must_use]
    pub fn routes(&self) -> Routes {
        Routes::new(self.at::<0>())
            .add_service(self.at::<1>())
            .add_service(self.at::<2>())
            .add_service(self.at::<3>())
            .add_service(self.at::<4>())
            .add_service(self.at::<5>())
            .add_service(self.at::<6>())
            .add_service(self.at::<7>())
            .add_service(self.at::<8>())
            .add_service(self.at::<9>())
            .add_service(ConfigStatus::service(self.setting.ledger.clone()))
    }

    fn at<const N: usize>(&self) -> At<N> {
        At(self.clone())
    }

    fn answer<D: Dialect>(
        &self,
        scope: Scope,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            let text = "as many streams are open as this control plane serves; try again later";
            return Status::unavailable(text).into_http();
        };
        // Without one the connection is not ours to cut.
        let leash = request.extensions().get::<Leash>().cloned().unwrap_or_default();
        let requests = Requests::<D::Request>::new(request.into_body());
        let setting = self.setting.clone();
        let opening = Opening::<D> { setting, scope, requests, leash, permit };
        let mut response = http::Response::new(Body::new(Replies::new(converse(opening))));
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(CONTENT_TYPE, grpc);
        response
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
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = &SERVICES[N];
        let (discovery, scope) = (&self.0, service.scope);
        ready(Ok(match service.mode(request.uri().path()) {
            Some(Mode::StateOfTheWorld) => discovery.answer::<Sotw>(scope, request),
            Some(Mode::Delta) => discovery.answer::<Delta>(scope, request),
            None => Status::unimplemented("discovery is by stream only").into_http(),
        }))
    }
}
