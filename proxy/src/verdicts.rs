//! Judges endpoints, on the control thread: ejects outliers and lets them return, and has endpoints
//! asked whether they are well.

use std::{
    collections::{BTreeSet, HashMap},
    future::poll_fn,
    sync::Arc,
    time::{Instant, SystemTime},
};

use tokio::sync::mpsc;
use weft_balance::{Alarm, EndpointId, Verdict};
use weft_compile::{Checks, Cluster, Outliers};
use weft_health::{Change, Checker, Detector, Event, Finding, Ramp};

use crate::{events, proxy::Proxy};

/// Judges for as long as the process runs.
pub(crate) async fn follow(proxy: Arc<Proxy>) {
    let alarm = Arc::clone(proxy.plane().compiler().alarm());
    let (found, mut findings) = mpsc::unbounded_channel();
    let mut judging = Judging {
        proxy,
        clusters: Vec::new(),
        version: None,
        detectors: HashMap::new(),
        checkers: HashMap::new(),
        ramps: HashMap::new(),
        found,
    };
    loop {
        judging.look();
        let mut first = None;
        tokio::select! {
            () = judging.proxy.published().notified() => {}
            () = heard(&alarm) => {}
            () = until(judging.next()) => {}
            finding = findings.recv() => first = finding,
        }
        // Rounds of many endpoints end together: they make one update.
        let more = std::iter::from_fn(|| findings.try_recv().ok());
        let findings: Vec<Finding> = first.into_iter().chain(more).collect();
        judging.take(&findings);
    }
}

/// Clusters whose names are in it have endpoints that are to be balanced anew.
type Changed = BTreeSet<Arc<str>>;

struct Judging {
    proxy: Arc<Proxy>,
    /// Those that endpoints belong to; aggregates only borrow them.
    clusters: Vec<Arc<Cluster>>,
    /// The version of the tables with these clusters.
    version: Option<u64>,
    detectors: HashMap<Arc<str>, Detector>,
    checkers: HashMap<EndpointId, Checker>,
    ramps: HashMap<Arc<str>, (Ramp, Option<Instant>)>,
    found: mpsc::UnboundedSender<Finding>,
}

impl Judging {
    /// Follows the tables, and decides what is due.
    fn look(&mut self) {
        let now = Instant::now();
        let mut changed = Changed::new();
        let version = self.proxy.plane().published().version;
        if self.version != Some(version) {
            self.version = Some(version);
            let owners = |cluster: &&Arc<Cluster>| cluster.members.is_empty();
            let clusters =
                self.proxy.plane().compiler().clusters().filter(owners).cloned().collect();
            self.clusters = clusters;
            self.follow_detectors(now, &mut changed);
            self.follow_checkers();
            self.follow_ramps(now);
        }
        self.ramp(now, &mut changed);
        for cluster in self.clusters.clone() {
            if let Some(outliers) = &cluster.outliers {
                self.judge_outliers(&cluster, outliers, now, &mut changed);
            }
            if let Some(checks) = &cluster.checks {
                self.leave_alone(&cluster, checks, &mut changed);
            }
        }
        self.pass_on(&changed);
    }

    fn pass_on(&self, changed: &Changed) {
        if !changed.is_empty() {
            self.proxy.health_news(changed);
        }
    }

    /// Endpoints may be new, or well again: all clusters are to be looked at.
    fn follow_ramps(&mut self, now: Instant) {
        let mut before = std::mem::take(&mut self.ramps);
        for cluster in self.clusters.iter().filter(|cluster| cluster.slow_start.is_some()) {
            let (ramp, _) = before.remove(&cluster.name).unwrap_or_default();
            self.ramps.insert(Arc::clone(&cluster.name), (ramp, Some(now)));
        }
    }

    /// Lets new endpoints take more and more.
    fn ramp(&mut self, now: Instant, changed: &mut Changed) {
        for cluster in &self.clusters {
            let Some(settings) = &cluster.slow_start else { continue };
            let Some((ramp, next)) = self.ramps.get_mut(&cluster.name) else { continue };
            if next.is_some_and(|at| at <= now) {
                let progress = ramp.look(cluster.balancer.hosts(), settings, now);
                *next = progress.next;
                if progress.has_changed {
                    changed.insert(Arc::clone(&cluster.name));
                }
            }
        }
    }

    fn follow_detectors(&mut self, now: Instant, changed: &mut Changed) {
        let mut before = std::mem::take(&mut self.detectors);
        for cluster in &self.clusters {
            let detector = before.remove(&cluster.name);
            if let Some(outliers) = &cluster.outliers {
                let stats = cluster.stats.outlier_detection();
                let settings = &outliers.settings;
                let fresh = || Detector::new(settings.clone(), Arc::clone(stats), now);
                let mut detector = detector.unwrap_or_else(fresh);
                detector.set(settings);
                detector.follow(cluster.balancer.hosts());
                self.detectors.insert(Arc::clone(&cluster.name), detector);
            } else if detector.is_some() {
                // Where nobody judges any more, no verdict holds.
                for host in cluster.balancer.hosts() {
                    if host.endpoint.judge(Verdict::Ejected, false) {
                        changed.insert(Arc::clone(&cluster.name));
                    }
                }
                cluster.stats.outlier_detection().ejections_active.set(0);
            }
        }
    }

    fn follow_checkers(&mut self) {
        let mut before = std::mem::take(&mut self.checkers);
        for cluster in &self.clusters {
            let Some(checks) = &cluster.checks else { continue };
            for target in &checks.targets {
                let id = target.endpoint.id();
                let settings = &checks.settings;
                let kept = before.remove(&id).filter(|it| it.fits(cluster, settings, target));
                let checker = kept.unwrap_or_else(|| {
                    let proxy = Arc::clone(&self.proxy);
                    let random = move || proxy.random_u64();
                    Checker::start(cluster, settings, target, self.found.clone(), random)
                });
                self.checkers.insert(id, checker);
            }
            count(cluster, checks);
        }
    }

    fn judge_outliers(
        &mut self,
        cluster: &Cluster,
        outliers: &Outliers,
        now: Instant,
        changed: &mut Changed,
    ) {
        let Some(detector) = self.detectors.get_mut(&cluster.name) else { return };
        if !outliers.take_due() && now < detector.next() {
            return;
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

    /// Endpoints may ask, with a response, to be left alone.
    fn leave_alone(&mut self, cluster: &Cluster, checks: &Checks, changed: &mut Changed) {
        if !checks.take_due() {
            return;
        }
        let asking = checks.targets.iter().filter(|target| target.endpoint.take_asked_off());
        for target in asking {
            let checker = self.checkers.get(&target.endpoint.id());
            if checker.is_some_and(|checker| checker.left_alone() == Change::Changed) {
                changed.insert(Arc::clone(&cluster.name));
                let event = events::left_alone(cluster, &target.endpoint, &checks.settings);
                events::write(&checks.settings.event_logs, &event);
                self.proxy.kept_events().keep(event);
            }
        }
        count(cluster, checks);
    }

    /// Takes in what checks have found.
    fn take(&mut self, findings: &[Finding]) {
        let (now, mut changed) = (Instant::now(), Changed::new());
        for finding in findings {
            let Finding { cluster, endpoint, .. } = finding;
            // It may have been dropped while its answer came.
            if !self.checkers.contains_key(&endpoint.id()) {
                continue;
            }
            if finding.change == Change::Changed {
                changed.insert(Arc::clone(cluster));
            }
            for event in events::of_check(finding) {
                events::write(&finding.settings.event_logs, &event);
                self.proxy.kept_events().keep(event);
            }
            let is_well = !endpoint.standing().has(Verdict::FailedCheck);
            let passed = matches!(finding.answer, weft_health::Answer::Well { .. });
            if passed
                && is_well
                && let Some(detector) = self.detectors.get_mut(cluster)
                && let Some(event) = detector.found_well(endpoint, now)
            {
                tell(&self.proxy, cluster, &event);
                changed.insert(Arc::clone(cluster));
            }
        }
        for cluster in &self.clusters {
            if let Some(checks) =
                cluster.checks.as_ref().filter(|_| changed.contains(&cluster.name))
            {
                count(cluster, checks);
            }
        }
        self.pass_on(&changed);
    }

    fn next(&self) -> Option<Instant> {
        let sweeps = self.detectors.values().map(Detector::next);
        let steps = self.ramps.values().filter_map(|(_, next)| *next);
        sweeps.chain(steps).min()
    }
}

/// Shows how many endpoints pass their checks.
fn count(cluster: &Cluster, checks: &Checks) {
    let stats = cluster.stats.health_check();
    let of = |verdict| {
        checks.targets.iter().filter(|it| it.endpoint.standing().has(verdict)).count() as u64
    };
    stats.healthy.set(checks.targets.len() as u64 - of(Verdict::FailedCheck));
    stats.degraded.set(of(Verdict::DegradedByCheck));
}

fn tell(proxy: &Proxy, cluster: &str, event: &Event) {
    events::log(cluster, event);
    let event = events::outlier(cluster, event, SystemTime::now());
    // A log that is Envoy's has no outliers in it that stay.
    if event.fields.get("action").is_none_or(|action| action != "SPARE") {
        events::write(&proxy.facts.outlier_log, &event);
    }
    proxy.kept_events().keep(event);
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
