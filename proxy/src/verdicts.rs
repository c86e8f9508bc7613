//! Judges endpoints, on the control thread: ejects outliers and lets them return.

use std::{
    collections::{BTreeSet, HashMap},
    future::poll_fn,
    sync::Arc,
    time::{Instant, SystemTime},
};

use weft_balance::{Alarm, Verdict};
use weft_compile::{Cluster, Outliers, Tables};
use weft_health::{Detector, Event};

use crate::{events, proxy::Proxy};

/// Judges for as long as the process runs.
pub(crate) async fn follow(proxy: Arc<Proxy>) {
    let alarm = Arc::clone(proxy.plane().compiler().alarm());
    let mut judging = Judging { proxy, seen: 0, detectors: HashMap::new() };
    loop {
        judging.look();
        tokio::select! {
            () = judging.proxy.published().notified() => {}
            () = heard(&alarm) => {}
            () = until(judging.next()) => {}
        }
    }
}

struct Judging {
    proxy: Arc<Proxy>,
    /// The version of the tables that detectors follow.
    seen: u64,
    detectors: HashMap<Arc<str>, Detector>,
}

impl Judging {
    /// Follows the tables, and decides what is due.
    fn look(&mut self) {
        let tables = Arc::clone(self.proxy.plane().published());
        let now = Instant::now();
        let mut changed = BTreeSet::new();
        if tables.version != self.seen {
            self.seen = tables.version;
            changed = self.adopt(&tables, now);
        }
        for (cluster, outliers) in watched(&tables) {
            let Some(detector) = self.detectors.get_mut(&cluster.name) else { continue };
            if !outliers.take_due() && now < detector.next() {
                continue;
            }
            let proxy = &self.proxy;
            let mut random = || proxy.random_u64();
            for event in detector.look(cluster.balancer.hosts(), now, &mut random) {
                tell(proxy, &cluster.name, &event);
                if event.changes_balancing() {
                    changed.insert(Arc::clone(&cluster.name));
                }
            }
        }
        if !changed.is_empty() {
            self.proxy.health_news(&changed);
        }
    }

    /// Follows new tables. Returns the clusters whose endpoints are to be balanced anew.
    fn adopt(&mut self, tables: &Tables, now: Instant) -> BTreeSet<Arc<str>> {
        let mut before = std::mem::take(&mut self.detectors);
        for (cluster, outliers) in watched(tables) {
            let stats = cluster.stats.outlier_detection();
            let settings = &outliers.settings;
            let mut detector = before
                .remove(&cluster.name)
                .unwrap_or_else(|| Detector::new(settings.clone(), Arc::clone(stats), now));
            detector.set(settings);
            detector.follow(cluster.balancer.hosts());
            self.detectors.insert(Arc::clone(&cluster.name), detector);
        }
        // Where nobody judges any more, no verdict holds.
        let mut changed = BTreeSet::new();
        for cluster in tables.clusters.iter().flatten() {
            if before.contains_key(&cluster.name) {
                let hosts = cluster.balancer.hosts().iter();
                if hosts.filter(|host| host.endpoint.judge(Verdict::Ejected, false)).count() > 0 {
                    changed.insert(Arc::clone(&cluster.name));
                }
            }
        }
        changed
    }

    fn next(&self) -> Option<Instant> {
        self.detectors.values().map(Detector::next).min()
    }
}

/// The clusters whose endpoints are judged. An aggregate's belong to its members.
fn watched(tables: &Tables) -> impl Iterator<Item = (&Arc<Cluster>, &Outliers)> {
    let clusters = tables.clusters.iter().flatten().filter(|cluster| cluster.members.is_empty());
    clusters.filter_map(|cluster| Some((cluster, cluster.outliers.as_ref()?)))
}

fn tell(proxy: &Proxy, cluster: &str, event: &Event) {
    events::log(cluster, event);
    proxy.kept_events().keep(events::outlier(cluster, event, SystemTime::now()));
}

async fn heard(alarm: &Alarm) {
    poll_fn(|cx| alarm.poll_heard(cx)).await;
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
