//! `weft bound-to PID -- COMMAND …`: becomes COMMAND, which then ends with the process PID.
//!
//! What `weft up` starts must not outlive it, even when it is killed and can no longer clean up.
//! The kernel's parent-death signal does that, and it survives `exec`; so this is a step between
//! `fork` and the command proper, in a process that has only one thread.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// `weft bound-to …`
#[derive(Args, Debug)]
pub(crate) struct BoundTo {
    /// The process to end with.
    parent: i32,
    /// What to become.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl BoundTo {
    /// Returns only when the command cannot be started.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Some((program, arguments)) = self.command.split_first() else {
            bail!("no command was given");
        };
        set_parent_process_death_signal(Some(Signal::KILL))
            .context("cannot ask for the parent-death signal")?;
        // It may have died before we asked: then nobody would ever tell us.
        if getppid() != Pid::from_raw(self.parent) {
            bail!("process {} is gone", self.parent);
        }
        let error = Command::new(program).args(arguments).exec();
        Err(error).with_context(|| format!("cannot start {}", program.display()))
    }
}
