//! Bounded gauges under threads that run at once.

use std::{sync::Arc, thread};

use weft_telemetry::{Gauge, GaugeGuard};

#[test]
fn a_bounded_gauge_never_exceeds_its_bound() {
    let gauge = Arc::new(Gauge::default());
    let highest = Arc::new(Gauge::default());
    let held: u64 = thread::scope(|scope| {
        let climbers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut taken = 0;
                    for turn in 0..10_000u64 {
                        if let Some(guard) = GaugeGuard::raise_below(&*gauge, |g| *g, 3) {
                            let now = gauge.get();
                            assert!((1..=3).contains(&now), "{now}");
                            highest.set(highest.get().max(now));
                            taken += 1;
                            if turn % 2 == 0 {
                                thread::yield_now();
                            }
                            drop(guard);
                        }
                    }
                    taken
                })
            })
            .collect();
        climbers.into_iter().map(|climber| climber.join().unwrap()).sum()
    });
    assert_eq!(gauge.get(), 0, "all was given back");
    assert!(held >= 10_000, "{held}");
    assert!(!gauge.inc_below(0));
}
