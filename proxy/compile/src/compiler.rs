//! The compiler itself: which type goes where, and when tables are new.

use std::sync::Arc;

use weft_balance::{Alarm, Locality};
use weft_resources::ResourceType;
use weft_telemetry::{Stats, UpdateStats};

use crate::{
    assignments::Assignments,
    clusters::Clusters,
    files::{Files, ReadFile},
    listeners::{Listeners, Surroundings},
    names::{Answer, Names, Question},
    rates::SharedBuckets,
    references::Wanted,
    report::Report,
    route_configs::RouteConfigs,
    tables::{Cluster, HandOff, Tables},
    update::{Moment, Source, Update},
};

/// Turns updates into tables.
///
/// Apply clusters before listeners: a listener with routes of its own may only name clusters that
/// are known (`validate_clusters`). Everything else can come in any order.
#[derive(Debug)]
pub struct Compiler {
    pub(crate) clusters: Clusters,
    pub(crate) assignments: Assignments,
    pub(crate) listeners: Listeners,
    pub(crate) route_configs: RouteConfigs,
    pub(crate) wanted: Wanted,
    buckets: SharedBuckets,
    stats: Arc<Stats>,
    files: Files,
    published: Arc<Tables>,
}

impl Compiler {
    /// A compiler without any resource. Metrics of clusters and listeners are taken from `stats`.
    pub fn new(stats: Arc<Stats>) -> Self {
        Self {
            clusters: Clusters::default(),
            assignments: Assignments::default(),
            listeners: Listeners::default(),
            route_configs: RouteConfigs::default(),
            wanted: Wanted::default(),
            buckets: SharedBuckets::default(),
            stats,
            files: Files::Assumed,
            published: Arc::new(Tables::default()),
        }
    }

    /// With this to read the files that resources refer to. Without, they are taken to be empty.
    #[must_use]
    pub fn reading_files(self, read: ReadFile) -> Self {
        Self { files: Files::By(read), ..self }
    }

    /// For a proxy in this place, whose peers are the endpoints of that cluster: requests can prefer
    /// the zone they come from.
    #[must_use]
    pub fn placed(mut self, locality: Locality, peers: Arc<str>) -> Self {
        self.clusters.place = Some((Arc::new(locality), peers));
        self
    }

    /// Takes an update in. What is good of it counts, whatever is wrong with the rest.
    ///
    /// This marks what has to be rebuilt; [`Self::tables`] does it. So any number of updates can
    /// be applied before one publication.
    pub fn apply(&mut self, update: &Update, now: Moment) -> Report {
        let mut report = Report::new(update.resource_type);
        let wanted_before = self.wanted.changes();
        match update.resource_type {
            ResourceType::Cluster => {
                let wanted = &mut self.wanted.assignments;
                self.clusters.apply(update, &mut self.assignments, wanted, now, &mut report);
            }
            ResourceType::Assignment => {
                let wanted = &self.wanted.assignments;
                for (name, changed) in self.assignments.apply(update, wanted, now, &mut report) {
                    self.assignment_news(&name, changed);
                }
            }
            ResourceType::Listener => {
                let (listeners, mut around) = self.listeners_and_surroundings();
                listeners.apply(update, &mut around, now, &mut report);
            }
            ResourceType::RouteConfiguration => {
                let wanted = &self.wanted.route_configs;
                let clusters = &mut self.clusters;
                let news = self.route_configs.apply(
                    update,
                    clusters,
                    wanted,
                    self.files,
                    now,
                    &mut report,
                );
                for name in news {
                    self.routes_news(&name);
                }
            }
        }
        report.rejected.sort_by_key(|rejected| rejected.index);
        report.wanted_changed = self.wanted.changes() != wanted_before;
        self.count(update, &report);
        report
    }

    /// The server did not answer in time whether it has a resource: it counts as one that does not
    /// exist, and nobody waits for it any longer. A good version that is held stays. Returns
    /// whether [`Self::wanted`] says something else than before.
    pub fn missing(&mut self, resource_type: ResourceType, name: &Arc<str>, now: Moment) -> bool {
        if !self.wanted.of(resource_type).is_some_and(|wanted| wanted.contains(name)) {
            return false;
        }
        let wanted_before = self.wanted.changes();
        match resource_type {
            ResourceType::Assignment => {
                if self.assignments.catalog.note_missing(name, now) {
                    self.stats.eds.init_fetch_timeout.inc();
                    self.assignment_news(name, false);
                }
            }
            ResourceType::RouteConfiguration => {
                if self.route_configs.catalog.note_missing(name, now) {
                    self.stats.rds.init_fetch_timeout.inc();
                    self.routes_news(name);
                }
            }
            ResourceType::Cluster | ResourceType::Listener => {}
        }
        self.wanted.changes() != wanted_before
    }

    /// The names that clusters are found by, to be looked up.
    pub fn names(&self) -> &Names {
        &self.clusters.names
    }

    /// A name of a cluster was looked up. Returns whether [`Self::wanted`] says something else than
    /// before.
    pub fn resolved(&mut self, cluster: &Arc<str>, question: &Question, answer: Answer) -> bool {
        let wanted_before = self.wanted.changes();
        let stats = self.stats.cluster(cluster);
        stats.update_attempt.inc();
        match &answer {
            Answer::Failed => stats.update_failure.inc(),
            Answer::Leads(leads) => {
                stats.update_success.inc();
                if leads.is_empty() {
                    stats.update_empty.inc();
                }
            }
        }
        self.clusters.resolved(cluster, question, answer, &mut self.wanted.assignments);
        self.wanted.changes() != wanted_before
    }

    /// What is known of the health of a cluster's endpoints has changed: they are balanced anew.
    pub fn health_news(&mut self, cluster: &Arc<str>) {
        self.clusters.health_news(cluster);
    }

    /// The clusters that [`Self::tables`] has built, those too that wait until their endpoints were
    /// checked.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.built()
    }

    /// Rings when the request path has seen something of an endpoint that somebody has to judge:
    /// see [`Outliers::take_due`](crate::Outliers::take_due).
    pub fn alarm(&self) -> &Arc<Alarm> {
        &self.clusters.alarm
    }

    /// Rings when a request has named a host that is to be looked up: see
    /// [`HostCache`](crate::HostCache).
    pub fn named(&self) -> &Arc<Alarm> {
        &self.clusters.named
    }

    /// What to subscribe to.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The tables as they are to be published. As long as nothing changed it is the same `Arc`.
    pub fn tables(&mut self) -> Arc<Tables> {
        self.route_configs.end_drained();
        let is_dirty =
            self.clusters.is_dirty() || self.listeners.is_dirty() || self.route_configs.is_dirty();
        if is_dirty {
            let ready = |cluster: &Option<Arc<Cluster>>| cluster.clone().filter(|it| it.is_ready);
            let built = self.clusters.build(&self.assignments, &self.stats);
            let clusters: Vec<_> = built.iter().map(ready).collect();
            let active = clusters.iter().flatten().count();
            self.stats.clusters_active.set(active as u64);
            let listeners = self.listeners.build();
            self.published = Arc::new(Tables {
                version: self.published.version + 1,
                hand_off: HandOff::of(&listeners),
                listeners,
                routes: self.route_configs.build().to_vec(),
                clusters,
                cluster_names: self.clusters.slots.shared(),
            });
        }
        Arc::clone(&self.published)
    }

    /// What is built aside, waiting for what it refers to.
    pub fn warming(&self) -> Warming {
        Warming {
            clusters: self.clusters.catalog.warming() + self.clusters.unchecked(),
            listeners: self.listeners.catalog.warming(),
        }
    }

    fn assignment_news(&mut self, name: &str, changed: bool) {
        let wanted = &mut self.wanted.assignments;
        self.clusters.assignment_news(name, changed, &mut self.assignments, wanted);
    }

    fn routes_news(&mut self, name: &str) {
        let (listeners, mut around) = self.listeners_and_surroundings();
        listeners.routes_news(name, &mut around);
    }

    fn listeners_and_surroundings(&mut self) -> (&mut Listeners, Surroundings<'_>) {
        let around = Surroundings {
            clusters: &mut self.clusters,
            route_configs: &mut self.route_configs,
            wanted: &mut self.wanted.route_configs,
            buckets: &mut self.buckets,
            stats: &self.stats,
            files: self.files,
        };
        (&mut self.listeners, around)
    }

    fn count(&self, update: &Update, report: &Report) {
        if update.source == Source::Static {
            return;
        }
        let counters: &UpdateStats = match update.resource_type {
            ResourceType::Cluster => &self.stats.cds,
            ResourceType::Assignment => &self.stats.eds,
            ResourceType::Listener => &self.stats.lds,
            ResourceType::RouteConfiguration => &self.stats.rds,
        };
        counters.update_attempt.inc();
        if report.is_accepted() {
            counters.update_success.inc();
        } else {
            counters.update_rejected.inc();
        }
    }
}

/// How much is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warming {
    /// Clusters waiting for their endpoints, or until those were checked.
    pub clusters: usize,
    /// Listeners waiting for their routes.
    pub listeners: usize,
}

impl Warming {
    /// Whether nothing waits.
    pub fn is_over(self) -> bool {
        self.clusters == 0 && self.listeners == 0
    }
}
