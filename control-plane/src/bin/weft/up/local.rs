//! A mesh on this machine: its processes, from the first to the last.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;
use weft_config::Source;
use weft_control_admin::api;

use super::gateway::Gateway;
use super::launch;
use super::plan::Instance;
use super::ports::{self, Reserved};
use super::process::{News, Process};
use crate::client::Server;
use crate::commands::apply;
use crate::exit::Failure;
use crate::fetch;

/// How long anything may take to be ready, on a machine that is busy compiling.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How many looks in a row must find every sidecar configured: what was registered last may still
/// be on its way to those who have acknowledged all that was before.
const LOOKS: u32 = 5;
/// How long the processes of one layer may take to stop. Sidecars let requests finish for 2 s.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

/// The processes of a mesh. They end with this program, whatever happens to it.
pub(crate) struct Local {
    pub(crate) xds: Reserved,
    pub(crate) admin: Reserved,
    pub(crate) instances: Vec<Instance>,
    pub(crate) gateways: Vec<Gateway>,
    news: News,
    control_plane: Option<Process>,
    /// The proxies of Gateways.
    doors: Vec<Process>,
    sidecars: Vec<Process>,
    services: Vec<Process>,
}

impl Local {
    pub(crate) fn new(
        instances: Vec<Instance>,
        gateways: Vec<Gateway>,
        news: News,
    ) -> anyhow::Result<Self> {
        let (xds, admin) = (ports::reserve()?, ports::reserve()?);
        Ok(Self {
            xds,
            admin,
            instances,
            gateways,
            news,
            control_plane: None,
            doors: Vec::new(),
            sidecars: Vec::new(),
            services: Vec::new(),
        })
    }

    /// Starts everything, and waits until all of it is ready and configured.
    pub(crate) async fn start(&mut self, documents: Vec<Source>) -> anyhow::Result<()> {
        let begun = Instant::now();
        let command = launch::control_plane(self.xds.address, self.admin.address)?;
        let control_plane =
            self.control_plane.insert(Process::start("control-plane", command, &self.news)?);
        until_answers(control_plane, self.admin.address, "/readyz").await?;
        let server = Server::at(self.admin.address);
        let applied = apply::put(&server, documents).await.map_err(Failure::into_error)?;
        progress(
            begun,
            &format!("control plane is ready and has {} documents", applied.resources.len()),
        );

        let concurrency = workers(self.instances.len() + self.gateways.len());
        for gateway in &self.gateways {
            let proxy = launch::gateway(gateway, self.xds.address, concurrency)?;
            self.doors.push(Process::start(&gateway.name(), proxy, &self.news)?);
        }
        for instance in &self.instances {
            let sidecar = launch::sidecar(instance, self.xds.address, concurrency)?;
            self.sidecars.push(Process::start(
                &format!("{}'s sidecar", instance.name),
                sidecar,
                &self.news,
            )?);
            let service = launch::service(instance)?;
            self.services.push(Process::start(&instance.name, service, &self.news)?);
        }
        for (instance, service) in self.instances.iter().zip(&self.services) {
            until_listens(service, instance.ports.app.address).await?;
        }
        progress(begun, &format!("{} service instances listen", self.services.len()));
        for (instance, sidecar) in self.instances.iter().zip(&self.sidecars) {
            until_answers(sidecar, instance.ports.admin.address, "/ready").await?;
            until_listens(sidecar, instance.ports.inbound.address).await?;
            until_listens(sidecar, instance.ports.outbound.address).await?;
        }
        progress(begun, &format!("{} sidecars are ready", self.sidecars.len()));
        for (gateway, door) in self.gateways.iter().zip(&self.doors) {
            until_answers(door, gateway.admin.address, "/ready").await?;
            for at in &gateway.listens {
                until_listens(door, *at).await?;
            }
        }
        self.until_converged().await?;
        progress(begun, "every sidecar has acknowledged its configuration");
        Ok(())
    }

    /// What the control plane knows of its proxies.
    pub(crate) async fn proxies(&self) -> anyhow::Result<Vec<api::Proxy>> {
        Ok(serde_json::from_slice(&fetch::get(self.admin.address, "/v1/proxies").await?)?)
    }

    /// What is registered.
    pub(crate) async fn workloads(&self) -> anyhow::Result<Vec<api::Workload>> {
        Ok(serde_json::from_slice(&fetch::get(self.admin.address, "/v1/workloads").await?)?)
    }

    async fn until_converged(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        let mut looks = 0;
        while looks < LOOKS {
            let (workloads, proxies) = tokio::try_join!(self.workloads(), self.proxies())?;
            refuse_refusals(&proxies)?;
            let serving = workloads.iter().filter(|one| one.phase == "serving").count();
            let converged = proxies.iter().filter(|proxy| proxy.converged).count();
            let all = self.instances.len();
            let proxies = all + self.gateways.len();
            looks = if serving >= all && converged >= proxies { looks + 1 } else { 0 };
            if Instant::now() > deadline {
                bail!(
                    "of {all} sidecars, only {serving} are registered and {converged} have acknowledged"
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Stops everything: first the gateways, then the sidecars, which say good-bye and let requests finish, then the
    /// services, which then have none, then the control plane.
    pub(crate) async fn stop(&mut self) {
        stop_all(&mut self.doors).await;
        stop_all(&mut self.sidecars).await;
        stop_all(&mut self.services).await;
        stop_all(self.control_plane.as_mut_slice()).await;
    }

    /// Ends everything at once.
    pub(crate) async fn kill(&mut self) {
        let control_plane = self.control_plane.as_mut_slice();
        let proxies = self.doors.iter_mut().chain(&mut self.sidecars);
        for process in proxies.chain(&mut self.services).chain(control_plane) {
            process.wait_or_kill(Duration::ZERO).await;
        }
    }

    pub(crate) fn all_have_ended(&self) -> bool {
        self.sidecars.iter().chain(&self.services).all(Process::has_ended)
    }
}

/// Threads of each sidecar: a machine's worth for all of them together.
fn workers(sidecars: usize) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores / sidecars.max(1)).unwrap_or(1).max(1)
}

fn progress(begun: Instant, what: &str) {
    println!("{:>6} ms  {what}", begun.elapsed().as_millis());
}

fn refuse_refusals(proxies: &[api::Proxy]) -> anyhow::Result<()> {
    for proxy in proxies {
        for kind in &proxy.types {
            if let Some(refused) = &kind.refused {
                let resources = refused.resources.join(", ");
                bail!("{} refused {} {resources}: {}", proxy.node, kind.r#type, refused.reason);
            }
        }
    }
    Ok(())
}

async fn stop_all(processes: &mut [Process]) {
    for process in processes.iter() {
        process.terminate();
    }
    let deadline = Instant::now() + STOP_PATIENCE;
    for process in processes {
        process.wait_or_kill(deadline.saturating_duration_since(Instant::now())).await;
    }
}

async fn until_answers(process: &Process, address: SocketAddr, path: &str) -> anyhow::Result<()> {
    until(process, &format!("answer http://{address}{path}"), async || {
        fetch::get(address, path).await.is_ok()
    })
    .await
}

async fn until_listens(process: &Process, address: SocketAddr) -> anyhow::Result<()> {
    until(process, &format!("listen on {address}"), async || {
        TcpStream::connect(address).await.is_ok()
    })
    .await
}

/// Looks again and again: it is another process, and of the user's choosing. Its death is reported
/// by whoever listens to the news.
async fn until(
    process: &Process,
    goal: &str,
    mut reached: impl AsyncFnMut() -> bool,
) -> anyhow::Result<()> {
    let looking = async {
        while !reached().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(START_PATIENCE, looking).await.with_context(|| {
        let lines = process.last_lines().join("\n  ");
        let seconds = START_PATIENCE.as_secs();
        format!("{} does not {goal} after {seconds} s; its last lines:\n  {lines}", process.name())
    })
}
