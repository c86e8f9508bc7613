//! A peer as a process pinned to one core, and what the kernel says it used.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A running process that ends when this is dropped, or when we end.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` on one core, its output going to a file.
    ///
    /// `setpriv` lets the kernel end it with us whatever happens to us; `taskset` pins
    /// it. Both replace themselves, so that the child is the program itself.
    pub fn start(program: &Path, arguments: &[String], core: usize, log: &Path) -> Result<Self> {
        let output = File::create(log).context("create the peer's log")?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "-c"])
            .arg(core.to_string())
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("share the peer's log")?)
            .stderr(output)
            .spawn()
            .context("run setpriv (package util-linux)")?;
        let log = log.to_owned();
        Ok(Self { child, log })
    }

    /// Fails with the process's own words once it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("ended with {status}:\n{}", self.words());
        }
        Ok(())
    }

    /// The last lines that the process wrote.
    pub fn words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(12);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    /// CPU time of all threads so far, user and system together.
    ///
    /// From `schedstat` of every thread, in nanoseconds. None of the peers ends threads
    /// or starts processes while it is measured; where the kernel keeps no `schedstat`,
    /// `stat` counts for the whole process in clock ticks.
    pub fn cpu(&self) -> Result<Duration> {
        cpu(self.child.id())
    }

    /// CPU time so far of a process whose threads come and go, in steps of 10 ms.
    pub fn cpu_of_all_threads(&self) -> Result<Duration> {
        ticks(&PathBuf::from(format!("/proc/{}/stat", self.child.id())))
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most memory that was ever resident, in KiB.
    pub fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(path)?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.with_context(|| format!("no {field} in the peer's status"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of a process: see [`Process::cpu`].
pub fn cpu(pid: u32) -> Result<Duration> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    match schedstat(&folder.join("task")) {
        Ok(time) => Ok(time),
        Err(_) => ticks(&folder.join("stat")),
    }
}

fn schedstat(tasks: &Path) -> io::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(tasks)? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split_whitespace().next();
        nanos += first
            .and_then(|number| number.parse::<u64>().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// `utime` and `stime` of `/proc/PID/stat`, fields 14 and 15. The second field, the
/// name in brackets, may hold spaces, so counting begins behind it.
fn ticks(stat: &Path) -> Result<Duration> {
    let text = fs::read_to_string(stat)?;
    let behind = text.rsplit_once(')').context("no name in stat")?.1;
    let ticks: u64 = behind
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap_or(0))
        .sum();
    // USER_HZ is 100 on every architecture that Linux knows but alpha and ia64.
    Ok(Duration::from_millis(ticks * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_accounts_agree_on_this_very_process() {
        let folder = Path::new("/proc/self");
        let precise = schedstat(&folder.join("task")).unwrap();
        let coarse = ticks(&folder.join("stat")).unwrap();
        assert!(precise > Duration::ZERO);
        // Threads that ended count in `stat` alone, so only one direction is sure.
        assert!(coarse + Duration::from_millis(50) >= precise);
    }
}
