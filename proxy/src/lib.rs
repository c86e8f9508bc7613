//! The proxy as a process: settings, threads, wiring and life cycle. The request path is in
//! `weft-http`; this crate feeds it tables and sockets, and takes it down again.
//!
//! ```text
//! control thread                                            worker threads
//!   bootstrap ─┐
//!   discovery ─┼─▶ plane: Compiler ─▶ Tables ══ publish ══▶ pin per request
//!   mesh file ─┘        └─▶ sockets ════════ accept ══════▶ serve
//!   admin, registration, signals
//! ```

mod bootstrap;
mod cli;
mod discovery;
mod events;
pub mod files;
mod health;
mod known_good;
mod logging;
mod overload;
mod overload_actions;
mod plane;
mod probe;
mod proxy;
mod registration;
mod resolution;
mod run;
mod runtime;
mod server;
mod sidecar;
mod sockets;
mod standalone;
mod verdicts;
mod workers;

use std::{ffi::OsString, process::ExitCode, time::Duration};

use clap::Parser as _;

pub use bootstrap::BootstrapError;
pub use sidecar::UrlError;
pub use standalone::MeshError;

use cli::{Cli, Command, Mode};

/// Runs `weft-proxy` with these arguments, the program's name first. Exit codes: 0 ended in order or
/// configuration fine, 1 cannot start, configuration wrong or not ready, 2 wrong usage.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match cli.command {
        Some(Command::Check(args)) => run::check(&args),
        Some(Command::Healthcheck(args)) => probe::ask(args.admin).map_err(Into::into),
        Some(Command::Wait(args)) => {
            let at_most = Duration::from_secs(args.timeout_s);
            probe::wait(args.probe.admin, at_most).map_err(Into::into)
        }
        Some(Command::Run(args)) => run_or_check(&args),
        None => run_or_check(&cli.run),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_or_check(args: &cli::RunArgs) -> anyhow::Result<()> {
    match args.mode {
        Mode::Serve => run::serve(args),
        Mode::Validate | Mode::InitOnly => run::check(args),
    }
}
