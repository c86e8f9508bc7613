//! `envoy.config.cluster.v3.OutlierDetection`.

use std::time::Duration;

use weft_proto::pb::{
    envoy::config::cluster::v3 as wire,
    google::protobuf::{Duration as WireDuration, UInt32Value},
};

use crate::{
    cluster::{Discovery, optional},
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// Intervals are counted in whole milliseconds, as in Envoy.
const SHORTEST: Duration = Duration::from_millis(1);

/// When an endpoint is an outlier, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// `consecutive_5xx` (5 by default); 0 is never, as for the other two.
    pub consecutive_5xx: u32,
    /// `consecutive_gateway_failure` (5 by default).
    pub consecutive_gateway_failure: u32,
    /// `consecutive_local_origin_failure` (5 by default).
    pub consecutive_local_origin_failure: u32,
    /// `split_external_local_origin_errors`.
    pub split_local_origin: bool,
    /// `interval` (10 s by default).
    pub interval: Duration,
    /// `base_ejection_time` (30 s by default).
    pub base_ejection_time: Duration,
    /// `max_ejection_time` (5 minutes by default, or the base time where that is longer).
    pub max_ejection_time: Duration,
    /// `max_ejection_time_jitter` (none by default).
    pub max_ejection_time_jitter: Duration,
    /// `max_ejection_percent` (10 by default).
    pub max_ejection_percent: u8,
    /// `always_eject_one_host`, whatever that percentage is.
    pub always_eject_one: bool,
    /// `enforcing_*`.
    pub enforcing: Enforcing,
    /// `success_rate_minimum_hosts` (5 by default).
    pub success_rate_minimum_hosts: u32,
    /// `success_rate_request_volume` (100 by default).
    pub success_rate_request_volume: u32,
    /// `success_rate_stdev_factor` in thousandths (1900 by default).
    pub success_rate_stdev_factor: u32,
    /// `failure_percentage_threshold` (85 by default).
    pub failure_percentage_threshold: u8,
    /// `failure_percentage_minimum_hosts` (5 by default).
    pub failure_percentage_minimum_hosts: u32,
    /// `failure_percentage_request_volume` (50 by default).
    pub failure_percentage_request_volume: u32,
    /// `successful_active_health_check_uneject_host` (true by default).
    pub return_when_checked: bool,
}

/// In how many of a hundred cases an outlier is ejected, by what it is one for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforcing {
    /// 100 by default.
    pub consecutive_5xx: u8,
    /// 0 by default.
    pub consecutive_gateway_failure: u8,
    /// 100 by default.
    pub consecutive_local_origin_failure: u8,
    /// 100 by default.
    pub success_rate: u8,
    /// 100 by default.
    pub local_origin_success_rate: u8,
    /// 0 by default.
    pub failure_percentage: u8,
    /// 0 by default.
    pub failure_percentage_local_origin: u8,
}

impl Default for OutlierDetection {
    /// As if none of its fields was set.
    fn default() -> Self {
        Self {
            consecutive_5xx: 5,
            consecutive_gateway_failure: 5,
            consecutive_local_origin_failure: 5,
            split_local_origin: false,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_time_jitter: Duration::ZERO,
            max_ejection_percent: 10,
            always_eject_one: false,
            enforcing: Enforcing {
                consecutive_5xx: 100,
                consecutive_gateway_failure: 0,
                consecutive_local_origin_failure: 100,
                success_rate: 100,
                local_origin_success_rate: 100,
                failure_percentage: 0,
                failure_percentage_local_origin: 0,
            },
            success_rate_minimum_hosts: 5,
            success_rate_request_volume: 100,
            success_rate_stdev_factor: 1900,
            failure_percentage_threshold: 85,
            failure_percentage_minimum_hosts: 5,
            failure_percentage_request_volume: 50,
            return_when_checked: true,
        }
    }
}

/// Says so where nobody will be ejected: endpoints that come into being as requests ask for them
/// are each worker's own, and none is chosen among them.
pub(crate) fn check_endpoints(
    message: &wire::Cluster,
    discovery: &Discovery,
    at: &At<'_>,
    notes: &mut Notes,
) {
    let kind = match discovery {
        Discovery::OriginalDestination(_) => "ORIGINAL_DST",
        Discovery::Dynamic(_) => "dynamic_forward_proxy",
        _ => return,
    };
    if message.outlier_detection.is_some() {
        let text = format!(
            "nobody is ejected: a request to a cluster of type {kind} goes where it says itself"
        );
        notes.warn(&at.field("outlier_detection"), text);
    }
}

/// Reads the settings of a cluster, if it has any. The rules of the schema have been checked:
/// percentages are at most 100.
pub(crate) fn of_cluster(
    message: &wire::Cluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<OutlierDetection> {
    let message = message.outlier_detection.as_ref()?;
    let at = at.field("outlier_detection");
    let default = OutlierDetection::default();
    let mut time = |field: &Option<WireDuration>, default, name| {
        scalar::duration_or(field.as_ref(), default, &at.field(name), notes)
    };
    let interval = time(&message.interval, default.interval, "interval");
    let base = time(&message.base_ejection_time, default.base_ejection_time, "base_ejection_time");
    let longest = default.max_ejection_time.max(base);
    let longest = time(&message.max_ejection_time, longest, "max_ejection_time");
    let jitter =
        time(&message.max_ejection_time_jitter, Duration::ZERO, "max_ejection_time_jitter");
    if interval < SHORTEST {
        notes.refuse::<()>(&at.field("interval"), Problem::TooShort { least: SHORTEST });
    }
    if longest < base {
        let what = format!("{longest:?}, which is less than base_ejection_time,");
        let at = at.field("max_ejection_time");
        notes.unsupported::<()>(&at, what, "base_ejection_time or more is");
    }
    Some(OutlierDetection {
        consecutive_5xx: number(message.consecutive_5xx, default.consecutive_5xx),
        consecutive_gateway_failure: number(
            message.consecutive_gateway_failure,
            default.consecutive_gateway_failure,
        ),
        consecutive_local_origin_failure: number(
            message.consecutive_local_origin_failure,
            default.consecutive_local_origin_failure,
        ),
        split_local_origin: message.split_external_local_origin_errors,
        interval,
        base_ejection_time: base,
        max_ejection_time: longest,
        max_ejection_time_jitter: jitter,
        max_ejection_percent: percent(message.max_ejection_percent, default.max_ejection_percent),
        always_eject_one: scalar::bool_or(message.always_eject_one_host.as_ref(), false),
        enforcing: enforcing(message, default.enforcing),
        success_rate_minimum_hosts: number(
            message.success_rate_minimum_hosts,
            default.success_rate_minimum_hosts,
        ),
        success_rate_request_volume: number(
            message.success_rate_request_volume,
            default.success_rate_request_volume,
        ),
        success_rate_stdev_factor: number(
            message.success_rate_stdev_factor,
            default.success_rate_stdev_factor,
        ),
        failure_percentage_threshold: percent(
            message.failure_percentage_threshold,
            default.failure_percentage_threshold,
        ),
        failure_percentage_minimum_hosts: number(
            message.failure_percentage_minimum_hosts,
            default.failure_percentage_minimum_hosts,
        ),
        failure_percentage_request_volume: number(
            message.failure_percentage_request_volume,
            default.failure_percentage_request_volume,
        ),
        return_when_checked: scalar::bool_or(
            message.successful_active_health_check_uneject_host.as_ref(),
            true,
        ),
    })
}

fn enforcing(message: &wire::OutlierDetection, default: Enforcing) -> Enforcing {
    Enforcing {
        consecutive_5xx: percent(message.enforcing_consecutive_5xx, default.consecutive_5xx),
        consecutive_gateway_failure: percent(
            message.enforcing_consecutive_gateway_failure,
            default.consecutive_gateway_failure,
        ),
        consecutive_local_origin_failure: percent(
            message.enforcing_consecutive_local_origin_failure,
            default.consecutive_local_origin_failure,
        ),
        success_rate: percent(message.enforcing_success_rate, default.success_rate),
        local_origin_success_rate: percent(
            message.enforcing_local_origin_success_rate,
            default.local_origin_success_rate,
        ),
        failure_percentage: percent(
            message.enforcing_failure_percentage,
            default.failure_percentage,
        ),
        failure_percentage_local_origin: percent(
            message.enforcing_failure_percentage_local_origin,
            default.failure_percentage_local_origin,
        ),
    }
}

fn number(value: Option<UInt32Value>, default: u32) -> u32 {
    optional(value.as_ref()).unwrap_or(default)
}

fn percent(value: Option<UInt32Value>, default: u8) -> u8 {
    optional(value.as_ref()).map_or(default, |value| u8::try_from(value).unwrap_or(100).min(100))
}
