//! Feeds mutated input to everything of Weft that reads foreign bytes: see `tests/fuzz/README.md`.

mod child;
mod mutate;
mod novelty;
mod shrink;
mod supervise;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;

use crate::targets::Target;

/// Mutate inputs for some seconds per target, and keep what makes it fail.
///
/// Exit status: 0 nothing failed, 1 something did, 2 wrong usage.
#[derive(Debug, Parser)]
struct Settings {
    /// Targets to run; all of them if absent.
    targets: Vec<String>,

    /// Print the targets.
    #[arg(long)]
    list: bool,

    /// Seconds for each target.
    #[arg(long, default_value_t = 3, value_name = "S")]
    seconds: u64,

    /// Where the mutations begin; drawn and printed if absent.
    #[arg(long)]
    seed: Option<u64>,

    /// Run this one input and nothing else.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,

    /// Make the input of --replay smaller as long as it still fails.
    #[arg(long, requires = "replay")]
    shrink: bool,

    /// Folder of the corpora, one folder per target.
    #[arg(long, default_value = "tests/fuzz/corpus", value_name = "DIR")]
    corpus: PathBuf,

    /// Where failing inputs go.
    #[arg(long, default_value = ".cache/fuzz", value_name = "DIR")]
    out: PathBuf,

    /// The weft-proxy program, for targets that speak to one.
    #[arg(long, default_value = "target/debug/weft-proxy", value_name = "PATH")]
    weft: PathBuf,

    /// Mutate in this very process: how the program calls itself.
    #[arg(long, hide = true)]
    child: bool,
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    match run(&settings) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("weft-fuzz: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(settings: &Settings) -> Result<bool> {
    let targets = chosen(&settings.targets)?;
    if settings.list {
        for target in targets {
            println!("{:15} {}", target.name, target.about);
        }
        return Ok(true);
    }
    let time = Duration::from_secs(settings.seconds);
    match (targets.as_slice(), &settings.replay) {
        ([target], Some(file)) if settings.child => child::replay(target, file, settings),
        ([target], None) if settings.child => child::mutate(target, time, settings),
        ([target], Some(file)) if settings.shrink => shrink::shrink(target, file, settings),
        ([target], Some(file)) => supervise::replay(target, file, settings),
        (_, Some(_)) => bail!("--replay needs the one target that the input is for"),
        (many, None) => supervise::all(many, settings),
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>> {
    let all = targets::ALL;
    if matches!(names, [name] if name == targets::TRAP.name) {
        return Ok(vec![&targets::TRAP]);
    }
    for name in names {
        if !all.iter().any(|target| target.name == name) {
            let known: Vec<_> = all.iter().map(|target| target.name).collect();
            bail!("no target {name:?}; there are {}", known.join(", "));
        }
    }
    let wanted = |target: &&Target| names.is_empty() || names.iter().any(|n| n == target.name);
    Ok(all.iter().filter(wanted).collect())
}
