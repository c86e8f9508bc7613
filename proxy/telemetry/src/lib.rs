//! Counters, gauges and histograms of the data path, and the one catalogue of their names.
//!
//! Names and meanings are Envoy's (`cluster.<name>.upstream_rq_total`, …), so that dashboards and
//! alerts keep working. Recording costs one relaxed atomic add and never allocates; rendering walks
//! the registered groups and pays there instead.

mod cluster;
mod concurrency;
mod groups;
mod health;
mod histogram;
mod http2;
mod inspection;
mod metric;
mod mirror;
mod overload;
mod rate_service;
mod registry;
mod render;
mod under_way;
mod zones;

/// What metrics are made of, by a name that `tests/interleavings.rs` gives to atomics whose every
/// interleaving can be tried.
mod atomic {
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
}

pub use cluster::ClusterStats;
pub use concurrency::ConcurrencyStats;
pub use groups::{
    ConnectionLimitStats, ConnectionQuestionStats, ControlPlaneStats, HttpRateStats, HttpStats,
    ListenerStats, RateStats, StatusClasses, TcpStats, UpdateStats,
};
pub use health::{CheckStats, OutlierStats};
pub use histogram::{Histogram, HistogramSnapshot};
pub use http2::Http2Stats;
pub use inspection::{InspectionStats, ProxyProtocolStats};
pub use metric::{Counter, Gauge, GaugeGuard};
pub use mirror::MirrorStats;
pub use overload::OverloadStats;
pub use rate_service::RateServiceStats;
pub use registry::{Sample, Scope, Stats, Value};
pub use render::{StatsFilter, render_json, render_prometheus, render_text};
pub use under_way::UnderWay;
pub use zones::ZoneBytes;
