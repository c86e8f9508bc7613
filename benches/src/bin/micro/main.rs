//! Micro benches: single steps of the proxy and the control plane, in nanoseconds and allocations.
//!
//! Each row is run in many rounds, each long enough for the clock but shorter than a time slice of
//! the scheduler, so that on a busy machine some of them run undisturbed: the table shows the
//! median and the fastest.

mod balancing;
mod configuration;
mod harness;
mod headers;
mod routing;
mod translation;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Parser;
use harness::{Bench, Row};
use serde::Serialize;
use weft_benches::machine::Machine;

/// Micro benches of single steps.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds of each row.
    #[arg(long, default_value_t = 51, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Milliseconds that a round takes at least.
    #[arg(long, default_value_t = 2)]
    round_ms: u64,
    /// Only rows whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Also write everything to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Fail when matching a route or picking an endpoint allocates, or matching takes much longer
    /// with more hosts or routes.
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    rows: Vec<Row>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut bench = Bench::new(arguments.rounds, arguments.round_ms, &arguments.only);
    println!("{}", Row::HEADING);
    routing::run(&mut bench)?;
    balancing::run(&mut bench)?;
    headers::run(&mut bench)?;
    configuration::run(&mut bench)?;
    translation::run(&mut bench)?;
    let report = Report { machine: Machine::here()?, rows: bench.into_rows() };
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    let faults = if arguments.check {
        [routing::faults(&report.rows), balancing::faults(&report.rows)].concat()
    } else {
        Vec::new()
    };
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}
