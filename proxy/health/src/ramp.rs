//! Slow start: endpoints that are new, or well again, take less at first.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use weft_balance::{EndpointId, FULL_SPEED, Host, Verdict};
use weft_compile::{SlowStart, speed};

/// In so many steps an endpoint comes to its whole part.
const STEPS: u32 = 50;
/// No more often than this are the endpoints of a cluster balanced anew,
const SHORTEST_STEP: Duration = Duration::from_millis(20);
/// and no less often.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// When endpoints began to take requests.
#[derive(Debug, Default)]
pub struct Ramp {
    began: HashMap<EndpointId, Option<Instant>, RandomState>,
}

/// What a look at the endpoints has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whether any is to take more, or less, than before.
    pub has_changed: bool,
    /// When to look again, if any is not at its full speed.
    pub next: Option<Instant>,
}

impl Ramp {
    /// Sets the speeds of endpoints for this moment. What begins is an endpoint that was made new, or
    /// one whose checks pass again: what is ejected and returns goes on as before, as in Envoy.
    pub fn look(&mut self, hosts: &[Host], settings: &SlowStart, now: Instant) -> Progress {
        let step = (settings.window / STEPS).clamp(SHORTEST_STEP, LONGEST_STEP);
        let least = speed(settings.share(Duration::ZERO)).max(1);
        let before = std::mem::take(&mut self.began);
        let (mut has_changed, mut is_under_way) = (false, false);
        for Host { endpoint, .. } in hosts {
            let id = endpoint.id();
            if endpoint.standing().has(Verdict::FailedCheck) {
                // Picked by nobody now, so nobody needs to be told.
                endpoint.set_speed(least);
                continue;
            }
            let known = before.get(&id).copied();
            // One that was at full speed before anybody looked is none that begins.
            let fresh = || (endpoint.speed() < FULL_SPEED).then_some(now);
            let began = known.unwrap_or_else(fresh);
            let age = |began| in_steps(now.duration_since(began), step);
            let share = began.map_or(1.0, |began| settings.share(age(began)));
            has_changed |= endpoint.set_speed(speed(share));
            is_under_way |= share < 1.0;
            self.began.insert(id, began.filter(|_| share < 1.0));
        }
        Progress { has_changed, next: is_under_way.then(|| now + step) }
    }
}

/// The whole steps of an age: looking twice within a step finds nothing new.
fn in_steps(age: Duration, step: Duration) -> Duration {
    let steps = age.as_nanos() / step.as_nanos().max(1);
    step.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}
