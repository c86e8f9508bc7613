//! The time by which latencies of endpoints are measured, the same for all workers.

use std::{sync::OnceLock, time::Instant};

use weft_balance::{Balancer, Chance, Ticks};

/// When somebody first asked.
static START: OnceLock<Instant> = OnceLock::new();

/// This moment.
pub(crate) fn at(now: Instant) -> Ticks {
    Ticks::after(now.saturating_duration_since(*START.get_or_init(|| now)))
}

/// What a pick of this balancer is decided by; nearly none asks for the time.
pub(crate) fn chance(balancer: &Balancer, random: u64) -> Chance {
    Chance { random, now: balancer.is_timed().then(|| at(Instant::now())) }
}
