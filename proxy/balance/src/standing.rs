//! What this proxy itself has found out about the health of an endpoint.

use std::sync::atomic::{AtomicU8, Ordering};

/// A verdict, which holds until it is lifted. Those who reach it are not on the request path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Outlier detection has ejected it.
    Ejected,
    /// Its health checks fail.
    FailedCheck,
    /// The last of them was not answered in time.
    CheckTimedOut,
    /// Its health checks say that it is to be used only where too few are healthy.
    DegradedByCheck,
    /// It was not checked yet, and takes no requests before
    /// (`ignore_new_hosts_until_first_hc`).
    AwaitsCheck,
    /// It asked to be left alone at once (`x-envoy-immediate-health-check-fail`).
    Excluded,
    /// The configuration does not list it any more; it stays because its checks pass.
    Leaving,
    /// It was not checked yet.
    Unchecked,
}

impl Verdict {
    fn bit(self) -> u8 {
        match self {
            Self::Ejected => 1,
            Self::FailedCheck => 1 << 1,
            Self::CheckTimedOut => 1 << 2,
            Self::DegradedByCheck => 1 << 3,
            Self::AwaitsCheck => 1 << 4,
            Self::Excluded => 1 << 5,
            Self::Leaving => 1 << 6,
            Self::Unchecked => 1 << 7,
        }
    }
}

/// All verdicts on an endpoint at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing(u8);

impl Standing {
    /// Whether a verdict holds.
    pub fn has(self, verdict: Verdict) -> bool {
        self.0 & verdict.bit() != 0
    }

    /// Whether no verdict keeps requests away.
    pub fn is_usable(self) -> bool {
        !self.has(Verdict::Ejected) && !self.has(Verdict::FailedCheck)
    }
}

/// The verdicts on an endpoint, as they change.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(AtomicU8);

impl Verdicts {
    pub(crate) fn get(&self) -> Standing {
        Standing(self.0.load(Ordering::Acquire))
    }

    /// Sets or lifts one; true when that changed anything.
    pub(crate) fn set(&self, verdict: Verdict, holds: bool) -> bool {
        let bit = verdict.bit();
        let before = if holds {
            self.0.fetch_or(bit, Ordering::AcqRel)
        } else {
            self.0.fetch_and(!bit, Ordering::AcqRel)
        };
        (before & bit != 0) != holds
    }
}
