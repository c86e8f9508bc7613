//! What the sidecars have counted, read from their admin addresses.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::fetch;

/// What went in to one service instance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Inbound {
    /// Requests handed to the instance since its sidecar started.
    pub(crate) requests: u64,
    /// Its answers with a status of 500 and more.
    pub(crate) errors: u64,
    /// Median and 99th percentile of its answers' time, in milliseconds.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// Asks the sidecar whose admin listener is at `admin`.
pub(crate) async fn inbound(admin: SocketAddr) -> anyhow::Result<Inbound> {
    let body = fetch::get(admin, "/stats?format=json&filter=%5Ecluster%5C.inbound%5C.").await?;
    Ok(parse(&serde_json::from_slice(&body)?))
}

/// Envoy's JSON of statistics: scalars, and one entry that holds all histograms.
#[derive(Debug, Deserialize)]
struct Stats {
    #[serde(default)]
    stats: Vec<Stat>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stat {
    Scalar { name: String, value: serde_json::Value },
    Histograms { histograms: Histograms },
    Other(serde::de::IgnoredAny),
}

#[derive(Debug, Default, Deserialize)]
struct Histograms {
    #[serde(default)]
    supported_quantiles: Vec<f64>,
    #[serde(default)]
    computed_quantiles: Vec<Quantiles>,
}

#[derive(Debug, Deserialize)]
struct Quantiles {
    name: String,
    #[serde(default)]
    values: Vec<QuantileValue>,
}

/// Over the last interval, and since the start.
#[derive(Debug, Deserialize)]
struct QuantileValue {
    interval: Option<f64>,
    cumulative: Option<f64>,
}

fn parse(stats: &Stats) -> Inbound {
    let mut inbound = Inbound::default();
    for stat in &stats.stats {
        match stat {
            Stat::Scalar { name, value } => match name.as_str() {
                "cluster.inbound.upstream_rq_total" => {
                    inbound.requests = value.as_u64().unwrap_or(0);
                }
                "cluster.inbound.upstream_rq_5xx" => inbound.errors = value.as_u64().unwrap_or(0),
                _ => {}
            },
            Stat::Histograms { histograms } => {
                inbound.p50 = histograms.quantile("cluster.inbound.upstream_rq_time", 50.0);
                inbound.p99 = histograms.quantile("cluster.inbound.upstream_rq_time", 99.0);
            }
            Stat::Other(_) => {}
        }
    }
    inbound
}

impl Histograms {
    fn quantile(&self, name: &str, percent: f64) -> Option<f64> {
        let at =
            self.supported_quantiles.iter().position(|known| (known - percent).abs() < 1e-6)?;
        let histogram = self.computed_quantiles.iter().find(|histogram| histogram.name == name)?;
        let value = histogram.values.get(at)?;
        value.interval.or(value.cumulative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_quantiles_are_found_among_others() {
        let text = r#"{"stats":[
            {"name":"cluster.inbound.upstream_rq_total","value":120},
            {"name":"cluster.inbound.upstream_rq_5xx","value":3},
            {"name":"cluster.other.upstream_rq_total","value":9},
            {"name":"server.version","value":"text"},
            {"histograms":{"supported_quantiles":[0,50,99],"computed_quantiles":[
                {"name":"cluster.inbound.upstream_rq_time","count":120,
                 "values":[{"interval":null,"cumulative":0.1},{"interval":null,"cumulative":1.5},{"interval":2.5,"cumulative":9.0}]}]}}]}"#;
        let inbound = parse(&serde_json::from_str(text).unwrap());
        assert_eq!(inbound, Inbound { requests: 120, errors: 3, p50: Some(1.5), p99: Some(2.5) });
    }

    #[test]
    fn a_sidecar_without_traffic_yet_has_counted_nothing() {
        assert_eq!(parse(&serde_json::from_str(r#"{"stats":[]}"#).unwrap()), Inbound::default());
    }
}
