//! Envoy's three ways of showing statistics: lines of text, JSON, and Prometheus.

use std::{collections::BTreeMap, fmt::Write as _, time::Instant};

use crate::{
    groups::CLASS_NAMES,
    histogram::HistogramSnapshot,
    registry::{Sample, Scope, Stats, Value},
};

/// Which metrics to show: gets the full dotted name, answers whether it is wanted.
pub type StatsFilter<'a> = dyn Fn(&str) -> bool + 'a;

/// Envoy's bucket bounds for durations in milliseconds.
const BOUNDS_MS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// Envoy's quantiles, in percent.
const QUANTILES: [f64; 10] = [0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 100.0];

/// `/stats`: `name: value` lines, sorted; histograms as `P0(..) P25(..) …` in milliseconds.
pub fn render_text(stats: &Stats, now: Instant, wanted: &StatsFilter<'_>) -> String {
    let mut scalars = Vec::new();
    let mut histograms = Vec::new();
    stats.visit(now, &mut |sample| {
        let name = dotted(&sample);
        if !wanted(&name) {
            return;
        }
        match sample.value {
            Value::Counter(value) | Value::Gauge(value) => {
                scalars.push(format!("{name}: {value}\n"));
            }
            Value::Histogram(histogram) => {
                histograms.push(format!("{name}: {}\n", quantile_line(&histogram.snapshot())));
            }
        }
    });
    scalars.sort_unstable();
    histograms.sort_unstable();
    scalars.into_iter().chain(histograms).collect()
}

/// `/stats?format=json`: `{"stats":[{"name":…,"value":…},…,{"histograms":{…}}]}` as Envoy prints
/// it, quantile values in milliseconds.
pub fn render_json(stats: &Stats, now: Instant, wanted: &StatsFilter<'_>) -> String {
    let mut out = String::from("{\"stats\":[");
    let mut histograms = String::new();
    stats.visit(now, &mut |sample| {
        let name = dotted(&sample);
        if !wanted(&name) {
            return;
        }
        match sample.value {
            Value::Counter(value) | Value::Gauge(value) => {
                let _ = write!(out, "{{\"name\":{},\"value\":{value}}},", json_string(&name));
            }
            Value::Histogram(histogram) => {
                if !histograms.is_empty() {
                    histograms.push(',');
                }
                let snapshot = histogram.snapshot();
                let _ = write!(
                    histograms,
                    "{{\"name\":{},\"count\":{},\"values\":[",
                    json_string(&name),
                    snapshot.count
                );
                for (at, percent) in QUANTILES.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    let value = quantile_ms(&snapshot, *percent);
                    let _ =
                        write!(histograms, "{comma}{{\"interval\":null,\"cumulative\":{value}}}");
                }
                histograms.push_str("]}");
            }
        }
    });
    let quantiles = QUANTILES.map(|q| q.to_string()).join(",");
    let _ = write!(
        out,
        "{{\"histograms\":{{\"supported_quantiles\":[{quantiles}],\"computed_quantiles\":[{histograms}]}}}}]}}"
    );
    out
}

/// `/stats/prometheus`: text exposition format 0.0.4 with Envoy's names and labels.
pub fn render_prometheus(stats: &Stats, now: Instant, wanted: &StatsFilter<'_>) -> String {
    // Samples of one metric must stand together, whichever scope they come from.
    let mut families: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
    stats.visit(now, &mut |sample| {
        if !wanted(&dotted(&sample)) {
            return;
        }
        let (family, labels) = family_and_labels(&sample);
        let kind = match sample.value {
            Value::Counter(_) => "counter",
            Value::Gauge(_) => "gauge",
            Value::Histogram(_) => "histogram",
        };
        let (_, lines) = families.entry(family.clone()).or_insert((kind, String::new()));
        match sample.value {
            Value::Counter(value) | Value::Gauge(value) => {
                let _ = writeln!(lines, "{family}{{{labels}}} {value}");
            }
            Value::Histogram(histogram) => {
                prometheus_histogram(lines, &family, &labels, &histogram.snapshot());
            }
        }
    });
    let mut out = String::new();
    for (family, (kind, lines)) in families {
        let _ = write!(out, "# TYPE {family} {kind}\n{lines}");
    }
    out
}

fn prometheus_histogram(
    out: &mut String,
    family: &str,
    labels: &str,
    snapshot: &HistogramSnapshot,
) {
    let comma = if labels.is_empty() { "" } else { "," };
    for bound in BOUNDS_MS {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "exact small numbers"
        )]
        let count = snapshot.at_most((bound * 1000.0) as u64);
        let _ = writeln!(out, "{family}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
    }
    let _ = writeln!(out, "{family}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", snapshot.count);
    #[expect(clippy::cast_precision_loss, reason = "a sum for people and rates")]
    let sum = snapshot.sum_micros as f64 / 1000.0;
    let _ = writeln!(out, "{family}_sum{{{labels}}} {sum}");
    let _ = writeln!(out, "{family}_count{{{labels}}} {}", snapshot.count);
}

/// The name Envoy's `/stats` shows.
fn dotted(sample: &Sample<'_>) -> String {
    let metric = sample.metric;
    match sample.scope {
        Scope::Cluster(name) => format!("cluster.{name}.{metric}"),
        Scope::RateService(name, "") => format!("cluster.{name}.ratelimit.{metric}"),
        Scope::RateService(name, prefix) => format!("cluster.{name}.ratelimit.{prefix}.{metric}"),
        Scope::Http(prefix) => format!("http.{prefix}.{metric}"),
        Scope::Listener(address) => format!("listener.{address}.{metric}"),
        Scope::Tcp(prefix) => format!("tcp.{prefix}.{metric}"),
        Scope::ConnectionLimit(prefix) => format!("connection_limit.{prefix}.{metric}"),
        Scope::HttpRate(prefix) => format!("{prefix}.http_local_rate_limit.{metric}"),
        Scope::NetworkRate(prefix) => format!("local_rate_limit.{prefix}.{metric}"),
        Scope::ListenerRate(prefix) => format!("listener_local_ratelimit.{prefix}.{metric}"),
        Scope::ConnectionQuestion(prefix) => format!("ratelimit.{prefix}.{metric}"),
        Scope::Process(scope) => format!("{scope}.{metric}"),
    }
}

fn family_and_labels(sample: &Sample<'_>) -> (String, String) {
    let of_service;
    let (scope, label) = match sample.scope {
        Scope::Cluster(name) => ("cluster", Some(("envoy_cluster_name", name))),
        Scope::RateService(name, prefix) => {
            let dot = if prefix.is_empty() { "" } else { "." };
            of_service = format!("cluster.ratelimit{dot}{prefix}");
            (&*of_service, Some(("envoy_cluster_name", name)))
        }
        Scope::Http(prefix) => ("http", Some(("envoy_http_conn_manager_prefix", prefix))),
        Scope::Listener(address) => ("listener", Some(("envoy_listener_address", address))),
        Scope::Tcp(prefix) => ("tcp", Some(("envoy_tcp_prefix", prefix))),
        Scope::ConnectionLimit(prefix) => {
            ("connection_limit", Some(("envoy_connection_limit_prefix", prefix)))
        }
        Scope::HttpRate(prefix) => {
            ("http_local_rate_limit", Some(("envoy_local_http_ratelimit_prefix", prefix)))
        }
        Scope::NetworkRate(prefix) => {
            ("local_rate_limit", Some(("envoy_local_network_ratelimit_prefix", prefix)))
        }
        Scope::ListenerRate(prefix) => {
            ("listener_local_ratelimit", Some(("envoy_local_listener_ratelimit_prefix", prefix)))
        }
        Scope::ConnectionQuestion(prefix) => {
            ("ratelimit", Some(("envoy_ratelimit_prefix", prefix)))
        }
        Scope::Process(scope) => (scope, None),
    };
    let scope = scope.replace('.', "_");
    let name_label =
        label.map(|(key, value)| format!("{key}=\"{}\"", escape_label(value))).unwrap_or_default();
    let class =
        CLASS_NAMES.iter().find_map(|class| Some((sample.metric.strip_suffix(class)?, class)));
    match class {
        Some((stem, class)) => {
            let digit = class.chars().next().unwrap_or('0');
            let comma = if name_label.is_empty() { "" } else { "," };
            (
                format!("envoy_{scope}_{stem}xx"),
                format!("envoy_response_code_class=\"{digit}\"{comma}{name_label}"),
            )
        }
        None => (format!("envoy_{scope}_{}", sample.metric.replace('.', "_")), name_label),
    }
}

fn quantile_ms(snapshot: &HistogramSnapshot, percent: f64) -> String {
    snapshot
        .quantile_micros(percent / 100.0)
        .map_or_else(|| "null".to_owned(), |micros| format!("{:.3}", micros / 1000.0))
}

fn quantile_line(snapshot: &HistogramSnapshot) -> String {
    if snapshot.count == 0 {
        return "No recorded values".to_owned();
    }
    QUANTILES.map(|percent| format!("P{percent}(nan,{})", quantile_ms(snapshot, percent))).join(" ")
}

fn escape_label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample_stats() -> (std::sync::Arc<Stats>, Instant) {
        let now = Instant::now();
        let stats = Stats::new(now);
        let cluster = stats.cluster("shop \"a\"");
        cluster.upstream_rq_total.add(3);
        cluster.upstream_rq_xx.count(204);
        cluster.upstream_rq_time.record(Duration::from_millis(2));
        (stats, now)
    }

    #[test]
    fn text_is_sorted_with_histograms_last() {
        let (stats, now) = sample_stats();
        let text = render_text(&stats, now, &|name| name.starts_with("cluster."));
        assert!(text.contains("cluster.shop \"a\".upstream_rq_total: 3\n"));
        assert!(
            text.lines().last().unwrap().starts_with("cluster.shop \"a\".upstream_rq_time: P0(")
        );
    }

    #[test]
    fn prometheus_has_class_labels_and_cumulative_buckets() {
        let (stats, now) = sample_stats();
        let text = render_prometheus(&stats, now, &|_| true);
        assert!(text.contains(
            "envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"2\",envoy_cluster_name=\"shop \\\"a\\\"\"} 1\n"
        ));
        assert!(text.contains("le=\"1\"} 0\n"));
        assert!(text.contains("le=\"5\"} 1\n"));
        let types =
            text.lines().filter(|l| l.starts_with("# TYPE envoy_cluster_upstream_rq_xx ")).count();
        assert_eq!(types, 1);
    }

    #[test]
    fn json_escapes_names_and_closes_every_bracket() {
        let (stats, now) = sample_stats();
        let json = render_json(&stats, now, &|_| true);
        assert!(json.contains(r#"{"name":"cluster.shop \"a\".upstream_rq_total","value":3}"#));
        assert_eq!(json.matches(['{', '[']).count(), json.matches(['}', ']']).count());
    }

    #[test]
    fn sweeping_keeps_groups_in_use() {
        let (stats, now) = sample_stats();
        let kept = stats.cluster("kept");
        stats.sweep();
        let text = render_text(&stats, now, &|_| true);
        assert!(text.contains("cluster.kept."));
        assert!(!text.contains("cluster.shop"));
        drop(kept);
    }
}
