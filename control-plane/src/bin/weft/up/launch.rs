//! The command lines of what is started.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use tokio::process::Command;
use weft_config::model::workload::Program;

use super::gateway::Gateway;
use super::plan::Instance;
use super::process::command;

/// How long a sidecar lets requests finish when the mesh is stopped, in seconds.
const DRAIN_SECONDS: &str = "2";

/// A command line of `weft` itself.
fn weft(arguments: &[&str]) -> anyhow::Result<Command> {
    let program: PathBuf = std::env::current_exe().context("cannot find our own executable")?;
    let mut command = command(program.as_os_str())?;
    command.args(arguments);
    Ok(command)
}

/// A control plane that keeps its documents in memory. They are applied later, through its API,
/// so that the user can go on changing them there.
pub(crate) fn control_plane(xds: SocketAddr, admin: SocketAddr) -> anyhow::Result<Command> {
    weft(&["control-plane", "--xds", &xds.to_string(), "--admin", &admin.to_string()])
}

/// The sidecar of `instance`.
pub(crate) fn sidecar(
    instance: &Instance,
    xds: SocketAddr,
    concurrency: u32,
) -> anyhow::Result<Command> {
    let ports = &instance.ports;
    let mut command = weft(&["proxy", "--control-plane", &format!("http://{xds}")])?;
    command
        .args(["--service", &instance.service, "--namespace", &instance.namespace])
        .args(["--instance", &instance.name])
        .args(["--port", &ports.app.address.port().to_string()])
        .args(["--inbound", &ports.inbound.address.to_string()])
        .args(["--outbound", &ports.outbound.address.to_string()])
        .args(["--admin", &ports.admin.address.to_string()])
        .args(["--concurrency", &concurrency.to_string()])
        .args(["--drain-time-s", DRAIN_SECONDS])
        // The next mesh has other ports.
        .arg("--no-last-known-good");
    for (key, value) in &instance.labels {
        command.args(["--label", &format!("{key}={value}")]);
    }
    Ok(command)
}

/// The proxy of a Gateway.
pub(crate) fn gateway(
    gateway: &Gateway,
    xds: SocketAddr,
    concurrency: u32,
) -> anyhow::Result<Command> {
    let mut command = weft(&["proxy", "--control-plane", &format!("http://{xds}")])?;
    command
        .args(["--gateway", &gateway.key.name, "--namespace", &gateway.key.namespace])
        .args(["--admin", &gateway.admin.address.to_string()])
        .args(["--concurrency", &concurrency.to_string()])
        .args(["--drain-time-s", DRAIN_SECONDS]);
    Ok(command)
}

/// The service of `instance`. It is told its port and its sidecar's outbound address.
pub(crate) fn service(instance: &Instance) -> anyhow::Result<Command> {
    let mut command = match &instance.program {
        Program::Sample(sample) => weft(&["sample", sample.as_str()])?,
        Program::Command(words) => {
            let (program, arguments) =
                words.split_first().context("a command without a program")?;
            let mut command = command(OsStr::new(program))?;
            command.args(arguments.iter().map(OsString::from));
            command
        }
    };
    let outbound = instance.ports.outbound.address;
    command
        .env("PORT", instance.ports.app.address.port().to_string())
        .env("WEFT_OUTBOUND", outbound.to_string())
        .env("WEFT_INSTANCE", &instance.name)
        .env("HTTP_PROXY", format!("http://{outbound}"))
        .env("http_proxy", format!("http://{outbound}"));
    if let Some(version) = instance.labels.get("version") {
        command.env("WEFT_SAMPLE_VERSION", version);
    }
    // Last, so that what the file says wins.
    command.envs(&instance.env);
    Ok(command)
}
