//! Where groups are found by name, and walked for rendering.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::{
    cluster::ClusterStats,
    groups::{
        ConnectionLimitStats, ConnectionQuestionStats, ControlPlaneStats, HttpRateStats, HttpStats,
        ListenerStats, RateStats, TcpStats, UpdateStats,
    },
    histogram::Histogram,
    http2::Http2Stats,
    inspection::InspectionStats,
    metric::{Counter, Gauge},
    overload::OverloadStats,
};

type Groups<T> = Mutex<BTreeMap<Arc<str>, Arc<T>>>;

/// Every metric of one proxy. Groups are made once by name and kept, so that counters outlive
/// configuration updates; the request path holds their `Arc`s and never comes here.
#[derive(Debug)]
pub struct Stats {
    started: Instant,
    clusters: Groups<ClusterStats>,
    http: Groups<HttpStats>,
    tcp: Groups<TcpStats>,
    connection_limits: Groups<ConnectionLimitStats>,
    listeners: Groups<ListenerStats>,
    http_rates: Groups<HttpRateStats>,
    network_rates: Groups<RateStats>,
    listener_rates: Groups<RateStats>,
    connection_questions: Groups<ConnectionQuestionStats>,
    /// What listener filters find out.
    pub inspection: Arc<InspectionStats>,
    /// `http2.*`, of all client connections together.
    pub http2: Arc<Http2Stats>,
    /// `overload.*`.
    pub overload: OverloadStats,
    /// `control_plane.*`.
    pub control_plane: ControlPlaneStats,
    /// `listener_manager.lds.*`.
    pub lds: UpdateStats,
    /// `cluster_manager.cds.*`.
    pub cds: UpdateStats,
    /// `rds.*`, all route configurations together.
    pub rds: UpdateStats,
    /// `eds.*`, all clusters together.
    pub eds: UpdateStats,
    /// `listener_manager.total_listeners_active`.
    pub listeners_active: Gauge,
    /// `listener_manager.listener_create_failure`: addresses that could not be bound.
    pub listener_create_failure: Counter,
    /// `cluster_manager.active_clusters`.
    pub clusters_active: Gauge,
    /// `server.state`: 0 live, 1 draining, 2 pre-initialising, 3 initialising (Envoy's numbers).
    pub server_state: Gauge,
    /// `server.concurrency`: worker threads.
    pub concurrency: Gauge,
    /// `server.xds_field_unsupported`: set fields that were accepted with a warning.
    pub xds_field_unsupported: Counter,
}

impl Stats {
    /// An empty registry; `started` is what `server.uptime` counts from.
    pub fn new(started: Instant) -> Arc<Self> {
        Arc::new(Self {
            started,
            clusters: Groups::default(),
            http: Groups::default(),
            tcp: Groups::default(),
            connection_limits: Groups::default(),
            listeners: Groups::default(),
            http_rates: Groups::default(),
            network_rates: Groups::default(),
            listener_rates: Groups::default(),
            connection_questions: Groups::default(),
            inspection: Arc::default(),
            http2: Arc::default(),
            overload: OverloadStats::default(),
            control_plane: ControlPlaneStats::default(),
            lds: UpdateStats::default(),
            cds: UpdateStats::default(),
            rds: UpdateStats::default(),
            eds: UpdateStats::default(),
            listeners_active: Gauge::default(),
            listener_create_failure: Counter::default(),
            clusters_active: Gauge::default(),
            server_state: Gauge::default(),
            concurrency: Gauge::default(),
            xds_field_unsupported: Counter::default(),
        })
    }

    /// `cluster.<name>.*`, made at the first call for a name.
    pub fn cluster(&self, name: &str) -> Arc<ClusterStats> {
        group(&self.clusters, name)
    }

    /// `http.<stat_prefix>.*`.
    pub fn http(&self, stat_prefix: &str) -> Arc<HttpStats> {
        group(&self.http, stat_prefix)
    }

    /// `tcp.<stat_prefix>.*`.
    pub fn tcp(&self, stat_prefix: &str) -> Arc<TcpStats> {
        group(&self.tcp, stat_prefix)
    }

    /// `connection_limit.<stat_prefix>.*`.
    pub fn connection_limit(&self, stat_prefix: &str) -> Arc<ConnectionLimitStats> {
        group(&self.connection_limits, stat_prefix)
    }

    /// `<stat_prefix>.http_local_rate_limit.*`.
    pub fn http_rate(&self, stat_prefix: &str) -> Arc<HttpRateStats> {
        group(&self.http_rates, stat_prefix)
    }

    /// `local_rate_limit.<stat_prefix>.*`.
    pub fn network_rate(&self, stat_prefix: &str) -> Arc<RateStats> {
        group(&self.network_rates, stat_prefix)
    }

    /// `listener_local_ratelimit.<stat_prefix>.*`.
    pub fn listener_rate(&self, stat_prefix: &str) -> Arc<RateStats> {
        group(&self.listener_rates, stat_prefix)
    }

    /// `ratelimit.<stat_prefix>.*`.
    pub fn connection_question(&self, stat_prefix: &str) -> Arc<ConnectionQuestionStats> {
        group(&self.connection_questions, stat_prefix)
    }

    /// `listener.<address>.*`; the address as written in the configuration (`127.0.0.1_8080` in
    /// metric names, as Envoy writes it).
    pub fn listener(&self, address: &str) -> Arc<ListenerStats> {
        group(&self.listeners, &address.replace(':', "_"))
    }

    /// Forgets the metrics of clusters and listeners that are gone, so that churn does not grow
    /// memory. Groups still held by anyone stay.
    pub fn sweep(&self) {
        sweep(&self.clusters);
        sweep(&self.listeners);
        sweep(&self.http);
        sweep(&self.tcp);
        sweep(&self.connection_limits);
        sweep(&self.http_rates);
        sweep(&self.network_rates);
        sweep(&self.listener_rates);
        sweep(&self.connection_questions);
    }

    /// Shows every metric once, grouped by scope and in a stable order.
    pub fn visit(&self, now: Instant, see: &mut dyn FnMut(Sample<'_>)) {
        each(&self.clusters, |name, stats| {
            stats.visit(&mut |metric, value| {
                see(Sample { scope: Scope::Cluster(name), metric, value });
            });
            stats.visit_rate_services(&mut |prefix, metric, value| {
                see(Sample { scope: Scope::RateService(name, prefix), metric, value });
            });
        });
        each(&self.http, |name, stats| {
            stats.visit(&mut |metric, value| {
                see(Sample { scope: Scope::Http(name), metric, value });
            });
        });
        each(&self.listeners, |name, stats| {
            stats.visit(&mut |metric, value| {
                see(Sample { scope: Scope::Listener(name), metric, value });
            });
        });
        each(&self.tcp, |name, stats| {
            stats.visit(&mut |metric, value| {
                see(Sample { scope: Scope::Tcp(name), metric, value });
            });
        });
        each(&self.connection_limits, |name, stats| {
            stats.visit(&mut |metric, value| {
                see(Sample { scope: Scope::ConnectionLimit(name), metric, value });
            });
        });
        each(&self.http_rates, |name, stats| {
            stats.visit(&mut |metric, value| {
                see(Sample { scope: Scope::HttpRate(name), metric, value });
            });
        });
        each(&self.network_rates, |name, stats| {
            stats.visit(&mut |metric, value| {
                see(Sample { scope: Scope::NetworkRate(name), metric, value });
            });
        });
        each(&self.listener_rates, |name, stats| {
            stats.visit(&mut |metric, value| {
                see(Sample { scope: Scope::ListenerRate(name), metric, value });
            });
        });
        each(&self.connection_questions, |name, stats| {
            stats.visit(&mut |metric, value| {
                see(Sample { scope: Scope::ConnectionQuestion(name), metric, value });
            });
        });
        self.visit_process(now, see);
    }

    fn visit_process(&self, now: Instant, see: &mut dyn FnMut(Sample<'_>)) {
        let mut in_scope = |scope: &'static str, metric, value: Value<'_>| {
            see(Sample { scope: Scope::Process(scope), metric, value });
        };
        self.control_plane.visit(&mut |metric, value| in_scope("control_plane", metric, value));
        self.http2.visit(&mut |metric, value| in_scope("http2", metric, value));
        self.overload.visit(&mut |metric, value| in_scope("overload", metric, value));
        self.inspection.visit(&mut in_scope);
        for (scope, updates) in [
            ("cluster_manager.cds", &self.cds),
            ("listener_manager.lds", &self.lds),
            ("rds", &self.rds),
            ("eds", &self.eds),
        ] {
            updates.visit(&mut |metric, value| in_scope(scope, metric, value));
        }
        for (scope, metric, value) in [
            ("cluster_manager", "active_clusters", Value::Gauge(self.clusters_active.get())),
            (
                "listener_manager",
                "listener_create_failure",
                Value::Counter(self.listener_create_failure.get()),
            ),
            (
                "listener_manager",
                "total_listeners_active",
                Value::Gauge(self.listeners_active.get()),
            ),
            ("server", "concurrency", Value::Gauge(self.concurrency.get())),
            ("server", "live", Value::Gauge(u64::from(self.server_state.get() == 0))),
            ("server", "state", Value::Gauge(self.server_state.get())),
            (
                "server",
                "uptime",
                Value::Gauge(now.saturating_duration_since(self.started).as_secs()),
            ),
            ("server", "xds_field_unsupported", Value::Counter(self.xds_field_unsupported.get())),
        ] {
            in_scope(scope, metric, value);
        }
    }
}

/// One metric at one moment.
#[derive(Debug)]
pub struct Sample<'a> {
    /// What it describes.
    pub scope: Scope<'a>,
    /// Its name within the scope.
    pub metric: &'static str,
    /// Its value.
    pub value: Value<'a>,
}

/// What a metric describes; the name part becomes a label in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// `cluster.<name>`.
    Cluster(&'a str),
    /// `cluster.<name>.ratelimit`, or `cluster.<name>.ratelimit.<stat_prefix>`.
    RateService(&'a str, &'a str),
    /// `http.<stat_prefix>`.
    Http(&'a str),
    /// `listener.<address>`.
    Listener(&'a str),
    /// `tcp.<stat_prefix>`.
    Tcp(&'a str),
    /// `connection_limit.<stat_prefix>`.
    ConnectionLimit(&'a str),
    /// `<stat_prefix>.http_local_rate_limit`.
    HttpRate(&'a str),
    /// `local_rate_limit.<stat_prefix>`.
    NetworkRate(&'a str),
    /// `listener_local_ratelimit.<stat_prefix>`.
    ListenerRate(&'a str),
    /// A `stat_prefix` of questions about connections.
    ConnectionQuestion(&'a str),
    /// A part of the process, such as `server`.
    Process(&'static str),
}

/// A metric's value.
#[derive(Debug)]
pub enum Value<'a> {
    /// Only grows.
    Counter(u64),
    /// Goes up and down.
    Gauge(u64),
    /// A distribution of durations.
    Histogram(&'a Histogram),
}

fn group<T: Default>(groups: &Groups<T>, name: &str) -> Arc<T> {
    let mut groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = groups.get(name) {
        return Arc::clone(found);
    }
    let made = Arc::new(T::default());
    groups.insert(Arc::from(name), Arc::clone(&made));
    made
}

fn sweep<T>(groups: &Groups<T>) {
    groups
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .retain(|_, group| Arc::strong_count(group) > 1);
}

fn each<T>(groups: &Groups<T>, mut see: impl FnMut(&str, &T)) {
    // Copied out so that rendering thousands of groups never holds the lock.
    let copy: Vec<(Arc<str>, Arc<T>)> = groups
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .map(|(name, group)| (Arc::clone(name), Arc::clone(group)))
        .collect();
    for (name, group) in &copy {
        see(name, group);
    }
}
