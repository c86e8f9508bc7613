//! A server on a port of the kernel's choice, and clients that speak the bare protocol to it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, UnixListener, UnixStream},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::{
    Stream,
    wrappers::{ReceiverStream, UnixListenerStream},
};
use tonic::{
    Status, Streaming,
    client::Grpc,
    transport::{Channel, Endpoint, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use weft_config::{Key, Mesh, Source};
use weft_proto::{
    discovery::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Node,
    },
    pb::google::protobuf::{Struct, Value, value::Kind},
};
use weft_serve::{Discovery, Ledger, Limits, Translated, serve};
use weft_translate::{Instance, Workloads};

pub(crate) const ADS: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

/// A mesh of these services, all HTTP on port 80.
pub(crate) fn mesh(services: &[&str]) -> Arc<Mesh> {
    let document = |name: &&str| {
        format!(
            "apiVersion: weft.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  ports: [{{port: 80, protocol: http}}]\n  endpoints: [{{registered: {{}}}}]\n---\n"
        )
    };
    let text: String = services.iter().map(document).collect();
    Arc::new(Mesh::parse(&[Source::new("mesh.yaml", text)]).unwrap())
}

/// One instance of a service, at this port.
pub(crate) fn instance(service: &str, port: u16) -> Workloads {
    let instance = Instance {
        healthy: true,
        zone: String::new(),
        name: "one".into(),
        address: ([127, 0, 0, 1], port).into(),
        labels: Default::default(),
    };
    [(Key::new("default", service), instance)].into_iter().collect()
}

/// A node that sends requests and takes none.
pub(crate) fn node(id: &str) -> Node {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.into())) };
    let weft = Struct { fields: [("outbound".to_owned(), text("127.0.0.1:15001"))].into() };
    let weft = Value { kind: Some(Kind::StructValue(weft)) };
    Node {
        id: id.into(),
        user_agent_name: "weft".into(),
        metadata: Some(Struct { fields: [("weft".to_owned(), weft)].into() }),
        ..Node::default()
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) translated: Arc<Translated>,
    pub(crate) ledger: Ledger,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<Result<(), tonic::transport::Error>>,
    address: Address,
}

enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Server {
    pub(crate) async fn start(limits: Limits) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(4096).unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        Self::on(address, TcpIncoming::from(listener), limits)
    }

    /// On a Unix socket of this path.
    pub(crate) fn start_unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let address = Address::Unix(path.to_owned());
        Self::on(address, UnixListenerStream::new(listener), Limits::default())
    }

    fn on<C>(
        address: Address,
        incoming: impl Stream<Item = io::Result<C>> + Send + 'static,
        limits: Limits,
    ) -> Self
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let (translated, ledger) = (Arc::new(Translated::new()), Ledger::new());
        let source = Arc::clone(&translated);
        let discovery = Discovery::new(source, ledger.clone(), limits, stopped.clone());
        let routes = discovery.routes();
        let task = tokio::spawn(serve(incoming, routes, ledger.clone(), limits, stopped));
        Self { translated, ledger, stop, task, address }
    }

    async fn connect(&self) -> Channel {
        match &self.address {
            Address::Tcp(address) => {
                Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await
            }
            Address::Unix(path) => {
                let path = path.clone();
                let connector = tower::service_fn(move |_: http::Uri| {
                    let path = path.clone();
                    async move { UnixStream::connect(path).await.map(TokioIo::new) }
                });
                Endpoint::from_static("http://localhost").connect_with_connector(connector).await
            }
        }
        .unwrap()
    }

    /// A client's stream of the method `service/method`.
    pub(crate) async fn open<Out, In>(
        &self,
        service: &str,
        method: &str,
    ) -> Result<Peer<Out, In>, Status>
    where
        Out: prost::Message + 'static,
        In: prost::Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.connect().await);
        grpc.ready().await.unwrap();
        let (requests, outbox) = mpsc::channel(16);
        let path: PathAndQuery = format!("/{service}/{method}").parse().unwrap();
        let codec = ProstCodec::<Out, In>::default();
        let request = tonic::Request::new(ReceiverStream::new(outbox));
        let responses = grpc.streaming(request, path, codec).await?.into_inner();
        Ok(Peer { requests, responses, _grpc: grpc })
    }

    pub(crate) async fn sotw(&self) -> Peer<DiscoveryRequest, DiscoveryResponse> {
        self.open(ADS, "StreamAggregatedResources").await.unwrap()
    }

    pub(crate) async fn delta(&self) -> Peer<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
        self.open(ADS, "DeltaAggregatedResources").await.unwrap()
    }

    /// Waits until the ledger says so.
    pub(crate) async fn until(&self, so: impl Fn(&[weft_serve::NodeView]) -> bool) {
        while !so(&self.ledger.nodes()) {
            tokio::task::yield_now().await;
        }
    }
}

/// A client's end of a stream.
pub(crate) struct Peer<Out, In> {
    requests: mpsc::Sender<Out>,
    responses: Streaming<In>,
    _grpc: Grpc<Channel>,
}

impl<Out, In> Peer<Out, In> {
    pub(crate) async fn say(&self, request: Out) {
        assert!(self.requests.send(request).await.is_ok(), "the stream has ended");
    }

    pub(crate) async fn hear(&mut self) -> Result<In, Status> {
        self.responses.message().await.map(|message| message.expect("the stream goes on"))
    }
}
