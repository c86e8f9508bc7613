//! CSDS, the control plane's side: what every client was sent, has accepted and has refused
//! (`envoy.service.status.v3.ClientStatusDiscoveryService`).

use std::{pin::Pin, sync::Arc, time::SystemTime};

use tokio::sync::Semaphore;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};
use weft_proto::{
    discovery::Node,
    node_match,
    pb::{
        envoy::{
            admin::v3::UpdateFailureState,
            service::status::v3::{
                ClientConfig, ClientStatusRequest, ClientStatusResponse,
                ConfigStatus as WireStatus,
                client_config::GenericXdsConfig,
                client_status_discovery_service_server::{
                    ClientStatusDiscoveryService, ClientStatusDiscoveryServiceServer,
                },
            },
        },
        google::protobuf::{Any, Timestamp},
    },
};
use weft_xds::server::{Standing, State};

use crate::ledger::{Entry, Ledger, Stamps};

/// With their contents, the resources of this many nodes are told in one answer.
const WITH_CONTENTS: usize = 100;

/// Answers out of the ledger.
#[derive(Debug)]
pub(crate) struct ConfigStatus {
    ledger: Ledger,
    /// One answer is made at a time: the memory they need is bounded, however many ask.
    turn: Arc<Semaphore>,
}

impl ConfigStatus {
    /// The service.
    pub(crate) fn service(ledger: Ledger) -> ClientStatusDiscoveryServiceServer<Self> {
        let turn = Arc::new(Semaphore::new(1));
        ClientStatusDiscoveryServiceServer::new(Self { ledger, turn })
    }
}

#[tonic::async_trait]
impl ClientStatusDiscoveryService for ConfigStatus {
    type StreamClientStatusStream =
        Pin<Box<dyn Stream<Item = Result<ClientStatusResponse, Status>> + Send>>;

    async fn stream_client_status(
        &self,
        requests: Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Self::StreamClientStatusStream>, Status> {
        let (ledger, turn) = (self.ledger.clone(), Arc::clone(&self.turn));
        let answers = requests.into_inner().then(move |request| {
            let (ledger, turn) = (ledger.clone(), Arc::clone(&turn));
            async move { answer(ledger, turn, request?).await }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        let turn = Arc::clone(&self.turn);
        answer(self.ledger.clone(), turn, request.into_inner()).await.map(Response::new)
    }
}

async fn answer(
    ledger: Ledger,
    turn: Arc<Semaphore>,
    request: ClientStatusRequest,
) -> Result<ClientStatusResponse, Status> {
    let closing = |_| Status::unavailable("the control plane is stopping");
    let turn = turn.acquire_owned().await.map_err(closing)?;
    let made = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        response(&ledger, &request)
    });
    made.await.map_err(|error| Status::internal(error.to_string()))?
}

fn response(
    ledger: &Ledger,
    request: &ClientStatusRequest,
) -> Result<ClientStatusResponse, Status> {
    let matches = |node: &Node| {
        node_match::any_matches(&request.node_matchers, node)
            .map_err(|error| Status::invalid_argument(error.to_string()))
    };
    // What makes no sense makes none whoever is connected.
    matches(&Node::default())?;
    let mut meant = Vec::new();
    for entry in ledger.entries() {
        let node = entry.introduction();
        if matches(&node)? {
            meant.push((entry, node));
        }
    }
    let with_contents = !request.exclude_resource_contents;
    if with_contents && meant.len() > WITH_CONTENTS {
        let text = format!(
            "the contents of {} clients are too much for one answer, {WITH_CONTENTS} are not\n  \
             hint: name fewer with node_matchers, or set exclude_resource_contents",
            meant.len()
        );
        return Err(Status::resource_exhausted(text));
    }
    let config = meant.into_iter().map(|(entry, node)| ClientConfig {
        node: Some(node),
        generic_xds_configs: configs(&entry, with_contents),
        ..ClientConfig::default()
    });
    Ok(ClientStatusResponse { config: config.collect() })
}

fn configs(entry: &Entry, with_contents: bool) -> Vec<GenericXdsConfig> {
    let all = entry.standings().into_iter();
    all.map(|(standing, stamps)| config(standing, &stamps, with_contents)).collect()
}

fn config(standing: Standing, stamps: &Stamps, with_contents: bool) -> GenericXdsConfig {
    let type_url = standing.of.type_url();
    let resource = standing.resource.as_ref();
    let refused_at = stamps.refused.as_ref().map(|refused| timestamp(refused.at));
    let (status, error_state) = match standing.state {
        State::Accepted => (WireStatus::Synced, None),
        State::Sent => (WireStatus::Stale, None),
        State::Due => (WireStatus::NotSent, None),
        State::Absent => (WireStatus::Unknown, None),
        State::Refused(refusal) => {
            let failure = UpdateFailureState {
                failed_configuration: None,
                last_update_attempt: refused_at,
                details: refusal.reason.to_string(),
                version_info: refusal.version.to_string(),
            };
            (WireStatus::Error, Some(failure))
        }
    };
    let content = resource.filter(|_| with_contents);
    GenericXdsConfig {
        type_url: type_url.to_owned(),
        name: standing.name.to_string(),
        version_info: resource.map(|each| each.version().to_string()).unwrap_or_default(),
        xds_config: content
            .map(|each| Any { type_url: type_url.to_owned(), value: each.body().to_vec() }),
        last_updated: stamps.sent.map(|(_, at)| timestamp(at)),
        config_status: status.into(),
        error_state,
        ..GenericXdsConfig::default()
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    // Before 1970 the clock is wrong anyway.
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}
