//! Limits are held by gauges, so a gauge must be right however its users interleave. Threads that
//! race by luck show few orders; here every order of the atomic steps of two threads is tried, and
//! of three every order in which they are interrupted no more than twice.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use loom::thread;
use metric::{Gauge, GaugeGuard};

/// The code under test, over atomics that stop before each step.
#[expect(dead_code, unreachable_pub, reason = "only what holds limits is tried here")]
#[path = "../src/metric.rs"]
mod metric;

mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
}

/// A gauge, and who really holds a place. The oracle is no step of its own: threads take turns.
#[derive(Default)]
struct Limited {
    gauge: Gauge,
    held: AtomicU64,
}

type Place = GaugeGuard<Arc<Limited>>;

impl Limited {
    /// Takes a place, and holds the limit to what it says.
    fn take(self: &Arc<Self>, most: u64) -> Option<Place> {
        let place = GaugeGuard::raise_below(Arc::clone(self), |it| &it.gauge, most)?;
        let before = self.held.fetch_add(1, Ordering::SeqCst);
        assert!(before < most, "{before} of {most} were held already");
        Some(place)
    }

    fn give_back(&self, place: Place) {
        self.held.fetch_sub(1, Ordering::SeqCst);
        drop(place);
    }
}

/// Runs `turn` in `threads` threads, in every order; all that was taken must have been given back.
fn in_every_order(threads: usize, turn: fn(&Arc<Limited>)) {
    let mut orders = loom::model::Builder::new();
    // All orders of three take minutes.
    orders.preemption_bound = (threads > 2).then_some(2);
    orders.check(move || {
        let limited = Arc::new(Limited::default());
        let others: Vec<_> = (1..threads)
            .map(|_| {
                let limited = Arc::clone(&limited);
                thread::spawn(move || turn(&limited))
            })
            .collect();
        turn(&limited);
        for other in others {
            other.join().unwrap_or_else(|_| panic!("a turn panicked"));
        }
        assert_eq!(limited.gauge.get(), 0, "a place was lost");
    });
}

#[test]
fn no_more_are_held_than_may_be() {
    in_every_order(2, |limited| {
        if let Some(place) = limited.take(1) {
            limited.give_back(place);
        }
    });
    in_every_order(3, |limited| {
        if let Some(place) = limited.take(2) {
            limited.give_back(place);
        }
    });
}

#[test]
fn nobody_is_refused_while_a_place_is_free() {
    in_every_order(3, |limited| {
        let place = limited.take(3).expect("three places for three");
        limited.give_back(place);
    });
}

#[test]
fn a_place_that_was_given_back_can_be_taken_again() {
    in_every_order(2, |limited| {
        let first = limited.take(2).expect("two places for two");
        limited.give_back(first);
        let again = limited.take(2).expect("the same place");
        limited.give_back(again);
    });
}

#[test]
fn places_above_the_limit_are_counted_and_given_back() {
    in_every_order(2, |limited| {
        let anyway = GaugeGuard::raise(Arc::clone(limited), |it| &it.gauge);
        assert!(limited.take(1).is_none(), "the place that is held fills the limit");
        drop(anyway);
    });
}
