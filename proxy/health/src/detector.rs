//! Outlier detection for one cluster.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use weft_balance::{Condition, EndpointId, EndpointState, Host, Run, Tally, Verdict};
use weft_compile::OutlierDetection;
use weft_telemetry::OutlierStats;

use crate::{
    ejection::{Reason, Sparing},
    statistics,
};

/// Ejects outliers and lets them return.
///
/// Unlike Envoy's, it never ejects the last host of a cluster that takes requests, whatever the
/// settings: an endpoint that fails is better than none.
#[derive(Debug)]
pub struct Detector {
    settings: OutlierDetection,
    stats: Arc<OutlierStats>,
    /// When the interval began.
    began: Instant,
    histories: HashMap<EndpointId, History, RandomState>,
}

/// What is remembered of an endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    ejected: Option<Ejection>,
    /// How often it was.
    ejections: u32,
    /// By how much the next ejection is longer than the first.
    backoff: u32,
    last_ejected: Option<Instant>,
    last_returned: Option<Instant>,
    /// As they were at the end of the last interval.
    external: Tally,
    local: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Ejection {
    at: Instant,
    jitter: Duration,
}

/// Something that people may want to know.
#[derive(Clone, Debug)]
pub struct Event {
    /// Who.
    pub endpoint: Arc<EndpointState>,
    /// What.
    pub kind: EventKind,
    /// How often it was ejected so far.
    pub ejections: u32,
    /// How long ago the opposite happened to it.
    pub since_last: Option<Duration>,
}

/// What has become of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EventKind {
    /// It takes no requests for a while; or would not, if that were enforced.
    Ejected {
        /// Why.
        reason: Reason,
        /// `enforcing_*`.
        enforced: bool,
    },
    /// It is an outlier, but not ejected.
    Spared {
        /// What it is an outlier by.
        reason: Reason,
        /// Why it stays.
        sparing: Sparing,
    },
    /// It takes requests again.
    Returned,
}

impl Event {
    /// Whether other endpoints are to be picked than before.
    pub fn changes_balancing(&self) -> bool {
        match self.kind {
            EventKind::Ejected { enforced, .. } => enforced,
            EventKind::Spared { .. } => false,
            EventKind::Returned => true,
        }
    }
}

/// A look at the endpoints: what it takes, and what comes of it.
struct Look<'a> {
    hosts: &'a [Host],
    now: Instant,
    random: &'a mut dyn FnMut() -> u64,
    /// How many are ejected.
    ejected: usize,
    /// How many take requests.
    usable: usize,
    events: Vec<Event>,
}

impl Detector {
    /// One whose first interval begins now.
    pub fn new(settings: OutlierDetection, stats: Arc<OutlierStats>, now: Instant) -> Self {
        Self { settings, stats, began: now, histories: HashMap::default() }
    }

    /// Goes on with these settings; who is ejected stays so.
    pub fn set(&mut self, settings: &OutlierDetection) {
        if self.settings != *settings {
            self.settings = settings.clone();
        }
    }

    /// When the interval ends.
    pub fn next(&self) -> Instant {
        self.began + self.settings.interval
    }

    /// These are the cluster's endpoints from now on.
    pub fn follow(&mut self, hosts: &[Host]) {
        let before = std::mem::take(&mut self.histories);
        for Host { endpoint, .. } in hosts {
            let id = endpoint.id();
            let fresh = || {
                let outcomes = endpoint.outcomes();
                let (external, local) = (outcomes.external(), outcomes.local());
                History { external, local, ..History::default() }
            };
            self.histories.insert(id, before.get(&id).copied().unwrap_or_else(fresh));
        }
        self.show_ejected();
    }

    /// Judges by the runs of failures that grew too long, and at the end of the interval by shares.
    /// `random` yields uniformly random numbers.
    pub fn look(
        &mut self,
        hosts: &[Host],
        now: Instant,
        random: &mut dyn FnMut() -> u64,
    ) -> Vec<Event> {
        let ejected = self.histories.values().filter(|it| it.ejected.is_some()).count();
        let usable = hosts.iter().filter(|host| is_usable(host)).count();
        let mut look = Look { hosts, now, random, ejected, usable, events: Vec::new() };
        self.judge_runs(&mut look);
        if now >= self.next() {
            self.began = now;
            self.let_return(&mut look);
            self.judge_shares(&mut look);
            self.forgive(now);
        }
        self.show_ejected();
        look.events
    }

    /// A health check has found an endpoint well: it returns, if the settings say so.
    pub fn found_well(&mut self, endpoint: &Arc<EndpointState>, now: Instant) -> Option<Event> {
        let is_ejected = self.histories.get(&endpoint.id())?.ejected.is_some();
        if !is_ejected || !self.settings.return_when_checked {
            return None;
        }
        let event = self.give_back(endpoint, now)?;
        self.show_ejected();
        Some(event)
    }

    fn judge_runs(&mut self, look: &mut Look<'_>) {
        for host in look.hosts {
            for run in host.endpoint.outcomes().take_too_long() {
                let history = self.histories.get(&host.endpoint.id());
                if history.is_none_or(|history| history.ejected.is_some()) {
                    continue;
                }
                self.found(host, Reason::Run(run), look);
                host.endpoint.outcomes().restart(run);
            }
        }
    }

    fn let_return(&mut self, look: &mut Look<'_>) {
        for host in look.hosts {
            let Some(history) = self.histories.get(&host.endpoint.id()) else { continue };
            let Some(ejection) = history.ejected else { continue };
            let base = self.settings.base_ejection_time;
            let length = base.saturating_mul(history.backoff).min(self.settings.max_ejection_time);
            let is_over = look.now.duration_since(ejection.at) >= length + ejection.jitter;
            if is_over && let Some(event) = self.give_back(&host.endpoint, look.now) {
                look.ejected -= 1;
                look.usable += usize::from(is_usable(host));
                look.events.push(event);
            }
        }
    }

    fn give_back(&mut self, endpoint: &Arc<EndpointState>, now: Instant) -> Option<Event> {
        let history = self.histories.get_mut(&endpoint.id())?;
        history.ejected = None;
        history.last_returned = Some(now);
        endpoint.judge(Verdict::Ejected, false);
        // Else a single failure could be the last of a run that began long ago.
        for run in Run::ALL {
            endpoint.outcomes().restart(run);
        }
        Some(Event {
            endpoint: Arc::clone(endpoint),
            kind: EventKind::Returned,
            ejections: history.ejections,
            since_last: history.last_ejected.map(|at| now.duration_since(at)),
        })
    }

    fn judge_shares(&mut self, look: &mut Look<'_>) {
        let (mut external, mut local) = (Vec::new(), Vec::new());
        let shown_from = self
            .settings
            .success_rate_request_volume
            .min(self.settings.failure_percentage_request_volume);
        for (at, host) in look.hosts.iter().enumerate() {
            let Some(history) = self.histories.get_mut(&host.endpoint.id()) else { continue };
            let outcomes = host.endpoint.outcomes();
            let (now_external, now_local) = (outcomes.external(), outcomes.local());
            let in_interval = now_external.since(history.external);
            let enough = in_interval.total >= u64::from(shown_from);
            if history.ejected.is_none() {
                external.push((at, in_interval));
                local.push((at, now_local.since(history.local)));
                outcomes.show_success_rate(statistics::rate(in_interval).filter(|_| enough));
            } else {
                outcomes.show_success_rate(None);
            }
            (history.external, history.local) = (now_external, now_local);
        }
        for (tallies, is_local) in [(external, false), (local, true)] {
            let found = statistics::outliers(&tallies, look.hosts.len(), is_local, &self.settings);
            for (at, reason) in found {
                let Some(host) = look.hosts.get(at) else { continue };
                let history = self.histories.get(&host.endpoint.id());
                if history.is_some_and(|history| history.ejected.is_none()) {
                    self.found(host, reason, look);
                }
            }
        }
    }

    /// An outlier was found: it is ejected, if it may be.
    fn found(&mut self, host: &Host, reason: Reason, look: &mut Look<'_>) {
        let Some(history) = self.histories.get_mut(&host.endpoint.id()) else { return };
        let (detected, enforced_count) = reason.counters(&self.stats);
        detected.inc();
        let others = look.usable - usize::from(is_usable(host));
        let most = usize::from(self.settings.max_ejection_percent) * look.hosts.len();
        let fits = (look.ejected + 1) * 100 <= most;
        let sparing = match () {
            () if others == 0 => Some(Sparing::LastHost),
            () if fits || (self.settings.always_eject_one && look.ejected == 0) => None,
            () => Some(Sparing::Share),
        };
        let kind = if let Some(sparing) = sparing {
            self.stats.ejections_overflow.inc();
            EventKind::Spared { reason, sparing }
        } else {
            let percent = u64::from(reason.enforced(&self.settings));
            let enforced = (look.random)() % 100 < percent;
            if enforced {
                history.eject(&self.settings, look.now, (look.random)());
                look.ejected += 1;
                look.usable = others;
                host.endpoint.judge(Verdict::Ejected, true);
                self.stats.ejections_enforced_total.inc();
                enforced_count.inc();
            }
            EventKind::Ejected { reason, enforced }
        };
        look.events.push(Event {
            endpoint: Arc::clone(&host.endpoint),
            kind,
            ejections: history.ejections,
            since_last: history.last_returned.map(|at| look.now.duration_since(at)),
        });
    }

    /// Who has behaved for a whole interval is ejected for less time the next time.
    fn forgive(&mut self, now: Instant) {
        let interval = self.settings.interval;
        for history in self.histories.values_mut().filter(|it| it.ejected.is_none()) {
            if history.last_returned.is_some_and(|at| now.duration_since(at) >= interval) {
                history.backoff = history.backoff.saturating_sub(1);
            }
        }
    }

    fn show_ejected(&self) {
        let ejected = self.histories.values().filter(|it| it.ejected.is_some()).count();
        self.stats.ejections_active.set(ejected as u64);
    }
}

impl History {
    fn eject(&mut self, settings: &OutlierDetection, at: Instant, random: u64) {
        self.ejections = self.ejections.saturating_add(1);
        self.last_ejected = Some(at);
        let (base, longest) = (settings.base_ejection_time, settings.max_ejection_time);
        if base.saturating_mul(self.backoff) < longest.saturating_add(base) {
            self.backoff = self.backoff.saturating_add(1);
        }
        let most = settings.max_ejection_time_jitter.as_millis();
        let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        self.ejected = Some(Ejection { at, jitter: Duration::from_millis(random % most) });
    }
}

fn is_usable(host: &Host) -> bool {
    matches!(host.condition_now(), Condition::Healthy | Condition::Degraded)
}
