//! The life of the process: start, serve, drain, end.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, anyhow, bail};
use http::HeaderValue;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use weft_admin::{Admin, Command, ServerState};
use weft_compile::{ListenAddress, ResourceType, Update};
use weft_http::{Identity, Phase, WorkerOptions};
use weft_net::{Acceptor, raise_open_files};
use weft_proto::{pb::envoy::config::core::v3::Node, registry::WorkloadState};
use weft_telemetry::Stats;

use crate::{
    bootstrap::{Bootstrap, BootstrapError, Text, line_of},
    cli::{RunArgs, SidecarArgs},
    health::Check,
    known_good,
    logging::LogControl,
    overload::{self, Bounds},
    plane::Plane,
    proxy::{Facts, Proxy, report},
    registration::Registration,
    resolution,
    server::ServerAddress,
    sidecar, sockets, standalone, verdicts,
    workers::{self, Workers},
};

/// The listener through which the mesh reaches the application, by the name our control plane gives
/// it.
const INBOUND: &str = "inbound";
/// How long the control plane may take to acknowledge that a workload drains.
const DRAIN_NOTICE: Duration = Duration::from_secs(2);
/// New connections are taken for at least this long after the mesh was told: callers that have not
/// heard yet still come.
const DRAIN_AT_LEAST: Duration = Duration::from_secs(1);
/// How often a draining process looks whether anything is still under way.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// Connections get this long to end once all requests have been answered.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// How often an address that could not be bound is tried again.
const BIND_AGAIN: Duration = Duration::from_secs(1);

/// Everything that is needed to start, read and checked.
#[derive(Default)]
pub(crate) struct Start {
    bootstrap: Bootstrap,
    /// What the bootstrap was read from.
    texts: Vec<Text>,
    /// Resources of a mesh file, in order.
    updates: Vec<Update>,
    workload: Option<(ServerAddress, WorkloadState)>,
    warnings: Vec<String>,
}

impl Start {
    /// Reads what the flags point at.
    pub(crate) fn read(args: &RunArgs) -> anyhow::Result<Self> {
        let sidecar = &args.sidecar;
        let mut start = if let Some(url) = &sidecar.control_plane {
            let server = sidecar::server_of(url)?;
            let bootstrap = sidecar::bootstrap(sidecar, Some(server.clone()));
            let workload = Some(server).zip(sidecar::workload(sidecar));
            Self { bootstrap, workload, ..Self::default() }
        } else if sidecar.mesh.is_empty() {
            let (bootstrap, texts, warnings) = read_bootstrap(args)?;
            Self { bootstrap, texts, warnings, ..Self::default() }
        } else {
            let mesh = standalone::read(&sidecar.mesh)?;
            let bootstrap = sidecar::bootstrap(sidecar, None);
            let (updates, warnings) = standalone::updates(&mesh, &bootstrap.node)?;
            Self { bootstrap, updates, warnings, ..Self::default() }
        };
        start.override_node(args);
        start.warnings.extend(args.ignored.missed.warnings());
        Ok(start)
    }

    fn override_node(&mut self, args: &RunArgs) {
        let node = &mut self.bootstrap.node;
        if let Some(id) = &args.service_node {
            node.id.clone_from(id);
        }
        if let Some(cluster) = &args.service_cluster {
            node.cluster.clone_from(cluster);
        }
        if let Some(zone) = &args.service_zone {
            node.locality.get_or_insert_default().zone.clone_from(zone);
        }
        sidecar::introduce(node);
    }

    /// Compiles everything static into the plane and returns what is refused.
    fn compile(&self, plane: &mut Plane) -> Vec<String> {
        let fixed = [
            (ResourceType::Cluster, "clusters", "cluster", &self.bootstrap.clusters),
            (ResourceType::Listener, "listeners", "listener", &self.bootstrap.listeners),
        ];
        let mut refused = Vec::new();
        for (kind, list, noun, resources) in fixed {
            if resources.is_empty() {
                continue;
            }
            let update = Update::fixed(kind, resources.clone());
            for rejected in plane.apply(&update, SystemTime::now()).rejected {
                let at = format!("static_resources.{list}[{}]", rejected.index);
                for reason in rejected.reasons {
                    let dot = if reason.path.is_empty() { "" } else { "." };
                    let line = line_of(&format!("{at}{dot}{}", reason.path), &self.texts);
                    let colon = if dot.is_empty() { ": " } else { dot };
                    refused.push(format!("{line}{noun} {:?}: {at}{colon}{reason}", rejected.name));
                }
            }
        }
        for update in &self.updates {
            for rejected in plane.apply(update, SystemTime::now()).rejected {
                for reason in rejected.reasons {
                    let kind = update.resource_type.short_name();
                    refused.push(format!("{kind}/{}: {reason}", rejected.name));
                }
            }
        }
        refused
    }
}

fn read_bootstrap(args: &RunArgs) -> Result<(Bootstrap, Vec<Text>, Vec<String>), BootstrapError> {
    let mut texts = Vec::new();
    if let Some(path) = &args.config_path {
        let text = fs::read_to_string(path)
            .map_err(|source| BootstrapError::Unreadable { path: path.clone(), source })?;
        texts.push(Text { origin: path.display().to_string(), text });
    }
    if let Some(text) = &args.config_yaml {
        texts.push(Text { origin: "--config-yaml".to_owned(), text: text.clone() });
    }
    if texts.is_empty() {
        return Err(BootstrapError::Nothing);
    }
    let (bootstrap, warnings) = Bootstrap::parse(&texts)?;
    Ok((bootstrap, texts, warnings))
}

/// Checks everything that can be checked without serving, and prints what is wrong.
///
/// # Errors
/// When anything is.
pub(crate) fn check(args: &RunArgs) -> anyhow::Result<()> {
    let start = Start::read(args)?;
    for warning in &start.warnings {
        eprintln!("warning: {warning}");
    }
    let stats = Stats::new(Instant::now());
    let mut plane = start.bootstrap.place(Plane::new(Arc::clone(&stats), Workers::none()));
    let refused = start.compile(&mut plane);
    if !refused.is_empty() {
        bail!(refused.join("\n"));
    }
    println!("configuration OK");
    Ok(())
}

/// Runs until told to end.
pub(crate) fn serve(args: &RunArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let level = args.log_level.parse().map_err(|error| anyhow!("--log-level: {error}"))?;
    let log = LogControl::start(level, args.log_path.as_deref()).context("--log-path")?;
    let start = Start::read(args)?;
    for warning in &start.warnings {
        tracing::warn!("{warning}");
    }
    let concurrency = args
        .concurrency
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into))
        .max(1);
    let options = WorkerOptions {
        seed: 0,
        drain_time: Duration::from_secs(args.drain_time_s),
        host: Arc::new(workers::this_host()),
        identity: identity(&start.bootstrap.node),
        limits: Arc::new(start.bootstrap.limits.within(args.max_connections, raise_open_files())),
        claims: Arc::default(),
        overload: Arc::default(),
        most_lag: Some(Duration::from_millis(args.shed_lag_ms)).filter(|most| !most.is_zero()),
    };
    let workers =
        Workers::start(concurrency, &options, || fastrand::u64(..)).context("starting workers")?;
    let stats = Stats::new(started);
    stats.concurrency.set(concurrency as u64);
    let mut plane = start.bootstrap.place(Plane::new(Arc::clone(&stats), workers));
    let refused = start.compile(&mut plane);
    if !refused.is_empty() {
        bail!(refused.join("\n"));
    }
    let facts = Facts {
        bootstrap: start.bootstrap.encoded.clone(),
        loaded: SystemTime::now(),
        node: start.bootstrap.node.clone(),
        options: options_json(args, concurrency),
        log,
        outlier_log: start.bootstrap.outlier_log.clone(),
    };
    let (guarded, heap) = (Arc::clone(&stats), start.bootstrap.heap);
    let proxy = Proxy::new(plane, stats, started, facts);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the control runtime")?
        .block_on(async {
            let bounds = Bounds::new(args.shed_memory_mib, args.max_memory_mib).or_as_asked(heap);
            tokio::spawn(overload::follow(bounds, options.overload, guarded));
            live(args, start, proxy).await
        })
}

/// What upstreams are told of this proxy, where a connection manager asks for it.
fn identity(node: &Node) -> Identity {
    let value = |text: &str| HeaderValue::from_str(text).ok();
    Identity { cluster: value(&node.cluster), node: value(&node.id).filter(|id| !id.is_empty()) }
}

async fn live(args: &RunArgs, start: Start, proxy: Arc<Proxy>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (orders, mut commands) = mpsc::unbounded_channel();
    if let Some(address) = &start.bootstrap.admin {
        let listener = open_admin(address, args)?;
        let admin = Admin::new(proxy.clone(), orders, weft_admin::Settings::default());
        tokio::spawn(admin.serve(listener));
    }
    tokio::spawn(resolution::follow(Arc::clone(&proxy)));
    tokio::spawn(verdicts::follow(Arc::clone(&proxy)));
    // Listeners, static ones among them, open when the first configuration is complete.
    if proxy.subscribe(start.bootstrap.discovery, start.bootstrap.node) {
        if let Some(place) = known_good::place(args) {
            tokio::spawn(known_good::keep(Arc::clone(&proxy), place));
        }
        proxy.publish();
    } else {
        tokio::select! {
            () = proxy.until_warm() => proxy.open_now()?,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
    tokio::spawn(settle(Arc::clone(&proxy)));
    let check = health_check(&args.sidecar);
    let registering = start.workload.map(|(server, mut state)| {
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move {
            // Nobody is sent here before the inbound listener is open; only then is its port known
            // if the kernel was to choose it.
            proxy.until_live().await;
            if let Some(inbound) = proxy.address_of(INBOUND) {
                state.address = inbound.to_string();
            }
            Registration::start(proxy, server, state, check)
        })
    });
    let mut again = tokio::time::interval(BIND_AGAIN);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = again.tick() => {
                proxy.bind_again();
                proxy.show_age();
            }
            Some(command) = commands.recv() => match command {
                Command::Quit => break,
                Command::SetLogLevel(level) => proxy.facts.log.set(level),
                Command::DrainListeners { graceful } => {
                    proxy.advance(Phase::Draining);
                    if !graceful {
                        proxy.plane().close_listeners();
                    }
                }
            },
        }
    }
    let registration = match registering {
        Some(task) if task.is_finished() => task.await.ok(),
        Some(task) => {
            task.abort();
            None
        }
        None => None,
    };
    tokio::select! {
        () = end(&proxy, registration, Duration::from_secs(args.drain_time_s)) => {}
        // Who asks twice does not want to wait.
        _ = terminate.recv() => tracing::info!("ended without draining"),
        _ = interrupt.recv() => tracing::info!("ended without draining"),
    }
    Ok(())
}

/// Lets go of what only the start needed: most of a sidecar's memory is code, and most of its code
/// reads configurations.
async fn settle(proxy: Arc<Proxy>) {
    proxy.until_live().await;
    match weft_net::give_back_own_code() {
        Ok(bytes) => tracing::debug!(bytes, "unmapped the code that started this process"),
        Err(error) => tracing::debug!(%error, "the code that started this process stays mapped"),
    }
}

fn health_check(args: &SidecarArgs) -> Option<Check> {
    let (question, port) = (args.health.clone()?, args.port?);
    Some(Check { question, port, interval: Duration::from_millis(args.health_interval_ms) })
}

/// Leaves the mesh first, then finishes what is under way, then closes.
async fn end(proxy: &Proxy, registration: Option<Registration>, drain_time: Duration) {
    tracing::info!("draining");
    proxy.enter(ServerState::Draining);
    let mut registration = registration;
    if let Some(registration) = &mut registration {
        registration.drain(DRAIN_NOTICE).await;
    }
    proxy.advance(Phase::Draining);
    let began = Instant::now();
    loop {
        tokio::time::sleep(DRAIN_LOOK).await;
        let load = proxy.load().await;
        let quiet = load.connections == 0 || began.elapsed() >= DRAIN_AT_LEAST;
        if (load.busy == 0 && quiet) || began.elapsed() >= drain_time {
            break;
        }
    }
    proxy.plane().close_listeners();
    proxy.advance(Phase::Closing);
    let closing = Instant::now();
    while proxy.load().await.connections > 0 && closing.elapsed() < CLOSE_LIMIT {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
    drop(registration);
    tracing::info!("ended");
}

fn open_admin(wanted: &ListenAddress, args: &RunArgs) -> anyhow::Result<Acceptor> {
    let address = &wanted.address;
    let (listener, actual) = sockets::bind_one(wanted)
        .with_context(|| format!("cannot bind the admin address {address}"))?;
    tracing::info!(address = %actual, "admin");
    if let Some(path) = &args.admin_address_path {
        // Whoever waits for the file must never read half of it.
        let whole = path.with_extension("partial");
        fs::write(&whole, actual.to_string())
            .and_then(|()| fs::rename(&whole, path))
            .with_context(|| format!("--admin-address-path {}", path.display()))?;
    }
    Ok(listener)
}

impl Proxy {
    /// Opens static listeners. That one of them cannot be bound is a reason not to start.
    fn open_now(self: &Arc<Self>) -> anyhow::Result<()> {
        let failed = {
            let mut plane = self.plane();
            plane.open_listeners();
            plane.publish()
        };
        if !failed.is_empty() {
            let lines: Vec<_> = failed.iter().map(ToString::to_string).collect();
            bail!(lines.join("\n"));
        }
        self.publish();
        Ok(())
    }

    fn bind_again(&self) {
        let failed = self.plane().publish();
        report(&failed);
    }
}

fn options_json(args: &RunArgs, concurrency: usize) -> serde_json::Map<String, serde_json::Value> {
    let mut options = serde_json::Map::new();
    options.insert("concurrency".to_owned(), concurrency.into());
    if let Some(path) = &args.config_path {
        options.insert("config_path".to_owned(), path.display().to_string().into());
    }
    options.insert("log_level".to_owned(), args.log_level.clone().into());
    options.insert("drain_time".to_owned(), format!("{}s", args.drain_time_s).into());
    options
}
