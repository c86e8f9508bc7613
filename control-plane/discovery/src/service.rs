//! The registry as a gRPC service.

use std::pin::Pin;

use futures_util::{Stream, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};
use weft_proto::registry::workload_registry_server::{WorkloadRegistry, WorkloadRegistryServer};
use weft_proto::registry::{Acknowledgement, WorkloadState};

use crate::{Refusal, Registry, Session, Workload};

/// A state is a few names and labels; more is none.
const MESSAGE_LIMIT: usize = 256 * 1024;

/// Serves `weft.registry.v1.WorkloadRegistry`.
pub struct RegistryService {
    registry: Registry,
    stop: watch::Receiver<bool>,
}

impl RegistryService {
    /// The service, ready to be routed to. Its streams end when `stop` becomes true or its sender
    /// is dropped.
    #[must_use]
    pub fn server(registry: Registry, stop: watch::Receiver<bool>) -> WorkloadRegistryServer<Self> {
        WorkloadRegistryServer::new(Self { registry, stop })
            .max_decoding_message_size(MESSAGE_LIMIT)
    }
}

#[tonic::async_trait]
impl WorkloadRegistry for RegistryService {
    type RegisterStream = Pin<Box<dyn Stream<Item = Result<Acknowledgement, Status>> + Send>>;

    async fn register(
        &self,
        request: Request<Streaming<WorkloadState>>,
    ) -> Result<Response<Self::RegisterStream>, Status> {
        // The session lives in the answer: when the connection breaks, the transport drops the
        // answer, and the workload is gone with it. No task, no timer, no list to clean up.
        let conversation = (request.into_inner(), self.registry.open(), self.stop.clone());
        let answers = stream::unfold(Some(conversation), |conversation| async move {
            let (mut states, mut session, mut stop) = conversation?;
            let state = tokio::select! {
                state = states.message() => state,
                _ = stop.wait_for(|stop| *stop) => {
                    Err(Status::unavailable("the control plane is stopping"))
                }
            };
            match state {
                Ok(Some(state)) => Some(match acknowledge(&mut session, state) {
                    Ok(acknowledgement) => (Ok(acknowledgement), Some((states, session, stop))),
                    Err(refusal) => (Err(status(&refusal)), None),
                }),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn acknowledge(session: &mut Session, state: WorkloadState) -> Result<Acknowledgement, Refusal> {
    let revision = session.update(Workload::try_from(state)?)?;
    Ok(Acknowledgement { revision })
}

fn status(refusal: &Refusal) -> Status {
    let text = refusal.to_string();
    match refusal {
        Refusal::Full { .. } => Status::resource_exhausted(text),
        Refusal::Replaced { .. } => Status::aborted(text),
        Refusal::Missing { .. }
        | Refusal::TooLong { .. }
        | Refusal::TooManyLabels { .. }
        | Refusal::Address { .. }
        | Refusal::OtherWorkload { .. } => Status::invalid_argument(text),
    }
}
