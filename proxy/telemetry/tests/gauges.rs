//! Bounded gauges under threads that run at once.

use std::{sync::Arc, thread};

use weft_telemetry::{Gauge, GaugeGuard};

#[test]
fn a_bounded_gauge_never_exceeds_its_bound() {
    let gauge = Arc::new(Gauge::default());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut taken = 0;
                while taken < 2_500 {
                    let Some(guard) = GaugeGuard::raise_below(&*gauge, |g| *g, 3) else {
                        thread::yield_now();
                        continue;
                    };
                    let now = gauge.get();
                    assert!((1..=3).contains(&now), "{now}");
                    taken += 1;
                    if taken % 2 == 0 {
                        thread::yield_now();
                    }
                    drop(guard);
                }
            });
        }
    });
    assert_eq!(gauge.get(), 0, "all was given back");
    assert!(!gauge.inc_below(0));
}
