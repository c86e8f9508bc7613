//! Medians over rounds, ratios within them, and the two ways to show them.

use std::fmt::Write;

use serde::Serialize;

use crate::machine::Machine;
use crate::peers::Peer;
use crate::row::Row;
use crate::side_by_side::{Plan, Sample};

/// A finished run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When it began, in UTC.
    pub date: String,
    /// Where.
    pub machine: Machine,
    /// The command line.
    pub command: String,
    /// Each peer's words about its version.
    pub versions: Vec<(&'static str, String)>,
    /// How it was done.
    pub plan: Plan,
    /// The rows.
    pub rows: Vec<Row>,
    /// Medians, one line per row and peer.
    pub lines: Vec<Line>,
    /// Weft against others, one per row.
    pub ratios: Vec<Ratio>,
    /// Weft's median resident memory before any load, in KiB.
    pub weft_idle_kib: Option<f64>,
    /// All that was measured.
    pub samples: Vec<Sample>,
}

/// The medians of one peer in one row; numbers are as in [`Sample`].
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of Sample")]
pub struct Line {
    pub row: &'static str,
    pub peer: &'static str,
    /// Why there are no numbers.
    pub not_applicable: Option<&'static str>,
    pub requests_per_second: Option<f64>,
    pub cpu_us: Option<f64>,
    pub busy_percent: Option<f64>,
    pub others_percent: Option<f64>,
    pub paced_cpu_us: Option<f64>,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    pub idle_kib: Option<f64>,
    pub loaded_kib: Option<f64>,
    pub idle_connection_bytes: Option<f64>,
    pub start_ms: Option<f64>,
}

/// CPU per request of Weft over that of another: the median of the rounds' ratios.
#[derive(Debug, Serialize)]
pub struct Ratio {
    /// Row.
    pub row: &'static str,
    /// At full load, over HAProxy.
    pub haproxy: Option<f64>,
    /// At full load, over Envoy.
    pub envoy: Option<f64>,
    /// At the open-loop rate, over HAProxy.
    pub paced_haproxy: Option<f64>,
    /// At the open-loop rate, over Envoy.
    pub paced_envoy: Option<f64>,
    /// Of Weft with all of resilience over Weft without, at full load.
    pub armed: Option<f64>,
    /// The same at the open-loop rate.
    pub paced_armed: Option<f64>,
}

/// The most that Weft's CPU per request may be of HAProxy's.
pub const MOST_OF_HAPROXY: f64 = 1.10;
/// The most that Weft's CPU per request may be of Envoy's.
pub const MOST_OF_ENVOY: f64 = 0.33;
/// The most that all of resilience may make of a request's CPU that needs none of it.
pub const MOST_OF_UNARMED: f64 = 1.05;
/// The most that Weft may hold when idle, in MiB.
pub const MOST_IDLE_MIB: f64 = 12.0;
/// The most that an idle connection may cost Weft, in KiB, those to upstreams included.
pub const MOST_IDLE_CONNECTION_KIB: f64 = 10.0;

/// The medians of all rows and peers.
pub fn lines(rows: &[Row], peers: &[Peer], samples: &[Sample]) -> Vec<Line> {
    let mut lines = Vec::new();
    for row in rows {
        for peer in peers {
            let middle = |of: fn(&Sample) -> Option<f64>| {
                let own = samples.iter().filter(|s| s.row == row.name && s.peer == peer.name());
                median(own.filter_map(of).collect())
            };
            lines.push(Line {
                row: row.name,
                peer: peer.name(),
                not_applicable: peer.cannot(row.protocol()),
                requests_per_second: middle(|s| Some(s.requests_per_second)),
                cpu_us: middle(|s| s.cpu_us),
                busy_percent: middle(|s| s.busy_percent),
                others_percent: middle(|s| Some(s.others_percent)),
                paced_cpu_us: middle(|s| s.paced_cpu_us),
                p50_us: middle(|s| Some(s.p50_us)),
                p99_us: middle(|s| Some(s.p99_us)),
                p999_us: middle(|s| Some(s.p999_us)),
                idle_kib: middle(|s| s.idle_kib.map(|kib| kib as f64)),
                loaded_kib: middle(|s| s.loaded_kib.map(|kib| kib as f64)),
                idle_connection_bytes: middle(|s| s.idle_connection_bytes),
                start_ms: middle(|s| s.start_ms),
            });
        }
    }
    lines
}

/// Weft over the others, row by row. Each ratio is taken within one round, where both
/// ran right after each other, and only then is the median taken.
pub fn ratios(rows: &[Row], samples: &[Sample]) -> Vec<Ratio> {
    let ratio = |row: &Row, one: Peer, other: Peer, of: fn(&Sample) -> Option<f64>| {
        let value = |peer: Peer, round: usize| {
            samples
                .iter()
                .find(|s| s.row == row.name && s.peer == peer.name() && s.round == round)
                .and_then(of)
        };
        let rounds = samples.iter().map(|s| s.round + 1).max().unwrap_or(0);
        let of_round = |round| Some(value(one, round)? / value(other, round)?);
        median((0..rounds).filter_map(of_round).collect())
    };
    let over = |row: &Row, other, of| ratio(row, Peer::Weft, other, of);
    let all = rows.iter().map(|row| Ratio {
        row: row.name,
        haproxy: over(row, Peer::Haproxy, |s| s.cpu_us),
        envoy: over(row, Peer::Envoy, |s| s.cpu_us),
        paced_haproxy: over(row, Peer::Haproxy, |s| s.paced_cpu_us),
        paced_envoy: over(row, Peer::Envoy, |s| s.paced_cpu_us),
        armed: ratio(row, Peer::Armed, Peer::Weft, |s| s.cpu_us),
        paced_armed: ratio(row, Peer::Armed, Peer::Weft, |s| s.paced_cpu_us),
    });
    all.collect()
}

/// Whether a ratio holds its target, to the two digits that both are given with.
fn within(value: f64, most: f64) -> bool {
    (value * 100.0).round() <= (most * 100.0).round()
}

/// The middle value, the mean of the two middle ones for an even count.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let high = *values.get(values.len() / 2)?;
    let low = *values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(low, high))
}

impl Report {
    /// Everything a reader needs, as Markdown that is also readable as it is.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let machine = &self.machine;
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{} · {}, {} cores, {} MiB · Linux {}, {} · load average {:.2} at the start",
            self.date,
            machine.cpu,
            machine.cores,
            machine.memory_mib,
            machine.kernel,
            machine.congestion_control,
            machine.load_average
        );
        for (peer, version) in &self.versions {
            let _ = writeln!(text, "- {peer}: {version}");
        }
        let plan = &self.plan;
        let _ = writeln!(
            text,
            "- {} rounds, each {} ms after {} ms of warm-up; `{}`\n",
            plan.rounds, plan.window_ms, plan.warm_up_ms, self.command
        );
        self.table(&mut text);
        self.verdict(&mut text);
        text
    }

    fn table(&self, text: &mut String) {
        text.push_str(
            "| row | peer | req/s | CPU µs/req | busy % | others % | paced CPU µs/req | p50 µs | p99 µs \
             | p99.9 µs | idle MiB | loaded MiB | start ms |\n\
             |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        for line in &self.lines {
            let _ = write!(text, "| {:11} | {:7} |", line.row, line.peer);
            if let Some(reason) = line.not_applicable {
                let _ = writeln!(text, " n/a: {reason} |||||||||||");
                continue;
            }
            let mib = |kib: Option<f64>| kib.map(|kib| kib / 1024.0);
            let cells = [
                (line.requests_per_second, 0),
                (line.cpu_us, 2),
                (line.busy_percent, 0),
                (line.others_percent, 0),
                (line.paced_cpu_us, 2),
                (line.p50_us, 0),
                (line.p99_us, 0),
                (line.p999_us, 0),
                (mib(line.idle_kib), 1),
                (mib(line.loaded_kib), 1),
                (line.start_ms, 0),
            ];
            for (value, digits) in cells {
                match value {
                    Some(value) => _ = write!(text, " {value:7.digits$} |"),
                    None => text.push_str("       – |"),
                }
            }
            text.push('\n');
        }
        self.idle_connections(text);
    }

    /// What idle connections cost, where that was measured.
    fn idle_connections(&self, text: &mut String) {
        let mut title = "\n| KiB per idle connection | |\n|---|---|\n";
        for row in &self.rows {
            let own = self.lines.iter().filter(|line| line.row == row.name);
            let costs: Vec<_> = own
                .filter_map(|line| {
                    let kib = line.idle_connection_bytes? / 1024.0;
                    let ours = line.peer == Peer::Weft.name();
                    let missed = ours && kib > MOST_IDLE_CONNECTION_KIB;
                    let verdict = match (ours, missed) {
                        (false, _) => String::new(),
                        (true, false) => format!(" (≤ {MOST_IDLE_CONNECTION_KIB:.0})"),
                        (true, true) => format!(" (≤ {MOST_IDLE_CONNECTION_KIB:.0}, **missed**)"),
                    };
                    Some(format!("{} {kib:.1}{verdict}", line.peer))
                })
                .collect();
            if !costs.is_empty() {
                let (row, costs) = (row.name, costs.join(", "));
                let _ = writeln!(text, "{title}| {row} | {costs} |");
                title = "";
            }
        }
    }

    /// Weft against the targets; empty when it did not take part.
    fn verdict(&self, text: &mut String) {
        let Some(idle) = self.weft_idle_kib else {
            return;
        };
        let _ = writeln!(
            text,
            "\n| CPU per request, weft over | haproxy (≤ {MOST_OF_HAPROXY:.2}) | envoy (≤ {MOST_OF_ENVOY:.2}) \
             | haproxy, paced | envoy, paced |\n|---|---:|---:|---:|---:|"
        );
        let cell = |value: Option<f64>, most: f64| match value {
            None => "–".to_owned(),
            Some(value) if within(value, most) => format!("{value:.2}"),
            Some(value) => format!("**{value:.2}** missed"),
        };
        for ratio in &self.ratios {
            let _ = writeln!(
                text,
                "| {:11} | {} | {} | {} | {} |",
                ratio.row,
                cell(ratio.haproxy, MOST_OF_HAPROXY),
                cell(ratio.envoy, MOST_OF_ENVOY),
                cell(ratio.paced_haproxy, MOST_OF_HAPROXY),
                cell(ratio.paced_envoy, MOST_OF_ENVOY)
            );
        }
        self.resilience(text);
        let idle = idle / 1024.0;
        let missed = if idle > MOST_IDLE_MIB { ", missed" } else { "" };
        let _ = writeln!(text, "\nweft idle: {idle:.1} MiB (≤ {MOST_IDLE_MIB:.0}{missed})");
    }

    /// What resilience costs, where that was measured.
    fn resilience(&self, text: &mut String) {
        let mut title = "\n| CPU per request, armed over weft (≤ 1.05) | full load | paced |\n\
             |---|---:|---:|\n";
        for ratio in &self.ratios {
            if let (Some(full), Some(paced)) = (ratio.armed, ratio.paced_armed) {
                let _ = writeln!(text, "{title}| {:11} | {full:.3} | {paced:.3} |", ratio.row);
                title = "";
            }
        }
    }

    /// Every target that Weft missed, in words.
    pub fn misses(&self) -> Vec<String> {
        let mut misses = Vec::new();
        for ratio in &self.ratios {
            let pairs = [
                ("haproxy", ratio.haproxy, MOST_OF_HAPROXY),
                ("envoy", ratio.envoy, MOST_OF_ENVOY),
                ("haproxy, paced", ratio.paced_haproxy, MOST_OF_HAPROXY),
                ("envoy, paced", ratio.paced_envoy, MOST_OF_ENVOY),
                ("weft without resilience", ratio.armed, MOST_OF_UNARMED),
                ("weft without resilience, paced", ratio.paced_armed, MOST_OF_UNARMED),
            ];
            for (other, value, most) in pairs {
                if let Some(value) = value.filter(|value| !within(*value, most)) {
                    let row = ratio.row;
                    misses.push(format!("{row}: {value:.2} × {other}, at most {most:.2}"));
                }
            }
        }
        for line in self.lines.iter().filter(|line| line.peer == Peer::Weft.name()) {
            if let Some(kib) = line.idle_connection_bytes.map(|bytes| bytes / 1024.0)
                && kib > MOST_IDLE_CONNECTION_KIB
            {
                let row = line.row;
                let most = MOST_IDLE_CONNECTION_KIB;
                misses.push(format!("{row}: {kib:.1} KiB per idle connection, at most {most}"));
            }
        }
        if let Some(mib) = self.weft_idle_kib.map(|kib| kib / 1024.0)
            && mib > MOST_IDLE_MIB
        {
            misses.push(format!("idle: {mib:.1} MiB, at most {MOST_IDLE_MIB}"));
        }
        misses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn targets_are_held_to_two_digits() {
        assert!(within(1.104, MOST_OF_HAPROXY));
        assert!(!within(1.106, MOST_OF_HAPROXY));
        assert!(within(0.334, MOST_OF_ENVOY));
        assert!(!within(0.336, MOST_OF_ENVOY));
    }
}
