//! The table of runs, and the targets.

use std::fmt::Write as _;

use super::run::Outcome;

/// Endpoint change → last proxy, 99th percentile, with 5,000 proxies.
pub const MOST_LAST_ACK_MS: f64 = 1000.0;
/// What a proxy may add to the control plane's memory.
pub const MOST_PER_PROXY_KB: f64 = 100.0;

/// The runs as Markdown.
pub fn markdown(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| proxies | ADS | Services × endpoints | last ACK p50 ms | p99 ms | max ms | any ACK p50 ms \
         | CPU ms/change | join s | join CPU µs/proxy | idle CPU % | empty MiB | at rest MiB | peak MiB \
         | KB/proxy | KB/registration |\n\
         |---:|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for outcome in outcomes {
        let plan = &outcome.plan;
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "| {} | {:?} | {} × {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} | {:.0} | {:.1} | {:.1} \
             | {:.1} | {:.1} | {:.1} | {:.1} |",
            plan.proxies,
            plan.variant,
            plan.services,
            plan.endpoints,
            outcome.last_ack_ms.p50,
            outcome.last_ack_ms.p99,
            outcome.last_ack_ms.max,
            outcome.any_ack_ms.p50,
            outcome.change_cpu_ms,
            outcome.join_ms / 1e3,
            outcome.join_cpu_us,
            outcome.idle_cpu_percent,
            outcome.empty_mib,
            outcome.resident_mib,
            outcome.peak_mib,
            outcome.per_proxy_kb,
            outcome.per_workload_kb,
        );
    }
    text
}

/// Every target that was missed, in words.
pub fn misses(outcomes: &[Outcome]) -> Vec<String> {
    let mut misses = Vec::new();
    for outcome in outcomes {
        let (plan, p99, kb) = (&outcome.plan, outcome.last_ack_ms.p99, outcome.per_proxy_kb);
        let who = format!("{} proxies, {:?}", plan.proxies, plan.variant);
        if p99 > MOST_LAST_ACK_MS {
            misses.push(format!("{who}: last ACK p99 {p99:.0} ms, at most {MOST_LAST_ACK_MS:.0}"));
        }
        if kb > MOST_PER_PROXY_KB {
            misses.push(format!("{who}: {kb:.1} KB per proxy, at most {MOST_PER_PROXY_KB:.0}"));
        }
    }
    misses
}
