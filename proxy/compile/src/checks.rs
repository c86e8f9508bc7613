//! Health checks of a cluster: what is asked of whom.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use weft_balance::{Alarm, EndpointAddress, EndpointState, Verdict};
use weft_resources::{Address, EndpointCheck, HealthCheck};

/// The verdicts that health checks reach.
const BY_CHECKS: [Verdict; 7] = [
    Verdict::FailedCheck,
    Verdict::CheckTimedOut,
    Verdict::DegradedByCheck,
    Verdict::AwaitsCheck,
    Verdict::Excluded,
    Verdict::Leaving,
    Verdict::Unchecked,
];

/// The health checks of a cluster.
#[derive(Debug)]
pub struct Checks {
    /// How endpoints are asked. The same `Arc` as in the tables before as long as it is equal.
    pub settings: Arc<HealthCheck>,
    /// Who is asked.
    pub targets: Box<[CheckTarget]>,
    is_due: AtomicBool,
    alarm: Arc<Alarm>,
}

/// An endpoint that is asked.
#[derive(Clone, Debug)]
pub struct CheckTarget {
    /// Who.
    pub endpoint: Arc<EndpointState>,
    /// Where, if not where requests go.
    pub address: Option<EndpointAddress>,
    /// At which port, if not at that of the address.
    pub port: Option<u16>,
    /// By which name, if not by that of the check.
    pub hostname: Option<Arc<str>>,
}

impl Checks {
    pub(crate) fn new(
        settings: Arc<HealthCheck>,
        targets: Vec<CheckTarget>,
        alarm: Arc<Alarm>,
    ) -> Self {
        let is_due = AtomicBool::new(false);
        Self { settings, targets: targets.into(), is_due, alarm }
    }

    /// An endpoint has asked, with a response, to be left alone.
    pub fn left_alone(&self, endpoint: &EndpointState) {
        endpoint.ask_off();
        self.is_due.store(true, Ordering::Release);
        self.alarm.ring();
    }

    /// Whether any has asked since this was asked last.
    pub fn take_due(&self) -> bool {
        self.is_due.load(Ordering::Relaxed) && self.is_due.swap(false, Ordering::Acquire)
    }
}

impl CheckTarget {
    pub(crate) fn new(endpoint: Arc<EndpointState>, own: Option<&EndpointCheck>) -> Self {
        let own = own.cloned().unwrap_or_default();
        Self {
            endpoint,
            address: own.address.map(|address| match address {
                Address::Ip(address) => EndpointAddress::Ip(address),
                Address::Pipe(path) => EndpointAddress::Pipe(path),
            }),
            port: own.port,
            hostname: Some(own.hostname).filter(|name| !name.is_empty()).map(Arc::from),
        }
    }

    /// Whether it is asked in the same way.
    pub fn is_like(&self, other: &Self) -> bool {
        let of = |it: &'_ Self| (it.address.clone(), it.port, it.hostname.clone());
        of(self) == of(other)
    }
}

/// An endpoint that has not been checked yet takes no requests until it was.
pub(crate) fn await_check(endpoint: &EndpointState, holds_back: bool) {
    endpoint.judge(Verdict::FailedCheck, true);
    endpoint.judge(Verdict::Unchecked, true);
    endpoint.judge(Verdict::AwaitsCheck, holds_back);
}

/// What was found out of an endpoint holds for one that takes its place.
pub(crate) fn inherit(endpoint: &EndpointState, before: &EndpointState) {
    let standing = before.standing();
    for verdict in BY_CHECKS {
        endpoint.judge(verdict, standing.has(verdict));
    }
}

/// Nobody checks it any more.
pub(crate) fn release(endpoint: &EndpointState) {
    for verdict in BY_CHECKS {
        endpoint.judge(verdict, false);
    }
}
