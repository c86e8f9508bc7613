//! Workloads registering themselves over a real connection.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Server};
use tonic::{Code, Status, Streaming};
use weft_discovery::{Limits, Registered, Registry, RegistryService};
use weft_proto::registry::workload_registry_client::WorkloadRegistryClient;
use weft_proto::registry::{Acknowledgement, Phase, WorkloadState};

/// A registry behind a loopback port.
async fn served(limits: Limits) -> (Registry, SocketAddr) {
    let (running, stop) = watch::channel(false);
    tokio::spawn(async move { running.closed().await });
    served_until(limits, stop).await
}

async fn served_until(limits: Limits, stop: watch::Receiver<bool>) -> (Registry, SocketAddr) {
    let registry = Registry::new(limits);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = RegistryService::server(registry.clone(), stop);
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    (registry, address)
}

async fn client(address: SocketAddr) -> WorkloadRegistryClient<Channel> {
    WorkloadRegistryClient::connect(format!("http://{address}")).await.unwrap()
}

/// A registry behind a loopback port, and a client of it.
async fn connected(limits: Limits) -> (Registry, WorkloadRegistryClient<Channel>) {
    let (registry, address) = served(limits).await;
    (registry, client(address).await)
}

/// One sidecar's stream.
#[derive(Debug)]
struct Sidecar {
    states: mpsc::Sender<WorkloadState>,
    answers: Streaming<Acknowledgement>,
}

impl Sidecar {
    async fn open(
        client: &mut WorkloadRegistryClient<Channel>,
        first: WorkloadState,
    ) -> Result<Self, Status> {
        let (states, receiver) = mpsc::channel(4);
        states.send(first).await.unwrap();
        let answers = client.register(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Self { states, answers })
    }

    async fn answer(&mut self) -> Result<u64, Status> {
        Ok(self.answers.message().await?.unwrap().revision)
    }
}

fn state(instance: &str, phase: Phase) -> WorkloadState {
    WorkloadState {
        service: "catalog".into(),
        instance: instance.into(),
        address: "127.0.0.1:15006".into(),
        phase: phase.into(),
        ..WorkloadState::default()
    }
}

async fn until(
    watch: &mut watch::Receiver<Arc<Registered>>,
    condition: impl FnMut(&Arc<Registered>) -> bool,
) {
    tokio::time::timeout(Duration::from_secs(10), watch.wait_for(condition))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_workload_serves_drains_and_is_gone_with_its_stream() {
    let (registry, mut client) = connected(Limits::default()).await;
    let mut watch = registry.watch();

    let mut sidecar = Sidecar::open(&mut client, state("a", Phase::Serving)).await.unwrap();
    assert_eq!(sidecar.answer().await.unwrap(), 1);
    assert_eq!(watch.borrow_and_update().workloads[0].phase, weft_discovery::Phase::Serving);

    sidecar.states.send(state("a", Phase::Draining)).await.unwrap();
    assert_eq!(sidecar.answer().await.unwrap(), 2);
    assert_eq!(watch.borrow_and_update().workloads[0].phase, weft_discovery::Phase::Draining);

    drop(sidecar.states);
    assert!(sidecar.answers.message().await.unwrap().is_none());
    until(&mut watch, |registered| registered.workloads.is_empty()).await;
}

#[tokio::test]
async fn a_broken_connection_ends_the_registration() {
    let (registry, address) = served(Limits::default()).await;
    let mut watch = registry.watch();
    // A runtime of its own stands for the sidecar's process: ending it closes the socket and says
    // nothing on the stream.
    let process =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let sidecar = process.spawn(async move {
        let mut client = client(address).await;
        let mut sidecar = Sidecar::open(&mut client, state("a", Phase::Serving)).await.unwrap();
        sidecar.answer().await.unwrap();
        std::future::pending::<Sidecar>().await
    });
    until(&mut watch, |registered| registered.workloads.len() == 1).await;
    process.shutdown_background();
    until(&mut watch, |registered| registered.workloads.is_empty()).await;
    assert!(sidecar.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn streams_end_when_the_control_plane_stops() {
    let (stopping, stop) = watch::channel(false);
    let (_registry, address) = served_until(Limits::default(), stop).await;
    let mut client = client(address).await;
    let mut sidecar = Sidecar::open(&mut client, state("a", Phase::Serving)).await.unwrap();
    sidecar.answer().await.unwrap();
    stopping.send_replace(true);
    assert_eq!(sidecar.answer().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_refusal_names_the_field_and_ends_the_registration() {
    let (registry, mut client) = connected(Limits::default()).await;
    let mut watch = registry.watch();
    let mut sidecar = Sidecar::open(&mut client, state("a", Phase::Serving)).await.unwrap();
    sidecar.answer().await.unwrap();

    let broken = WorkloadState { address: "nowhere".into(), ..state("a", Phase::Serving) };
    sidecar.states.send(broken).await.unwrap();
    let refused = sidecar.answer().await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("address \"nowhere\""), "{}", refused.message());
    until(&mut watch, |registered| registered.workloads.is_empty()).await;
}

#[tokio::test]
async fn many_register_at_once_and_each_revision_is_its_own() {
    let (registry, client) = connected(Limits { workloads: 50 }).await;
    let sidecars = (0..51).map(|n| {
        let mut client = client.clone();
        tokio::spawn(async move {
            let mut sidecar =
                Sidecar::open(&mut client, state(&n.to_string(), Phase::Serving)).await?;
            let revision = sidecar.answer().await?;
            Ok::<_, Status>((sidecar, revision))
        })
    });
    let mut held = Vec::new();
    let mut refused = Vec::new();
    for sidecar in sidecars.collect::<Vec<_>>() {
        match sidecar.await.unwrap() {
            Ok(registered) => held.push(registered),
            Err(status) => refused.push(status.code()),
        }
    }
    assert_eq!(refused, [Code::ResourceExhausted]);
    let mut revisions: Vec<_> = held.iter().map(|(_, revision)| *revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=50).collect::<Vec<_>>());
    assert_eq!(registry.watch().borrow().workloads.len(), 50);
}
