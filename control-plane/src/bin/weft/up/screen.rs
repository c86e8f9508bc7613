//! The live table of traffic per service: redrawn in place on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::plan::Instance;
use super::stats::{self, Inbound};
use super::traffic::Seen;
use crate::table::Table;

/// Between two tables on a terminal, and elsewhere.
const LIVE: Duration = Duration::from_secs(1);
const PLAIN: Duration = Duration::from_secs(10);

/// What is shown, and what was counted when it was last shown.
pub(crate) struct Screen {
    terminal: bool,
    /// How many lines the table on the screen has.
    drawn: usize,
    last: Instant,
    counted: BTreeMap<String, Inbound>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { terminal, drawn: 0, last: Instant::now(), counted: BTreeMap::new() }
    }

    pub(crate) fn interval(&self) -> Duration {
        if self.terminal { LIVE } else { PLAIN }
    }

    /// Something else is about to be printed: the table is left standing above it.
    pub(crate) fn leave(&mut self) {
        self.drawn = 0;
    }

    /// Asks every sidecar and shows what happened since the last time.
    pub(crate) async fn refresh(&mut self, instances: &[Instance], seen: Option<Seen>) {
        let answers = instances.iter().map(|instance| stats::inbound(instance.ports.admin.address));
        let mut now = BTreeMap::new();
        for (instance, answer) in
            instances.iter().zip(futures_util::future::join_all(answers).await)
        {
            if let Ok(inbound) = answer {
                now.insert(instance.name.clone(), inbound);
            }
        }
        let elapsed = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        let mut table = Table::new(["SERVICE", "INSTANCES", "RPS", "SUCCESS", "P50 ms", "P99 ms"]);
        for (service, group) in by_service(instances) {
            table.row(self.service_row(service, &group, &now, elapsed));
        }
        let mut text = table.render();
        if let Some(seen) = seen {
            text.push_str(&caller_line(seen, elapsed));
        }
        self.counted = now;
        self.draw(&text);
    }

    fn service_row(
        &self,
        service: &str,
        group: &[&Instance],
        now: &BTreeMap<String, Inbound>,
        elapsed: f64,
    ) -> [String; 6] {
        let (mut requests, mut errors) = (0, 0);
        let (mut p50, mut p99) = (None, None);
        let mut reached = 0;
        for instance in group {
            let Some(inbound) = now.get(&instance.name) else { continue };
            let before = self.counted.get(&instance.name).copied().unwrap_or_default();
            reached += 1;
            requests += inbound.requests.saturating_sub(before.requests);
            errors += inbound.errors.saturating_sub(before.errors);
            p50 = slower(p50, inbound.p50);
            p99 = slower(p99, inbound.p99);
        }
        [
            service.to_owned(),
            format!("{reached}/{}", group.len()),
            format!("{:.1}", requests as f64 / elapsed),
            success(requests, errors),
            milliseconds(p50),
            milliseconds(p99),
        ]
    }

    fn draw(&mut self, text: &str) {
        let mut out = std::io::stdout().lock();
        if self.terminal {
            if self.drawn > 0 {
                // Up to where the table began, and clear what is below.
                let _ = write!(out, "\x1b[{}A\x1b[J", self.drawn);
            }
            self.drawn = text.lines().count();
        }
        let _ = out.write_all(text.as_bytes());
        if !self.terminal {
            let _ = out.write_all(b"\n");
        }
        let _ = out.flush();
    }
}

/// In the order of their first instance.
fn by_service(instances: &[Instance]) -> Vec<(&str, Vec<&Instance>)> {
    let mut groups: Vec<(&str, Vec<&Instance>)> = Vec::new();
    for instance in instances {
        match groups.iter_mut().find(|(service, _)| *service == instance.service) {
            Some((_, group)) => group.push(instance),
            None => groups.push((&instance.service, vec![instance])),
        }
    }
    groups
}

fn caller_line(mut seen: Seen, elapsed: f64) -> String {
    let requests = seen.requests();
    let mut line = format!(
        "caller: {:.1} rps, {} success, p50 {} ms, p99 {} ms",
        requests as f64 / elapsed,
        success(requests, seen.failures),
        milliseconds(seen.quantile(50)),
        milliseconds(seen.quantile(99)),
    );
    if let Some(failure) = seen.last_failure {
        // A line that wraps would be one more than is cleared next time.
        let failure: String = failure.lines().next().unwrap_or_default().chars().take(60).collect();
        line.push_str(&format!("\nlast failure: {failure}"));
    }
    line.push('\n');
    line
}

/// Quantiles cannot be added up, so a service is shown as slow as its slowest instance.
fn slower(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

fn success(requests: u64, errors: u64) -> String {
    if requests == 0 {
        return "-".to_owned();
    }
    // Rounded down: 100% is said only of a perfect record.
    let percent = (requests.saturating_sub(errors) as f64 / requests as f64 * 1e4).floor() / 1e2;
    format!("{percent}%")
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_perfect_record_is_a_hundred_percent() {
        assert_eq!(success(0, 0), "-");
        assert_eq!(success(20, 0), "100%");
        assert_eq!(success(1_000_000, 1), "99.99%");
        assert_eq!(success(2, 1), "50%");
    }
}
