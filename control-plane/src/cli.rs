//! The command line of `weft-control-plane`.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{ControlPlane, Settings};

/// The control plane of a Weft mesh: tells every proxy what to do, over xDS v3.
#[derive(Debug, Parser)]
#[command(
    name = "weft-control-plane",
    version,
    after_help = "\
Examples:
  weft-control-plane --mesh shop.yaml
  weft-control-plane --mesh mesh/ --store /var/lib/weft/mesh.db
  weft-control-plane --xds 10.0.0.5:15010 --log-level debug

Exit codes:
  0  stopped as asked
  1  could not start, or failed
  2  the command line is wrong"
)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    /// What to log: error, warn, info, debug, trace, or directives such as `info,weft_serve=debug`.
    #[arg(short, long, value_name = "LEVEL", env = "WEFT_LOG_LEVEL", default_value = "info")]
    log_level: EnvFilter,
}

/// Runs the control plane as `arguments` (the program's name first) say, until SIGTERM or SIGINT.
pub fn main_with<I>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = OsString>,
{
    let cli = Cli::try_parse_from(arguments).unwrap_or_else(|error| error.exit());
    let terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(cli.log_level)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .init();
    match run(cli.settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut plane = tokio::select! {
            plane = ControlPlane::start(settings) => plane?,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
            failed = plane.failure() => return Err(failed.into()),
        }
        plane.stop().await;
        Ok(())
    })
}
