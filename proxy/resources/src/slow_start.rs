//! `slow_start_config`: new endpoints take less at first.

use std::time::Duration;

use weft_proto::pb::{
    envoy::{
        config::{cluster::v3::cluster as wire, core::v3::RuntimeDouble},
        extensions::load_balancing_policies::common::v3 as typed,
        r#type::v3::Percent,
    },
    google::protobuf,
};

use crate::{path::At, problem::Notes, scalar};

/// How the part that a new endpoint takes grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// `slow_start_window`: how long an endpoint is new.
    pub window: Duration,
    /// `aggression`: 1 by default, which is linear growth; above it grows faster at first.
    pub aggression: f64,
    /// `min_weight_percent`: at least this much of its part (10 by default).
    pub least_percent: f64,
}

impl SlowStart {
    /// The share of its part, between 0 and 1, that an endpoint takes after it was taken in.
    pub fn share(&self, age: Duration) -> f64 {
        if age >= self.window {
            return 1.0;
        }
        let passed = age.as_secs_f64() / self.window.as_secs_f64();
        passed.powf(1.0 / self.aggression).max(self.least_percent / 100.0).min(1.0)
    }
}

pub(crate) fn by_enum(
    message: Option<&wire::SlowStartConfig>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<SlowStart> {
    let message = message?;
    let least = message.min_weight_percent.as_ref();
    read(message.slow_start_window.as_ref(), message.aggression.as_ref(), least, at, notes)
}

pub(crate) fn by_type(
    message: Option<&typed::SlowStartConfig>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<SlowStart> {
    let message = message?;
    let least = message.min_weight_percent.as_ref();
    read(message.slow_start_window.as_ref(), message.aggression.as_ref(), least, at, notes)
}

/// There is no runtime layer, so the default value of the aggression always holds.
fn read(
    window: Option<&protobuf::Duration>,
    aggression: Option<&RuntimeDouble>,
    least: Option<&Percent>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<SlowStart> {
    let at = at.field("slow_start_config");
    let window = scalar::duration_or(window, Duration::ZERO, &at.field("slow_start_window"), notes);
    let aggression = aggression.map_or(1.0, |aggression| aggression.default_value);
    if !(aggression > 0.0 && aggression.is_finite()) {
        let what = aggression.to_string();
        return notes.unsupported(&at.field("aggression"), what, "numbers above 0 are");
    }
    let least_percent = least.map_or(10.0, |percent| percent.value);
    if !(0.0..=100.0).contains(&least_percent) {
        let what = least_percent.to_string();
        return notes.unsupported(&at.field("min_weight_percent"), what, "0 to 100 are");
    }
    (!window.is_zero()).then_some(SlowStart { window, aggression, least_percent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_to_the_whole() {
        let second = Duration::from_secs_f64;
        let start =
            |aggression| SlowStart { window: second(10.0), aggression, least_percent: 10.0 };
        let linear = start(1.0);
        let at = [0.0, 1.0, 5.0, 9.0, 10.0, 99.0].map(|age| linear.share(second(age)));
        for (share, expected) in at.into_iter().zip([0.1, 0.1, 0.5, 0.9, 1.0, 1.0]) {
            assert!((share - expected).abs() < 1e-9, "{share} is not {expected}");
        }
        assert!((start(2.0).share(second(2.5)) - 0.5).abs() < 1e-9);
        assert!((start(0.5).share(second(5.0)) - 0.25).abs() < 1e-9);
    }
}
