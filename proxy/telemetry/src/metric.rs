//! The two scalar metrics.

use crate::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one away.
    #[inline]
    pub fn dec(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Adds one unless there are `most` already. Exact, however many threads ask at once.
    #[inline]
    pub fn inc_below(&self, most: u64) -> bool {
        let one_more = |now: u64| (now < most).then(|| now + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Holds a gauge up by one until it is dropped. `T` is whatever keeps the gauge alive (an `Arc` of
/// its group); `select` finds the gauge in it, so that no pointer needs to outlive its group.
#[derive(Debug)]
pub struct GaugeGuard<T> {
    owner: T,
    select: fn(&T) -> &Gauge,
}

impl<T> GaugeGuard<T> {
    /// Raises the gauge.
    #[inline]
    pub fn raise(owner: T, select: fn(&T) -> &Gauge) -> Self {
        select(&owner).inc();
        Self { owner, select }
    }

    /// Raises the gauge unless it is at `most` already.
    #[inline]
    pub fn raise_below(owner: T, select: fn(&T) -> &Gauge, most: u64) -> Option<Self> {
        select(&owner).inc_below(most).then(|| Self { owner, select })
    }

    /// Whose gauge it is.
    #[inline]
    pub fn owner(&self) -> &T {
        &self.owner
    }
}

impl<T> Drop for GaugeGuard<T> {
    #[inline]
    fn drop(&mut self) {
        (self.select)(&self.owner).dec();
    }
}
