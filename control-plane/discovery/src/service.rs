//! The registry as a gRPC service.

use std::pin::Pin;

use futures_util::{Stream, stream};
use tonic::{Request, Response, Status, Streaming};
use weft_proto::registry::workload_registry_server::{WorkloadRegistry, WorkloadRegistryServer};
use weft_proto::registry::{Acknowledgement, WorkloadState};

use crate::{Refusal, Registry, Session, Workload};

/// A state is a few names and labels; more is none.
const MESSAGE_LIMIT: usize = 256 * 1024;

/// Serves `weft.registry.v1.WorkloadRegistry`.
pub struct RegistryService {
    registry: Registry,
}

impl RegistryService {
    /// The service, ready to be routed to.
    #[must_use]
    pub fn server(registry: Registry) -> WorkloadRegistryServer<Self> {
        WorkloadRegistryServer::new(Self { registry }).max_decoding_message_size(MESSAGE_LIMIT)
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
        let conversation = Some((request.into_inner(), self.registry.open()));
        let answers = stream::unfold(conversation, |conversation| async move {
            let (mut states, mut session) = conversation?;
            match states.message().await {
                Ok(Some(state)) => Some(match acknowledge(&mut session, state) {
                    Ok(acknowledgement) => (Ok(acknowledgement), Some((states, session))),
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
