//! What is found out about the health of a cluster's endpoints.

use crate::{
    metric::{Counter, Gauge},
    registry::Value,
};

/// `cluster.<name>.outlier_detection.*`.
#[derive(Debug, Default)]
pub struct OutlierStats {
    /// Endpoints ejected now.
    pub ejections_active: Gauge,
    /// Outliers that stayed because too many were ejected, or because no other would be left.
    pub ejections_overflow: Counter,
    /// Ejections.
    pub ejections_enforced_total: Counter,
    /// Runs of 5xx found.
    pub ejections_detected_consecutive_5xx: Counter,
    /// Ejections for them.
    pub ejections_enforced_consecutive_5xx: Counter,
    /// Runs of 502, 503 and 504 found.
    pub ejections_detected_consecutive_gateway_failure: Counter,
    /// Ejections for them.
    pub ejections_enforced_consecutive_gateway_failure: Counter,
    /// Runs of failures of connections found.
    pub ejections_detected_consecutive_local_origin_failure: Counter,
    /// Ejections for them.
    pub ejections_enforced_consecutive_local_origin_failure: Counter,
    /// Shares of good answers found that are far below the average.
    pub ejections_detected_success_rate: Counter,
    /// Ejections for them.
    pub ejections_enforced_success_rate: Counter,
    /// The same for shares of good connections.
    pub ejections_detected_local_origin_success_rate: Counter,
    /// Ejections for them.
    pub ejections_enforced_local_origin_success_rate: Counter,
    /// Shares of bad answers found that are too high.
    pub ejections_detected_failure_percentage: Counter,
    /// Ejections for them.
    pub ejections_enforced_failure_percentage: Counter,
    /// The same for shares of bad connections.
    pub ejections_detected_local_origin_failure_percentage: Counter,
    /// Ejections for them.
    pub ejections_enforced_local_origin_failure_percentage: Counter,
}

impl OutlierStats {
    pub(crate) fn visit_scoped<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self {
            ejections_active,
            ejections_overflow,
            ejections_enforced_total,
            ejections_detected_consecutive_5xx,
            ejections_enforced_consecutive_5xx,
            ejections_detected_consecutive_gateway_failure,
            ejections_enforced_consecutive_gateway_failure,
            ejections_detected_consecutive_local_origin_failure,
            ejections_enforced_consecutive_local_origin_failure,
            ejections_detected_success_rate,
            ejections_enforced_success_rate,
            ejections_detected_local_origin_success_rate,
            ejections_enforced_local_origin_success_rate,
            ejections_detected_failure_percentage,
            ejections_enforced_failure_percentage,
            ejections_detected_local_origin_failure_percentage,
            ejections_enforced_local_origin_failure_percentage,
        } = self;
        for (name, counter) in [
            ("outlier_detection.ejections_overflow", ejections_overflow),
            ("outlier_detection.ejections_enforced_total", ejections_enforced_total),
            (
                "outlier_detection.ejections_detected_consecutive_5xx",
                ejections_detected_consecutive_5xx,
            ),
            (
                "outlier_detection.ejections_enforced_consecutive_5xx",
                ejections_enforced_consecutive_5xx,
            ),
            (
                "outlier_detection.ejections_detected_consecutive_gateway_failure",
                ejections_detected_consecutive_gateway_failure,
            ),
            (
                "outlier_detection.ejections_enforced_consecutive_gateway_failure",
                ejections_enforced_consecutive_gateway_failure,
            ),
            (
                "outlier_detection.ejections_detected_consecutive_local_origin_failure",
                ejections_detected_consecutive_local_origin_failure,
            ),
            (
                "outlier_detection.ejections_enforced_consecutive_local_origin_failure",
                ejections_enforced_consecutive_local_origin_failure,
            ),
            ("outlier_detection.ejections_detected_success_rate", ejections_detected_success_rate),
            ("outlier_detection.ejections_enforced_success_rate", ejections_enforced_success_rate),
            (
                "outlier_detection.ejections_detected_local_origin_success_rate",
                ejections_detected_local_origin_success_rate,
            ),
            (
                "outlier_detection.ejections_enforced_local_origin_success_rate",
                ejections_enforced_local_origin_success_rate,
            ),
            (
                "outlier_detection.ejections_detected_failure_percentage",
                ejections_detected_failure_percentage,
            ),
            (
                "outlier_detection.ejections_enforced_failure_percentage",
                ejections_enforced_failure_percentage,
            ),
            (
                "outlier_detection.ejections_detected_local_origin_failure_percentage",
                ejections_detected_local_origin_failure_percentage,
            ),
            (
                "outlier_detection.ejections_enforced_local_origin_failure_percentage",
                ejections_enforced_local_origin_failure_percentage,
            ),
        ] {
            see(name, Value::Counter(counter.get()));
        }
        see("outlier_detection.ejections_active", Value::Gauge(ejections_active.get()));
    }
}

/// `cluster.<name>.health_check.*`.
#[derive(Debug, Default)]
pub struct CheckStats {
    /// Checks begun.
    pub attempt: Counter,
    /// Checks passed.
    pub success: Counter,
    /// Checks failed.
    pub failure: Counter,
    /// Endpoints that asked to be left alone with a response.
    pub passive_failure: Counter,
    /// Checks failed because of a connection or a timeout.
    pub network_failure: Counter,
    /// Checks failed because the service's name was another one.
    pub verify_cluster: Counter,
    /// Endpoints whose checks pass now.
    pub healthy: Gauge,
    /// Endpoints whose checks say that they are degraded.
    pub degraded: Gauge,
}

impl CheckStats {
    pub(crate) fn visit_scoped<'a>(&'a self, see: &mut dyn FnMut(&'static str, Value<'a>)) {
        let Self {
            attempt,
            success,
            failure,
            passive_failure,
            network_failure,
            verify_cluster,
            healthy,
            degraded,
        } = self;
        for (name, counter) in [
            ("health_check.attempt", attempt),
            ("health_check.success", success),
            ("health_check.failure", failure),
            ("health_check.passive_failure", passive_failure),
            ("health_check.network_failure", network_failure),
            ("health_check.verify_cluster", verify_cluster),
        ] {
            see(name, Value::Counter(counter.get()));
        }
        see("health_check.healthy", Value::Gauge(healthy.get()));
        see("health_check.degraded", Value::Gauge(degraded.get()));
    }
}
