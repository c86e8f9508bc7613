//! The machine that the numbers belong to.

use std::fs;
use std::process::Command;
use std::time::Duration;

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
    /// TCP's congestion control: with large bodies it matters even on loopback.
    pub congestion_control: String,
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
        let congestion_control =
            fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo")?;
        let memory = memory.lines().find_map(|l| l.strip_prefix("MemTotal:"));
        let kib = memory.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: cpuinfo.lines().filter(|l| l.starts_with("processor")).count(),
            kernel: kernel.trim().to_owned(),
            congestion_control: congestion_control.trim().to_owned(),
            memory_mib: kib.unwrap_or(0) / 1024,
            load_average: load
                .split_whitespace()
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or(0.0),
        })
    }
}

/// CPU time that all processes together have used on some cores since the start.
///
/// From `/proc/stat`, in steps of 10 ms.
pub fn cpu_of_cores(cores: &[usize]) -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let names: Vec<_> = cores.iter().map(|core| format!("cpu{core}")).collect();
    let mut ticks = 0;
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        if !fields.next().is_some_and(|first| names.iter().any(|name| name == first)) {
            continue;
        }
        // user nice system idle iowait irq softirq steal guest guest_nice; the time
        // of guests is counted in user and nice already.
        let numbers: Vec<u64> = fields.take(8).flat_map(str::parse).collect();
        let idle: u64 = numbers.iter().skip(3).take(2).sum();
        ticks += numbers.iter().sum::<u64>() - idle;
    }
    Ok(Duration::from_millis(ticks * 10))
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
