//! The control plane under thousands of proxies: see `benches/README.md`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use serde::Serialize;
use weft_benches::machine::Machine;
use weft_benches::scale::{Outcome, Plan, Variant, report, run};

/// Measure how fast endpoint changes reach simulated proxies, and what they cost.
///
/// Exit status: 0 measured, 1 the run failed, 2 wrong usage, 3 targets missed (with --check).
#[derive(Debug, Parser)]
struct Settings {
    /// How many proxies; one run for each number.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 5000])]
    proxies: Vec<usize>,

    /// The variants of ADS; one run for each.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Variant::Delta, Variant::Sotw])]
    variants: Vec<Variant>,

    /// Services in the mesh.
    #[arg(long, default_value_t = 500)]
    services: usize,

    /// Workloads registered for each.
    #[arg(long, default_value_t = 10)]
    endpoints: usize,

    /// Endpoint changes in a run.
    #[arg(long, default_value_t = 100)]
    changes: usize,

    /// Core of the control plane.
    #[arg(long, default_value_t = 0, value_name = "CORE")]
    server_core: usize,

    /// Core of the simulated proxies.
    #[arg(long, default_value_t = 1, value_name = "CORE")]
    client_core: usize,

    /// Write everything measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Exit with 3 when a target is missed.
    #[arg(long)]
    check: bool,

    /// The control plane's program.
    #[arg(long, default_value = "target/release/weft-control-plane", value_name = "PATH")]
    control_plane: PathBuf,
}

#[derive(Serialize)]
struct Report {
    date: String,
    machine: Machine,
    outcomes: Vec<Outcome>,
}

fn main() -> ExitCode {
    match measure(&Settings::parse()) {
        Ok(missed) => ExitCode::from(if missed { 3 } else { 0 }),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether a target was missed that was to be checked.
fn measure(settings: &Settings) -> Result<bool> {
    let machine = Machine::here()?;
    let mut outcomes = Vec::new();
    for &variant in &settings.variants {
        for &proxies in &settings.proxies {
            let plan = Plan {
                control_plane: settings.control_plane.clone(),
                proxies,
                services: settings.services,
                endpoints: settings.endpoints,
                variant,
                changes: settings.changes,
                server_core: settings.server_core,
                client_core: settings.client_core,
            };
            eprintln!("{proxies} proxies, {variant:?} …");
            outcomes.push(run(&plan).with_context(|| format!("{proxies} proxies, {variant:?}"))?);
        }
    }
    let missed = report::misses(&outcomes);
    println!(
        "{} · {}, {} cores · load average {:.2} at the start\n\n{}",
        jiff::Timestamp::now(),
        machine.cpu,
        machine.cores,
        machine.load_average,
        report::markdown(&outcomes)
    );
    for miss in &missed {
        println!("missed: {miss}");
    }
    if let Some(path) = &settings.json {
        let report = Report { date: jiff::Timestamp::now().to_string(), machine, outcomes };
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(settings.check && !missed.is_empty())
}
