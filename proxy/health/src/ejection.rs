//! Why an endpoint is ejected, and what is counted of it.

use weft_balance::Run;
use weft_compile::OutlierDetection;
use weft_telemetry::{Counter, OutlierStats};

/// Why an endpoint is an outlier (`data.cluster.v3.OutlierEjectionType`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// Too many failures in a row.
    Run(Run),
    /// Its share of good outcomes is far below that of the others.
    SuccessRate {
        /// Whether of what this proxy saw itself, and not of answers.
        local: bool,
        /// Its share, in percent.
        rate: f64,
        /// That of all, in percent.
        average: f64,
        /// The share below which one is an outlier, in percent.
        threshold: f64,
    },
    /// Its share of bad outcomes is too high.
    FailurePercentage {
        /// Whether of what this proxy saw itself, and not of answers.
        local: bool,
        /// Its share of good ones, in percent.
        rate: f64,
    },
}

/// Why an outlier goes on taking requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sparing {
    /// So many are ejected already that one more would be too many (`max_ejection_percent`).
    Share,
    /// No other would be left that takes requests.
    LastHost,
}

impl Reason {
    /// The name in `OutlierEjectionType`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Run(Run::ServerErrors) => "CONSECUTIVE_5XX",
            Self::Run(Run::GatewayFailures) => "CONSECUTIVE_GATEWAY_FAILURE",
            Self::Run(Run::LocalFailures) => "CONSECUTIVE_LOCAL_ORIGIN_FAILURE",
            Self::SuccessRate { local: false, .. } => "SUCCESS_RATE",
            Self::SuccessRate { local: true, .. } => "SUCCESS_RATE_LOCAL_ORIGIN",
            Self::FailurePercentage { local: false, .. } => "FAILURE_PERCENTAGE",
            Self::FailurePercentage { local: true, .. } => "FAILURE_PERCENTAGE_LOCAL_ORIGIN",
        }
    }

    /// In how many of a hundred cases it is enforced.
    pub(crate) fn enforced(&self, settings: &OutlierDetection) -> u8 {
        let shares = &settings.enforcing;
        match self {
            Self::Run(Run::ServerErrors) => shares.consecutive_5xx,
            Self::Run(Run::GatewayFailures) => shares.consecutive_gateway_failure,
            Self::Run(Run::LocalFailures) => shares.consecutive_local_origin_failure,
            Self::SuccessRate { local: false, .. } => shares.success_rate,
            Self::SuccessRate { local: true, .. } => shares.local_origin_success_rate,
            Self::FailurePercentage { local: false, .. } => shares.failure_percentage,
            Self::FailurePercentage { local: true, .. } => shares.failure_percentage_local_origin,
        }
    }

    /// The counters of outliers found and of outliers ejected.
    pub(crate) fn counters<'a>(&self, stats: &'a OutlierStats) -> (&'a Counter, &'a Counter) {
        match self {
            Self::Run(Run::ServerErrors) => (
                &stats.ejections_detected_consecutive_5xx,
                &stats.ejections_enforced_consecutive_5xx,
            ),
            Self::Run(Run::GatewayFailures) => (
                &stats.ejections_detected_consecutive_gateway_failure,
                &stats.ejections_enforced_consecutive_gateway_failure,
            ),
            Self::Run(Run::LocalFailures) => (
                &stats.ejections_detected_consecutive_local_origin_failure,
                &stats.ejections_enforced_consecutive_local_origin_failure,
            ),
            Self::SuccessRate { local: false, .. } => {
                (&stats.ejections_detected_success_rate, &stats.ejections_enforced_success_rate)
            }
            Self::SuccessRate { local: true, .. } => (
                &stats.ejections_detected_local_origin_success_rate,
                &stats.ejections_enforced_local_origin_success_rate,
            ),
            Self::FailurePercentage { local: false, .. } => (
                &stats.ejections_detected_failure_percentage,
                &stats.ejections_enforced_failure_percentage,
            ),
            Self::FailurePercentage { local: true, .. } => (
                &stats.ejections_detected_local_origin_failure_percentage,
                &stats.ejections_enforced_local_origin_failure_percentage,
            ),
        }
    }
}
