//! CSDS: the state of every resource as a gRPC service
//! (`envoy.service.status.v3.ClientStatusDiscoveryService`).

use std::{collections::HashMap, pin::Pin, sync::Arc, time::SystemTime};

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};
use weft_compile::{RefusedDump, ResourceDump, ResourceStatus, ResourceType, Source as Origin};
use weft_proto::node_match;
use weft_proto::pb::{
    envoy::{
        admin::v3::{ClientResourceStatus, UpdateFailureState},
        service::status::v3::{
            ClientConfig, ClientStatusRequest, ClientStatusResponse,
            client_config::GenericXdsConfig,
            client_status_discovery_service_server::{
                ClientStatusDiscoveryService, ClientStatusDiscoveryServiceServer,
            },
        },
    },
    google::protobuf::{Any, Timestamp},
};

use crate::{
    server::Admin,
    source::{Source, SubscriptionError, SubscriptionState, SubscriptionView},
};

/// Where the service is found.
pub(crate) const PATH_PREFIX: &str = "/envoy.service.status.v3.ClientStatusDiscoveryService/";

/// The service, to be called with requests of that prefix.
pub(crate) type Service = ClientStatusDiscoveryServiceServer<ClientStatus>;

/// Answers with what a proxy holds and waits for.
#[derive(Debug)]
pub(crate) struct ClientStatus {
    admin: Arc<Admin>,
}

impl ClientStatus {
    /// The service over an admin interface.
    pub(crate) fn service(admin: &Arc<Admin>) -> Service {
        ClientStatusDiscoveryServiceServer::new(Self { admin: Arc::clone(admin) })
    }
}

#[tonic::async_trait]
impl ClientStatusDiscoveryService for ClientStatus {
    type StreamClientStatusStream =
        Pin<Box<dyn Stream<Item = Result<ClientStatusResponse, Status>> + Send>>;

    async fn stream_client_status(
        &self,
        requests: Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Self::StreamClientStatusStream>, Status> {
        let admin = Arc::clone(&self.admin);
        let answers = requests.into_inner().then(move |request| {
            let admin = Arc::clone(&admin);
            async move { answer(&admin, request?).await }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        answer(&self.admin, request.into_inner()).await.map(Response::new)
    }
}

async fn answer(
    admin: &Arc<Admin>,
    request: ClientStatusRequest,
) -> Result<ClientStatusResponse, Status> {
    // One at a time with the other dumps: the memory they need is bounded, however many ask.
    let closing = |_| Status::unavailable("the proxy is shutting down");
    let turn = Arc::clone(&admin.dumps).acquire_owned().await.map_err(closing)?;
    let source = Arc::clone(&admin.source);
    let made = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        response(&*source, &request)
    });
    made.await.map_err(|error| Status::internal(error.to_string()))?
}

fn response(
    source: &dyn Source,
    request: &ClientStatusRequest,
) -> Result<ClientStatusResponse, Status> {
    let node = source.node();
    let meant = node_match::any_matches(&request.node_matchers, &node)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    if !meant {
        return Ok(ClientStatusResponse::default());
    }
    let config = ClientConfig {
        node: Some(node),
        generic_xds_configs: configs(source, !request.exclude_resource_contents),
        ..ClientConfig::default()
    };
    Ok(ClientStatusResponse { config: vec![config] })
}

type Subscriptions = HashMap<(ResourceType, Arc<str>), SubscriptionView>;

/// Every resource that is held or waited for, by type and name.
fn configs(source: &dyn Source, with_contents: bool) -> Vec<GenericXdsConfig> {
    let mut subscriptions: Subscriptions = source
        .subscriptions()
        .into_iter()
        .map(|view| ((view.kind, Arc::clone(&view.key)), view))
        .collect();
    let mut configs = Vec::new();
    for of_type in source.dump().types {
        let kind = of_type.resource_type;
        for dump in &of_type.resources {
            let subscription = subscriptions.remove(&(kind, Arc::clone(&dump.key)));
            configs.push(config(kind, dump, subscription.as_ref(), with_contents));
        }
    }
    // What nothing was ever made of: refused before it could be read.
    let mut rest: Vec<_> = subscriptions.into_values().collect();
    rest.sort_by(|a, b| (a.kind, &a.key).cmp(&(b.kind, &b.key)));
    configs.extend(rest.iter().map(|view| GenericXdsConfig {
        type_url: view.kind.type_url().to_owned(),
        name: view.name.to_string(),
        client_status: status_of(view.state).into(),
        error_state: view.error.as_ref().map(unreadable),
        ..GenericXdsConfig::default()
    }));
    configs
}

fn config(
    kind: ResourceType,
    dump: &ResourceDump,
    subscription: Option<&SubscriptionView>,
    with_contents: bool,
) -> GenericXdsConfig {
    // What was accepted last: the version that waits for its parts, if there is one.
    let held = dump.warming.as_ref().or(dump.active.as_ref());
    let is_static = dump.source == Origin::Static;
    let status = match subscription {
        Some(view) => status_of(view.state),
        None if is_static => ClientResourceStatus::Unknown,
        None => status_held(dump.status),
    };
    let refused = dump.refused.as_ref().map(|refused| refusal(kind, refused, with_contents));
    let reported = || subscription.and_then(|view| view.error.as_ref()).map(unreadable);
    GenericXdsConfig {
        type_url: kind.type_url().to_owned(),
        name: dump.name.to_string(),
        version_info: held.map(|held| held.version.to_string()).unwrap_or_default(),
        xds_config: held.filter(|_| with_contents).map(|held| any(kind, &held.value)),
        last_updated: held.map(|held| timestamp(held.last_updated)),
        client_status: status.into(),
        error_state: refused.or_else(reported),
        is_static_resource: is_static,
        ..GenericXdsConfig::default()
    }
}

fn status_of(state: SubscriptionState) -> ClientResourceStatus {
    match state {
        SubscriptionState::Requested => ClientResourceStatus::Requested,
        SubscriptionState::DoesNotExist => ClientResourceStatus::DoesNotExist,
        SubscriptionState::TimedOut => ClientResourceStatus::Timeout,
        SubscriptionState::Accepted => ClientResourceStatus::Acked,
        SubscriptionState::Refused => ClientResourceStatus::Nacked,
        SubscriptionState::ReceivedError => ClientResourceStatus::ReceivedError,
    }
}

/// What the resource itself shows where no subscription knows more.
fn status_held(status: ResourceStatus) -> ClientResourceStatus {
    match status {
        ResourceStatus::Requested => ClientResourceStatus::Requested,
        ResourceStatus::DoesNotExist => ClientResourceStatus::DoesNotExist,
        ResourceStatus::Acked => ClientResourceStatus::Acked,
        ResourceStatus::Nacked => ClientResourceStatus::Nacked,
    }
}

fn refusal(kind: ResourceType, refused: &RefusedDump, with_contents: bool) -> UpdateFailureState {
    UpdateFailureState {
        failed_configuration: with_contents.then(|| any(kind, &refused.value)),
        last_update_attempt: Some(timestamp(refused.last_update_attempt)),
        details: refused.details.clone(),
        version_info: refused.version.to_string(),
    }
}

/// Of something that could not be read, or of which the server says that it cannot serve it.
fn unreadable(error: &SubscriptionError) -> UpdateFailureState {
    UpdateFailureState {
        failed_configuration: None,
        last_update_attempt: Some(timestamp(error.at)),
        details: error.details.clone(),
        version_info: error.version.clone(),
    }
}

fn any(kind: ResourceType, value: &[u8]) -> Any {
    Any { type_url: kind.type_url().to_owned(), value: value.to_vec() }
}

fn timestamp(time: SystemTime) -> Timestamp {
    // Before 1970 the clock is wrong anyway.
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}
