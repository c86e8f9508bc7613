//! Adaptive concurrency in front of an application.

use std::time::Duration;

use weft_config::model::adaptive::AdaptiveConcurrency;
use weft_proto::pb::envoy::extensions::filters::http::adaptive_concurrency::v3 as adaptive;
use weft_proto::pb::envoy::extensions::filters::http::adaptive_concurrency::v3::adaptive_concurrency::ConcurrencyControllerConfig;
use weft_proto::pb::envoy::extensions::filters::http::adaptive_concurrency::v3::gradient_controller_config::{
    ConcurrencyLimitCalculationParams, MinimumRttCalculationParams,
};
use weft_proto::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use weft_proto::pb::envoy::r#type::v3::Percent;

use crate::wire::{any, duration, uint32};

/// How long latencies are collected until the limit follows them.
const WINDOW: Duration = Duration::from_millis(100);
/// How often an idle application is measured, about.
const REMEASURED: Duration = Duration::from_secs(60);
/// By how much longer than of an idle one its answers may take, in percent.
const BUFFER: f64 = 25.0;

/// Puts the filter right before the router of a connection manager: what others answer is not measured.
pub(crate) fn with_limit(manager: &mut hcm::HttpConnectionManager, said: AdaptiveConcurrency) {
    let least = said.min_concurrent.unwrap_or(AdaptiveConcurrency::MIN);
    let most = said.max_concurrent.unwrap_or(AdaptiveConcurrency::MAX);
    let measured = MinimumRttCalculationParams {
        buffer: Some(Percent { value: BUFFER }),
        min_concurrency: Some(uint32(least)),
        ..Default::default()
    };
    let idle = match said.idle_latency {
        Some(fixed) => {
            MinimumRttCalculationParams { fixed_value: Some(duration(fixed)), ..measured }
        }
        None => MinimumRttCalculationParams { interval: Some(duration(REMEASURED)), ..measured },
    };
    let gradient = adaptive::GradientControllerConfig {
        concurrency_limit_params: Some(ConcurrencyLimitCalculationParams {
            max_concurrency_limit: Some(uint32(most)),
            min_concurrency_limit: Some(uint32(least)),
            concurrency_update_interval: Some(duration(WINDOW)),
        }),
        min_rtt_calc_params: Some(idle),
        ..Default::default()
    };
    let config = adaptive::AdaptiveConcurrency {
        concurrency_controller_config: Some(ConcurrencyControllerConfig::GradientControllerConfig(
            gradient,
        )),
        ..Default::default()
    };
    let filter = hcm::HttpFilter {
        name: "envoy.filters.http.adaptive_concurrency".to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(any(&config))),
        ..Default::default()
    };
    let router = manager.http_filters.len().saturating_sub(1);
    manager.http_filters.insert(router, filter);
}
