//! One gRPC stream to a management server.

use std::time::Instant;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, client::Grpc, metadata::MetadataMap, transport::Channel};
use tonic_prost::ProstCodec;
use weft_compile::RateLimit;
use weft_proto::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use weft_xds::{Mode, Request, ResourceType, Response};

use super::{SourceId, throttle::Throttle};
use crate::server::Service;

/// The largest response taken: 10,000 clusters with room to spare.
const MAX_RESPONSE: usize = 256 * 1024 * 1024;

/// What a server does on a stream.
#[derive(Debug)]
pub(crate) enum Said {
    /// It took the stream.
    Opened,
    /// It said something.
    Response(Response),
}

/// An open stream, or one that is about to open: what is sent is on its way before the server has
/// said anything, because some servers send their headers with the first response only.
pub(crate) struct Link {
    requests: mpsc::UnboundedSender<Request>,
    answers: stream::BoxStream<'static, Result<Said, Status>>,
}

impl Link {
    /// Connects to a server and begins a stream.
    ///
    /// # Errors
    /// When there is no connection.
    pub(crate) async fn open(
        service: &Service,
        method: Method,
        limit: Option<RateLimit>,
    ) -> Result<Self, Status> {
        let unavailable = |error: tonic::transport::Error| Status::unavailable(text(&error));
        let channel = service.connect().await.map_err(unavailable)?;
        let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_RESPONSE);
        grpc.ready().await.map_err(unavailable)?;
        let (requests, outbox) = mpsc::unbounded_channel();
        let outbox = throttled(outbox, limit);
        let metadata = service.metadata();
        let answers = match method.mode {
            Mode::StateOfTheWorld => {
                let outbox = outbox.filter_map(async |request| match request {
                    Request::Sotw(request) => Some(request),
                    Request::Delta(_) => None,
                });
                let codec = ProstCodec::<DiscoveryRequest, DiscoveryResponse>::default();
                answers(grpc, method.path(), codec, outbox, metadata, Response::Sotw)
            }
            Mode::Delta => {
                let outbox = outbox.filter_map(async |request| match request {
                    Request::Delta(request) => Some(request),
                    Request::Sotw(_) => None,
                });
                let codec = ProstCodec::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>::default();
                answers(grpc, method.path(), codec, outbox, metadata, Response::Delta)
            }
        };
        Ok(Self { requests, answers })
    }

    /// Sends a request. That a stream has ended is noticed by [`Link::next`].
    pub(crate) fn send(&self, request: Request) {
        let _ = self.requests.send(request);
    }

    /// What the server does next.
    ///
    /// # Errors
    /// When the stream has ended.
    pub(crate) async fn next(&mut self) -> Result<Said, Status> {
        let ended = || Err(Status::unavailable("the server ended the stream"));
        self.answers.next().await.unwrap_or_else(ended)
    }
}

fn throttled(
    outbox: mpsc::UnboundedReceiver<Request>,
    limit: Option<RateLimit>,
) -> impl Stream<Item = Request> + Send {
    let mut throttle = Throttle::new(limit, Instant::now());
    UnboundedReceiverStream::new(outbox).then(move |request| {
        let wait = throttle.take(Instant::now());
        async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            request
        }
    })
}

fn answers<Out, In>(
    mut grpc: Grpc<Channel>,
    path: PathAndQuery,
    codec: ProstCodec<Out, In>,
    outbox: impl Stream<Item = Out> + Send + 'static,
    metadata: MetadataMap,
    wrap: fn(In) -> Response,
) -> stream::BoxStream<'static, Result<Said, Status>>
where
    Out: Message + Send + Sync + 'static,
    In: Message + Default + Send + Sync + 'static,
{
    let mut outbox = tonic::Request::new(outbox);
    *outbox.metadata_mut() = metadata;
    let opening = async move { grpc.streaming(outbox, path, codec).await };
    let said = stream::once(opening).map_ok(move |opened| {
        let inbox = opened.into_inner().map_ok(move |message| Said::Response(wrap(message)));
        stream::once(async { Ok(Said::Opened) }).chain(inbox)
    });
    said.try_flatten().boxed()
}

/// An error with everything that led to it.
fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// A method of the discovery services.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    mode: Mode,
    /// `None` is the aggregated service.
    of: Option<ResourceType>,
}

impl Method {
    /// The method that a source is asked by; `None` for types that have no service of their own.
    pub(crate) fn of(id: &SourceId, incremental: bool) -> Self {
        let mode = if incremental { Mode::Delta } else { Mode::StateOfTheWorld };
        let of = match id {
            SourceId::Aggregated => None,
            SourceId::Own(of, _) => Some(*of),
        };
        Self { mode, of }
    }

    fn path(self) -> PathAndQuery {
        let is_delta = self.mode == Mode::Delta;
        let choose = |sotw, delta| PathAndQuery::from_static(if is_delta { delta } else { sotw });
        match self.of {
            Some(ResourceType::Cluster) => choose(
                "/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters",
                "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters",
            ),
            Some(ResourceType::Endpoint) => choose(
                "/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints",
                "/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints",
            ),
            Some(ResourceType::Listener) => choose(
                "/envoy.service.listener.v3.ListenerDiscoveryService/StreamListeners",
                "/envoy.service.listener.v3.ListenerDiscoveryService/DeltaListeners",
            ),
            Some(ResourceType::Route) => choose(
                "/envoy.service.route.v3.RouteDiscoveryService/StreamRoutes",
                "/envoy.service.route.v3.RouteDiscoveryService/DeltaRoutes",
            ),
            // No other type is subscribed to.
            _ => choose(
                "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
                "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
            ),
        }
    }
}
