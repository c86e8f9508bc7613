//! The machine that the numbers belong to.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Serialize;

/// What a reader must know to compare numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors that are online.
    pub cores: usize,
    /// Version and build of the kernel.
    pub kernel: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The load average of the last minute at the start: above 1 the numbers are noise.
    pub load_average: f64,
}

impl Machine {
    /// Looks at this machine.
    pub fn here() -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let model = |line: &str| line.strip_prefix("model name").map(str::to_owned);
        let cpu = cpuinfo.lines().find_map(model).unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let memory = fs::read_to_string("/proc/meminfo")?;
        let memory = memory.lines().find_map(|l| l.strip_prefix("MemTotal:"));
        let kib = memory.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: cpuinfo.lines().filter(|l| l.starts_with("processor")).count(),
            kernel: kernel.trim().to_owned(),
            memory_mib: kib.unwrap_or(0) / 1024,
            load_average: load
                .split_whitespace()
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or(0.0),
        })
    }
}

/// Keeps this process, with all its threads, on one core.
pub fn pin_self(core: usize) -> Result<()> {
    let output = Command::new("taskset")
        .args(["-a", "-c", "-p", &core.to_string()])
        .arg(std::process::id().to_string())
        .output()
        .context("run taskset (package util-linux)")?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("pin to core {core}, two cores are needed: {}", words.trim());
    }
    Ok(())
}
