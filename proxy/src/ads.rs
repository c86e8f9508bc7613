//! The proxy's side of ADS: a tonic stream around the protocol machine of `weft-xds`.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::UnboundedReceiverStream};
use tonic::{Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;
use weft_compile::{ResourceType as Kind, Source, Update, Upsert};
use weft_proto::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Node,
};
use weft_xds::{
    Mode, Request, ResourceType, Response,
    client::{Action, Backoff, Client, Delivery, Event, Settings, Verdict, Wanted},
};

use crate::{bootstrap::Dynamic, proxy::Proxy, server::connect};

const SOTW: PathAndQuery = PathAndQuery::from_static(
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
);
const DELTA: PathAndQuery = PathAndQuery::from_static(
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
);
/// The largest response taken: 10,000 clusters with room to spare.
const MAX_RESPONSE: usize = 256 * 1024 * 1024;
/// Envoy's default of `initial_fetch_timeout`.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);

/// Talks to the management server for as long as the process runs.
pub(crate) async fn converse(proxy: Arc<Proxy>, dynamic: Dynamic, node: Node) {
    let mut conversation = Conversation::new(proxy, &dynamic, node);
    loop {
        tokio::time::sleep_until(conversation.connect_at.into()).await;
        let ended = match connect(&dynamic.server).await {
            Ok(channel) => match dynamic.mode {
                Mode::StateOfTheWorld => conversation.stream_sotw(channel).await,
                Mode::Delta => conversation.stream_delta(channel).await,
            },
            Err(error) => Status::unavailable(error.to_string()),
        };
        conversation.ended(&dynamic, &ended);
    }
}

/// The machine, and what its actions act upon.
struct Conversation {
    proxy: Arc<Proxy>,
    client: Client,
    connect_at: Instant,
    /// Root types that have been answered for, one way or the other.
    waiting_for: Vec<ResourceType>,
}

impl Conversation {
    fn new(proxy: Arc<Proxy>, dynamic: &Dynamic, node: Node) -> Self {
        let mut client = Client::new(Settings {
            mode: dynamic.mode,
            node,
            node_in_every_request: false,
            fetch_timeout: FETCH_TIMEOUT,
            backoff: Backoff::default(),
        });
        let mut waiting_for = Vec::new();
        for (asked, of) in
            [(dynamic.clusters, ResourceType::Cluster), (dynamic.listeners, ResourceType::Listener)]
        {
            if asked {
                client.step(Event::Want(of, Wanted::All), Instant::now());
                waiting_for.push(of);
            }
        }
        Self { proxy, client, connect_at: Instant::now(), waiting_for }
    }

    async fn stream_sotw(&mut self, channel: Channel) -> Status {
        let (requests, outbox) = mpsc::unbounded_channel::<DiscoveryRequest>();
        let codec = ProstCodec::<DiscoveryRequest, DiscoveryResponse>::default();
        let send = move |request| {
            if let Request::Sotw(request) = request {
                // A stream that has ended is noticed by its receiving side.
                let _ = requests.send(request);
            }
        };
        self.stream(channel, SOTW, codec, outbox, send, Response::Sotw).await
    }

    async fn stream_delta(&mut self, channel: Channel) -> Status {
        let (requests, outbox) = mpsc::unbounded_channel::<DeltaDiscoveryRequest>();
        let codec = ProstCodec::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>::default();
        let send = move |request| {
            if let Request::Delta(request) = request {
                let _ = requests.send(request);
            }
        };
        self.stream(channel, DELTA, codec, outbox, send, Response::Delta).await
    }

    /// One stream, from its first request to its end.
    async fn stream<Out, In>(
        &mut self,
        channel: Channel,
        path: PathAndQuery,
        codec: ProstCodec<Out, In>,
        outbox: mpsc::UnboundedReceiver<Out>,
        send: impl Fn(Request),
        wrap: fn(In) -> Response,
    ) -> Status
    where
        Out: prost::Message + Send + Sync + 'static,
        In: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_RESPONSE);
        if let Err(error) = grpc.ready().await {
            return Status::unavailable(error.to_string());
        }
        let stats = Arc::clone(self.proxy.stats());
        stats.control_plane.stream_opened.inc();
        // Some servers send their headers with the first response only, so the first requests
        // must be on their way before anything is awaited.
        self.step(Event::Connected, &send);
        let outbox = tonic::Request::new(UnboundedReceiverStream::new(outbox));
        let mut opening = std::pin::pin!(grpc.streaming(outbox, path, codec));
        let mut inbox: Streaming<In> = loop {
            tokio::select! {
                opened = &mut opening => match opened {
                    Ok(response) => break response.into_inner(),
                    Err(status) => return status,
                },
                // Such a server may have nothing to say at all; resources are waited for no longer.
                () = until(self.client.deadline()) => self.step(Event::Tick, &send),
            }
        };
        stats.control_plane.connected_state.set(1);
        tracing::info!("connected to the control plane");
        loop {
            let event = tokio::select! {
                message = inbox.next() => match message {
                    Some(Ok(message)) => Event::Response(wrap(message)),
                    Some(Err(status)) => return status,
                    None => return Status::unavailable("the server ended the stream"),
                },
                () = until(self.client.deadline()) => Event::Tick,
            };
            self.step(event, &send);
        }
    }

    fn ended(&mut self, dynamic: &Dynamic, why: &Status) {
        let stats = self.proxy.stats();
        stats.control_plane.connected_state.set(0);
        stats.control_plane.stream_failed.inc();
        tracing::warn!(server = ?dynamic.server, error = why.message(), "no stream to the control plane; configuration stays as it is");
        let random = self.proxy.random_u32();
        self.step(Event::Disconnected { random }, &|_| {});
    }

    /// Carries out what follows from an event, and what follows from that.
    fn step(&mut self, event: Event, send: &dyn Fn(Request)) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.client.step(event, Instant::now()) {
                match action {
                    Action::Send(request) => send(request),
                    Action::ConnectAt(at) => self.connect_at = at,
                    Action::Deliver(delivery) => {
                        self.answered(delivery.of);
                        if let Some(verdict) = self.deliver(delivery) {
                            events.push(Event::Verdict(verdict));
                        }
                    }
                    Action::Missing { of, name, .. } => match (kind_of(of), name) {
                        (Some(kind), Some(name)) => events.extend(
                            self.proxy
                                .missing(kind, &name)
                                .into_iter()
                                .map(|(of, wanted)| Event::Want(of, wanted)),
                        ),
                        _ => self.answered(of),
                    },
                }
            }
        }
        self.proxy.publish(self.waiting_for.is_empty());
    }

    fn answered(&mut self, of: ResourceType) {
        self.waiting_for.retain(|waiting| *waiting != of);
    }

    fn deliver(&self, delivery: Delivery) -> Option<Verdict> {
        let kind = kind_of(delivery.of)?;
        let update = Update {
            resource_type: kind,
            version: Arc::from(delivery.version),
            upserts: delivery
                .upserts
                .into_iter()
                .map(|upsert| Upsert {
                    name: upsert.name,
                    version: Arc::from(upsert.version),
                    value: upsert.body,
                })
                .collect(),
            removals: delivery.removals,
            full_state: false,
            source: Source::Dynamic,
        };
        let (report, wanted) = self.proxy.apply(&update, SystemTime::now());
        let refused = report
            .rejected
            .iter()
            .map(|rejected| {
                let reasons: Vec<_> = rejected.reasons.iter().map(ToString::to_string).collect();
                (Arc::clone(&rejected.name), reasons.join("; "))
            })
            .collect();
        Some(Verdict { delivery: delivery.id, of: delivery.of, refused, wanted })
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The proxy's own word for a type of the protocol; `None` for types it does not subscribe to.
pub(crate) fn kind_of(of: ResourceType) -> Option<Kind> {
    Kind::from_type_url(of.type_url())
}
