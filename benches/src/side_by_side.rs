//! The run: every row with every peer, in rounds, so that what disturbs the machine
//! disturbs all of them alike.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::load::{Backends, Engine, Load, Pace, Session};
use crate::machine;
use crate::peers::{Front, Peer, Programs, Setup, free_address};
use crate::process::{self, Process};
use crate::row::Row;

const START_LIMIT: Duration = Duration::from_secs(15);
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// How the run is done.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// How often every row is repeated with every peer.
    pub rounds: usize,
    /// Load before each measurement, in milliseconds.
    pub warm_up_ms: u64,
    /// Each measurement, in milliseconds.
    pub window_ms: u64,
    /// The core of the peer under test.
    pub proxy_core: usize,
    /// The core of client and backend.
    pub load_core: usize,
    /// Kept idle connections whose memory is measured after each start; 0 for none.
    pub idle_connections: usize,
}

/// What one peer did in one row of one round.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Row.
    pub row: &'static str,
    /// Peer.
    pub peer: &'static str,
    /// Round, from 0.
    pub round: usize,
    /// Requests per second, as many as 32 or 64 in flight get through.
    pub requests_per_second: f64,
    /// CPU time of the peer per request at that load, in µs.
    pub cpu_us: Option<f64>,
    /// How much of its core the peer used at that load, in percent.
    pub busy_percent: Option<f64>,
    /// CPU time that processes other than peer and load took on the two cores, in
    /// percent of one core, in the worse of the two windows: what disturbed the numbers.
    pub others_percent: f64,
    /// CPU time of the peer per request at the open-loop rate, in µs.
    pub paced_cpu_us: Option<f64>,
    /// Median latency at the open-loop rate, in µs.
    pub p50_us: f64,
    /// 99th percentile, in µs.
    pub p99_us: f64,
    /// 99.9th percentile, in µs.
    pub p999_us: f64,
    /// Resident memory after the first answer, in KiB.
    pub idle_kib: Option<u64>,
    /// Resident memory after the load, in KiB.
    pub loaded_kib: Option<u64>,
    /// Memory per kept idle connection, in bytes.
    pub idle_connection_bytes: Option<f64>,
    /// From the start of the process to its first answer, in ms.
    pub start_ms: Option<f64>,
    /// Requests that failed; the run ends when it is not 0.
    pub failed: u64,
}

/// Programs, engine and a folder for the peers' files.
pub struct Bench {
    engine: Engine,
    programs: Programs,
    plan: Plan,
    folder: PathBuf,
}

impl Bench {
    /// Prepares a run.
    pub fn new(programs: Programs, plan: Plan) -> Result<Self> {
        let name = format!("weft-benches-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).context("create a folder for the peers' files")?;
        Ok(Self { engine: Engine::new().context("start the backends")?, programs, plan, folder })
    }

    /// Runs all rounds; `on_sample` sees each sample as it is there.
    pub fn run(
        &mut self,
        rows: &[Row],
        peers: &[Peer],
        mut on_sample: impl FnMut(&Sample),
    ) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for round in 0..self.plan.rounds {
            for row in rows {
                // Nobody is always the first after the pause or the last.
                let start = round % peers.len().max(1);
                let (after, before) = peers.split_at(start);
                for peer in before.iter().chain(after) {
                    if peer.cannot(row.protocol()).is_some() {
                        continue;
                    }
                    let sample = self
                        .measure(row, *peer, round)
                        .with_context(|| format!("{} with {}", row.name, peer.name()))?;
                    on_sample(&sample);
                    samples.push(sample);
                }
            }
        }
        Ok(samples)
    }

    fn measure(&mut self, row: &Row, peer: Peer, round: usize) -> Result<Sample> {
        let idle_connection_bytes = self.idle_connections(row, peer)?;
        let mut process = None;
        let (load, start_ms) = if peer == Peer::Direct {
            let backends = self.backends(row)?;
            (row.load(Front::Backend(backends)), None)
        } else {
            let (started, load, took) = self.start(row, peer)?;
            process = Some(started);
            (load, Some(took.as_secs_f64() * 1e3))
        };
        let measured = self.measure_load(&load, row, process.as_ref());
        let (closed, paced, memory) = measured.with_context(|| {
            let words = process.as_ref().map(Process::words).unwrap_or_default();
            format!("last words of {}: {words}", peer.name())
        })?;
        Ok(Sample {
            row: row.name,
            peer: peer.name(),
            round,
            requests_per_second: closed.completed as f64 / closed.elapsed.as_secs_f64(),
            cpu_us: closed.cpu_us(),
            busy_percent: closed.busy_percent(),
            others_percent: closed.others_percent.max(paced.others_percent),
            paced_cpu_us: paced.cpu_us(),
            p50_us: paced.percentile_us(500),
            p99_us: paced.percentile_us(990),
            p999_us: paced.percentile_us(999),
            idle_kib: memory.idle,
            loaded_kib: memory.loaded,
            idle_connection_bytes,
            start_ms,
            failed: closed.failed + paced.failed,
        })
    }

    fn measure_load(
        &mut self,
        load: &Load,
        row: &Row,
        process: Option<&Process>,
    ) -> Result<(Window, Window, Memory)> {
        let resident = || process.map(Process::resident).transpose();
        let mut memory = Memory { idle: resident()?, ..Memory::default() };
        let window = Duration::from_millis(self.plan.window_ms);
        let warm_up = Duration::from_millis(self.plan.warm_up_ms);
        let before = self.engine.served();
        let closed = self.window(load, Pace::Closed, warm_up, window, process)?;
        let served = self.engine.served() - before;
        ensure!(
            served >= closed.completed,
            "{} answers of {served} requests that reached the backend",
            closed.completed
        );
        let pace = Pace::Open { per_second: row.rate };
        let paced = self.window(load, pace, warm_up / 2, window, process)?;
        memory.loaded = resident()?;
        Ok((closed, paced, memory))
    }

    /// Starts a peer and waits for its first answer.
    fn start(&mut self, row: &Row, peer: Peer) -> Result<(Process, Load, Duration)> {
        let setup = Setup {
            protocol: row.protocol(),
            front: free_address()?,
            admin: free_address()?,
            backends: self.backends(row)?,
            huge: row.body == Engine::HUGE,
        };
        let began = Instant::now();
        let core = self.plan.proxy_core;
        let mut process = self.programs.start(peer, &setup, core, &self.folder)?;
        let load = row.load(Front::Proxy(setup.front));
        let probe = Load { connections: 1, streams: 1, ..load };
        while let Err(error) = self.ask_once(&probe) {
            process.must_run()?;
            if began.elapsed() > START_LIMIT {
                let words = process.words();
                bail!("no answer after {START_LIMIT:?} ({error:#}): {words}");
            }
            thread::sleep(Duration::from_millis(1));
        }
        let took = began.elapsed();
        // What a process still does right after its start is not what it is when idle.
        thread::sleep(Duration::from_millis(200));
        Ok((process, load, took))
    }

    fn backends(&self, row: &Row) -> Result<Backends> {
        self.engine.backends(row.protocol()).context("no backends of that protocol")
    }

    fn ask_once(&mut self, probe: &Load) -> Result<()> {
        // Refused connections would only fill the session's count of failures.
        TcpStream::connect(probe.target)?;
        let mut session = Session::begin(&mut self.engine, *probe, Pace::Closed)?;
        Ok(session.drive_to(1, Duration::from_secs(1))?)
    }

    /// What an idle connection costs, in bytes, in a process of its own: neither shall
    /// these connections weigh on the load, nor may they reuse what the load has freed.
    fn idle_connections(&mut self, row: &Row, peer: Peer) -> Result<Option<f64>> {
        let count = self.plan.idle_connections;
        if count == 0 || peer == Peer::Direct || !row.has_idle_connections() {
            return Ok(None);
        }
        let (process, load, _) = self.start(row, peer)?;
        let before = process.resident()?;
        let load = Load { connections: count, streams: 1, ..load };
        // Paced, so that the connections are used in turn and few at a time: otherwise
        // this would measure as many requests at once.
        let pace = Pace::Open { per_second: 500 };
        let mut session = Session::begin(&mut self.engine, load, pace)?;
        session.drive_to(count as u64, START_LIMIT)?;
        session.settle(SETTLE_LIMIT)?;
        let grown = process.resident()?.saturating_sub(before);
        Ok(Some(grown as f64 * 1024.0 / count as f64))
    }

    fn window(
        &mut self,
        load: &Load,
        pace: Pace,
        warm_up: Duration,
        window: Duration,
        process: Option<&Process>,
    ) -> Result<Window> {
        let cpu = || process.map(Process::cpu).transpose();
        let mut session = Session::begin(&mut self.engine, *load, pace)?;
        session.drive(warm_up)?;
        session.mark();
        let cores = [self.plan.proxy_core, self.plan.load_core];
        let everybody = || machine::cpu_of_cores(&cores);
        let ours = || process::cpu(std::process::id());
        let (all_before, own_before) = (everybody()?, ours()?);
        let (before, began) = (cpu()?, Instant::now());
        session.drive(window)?;
        let (after, elapsed) = (cpu()?, began.elapsed());
        let own = ours()? - own_before;
        let all = everybody()? - all_before;
        let cpu = after.zip(before).map(|(after, before)| after - before);
        let others = all.saturating_sub(own + cpu.unwrap_or_default());
        let completed = session.tally().completed;
        if pace != Pace::Closed {
            session.settle(SETTLE_LIMIT)?;
        }
        let tally = session.tally().clone();
        if let Some(failure) = tally.first_failure {
            bail!("{} of {completed} requests failed: {failure}", tally.failed);
        }
        ensure!(completed > 0, "no request was answered");
        Ok(Window {
            completed,
            failed: tally.failed,
            elapsed,
            cpu,
            others_percent: others.as_secs_f64() * 100.0 / elapsed.as_secs_f64(),
            tally,
        })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Left-over files in the temporary folder are no reason to fail.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[derive(Default)]
struct Memory {
    idle: Option<u64>,
    loaded: Option<u64>,
}

struct Window {
    completed: u64,
    failed: u64,
    elapsed: Duration,
    cpu: Option<Duration>,
    others_percent: f64,
    tally: crate::load::Tally,
}

impl Window {
    fn cpu_us(&self) -> Option<f64> {
        let cpu = self.cpu?.as_secs_f64();
        Some(cpu * 1e6 / self.completed as f64)
    }

    fn busy_percent(&self) -> Option<f64> {
        let cpu = self.cpu?.as_secs_f64();
        Some(cpu * 100.0 / self.elapsed.as_secs_f64())
    }

    fn percentile_us(&self, per_mille: u64) -> f64 {
        let found = self.tally.latency.percentile(per_mille);
        found.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }
}
