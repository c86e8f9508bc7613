//! The checks of one endpoint, in turn.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{sync::mpsc, task::AbortHandle, time::sleep};
use weft_balance::{EndpointState, Verdict};
use weft_compile::{CheckTarget, Cluster, ConnectionSettings, HealthCheck};
use weft_telemetry::{CheckStats, ClusterStats};

use crate::{
    course::{Answer, Change, Course, Illness},
    probe::Probe,
};

/// What a check has found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The endpoint's cluster.
    pub cluster: Arc<str>,
    /// Who.
    pub endpoint: Arc<EndpointState>,
    /// How endpoints are asked there.
    pub settings: Arc<HealthCheck>,
    /// What it has answered.
    pub answer: Answer,
    /// What has become of it.
    pub change: Change,
    /// Whether it was the first check of all.
    pub was_first: bool,
    /// Whether it was degraded before.
    pub was_degraded: bool,
}

/// Checks an endpoint until it is dropped.
#[derive(Debug)]
pub struct Checker {
    target: CheckTarget,
    settings: Arc<HealthCheck>,
    connection: Arc<ConnectionSettings>,
    course: Arc<Mutex<Course>>,
    task: AbortHandle,
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the task of a checker works with.
struct Rounds {
    cluster: Arc<str>,
    target: CheckTarget,
    settings: Arc<HealthCheck>,
    course: Arc<Mutex<Course>>,
    stats: Arc<CheckStats>,
    /// Of requests, which decide whether the cluster is idle.
    traffic: Arc<ClusterStats>,
    found: mpsc::UnboundedSender<Finding>,
}

impl Checker {
    /// Starts checking, which goes on until this is dropped. `random` yields uniformly random
    /// numbers.
    pub fn start(
        cluster: &Cluster,
        settings: &Arc<HealthCheck>,
        target: &CheckTarget,
        found: mpsc::UnboundedSender<Finding>,
        random: impl FnMut() -> u64 + Send + 'static,
    ) -> Self {
        let stats = Arc::clone(cluster.stats.health_check());
        let course = Course::new(Arc::clone(settings), Arc::clone(&stats));
        let course = Arc::new(Mutex::new(course));
        let rounds = Rounds {
            cluster: Arc::clone(&cluster.name),
            target: target.clone(),
            settings: Arc::clone(settings),
            course: Arc::clone(&course),
            stats,
            traffic: Arc::clone(&cluster.stats),
            found,
        };
        let connection = Arc::clone(&cluster.connection);
        let probe = Probe::new(
            &cluster.name,
            Arc::clone(&connection),
            Arc::clone(settings),
            target.clone(),
        );
        let task = tokio::spawn(rounds.run(probe, random)).abort_handle();
        let (target, settings) = (target.clone(), Arc::clone(settings));
        Self { target, settings, connection, course, task }
    }

    /// Whether it checks what it is to check now.
    pub fn fits(&self, cluster: &Cluster, settings: &HealthCheck, target: &CheckTarget) -> bool {
        *self.settings == *settings
            && Arc::ptr_eq(&self.connection, &cluster.connection)
            && self.target.is_like(target)
    }

    /// The endpoint has said with a response that it wants to be left alone.
    pub fn left_alone(&self) -> Change {
        let endpoint = &self.target.endpoint;
        let is_new = endpoint.judge(Verdict::Excluded, true);
        match lock(&self.course).ill(endpoint, Illness::Passive) {
            Change::Unchanged if is_new => Change::Changed,
            change => change,
        }
    }
}

impl Rounds {
    async fn run(self, mut probe: Probe, mut random: impl FnMut() -> u64) {
        let delay = lock(&self.course).delay(random());
        if !delay.is_zero() {
            sleep(delay).await;
        }
        loop {
            self.stats.attempt.inc();
            let answer = probe.ask().await;
            let finding = self.judge(answer);
            let change = finding.change;
            if self.found.send(finding).is_err() {
                return;
            }
            let has_traffic = self.traffic.upstream_cx_total.get() > 0;
            let was_well = matches!(answer, Answer::Well { .. });
            let pause = lock(&self.course).pause(was_well, change, has_traffic, random());
            sleep(pause).await;
        }
    }

    fn judge(&self, answer: Answer) -> Finding {
        let endpoint = &self.target.endpoint;
        let standing = endpoint.standing();
        let change = lock(&self.course).heard(endpoint, answer);
        Finding {
            cluster: Arc::clone(&self.cluster),
            endpoint: Arc::clone(endpoint),
            settings: Arc::clone(&self.settings),
            answer,
            change,
            was_first: standing.has(Verdict::Unchecked),
            was_degraded: standing.has(Verdict::DegradedByCheck),
        }
    }
}

fn lock(course: &Mutex<Course>) -> std::sync::MutexGuard<'_, Course> {
    course.lock().unwrap_or_else(PoisonError::into_inner)
}
