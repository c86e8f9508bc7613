//! What the answers of an endpoint to its health checks make of it, one after the other.

use std::{sync::Arc, time::Duration};

use weft_balance::{EndpointState, Verdict};
use weft_compile::HealthCheck;
use weft_telemetry::CheckStats;

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The endpoint is well, or at least degraded.
    Well {
        /// It is to be used only where too few are healthy.
        degraded: bool,
        /// It asks to be left out of account besides.
        excluded: bool,
    },
    /// It says that it is not.
    Ill {
        /// Why.
        illness: Illness,
        /// It asks to be left out of account besides.
        excluded: bool,
    },
}

/// Why a check has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illness {
    /// The endpoint has said so.
    Told,
    /// The same with a status of which it takes several.
    Retriable,
    /// It goes by another name than it should.
    OtherService,
    /// No connection, or it broke.
    Network,
    /// No answer in time.
    Timeout,
    /// It said so with a response to a request.
    Passive,
}

impl Illness {
    /// The name in `data.core.v3.HealthCheckFailureType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Told | Self::Retriable | Self::OtherService => "ACTIVE",
            Self::Passive => "PASSIVE",
            Self::Network => "NETWORK",
            Self::Timeout => "NETWORK_TIMEOUT",
        }
    }

    /// Whether it takes as many in a row as the threshold says.
    fn is_counted(self) -> bool {
        matches!(self, Self::Retriable | Self::Network | Self::Timeout)
    }
}

/// What has become of an endpoint by an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Unchanged,
    /// It would be something else after some more answers like this.
    Pending,
    /// It takes requests now, or takes none any more.
    Changed,
}

/// The checks of one endpoint.
#[derive(Debug)]
pub struct Course {
    settings: Arc<HealthCheck>,
    stats: Arc<CheckStats>,
    good: u32,
    bad: u32,
}

impl Course {
    /// One that begins.
    pub fn new(settings: Arc<HealthCheck>, stats: Arc<CheckStats>) -> Self {
        Self { settings, stats, good: 0, bad: 0 }
    }

    /// Takes an answer in, and judges the endpoint by it.
    pub fn heard(&mut self, endpoint: &EndpointState, answer: Answer) -> Change {
        let change = match answer {
            Answer::Well { degraded, .. } => self.well(endpoint, degraded),
            Answer::Ill { illness, .. } => self.ill(endpoint, illness),
        };
        let (Answer::Well { excluded, .. } | Answer::Ill { excluded, .. }) = answer;
        let mut is_new = endpoint.judge(Verdict::Excluded, excluded);
        is_new |= endpoint.judge(Verdict::AwaitsCheck, false);
        is_new |= endpoint.judge(Verdict::Unchecked, false);
        if is_new { Change::Changed } else { change }
    }

    fn well(&mut self, endpoint: &EndpointState, degraded: bool) -> Change {
        self.stats.success.inc();
        self.bad = 0;
        endpoint.judge(Verdict::CheckTimedOut, false);
        let standing = endpoint.standing();
        let mut change = Change::Unchanged;
        if standing.has(Verdict::FailedCheck) {
            self.good = self.good.saturating_add(1);
            let is_first = standing.has(Verdict::Unchecked);
            if !is_first && self.good < self.settings.healthy_threshold {
                return Change::Pending;
            }
            endpoint.judge(Verdict::FailedCheck, false);
            change = Change::Changed;
        }
        if endpoint.judge(Verdict::DegradedByCheck, degraded) {
            change = Change::Changed;
        }
        change
    }

    /// An endpoint has failed a check, or said with a response that it is not well.
    pub fn ill(&mut self, endpoint: &EndpointState, illness: Illness) -> Change {
        self.stats.failure.inc();
        match illness {
            Illness::Network | Illness::Timeout => self.stats.network_failure.inc(),
            Illness::Passive => self.stats.passive_failure.inc(),
            Illness::OtherService => self.stats.verify_cluster.inc(),
            Illness::Told | Illness::Retriable => {}
        }
        self.good = 0;
        endpoint.judge(Verdict::CheckTimedOut, illness == Illness::Timeout);
        if endpoint.standing().has(Verdict::FailedCheck) {
            return Change::Unchanged;
        }
        self.bad = self.bad.saturating_add(1);
        if illness.is_counted() && self.bad < self.settings.unhealthy_threshold {
            return Change::Pending;
        }
        self.bad = 0;
        endpoint.judge(Verdict::FailedCheck, true);
        Change::Changed
    }

    /// How long to wait for the next check after this. `has_traffic`: the cluster has had a
    /// connection. `random` is uniformly random.
    pub fn pause(
        &self,
        was_well: bool,
        change: Change,
        has_traffic: bool,
        random: u64,
    ) -> Duration {
        let intervals = &self.settings.intervals;
        let is_pending = change == Change::Pending;
        let base = match (has_traffic, was_well, is_pending) {
            (true, true, false) => intervals.healthy,
            (true, true, true) => intervals.healthy_edge,
            (true, false, false) => intervals.unhealthy,
            (true, false, true) => intervals.unhealthy_edge,
            (false, true, false) => intervals.no_traffic_healthy,
            (false, _, _) => intervals.no_traffic,
        };
        let share = base.saturating_mul(intervals.jitter_percent) / 100;
        base.saturating_add(part(share, random))
            .saturating_add(part(intervals.jitter, random.rotate_left(32)))
    }

    /// How late the first check is.
    pub fn delay(&self, random: u64) -> Duration {
        part(self.settings.intervals.initial_jitter, random)
    }
}

/// A part of a time, below all of it, in whole milliseconds.
fn part(of: Duration, random: u64) -> Duration {
    let millis = u64::try_from(of.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random.checked_rem(millis).unwrap_or(0))
}
