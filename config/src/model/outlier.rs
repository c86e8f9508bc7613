//! Outlier detection: endpoints that fail are left alone for a while.

use std::time::Duration;

use serde::Serialize;

use super::policy::duration;

/// When an endpoint is left alone, and for how long. What is not said is as in Envoy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutlierDetection {
    /// After so many responses of 500 or more, or none at all, in a row; 5 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_errors: Option<u32>,
    /// After so many of 502, 503 or 504, or none at all, in a row; never for that alone without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_gateway_errors: Option<u32>,
    /// When too large a share of its requests failed; never for that alone without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_percentage: Option<FailureShare>,
    /// How often endpoints are compared, and taken back; 10 s without it. More than zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub interval: Option<Duration>,
    /// How long for the first time, longer each time after; 30 s without it. More than zero.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "duration")]
    pub base_ejection_time: Option<Duration>,
    /// How many of a cluster's endpoints at once, from 0 to 100; 10 without it, and always one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ejection_percent: Option<u32>,
}

/// A share of failed requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureShare {
    /// From 1 to 100.
    pub threshold: u32,
    /// Only endpoints with so many requests in an interval are judged; 50 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_volume: Option<u32>,
    /// Only where so many endpoints can be judged; 5 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_hosts: Option<u32>,
}
