//! `weft up`: a whole mesh on this machine, from one file.

mod check;
mod gateway;
mod launch;
mod local;
mod plan;
mod ports;
mod process;
mod screen;
mod split;
mod stats;
mod traffic;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;
use weft_config::{Mesh, Source};
use weft_proxy::files;

use crate::exit::Failure;
use crate::table::Table;
use local::Local;
use plan::Instance;
use process::{Death, News};
use screen::Screen;
use traffic::{Target, Traffic};

/// Runs a whole mesh on this machine: a control plane, and every Workload of FILE with a sidecar
/// of its own. Ctrl-C drains it and leaves nothing behind.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft up config/examples/shop.yaml
  weft up config/examples/shop.yaml --check
  weft up mine.yaml --traffic 0 --logs")]
pub(crate) struct Up {
    /// A file, or a folder of files, of mesh documents.
    file: PathBuf,
    /// Send a bounded number of requests through the mesh, verify what became of them, and exit
    /// with 0 or 1.
    #[arg(long)]
    check: bool,
    /// How many requests --check sends.
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: u32,
    /// Requests a second to send, so that there is something to see. 0 sends none.
    #[arg(long, value_name = "RPS", default_value_t = 20.0, value_parser = rate)]
    traffic: f64,
    /// The service that the requests are for [default: `storefront`, or the first Workload's].
    #[arg(long, value_name = "SERVICE")]
    to: Option<String>,
    /// The path that the requests are for.
    #[arg(long, default_value = "/")]
    path: String,
    /// Print what the processes write.
    #[arg(long)]
    logs: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=10_000.0).contains(&rate) => Ok(rate),
        _ => Err("give a number from 0 to 10000".to_owned()),
    }
}

/// When the first table is shown: there is something in it by then.
const FIRST_TABLE: Duration = Duration::from_secs(1);

/// How a run of `weft up` may end without an error.
enum End {
    Asked,
    Checked(bool),
}

impl Up {
    /// To be run on the main thread: the children are tied to the thread that starts them.
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let sources = files::read(std::slice::from_ref(&self.file))
            .map_err(|error| Failure::No(error.to_string()))?;
        let mesh = Mesh::parse(&sources).map_err(|problems| Failure::No(problems.to_string()))?;
        let instances =
            plan::instances(&mesh).map_err(|error| Failure::No(format!("error: {error:#}")))?;
        if instances.is_empty() {
            let text = format!(
                "{}: there is no Workload in it\n  hint: Workloads say what to run; config/examples/shop.yaml has some",
                self.file.display()
            );
            return Err(Failure::No(text));
        }
        self.run_mesh(&mesh, sources, instances)
            .await
            .map_err(|error| Failure::No(format!("error: {error:#}")))
    }

    async fn run_mesh(
        &self,
        mesh: &Mesh,
        documents: Vec<Source>,
        instances: Vec<Instance>,
    ) -> anyhow::Result<ExitCode> {
        let target = self.target(&instances)?;
        let (deaths, mut dead) = mpsc::unbounded_channel();
        let gateways = gateway::gateways(mesh)?;
        let mut local = Local::new(instances, gateways, News { deaths, print_logs: self.logs })?;
        let mut signals = Signals::new()?;
        let end = tokio::select! {
            end = self.go(mesh, documents, &mut local, &target, &mut dead) => end,
            () = signals.asked_to_stop() => Ok(End::Asked),
        };
        if let Err(error) = &end {
            eprintln!("error: {error:#}");
        }
        println!("stopping: sidecars drain first");
        let stopped = tokio::select! {
            () = local.stop() => true,
            () = signals.asked_to_stop() => false,
        };
        if !stopped {
            local.kill().await;
        }
        println!("stopped; nothing is left running");
        Ok(match end {
            Ok(End::Asked | End::Checked(true)) => ExitCode::SUCCESS,
            Ok(End::Checked(false)) | Err(_) => ExitCode::FAILURE,
        })
    }

    async fn go(
        &self,
        mesh: &Mesh,
        documents: Vec<Source>,
        local: &mut Local,
        target: &Target,
        dead: &mut mpsc::UnboundedReceiver<Death>,
    ) -> anyhow::Result<End> {
        tokio::select! {
            started = local.start(documents) => started?,
            Some(death) = dead.recv() => bail!("{}", obituary(&death)),
        }
        print!("\n{}\n", what_runs_where(local));
        if self.check {
            return tokio::select! {
                verdict = check::run(mesh, local, target, self.requests) => verdict.map(End::Checked),
                Some(death) = dead.recv() => Err(anyhow!("{}", obituary(&death))),
            };
        }
        println!("{}", what_to_try(local, target, &self.file));
        self.watch(local, target, dead).await
    }

    /// Shows the traffic until everything that ran is dead.
    async fn watch(
        &self,
        local: &Local,
        target: &Target,
        dead: &mut mpsc::UnboundedReceiver<Death>,
    ) -> anyhow::Result<End> {
        let traffic = (self.traffic > 0.0).then(|| Traffic::start(target.clone(), self.traffic));
        let mut screen = Screen::new();
        let mut beat = tokio::time::interval_at(Instant::now() + FIRST_TABLE, screen.interval());
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    screen.refresh(&local.instances, traffic.as_ref().map(Traffic::take)).await;
                }
                Some(death) = dead.recv() => {
                    screen.leave();
                    eprintln!("{}", obituary(&death));
                    if local.all_have_ended() {
                        bail!("nothing runs any more");
                    }
                }
            }
        }
    }

    /// Requests enter the mesh as calls of the service's first instance do: by its sidecar.
    fn target(&self, instances: &[Instance]) -> anyhow::Result<Target> {
        let wanted = self.to.as_deref();
        let instance = match wanted {
            Some(wanted) => {
                instances.iter().find(|one| one.service == wanted || one.host() == wanted)
            }
            None => instances.iter().find(|one| one.service == "storefront").or(instances.first()),
        };
        let instance = instance.with_context(|| {
            format!("no Workload runs the service {:?}", wanted.unwrap_or_default())
        })?;
        Ok(Target {
            outbound: instance.ports.outbound.address,
            service: instance.host(),
            path: self.path.clone(),
        })
    }
}

/// What a user, or a supervisor, stops programs with.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn asked_to_stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

fn obituary(death: &Death) -> String {
    let mut text = format!("{} {}", death.name, death.status);
    if death.last_lines.is_empty() {
        text.push_str(" and wrote nothing");
    } else {
        text.push_str("; its last lines:");
        for line in &death.last_lines {
            text.push_str("\n  ");
            text.push_str(line);
        }
    }
    text
}

fn what_runs_where(local: &Local) -> String {
    let mut table = Table::new([
        "RUNS",
        "SERVICE",
        "LABELS",
        "LISTENS ON",
        "INBOUND",
        "OUTBOUND",
        "SIDECAR ADMIN",
    ]);
    for instance in &local.instances {
        let labels: Vec<_> =
            instance.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let ports = &instance.ports;
        table.row([
            instance.name.clone(),
            instance.host(),
            labels.join(","),
            ports.app.address.to_string(),
            ports.inbound.address.to_string(),
            ports.outbound.address.to_string(),
            format!("http://{}/", ports.admin.address),
        ]);
    }
    let gateways: String = local
        .gateways
        .iter()
        .map(|one| {
            let at: Vec<String> = one.listens.iter().map(ToString::to_string).collect();
            let admin = one.admin.address;
            format!("{}: listens on {}, admin http://{admin}/\n", one.name(), at.join(", "))
        })
        .collect();
    format!(
        "control plane: xDS {}, admin http://{}/\n{gateways}\n{}",
        local.xds.address,
        local.admin.address,
        table.render()
    )
}

fn what_to_try(local: &Local, target: &Target, file: &Path) -> String {
    let Target { outbound, service, path } = target;
    let server = format!("--server http://{}", local.admin.address);
    // As the user called it: it need not be in the search path.
    let weft = std::env::args().next().unwrap_or_else(|| "weft".to_owned());
    let sidecar = local.instances.iter().find(|one| one.ports.outbound.address == *outbound);
    let clusters = sidecar
        .map(|one| format!("  curl http://{}/clusters\n", one.ports.admin.address))
        .unwrap_or_default();
    format!(
        "Try:\n  curl -H 'Host: {service}' http://{outbound}{path}\n{clusters}  {weft} status {server}\n  \
         {weft} explain request {server} --from {service} GET http://{service}{path}\n  \
         {weft} get {server}\n  {weft} apply {server} -f {}  # after changing it\nCtrl-C stops.\n",
        file.display(),
    )
}
