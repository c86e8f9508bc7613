//! Outlier detection, as far as the request path has a part in it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use weft_balance::{Alarm, EndpointState, Outcome, Patience};
use weft_resources::OutlierDetection;

/// Takes note of what happens at the endpoints of a cluster, and calls for a decision where one is
/// due.
#[derive(Debug)]
pub struct Outliers {
    /// By what is decided.
    pub settings: OutlierDetection,
    patience: Patience,
    is_due: AtomicBool,
    alarm: Arc<Alarm>,
}

impl Outliers {
    pub(crate) fn new(settings: OutlierDetection, alarm: Arc<Alarm>) -> Self {
        let patience = Patience {
            server_errors: settings.consecutive_5xx,
            gateway_failures: settings.consecutive_gateway_failure,
            local_failures: settings.consecutive_local_origin_failure,
            split: settings.split_local_origin,
        };
        Self { settings, patience, is_due: AtomicBool::new(false), alarm }
    }

    /// A request, or a connection, has gone this way. Costs a few relaxed atomics.
    #[inline]
    pub fn record(&self, endpoint: &EndpointState, outcome: Outcome) {
        if endpoint.outcomes().record(outcome, &self.patience) {
            self.is_due.store(true, Ordering::Release);
            self.alarm.ring();
        }
    }

    /// Whether a decision was called for since this was asked last.
    pub fn take_due(&self) -> bool {
        self.is_due.load(Ordering::Relaxed) && self.is_due.swap(false, Ordering::Acquire)
    }
}
