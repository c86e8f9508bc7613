//! A sidecar's registration: its workload exists for the mesh as long as this stream is open.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};
use tokio_stream::{StreamExt as _, wrappers::WatchStream};
use weft_proto::registry::{
    Phase, WorkloadState, workload_registry_client::WorkloadRegistryClient,
};

use crate::{
    health::Check,
    proxy::Proxy,
    server::{ServerAddress, connect},
};

/// Waits between attempts grow from the first to the second.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Keeps a workload registered and tells what the control plane knows.
#[derive(Debug)]
pub(crate) struct Registration {
    state: watch::Sender<WorkloadState>,
    acknowledged: watch::Receiver<Option<Phase>>,
    /// They end with this.
    _tasks: JoinSet<()>,
}

impl Registration {
    /// Registers `state` with the server, again and again until dropped; with a check, as
    /// unhealthy until the application answers.
    pub(crate) fn start(
        proxy: Arc<Proxy>,
        server: ServerAddress,
        mut state: WorkloadState,
        check: Option<Check>,
    ) -> Self {
        if check.is_some() {
            state.set_phase(Phase::Unhealthy);
        }
        let (state, states) = watch::channel(state);
        let (acknowledge, acknowledged) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_registered(proxy, server, states, acknowledge));
        if let Some(check) = check {
            let state = state.clone();
            tasks.spawn(check.follow(move |well| tell_health(&state, well)));
        }
        Self { state, acknowledged, _tasks: tasks }
    }

    /// Tells the mesh to send nothing new here, and waits until the control plane has it, at most
    /// for `limit`: a control plane that is away must not keep a process from ending.
    pub(crate) async fn drain(&mut self, limit: Duration) {
        self.state.send_modify(|state| state.set_phase(Phase::Draining));
        let known = self.acknowledged.wait_for(|phase| *phase == Some(Phase::Draining));
        if tokio::time::timeout(limit, known).await.is_err() {
            tracing::warn!("the control plane did not acknowledge that this workload is draining");
        }
    }
}

fn tell_health(state: &watch::Sender<WorkloadState>, well: bool) {
    let phase = if well { Phase::Serving } else { Phase::Unhealthy };
    state.send_if_modified(|state| {
        // Who drains does not come back.
        let changes = state.phase() != Phase::Draining && state.phase() != phase;
        if changes {
            tracing::info!(phase = phase.as_str_name(), "the application's health has changed");
            state.set_phase(phase);
        }
        changes
    });
}

async fn keep_registered(
    proxy: Arc<Proxy>,
    server: ServerAddress,
    states: watch::Receiver<WorkloadState>,
    acknowledge: watch::Sender<Option<Phase>>,
) {
    let mut wait = FIRST_WAIT;
    loop {
        if let Err(error) = register(&server, &states, &acknowledge).await {
            tracing::warn!(%error, "not registered with the control plane");
        }
        // Whoever was acknowledged once talks to a server that works.
        if acknowledge.send_replace(None).is_some() {
            wait = FIRST_WAIT;
        }
        // Full jitter: a thousand sidecars of a restarted control plane come back spread out.
        let share = f64::from(proxy.random_u32()) / f64::from(u32::MAX);
        tokio::time::sleep(wait.mul_f64(share)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// One stream, from the first state to its end.
async fn register(
    server: &ServerAddress,
    states: &watch::Receiver<WorkloadState>,
    acknowledge: &watch::Sender<Option<Phase>>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut client = WorkloadRegistryClient::new(connect(server).await?);
    let (sent, mut phases) = tokio::sync::mpsc::unbounded_channel();
    let outbox = WatchStream::new(states.clone()).map(move |state| {
        // Each acknowledgement answers one state, in order.
        let _ = sent.send(state.phase());
        state
    });
    let mut answers = client.register(outbox).await?.into_inner();
    while let Some(_acknowledgement) = answers.message().await? {
        if let Some(phase) = phases.recv().await {
            let _ = acknowledge.send(Some(phase));
        }
    }
    Ok(())
}
