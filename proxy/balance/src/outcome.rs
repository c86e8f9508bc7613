//! What requests tell of an endpoint: recorded on the request path, judged elsewhere.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// How a request, or a connection, to an endpoint went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is a connection for a request; what comes of the request is another outcome.
    Connected,
    /// There is a connection, and nobody looks into what it carries.
    ConnectedForGood,
    /// It answered with this status, or one that a gRPC status was mapped to.
    Responded(u16),
    /// It did not answer in time.
    TimedOut,
    /// No connection to it, or the connection or the stream broke.
    Broken,
}

/// How many failures in a row make an endpoint suspect. 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// `consecutive_5xx`.
    pub server_errors: u32,
    /// `consecutive_gateway_failure`.
    pub gateway_failures: u32,
    /// `consecutive_local_origin_failure`.
    pub local_failures: u32,
    /// `split_external_local_origin_errors`: what this proxy saw itself is told apart from what the
    /// endpoint answered. Otherwise a timeout counts as the answer 504 and a break as 503.
    pub split: bool,
}

/// A run of failures that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Run {
    /// Of 5xx.
    ServerErrors,
    /// Of 502, 503 and 504.
    GatewayFailures,
    /// Of connections that were not made or broke, and answers that did not come.
    LocalFailures,
}

impl Run {
    /// All of them, in the order in which they are looked at.
    pub const ALL: [Self; 3] = [Self::GatewayFailures, Self::ServerErrors, Self::LocalFailures];

    fn bit(self) -> u8 {
        match self {
            Self::ServerErrors => 1,
            Self::GatewayFailures => 2,
            Self::LocalFailures => 4,
        }
    }
}

/// What happened at an endpoint so far, in all workers together.
#[derive(Debug, Default)]
pub struct Outcomes {
    server_errors: AtomicU32,
    gateway_failures: AtomicU32,
    local_failures: AtomicU32,
    /// Runs that were too long and have not been looked at.
    too_long: AtomicU8,
    external: Shares,
    local: Shares,
    success_rate: AtomicU64,
}

#[derive(Debug, Default)]
struct Shares {
    total: AtomicU64,
    good: AtomicU64,
}

/// How many there were, and how many of them were good; both only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub total: u64,
    /// The good ones.
    pub good: u64,
}

impl Tally {
    /// What has come since another one.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            total: self.total.wrapping_sub(before.total),
            good: self.good.wrapping_sub(before.good),
        }
    }
}

impl Shares {
    #[inline]
    fn add(&self, good: bool) {
        self.total.fetch_add(1, Ordering::Relaxed);
        if good {
            self.good.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn get(&self) -> Tally {
        // The good ones first: they are counted last, so there are never more of them than of all.
        let good = self.good.load(Ordering::Acquire);
        Tally { total: self.total.load(Ordering::Relaxed).max(good), good }
    }
}

impl Outcomes {
    /// Takes note of an outcome. True when it made a run too long, which nobody has looked at yet.
    #[inline]
    pub fn record(&self, outcome: Outcome, patience: &Patience) -> bool {
        match (outcome, patience.split) {
            (Outcome::Responded(status), _) => self.status(status, patience),
            (Outcome::Connected, false) => false,
            (Outcome::ConnectedForGood, false) => self.status(200, patience),
            (Outcome::TimedOut, false) => self.status(504, patience),
            (Outcome::Broken, false) => self.status(503, patience),
            (Outcome::Connected | Outcome::ConnectedForGood, true) => {
                self.local.add(true);
                end(&self.local_failures);
                false
            }
            (Outcome::TimedOut | Outcome::Broken, true) => {
                self.local.add(false);
                self.count(Run::LocalFailures, patience)
            }
        }
    }

    #[inline]
    fn status(&self, status: u16, patience: &Patience) -> bool {
        let is_good = !(500..600).contains(&status);
        self.external.add(is_good);
        if is_good {
            end(&self.server_errors);
            end(&self.gateway_failures);
            return false;
        }
        let gateway = if matches!(status, 502..=504) {
            self.count(Run::GatewayFailures, patience)
        } else {
            end(&self.gateway_failures);
            false
        };
        self.count(Run::ServerErrors, patience) || gateway
    }

    fn count(&self, run: Run, patience: &Patience) -> bool {
        let most = match run {
            Run::ServerErrors => patience.server_errors,
            Run::GatewayFailures => patience.gateway_failures,
            Run::LocalFailures => patience.local_failures,
        };
        // Exactly once for a run, however many workers lengthen it.
        let is_too_long = self.length(run).fetch_add(1, Ordering::Relaxed).wrapping_add(1) == most;
        if is_too_long {
            self.too_long.fetch_or(run.bit(), Ordering::Release);
        }
        is_too_long
    }

    fn length(&self, run: Run) -> &AtomicU32 {
        match run {
            Run::ServerErrors => &self.server_errors,
            Run::GatewayFailures => &self.gateway_failures,
            Run::LocalFailures => &self.local_failures,
        }
    }

    /// The runs that were too long since they were taken last.
    pub fn take_too_long(&self) -> impl Iterator<Item = Run> {
        let bits = match self.too_long.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.too_long.swap(0, Ordering::Acquire),
        };
        Run::ALL.into_iter().filter(move |run| bits & run.bit() != 0)
    }

    /// Forgets how long a run is.
    pub fn restart(&self, run: Run) {
        end(self.length(run));
    }

    /// What the endpoint answered.
    pub fn external(&self) -> Tally {
        self.external.get()
    }

    /// Whether it could be reached; counted only where that is told apart.
    pub fn local(&self) -> Tally {
        self.local.get()
    }

    /// The share of good answers, in percent, of the last interval that had enough of them.
    pub fn success_rate(&self) -> Option<f64> {
        let shown = f64::from_bits(self.success_rate.load(Ordering::Relaxed)) - 1.0;
        (shown >= 0.0).then_some(shown)
    }

    /// Shows a share of good answers in percent.
    pub fn show_success_rate(&self, percent: Option<f64>) {
        // Shifted by one, so that all zeros are none.
        let shown = percent.map_or(0.0, |percent| percent + 1.0);
        self.success_rate.store(shown.to_bits(), Ordering::Relaxed);
    }
}

/// Ends a run. Written only where there is one: the line of memory stays shared while all is well.
#[inline]
fn end(run: &AtomicU32) {
    if run.load(Ordering::Relaxed) != 0 {
        run.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Patience =
        Patience { server_errors: 3, gateway_failures: 2, local_failures: 2, split: false };
    const APART: Patience = Patience { split: true, ..THREE };

    fn all(outcomes: &Outcomes, patience: Patience, list: &[Outcome]) -> Vec<bool> {
        list.iter().map(|outcome| outcomes.record(*outcome, &patience)).collect()
    }

    #[test]
    fn runs_end_with_a_good_answer() {
        use Outcome::Responded;
        let outcomes = Outcomes::default();
        let said = all(
            &outcomes,
            THREE,
            &[Responded(500), Responded(500), Responded(404), Responded(500), Responded(501)],
        );
        assert_eq!(said, [false; 5]);
        assert_eq!(all(&outcomes, THREE, &[Responded(500)]), [true]);
        assert_eq!(outcomes.take_too_long().collect::<Vec<_>>(), [Run::ServerErrors]);
        assert_eq!(outcomes.take_too_long().count(), 0);
        // Longer still is nothing new.
        assert_eq!(all(&outcomes, THREE, &[Responded(500)]), [false]);
        assert_eq!(outcomes.external(), Tally { total: 7, good: 1 });
    }

    #[test]
    fn gateway_failures_are_a_run_of_their_own() {
        use Outcome::Responded;
        let outcomes = Outcomes::default();
        let list = [Responded(502), Responded(500), Responded(503), Responded(504)];
        assert_eq!(all(&outcomes, THREE, &list), [false, false, true, true]);
        let runs: Vec<_> = outcomes.take_too_long().collect();
        assert_eq!(runs, [Run::GatewayFailures, Run::ServerErrors]);
    }

    #[test]
    fn breaks_count_as_answers_unless_told_apart() {
        let outcomes = Outcomes::default();
        let list = [Outcome::Connected, Outcome::Broken, Outcome::Connected, Outcome::TimedOut];
        assert_eq!(all(&outcomes, THREE, &list), [false, false, false, true]);
        assert_eq!(outcomes.external(), Tally { total: 2, good: 0 });
        assert_eq!(outcomes.local(), Tally::default());

        let outcomes = Outcomes::default();
        assert_eq!(all(&outcomes, APART, &list), [false; 4]);
        assert_eq!(outcomes.external(), Tally::default());
        assert_eq!(outcomes.local(), Tally { total: 4, good: 2 });
        assert_eq!(all(&outcomes, APART, &[Outcome::Broken]), [true]);
        assert_eq!(outcomes.take_too_long().collect::<Vec<_>>(), [Run::LocalFailures]);
    }

    #[test]
    fn no_patience_is_endless_patience() {
        let outcomes = Outcomes::default();
        for _ in 0..1000 {
            assert!(!outcomes.record(Outcome::Responded(503), &Patience::default()));
        }
    }

    #[test]
    fn success_rates_are_shown() {
        let outcomes = Outcomes::default();
        assert_eq!(outcomes.success_rate(), None);
        outcomes.show_success_rate(Some(0.0));
        assert_eq!(outcomes.success_rate(), Some(0.0));
        outcomes.show_success_rate(Some(62.5));
        assert_eq!(outcomes.success_rate(), Some(62.5));
        outcomes.show_success_rate(None);
        assert_eq!(outcomes.success_rate(), None);
    }
}
