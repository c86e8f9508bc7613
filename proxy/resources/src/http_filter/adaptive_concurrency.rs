//! `adaptive_concurrency`: how many requests may be under way at once follows from how long they take.

use http::StatusCode;
use weft_limit::{Controller, Gradient, Idle};
use weft_proto::pb::{
    envoy::{
        extensions::filters::http::adaptive_concurrency::v3::{
            self as wire, adaptive_concurrency::ConcurrencyControllerConfig,
            gradient_controller_config::MinimumRttCalculationParams,
        },
        r#type::v3::{HttpStatus, Percent},
    },
    google::protobuf::UInt32Value,
};

use crate::{
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// How many requests go on at once, and what the others are told.
#[derive(Debug)]
pub struct AdaptiveConcurrency {
    /// Decides, for all workers.
    pub controller: Controller,
    /// `concurrency_limit_exceeded_status` (503 by default).
    pub status: StatusCode,
    /// `enabled`.
    pub enabled: bool,
}

pub(super) fn read(
    message: &wire::AdaptiveConcurrency,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<AdaptiveConcurrency> {
    const FIELD: &str = "gradient_controller_config";
    let Some(ConcurrencyControllerConfig::GradientControllerConfig(config)) =
        &message.concurrency_controller_config
    else {
        return notes.refuse(&at.field(FIELD), Problem::Missing);
    };
    let gradient = gradient(config, &at.field(FIELD), notes);
    let status = message.concurrency_limit_exceeded_status.as_ref();
    let status = status_of(status, &at.field("concurrency_limit_exceeded_status"), notes);
    let flag = message.enabled.as_ref().and_then(|enabled| enabled.default_value.as_ref());
    let enabled = scalar::bool_or(flag, true);
    Some(AdaptiveConcurrency { controller: Controller::new(gradient?), status: status?, enabled })
}

fn gradient(
    config: &wire::GradientControllerConfig,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Gradient> {
    let at_limit = at.field("concurrency_limit_params");
    let at_idle = at.field("min_rtt_calc_params");
    let Some(limit) = &config.concurrency_limit_params else {
        return notes.refuse(&at_limit, Problem::Missing);
    };
    let Some(measured) = &config.min_rtt_calc_params else {
        return notes.refuse(&at_idle, Problem::Missing);
    };
    let percentile = config.sample_aggregate_percentile.as_ref();
    let percentile = share(percentile, 50.0, &at.field("sample_aggregate_percentile"), notes)?;
    let at_window = at_limit.field("concurrency_update_interval");
    let Some(window) = &limit.concurrency_update_interval else {
        return notes.refuse(&at_window, Problem::Missing);
    };
    let window = scalar::duration(window, &at_window, notes)?;
    let at_once = number(measured.min_concurrency.as_ref(), 3);
    let least = number(limit.min_concurrency_limit.as_ref(), at_once);
    let most = number(limit.max_concurrency_limit.as_ref(), 1000);
    if least > most {
        let at = at_limit.field("max_concurrency_limit");
        let what = format!("{most}, which is less than the least limit ({least}),");
        return notes.unsupported(
            &at,
            what,
            "min_concurrency_limit, or min_concurrency, or more is",
        );
    }
    let buffer = share(measured.buffer.as_ref(), 25.0, &at_idle.field("buffer"), notes)?;
    let idle = idle(measured, at_once, &at_idle, notes)?;
    Some(Gradient { percentile, most, least, window, buffer, idle })
}

fn idle(
    measured: &MinimumRttCalculationParams,
    at_once: u32,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Idle> {
    if let Some(fixed) = &measured.fixed_value {
        return scalar::duration(fixed, &at.field("fixed_value"), notes).map(Idle::Fixed);
    }
    let Some(interval) = &measured.interval else {
        return notes.refuse(&at.field("interval"), Problem::Missing);
    };
    Some(Idle::Measured {
        interval: scalar::duration(interval, &at.field("interval"), notes)?,
        jitter: share(measured.jitter.as_ref(), 15.0, &at.field("jitter"), notes)?,
        requests: number(measured.request_count.as_ref(), 50),
        at_once,
    })
}

fn number(message: Option<&UInt32Value>, default: u32) -> u32 {
    message.map_or(default, |message| message.value)
}

/// A share as millionths.
fn share(message: Option<&Percent>, default: f64, at: &At<'_>, notes: &mut Notes) -> Option<u32> {
    let percent = message.map_or(default, |percent| percent.value);
    if !(0.0..=100.0).contains(&percent) {
        return notes.unsupported(at, percent.to_string(), "0 to 100 are");
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most a million")]
    let millionths = (percent * 10_000.0).round() as u32;
    Some(millionths)
}

/// Below 400 there is no error, and it is 503, as in Envoy.
fn status_of(message: Option<&HttpStatus>, at: &At<'_>, notes: &mut Notes) -> Option<StatusCode> {
    match message.map(|status| (status.code, u16::try_from(status.code))) {
        None | Some((_, Ok(..400))) => Some(StatusCode::SERVICE_UNAVAILABLE),
        Some((_, Ok(code @ 400..600))) => StatusCode::from_u16(code).ok(),
        Some((code, _)) => notes.refuse(&at.field("code"), Problem::UnknownEnum(code)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weft_proto::json;

    use super::*;

    fn said(settings: &str) -> (Option<Gradient>, String) {
        let message: wire::GradientControllerConfig = json::from_yaml(settings).unwrap();
        let mut notes = Notes::default();
        let read = gradient(&message, &At::root(), &mut notes);
        let reasons: Vec<_> = notes.reasons.iter().map(ToString::to_string).collect();
        (read, reasons.join("; "))
    }

    #[test]
    fn settings_are_read() {
        let (read, reasons) = said(
            "{sample_aggregate_percentile: {value: 99.9}, concurrency_limit_params: {\
             max_concurrency_limit: 7, concurrency_update_interval: 0.1s}, min_rtt_calc_params: {\
             interval: 60s, request_count: 9, jitter: {value: 10}, min_concurrency: 2, \
             buffer: {value: 12.5}}}",
        );
        assert_eq!(reasons, "");
        let (requests, at_once, interval) = (9, 2, Duration::from_secs(60));
        let idle = Idle::Measured { interval, jitter: 100_000, requests, at_once };
        let (percentile, buffer, window) = (999_000, 125_000, Duration::from_millis(100));
        let expected = Gradient { percentile, most: 7, least: 2, window, buffer, idle };
        assert_eq!(read, Some(expected));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        const WINDOW: &str = "concurrency_limit_params: {concurrency_update_interval: 1s";
        for (settings, named) in [
            (format!("{{{WINDOW}}}, min_rtt_calc_params: {{}}}}"), "min_rtt_calc_params.interval"),
            (
                format!("{{{WINDOW}, max_concurrency_limit: 2}}, min_rtt_calc_params: {{}}}}"),
                "max_concurrency_limit: 2, which is less than the least limit (3)",
            ),
            (
                format!(
                    "{{sample_aggregate_percentile: {{value: 101}}, {WINDOW}}}, \
                     min_rtt_calc_params: {{interval: 1s}}}}"
                ),
                "sample_aggregate_percentile",
            ),
        ] {
            let (read, reasons) = said(&settings);
            assert!(read.is_none() && reasons.contains(named), "{settings}: {reasons}");
        }
    }
}
