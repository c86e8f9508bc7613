//! `weft`: what people type.

mod bound;
mod client;
mod commands;
mod exit;
mod fetch;
mod output;
mod sample;
mod table;
mod up;
mod wire;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::Failure;

/// Weft: a small service mesh.
#[derive(Debug, Parser)]
#[command(name = "weft", version, after_help = exit::CODES)]
struct Weft {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Apply(commands::apply::Apply),
    Diff(commands::diff::Diff),
    Get(commands::get::Get),
    Delete(commands::delete::Delete),
    Validate(commands::validate::Validate),
    Status(commands::status::Status),
    Explain(commands::explain::Explain),
    Bootstrap(commands::bootstrap::Bootstrap),
    /// The data plane: the same as `weft-proxy`.
    #[command(disable_help_flag = true)]
    Proxy {
        /// As for `weft-proxy`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// The control plane: the same as `weft-control-plane`.
    #[command(disable_help_flag = true)]
    ControlPlane {
        /// As for `weft-control-plane`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Becomes a command that ends with the process PID.
    #[command(hide = true)]
    BoundTo(bound::BoundTo),
    /// A service of the sample shop.
    #[command(hide = true)]
    Sample(sample::Sample),
}

fn main() -> ExitCode {
    let Weft { command } = Weft::parse();
    let outcome = match command {
        Command::Proxy { arguments } => {
            return weft_proxy::main_with(named("weft proxy", arguments));
        }
        Command::ControlPlane { arguments } => {
            return weft_control_plane::cli::main_with(named("weft control-plane", arguments));
        }
        Command::BoundTo(bound) => {
            bound.run().map(|()| ExitCode::SUCCESS).map_err(Failure::Unreachable)
        }
        Command::Sample(sample) => {
            sample.run().map(|()| ExitCode::SUCCESS).map_err(Failure::Unreachable)
        }
        Command::Validate(validate) => validate.run().map(|()| ExitCode::SUCCESS),
        Command::Bootstrap(bootstrap) => bootstrap.run().map(|()| ExitCode::SUCCESS),
        Command::Diff(diff) => on_this_thread(async {
            diff.run().await.map(|same| if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }),
        Command::Explain(explain) => on_this_thread(async {
            explain.run().await.map(|yes| if yes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }),
        Command::Up(up) => on_this_thread(up.run()),
        Command::Apply(apply) => on_this_thread(done(apply.run())),
        Command::Get(get) => on_this_thread(done(get.run())),
        Command::Delete(delete) => on_this_thread(done(delete.run())),
        Command::Status(status) => on_this_thread(done(status.run())),
    };
    outcome.unwrap_or_else(|failure| failure.report())
}

/// The arguments of another program of ours, under the name that the user knows it by.
fn named(name: &str, arguments: Vec<OsString>) -> impl Iterator<Item = OsString> {
    std::iter::once(OsString::from(name)).chain(arguments)
}

async fn done(outcome: impl Future<Output = Result<(), Failure>>) -> Result<ExitCode, Failure> {
    outcome.await.map(|()| ExitCode::SUCCESS)
}

fn on_this_thread(
    work: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Unreachable(error.into()))?
        .block_on(work)
}
