//! Timing one step.

use std::{
    fmt,
    hint::black_box,
    time::{Duration, Instant},
};

use serde::Serialize;

/// What one step costs.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What was run.
    pub(crate) name: String,
    /// Nanoseconds of a step in the median round.
    pub(crate) median_ns: f64,
    /// Nanoseconds of a step in the fastest round.
    pub(crate) fastest_ns: f64,
    /// Allocations of a step.
    pub(crate) allocations: f64,
    /// Bytes allocated by a step.
    pub(crate) allocated_bytes: f64,
    /// Steps in a round.
    pub(crate) steps: u64,
}

impl Row {
    pub(crate) const HEADING: &'static str =
        "step                                          median    fastest   allocations  allocated";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<42} {:>9} {:>10} {:>13.1} {:>8.1}k",
            self.name,
            nanoseconds(self.median_ns),
            nanoseconds(self.fastest_ns),
            self.allocations,
            self.allocated_bytes / 1024.0,
        )
    }
}

fn nanoseconds(ns: f64) -> String {
    match ns {
        1e6.. => format!("{:.2} ms", ns / 1e6),
        1e4.. => format!("{:.1} µs", ns / 1e3),
        _ => format!("{ns:.1} ns"),
    }
}

/// Runs steps and collects what they cost.
#[derive(Debug)]
pub(crate) struct Bench {
    rounds: u32,
    round: Duration,
    only: String,
    rows: Vec<Row>,
}

impl Bench {
    pub(crate) fn new(rounds: u32, round_ms: u64, only: &str) -> Self {
        let round = Duration::from_millis(round_ms);
        Self { rounds, round, only: only.to_owned(), rows: Vec::new() }
    }

    /// Whether a row was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// Measures `step`, which gets the number of the step.
    pub(crate) fn measure<T>(&mut self, name: &str, mut step: impl FnMut(u64) -> T) {
        if !self.wants(name) {
            return;
        }
        let mut number = 0;
        let mut run = |steps: u64| {
            let started = Instant::now();
            for _ in 0..steps {
                black_box(step(number));
                number += 1;
            }
            started.elapsed()
        };
        // Doubling until a round is long enough also warms caches and branch predictors.
        let mut steps = 1;
        while run(steps) < self.round {
            steps *= 2;
        }
        let mut rounds: Vec<f64> =
            (0..self.rounds).map(|_| run(steps).as_nanos() as f64 / steps as f64).collect();
        rounds.sort_by(f64::total_cmp);
        let counted = steps.min(1_000);
        let allocations = allocation_counter::measure(|| {
            run(counted);
        });
        let row = Row {
            name: name.to_owned(),
            median_ns: rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN),
            fastest_ns: rounds.first().copied().unwrap_or(f64::NAN),
            allocations: allocations.count_total as f64 / counted as f64,
            allocated_bytes: allocations.bytes_total as f64 / counted as f64,
            steps,
        };
        println!("{row}");
        self.rows.push(row);
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}
