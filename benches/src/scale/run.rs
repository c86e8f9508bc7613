//! One run: proxies connect, endpoints change, and what it took.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use weft_proto::registry::Phase;

use super::plane::{ControlPlane, service_name};
use super::proxy::{Proxy, Variant};
use super::registrar::{Place, Registrar};
use super::swarm::{Peer, Role, Swarm};
use crate::load::Histogram;
use crate::machine::pin_self;

/// Registrations that share a connection, fewer than any server allows.
const PER_REGISTRAR: usize = 100;
const PATIENCE: Duration = Duration::from_secs(180);
/// How long memory and CPU are watched while nothing happens.
const REST: Duration = Duration::from_secs(2);

/// What to measure.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The program.
    pub control_plane: PathBuf,
    /// Simulated proxies, each with a connection of its own.
    pub proxies: usize,
    /// Services in the mesh.
    pub services: usize,
    /// Workloads registered for each.
    pub endpoints: usize,
    /// The variant of ADS.
    pub variant: Variant,
    /// Endpoint changes, one after the other.
    pub changes: usize,
    /// The core of the control plane.
    pub server_core: usize,
    /// The core of everybody else.
    pub client_core: usize,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What was measured.
    pub plan: Plan,
    /// From the first connection to the last proxy that has everything, in milliseconds.
    pub join_ms: f64,
    /// CPU of the control plane in that time, per proxy.
    pub join_cpu_us: f64,
    /// Endpoint change → last proxy has acknowledged it, in milliseconds.
    pub last_ack_ms: Quantiles,
    /// Endpoint change → any one proxy has acknowledged it, in milliseconds.
    pub any_ack_ms: Quantiles,
    /// CPU of the control plane for one change, in milliseconds.
    pub change_cpu_ms: f64,
    /// CPU of the control plane while nothing happens, in percent of a core.
    pub idle_cpu_percent: f64,
    /// Resident memory with all workloads and no proxy, in MiB.
    pub empty_mib: f64,
    /// Resident memory with all proxies, at rest, in MiB.
    pub resident_mib: f64,
    /// The most it ever was, in MiB.
    pub peak_mib: f64,
    /// What a proxy adds at rest, in KB (1,000 bytes).
    pub per_proxy_kb: f64,
    /// What a registration adds, in KB.
    pub per_workload_kb: f64,
}

/// Of a series of durations, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// Of a hundred, one is longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// Runs a control plane and plays everybody around it.
pub fn run(plan: &Plan) -> Result<Outcome> {
    pin_self(plan.client_core)?;
    let plane = ControlPlane::start(&plan.control_plane, plan.server_core, plan.services)?;
    let bare = plane.process.resident()?;
    let mut swarm = Swarm::new(plane.xds)?;
    let registrars = register(plan, &mut swarm)?;
    swarm_rests(&mut swarm)?;
    let empty = plane.process.resident()?;

    let (began, cpu) = (Instant::now(), plane.process.cpu_of_all_threads()?);
    join(plan, &mut swarm)?;
    let join_ms = began.elapsed().as_secs_f64() * 1e3;
    let join_cpu = plane.process.cpu_of_all_threads()? - cpu;

    swarm_rests(&mut swarm)?;
    let cpu = plane.process.cpu_of_all_threads()?;
    swarm_rests(&mut swarm)?;
    let idle = plane.process.cpu_of_all_threads()? - cpu;
    let resident = plane.process.resident()?;

    let cpu = plane.process.cpu_of_all_threads()?;
    let (last, any) = change(plan, &mut swarm, registrars)?;
    let change_cpu = plane.process.cpu_of_all_threads()? - cpu;

    let kb = |kib: u64, by: usize| to_f64(kib) * 1.024 / by.max(1) as f64;
    let changes = plan.changes.max(1) as f64;
    Ok(Outcome {
        plan: plan.clone(),
        join_ms,
        join_cpu_us: join_cpu.as_secs_f64() * 1e6 / plan.proxies.max(1) as f64,
        last_ack_ms: last.context("no change was made")?,
        any_ack_ms: any.context("no change was made")?,
        change_cpu_ms: change_cpu.as_secs_f64() * 1e3 / changes,
        idle_cpu_percent: idle.as_secs_f64() / REST.as_secs_f64() * 100.0,
        empty_mib: to_f64(empty) / 1024.0,
        resident_mib: to_f64(resident) / 1024.0,
        peak_mib: to_f64(plane.peak()?) / 1024.0,
        per_proxy_kb: kb(resident.saturating_sub(empty), plan.proxies),
        per_workload_kb: kb(empty.saturating_sub(bare), plan.services * plan.endpoints),
    })
}

/// Registers every workload. How many connections that took.
fn register(plan: &Plan, swarm: &mut Swarm) -> Result<usize> {
    let mut places = (0..plan.services)
        .flat_map(|service| (0..plan.endpoints).map(move |endpoint| Place { service, endpoint }));
    loop {
        let some: Vec<_> = places.by_ref().take(PER_REGISTRAR).collect();
        if some.is_empty() {
            break;
        }
        let mut first = Vec::new();
        let registrar = Registrar::start(some, &mut first)?;
        swarm.connect(Role::Registrar(registrar), &first)?;
    }
    swarm.until("registering", PATIENCE, |peers| {
        peers.iter().all(|peer| match &peer.role {
            Role::Registrar(registrar) => registrar.acknowledged >= registrar.len() as u64,
            Role::Proxy(_) => true,
        })
    })?;
    Ok(swarm.peers.len())
}

/// All proxies at once, as after a restart.
fn join(plan: &Plan, swarm: &mut Swarm) -> Result<()> {
    for number in 0..plan.proxies {
        let mut first = Vec::new();
        let service = service_name(number % plan.services.max(1));
        let proxy = Proxy::start(number, &service, plan.variant, &mut first)?;
        swarm.connect(Role::Proxy(proxy), &first)?;
        // The backlog of a listening socket is short.
        if number % 64 == 63 {
            swarm.turn(Duration::ZERO)?;
        }
    }
    let mut waiting_for = 0;
    swarm.until("joining", PATIENCE, |peers| {
        while let Some(peer) = peers.get(waiting_for) {
            match &peer.role {
                Role::Proxy(proxy) if !proxy.is_complete(plan.services) => return false,
                _ => waiting_for += 1,
            }
        }
        true
    })
}

/// Takes workloads away and brings them back, one change at a time.
fn change(
    plan: &Plan,
    swarm: &mut Swarm,
    registrars: usize,
) -> Result<(Option<Quantiles>, Option<Quantiles>)> {
    let (mut last, mut any) = (Series::default(), Series::default());
    let mut random = fastrand::Rng::with_seed(7);
    let mut away = None;
    for _ in 0..plan.changes {
        let (at, index, phase) = match away.take() {
            Some((at, index)) => (at, index, Phase::Serving),
            None => {
                let at = random.usize(..registrars);
                let index = random.usize(..registrations(swarm, at).max(1));
                away = Some((at, index));
                (at, index, Phase::Draining)
            }
        };
        let before: Vec<_> = proxies(&swarm.peers).map(|proxy| proxy.endpoint_updates).collect();
        let began = Instant::now();
        swarm.say(at, |role, out| match role {
            Role::Registrar(registrar) => registrar.tell(index, phase, out),
            Role::Proxy(_) => Ok(()),
        })?;
        swarm.until("a change", PATIENCE, |peers| {
            proxies(peers).zip(&before).all(|(proxy, before)| proxy.endpoint_updates > *before)
        })?;
        let acks = proxies(&swarm.peers).filter_map(|proxy| proxy.endpoints_at);
        let taken: Vec<_> = acks.map(|at| at.saturating_duration_since(began)).collect();
        last.record(taken.iter().copied().max().unwrap_or_default());
        taken.into_iter().for_each(|each| any.record(each));
        // Changes come apart from one another, and others' turns must be over.
        let next = Instant::now() + Duration::from_millis(50);
        while Instant::now() < next {
            swarm.turn(Duration::from_millis(10))?;
        }
    }
    Ok((last.quantiles(), any.quantiles()))
}

fn registrations(swarm: &Swarm, at: usize) -> usize {
    match swarm.peers.get(at).map(|peer| &peer.role) {
        Some(Role::Registrar(registrar)) => registrar.len(),
        _ => 0,
    }
}

fn proxies(peers: &[Peer]) -> impl Iterator<Item = &Proxy> {
    peers.iter().filter_map(|peer| match &peer.role {
        Role::Proxy(proxy) => Some(proxy),
        Role::Registrar(_) => None,
    })
}

fn swarm_rests(swarm: &mut Swarm) -> Result<()> {
    let until = Instant::now() + REST;
    while Instant::now() < until {
        swarm.turn(Duration::from_millis(50))?;
    }
    Ok(())
}

#[derive(Default)]
struct Series {
    histogram: Histogram,
    max: Duration,
}

impl Series {
    fn record(&mut self, each: Duration) {
        self.histogram.record(each);
        self.max = self.max.max(each);
    }

    fn quantiles(&self) -> Option<Quantiles> {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        Some(Quantiles {
            p50: ms(self.histogram.percentile(500)?),
            p99: ms(self.histogram.percentile(990)?),
            max: ms(self.max),
        })
    }
}

fn to_f64(kib: u64) -> f64 {
    // Exact up to petabytes.
    kib as f64
}
