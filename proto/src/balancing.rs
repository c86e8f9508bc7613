//! `weft.balancing.v1`: load balancing policies that Envoy's API has no message for.

use prost::{Message, Name};

use crate::pb::{
    envoy::extensions::load_balancing_policies::common::v3::{LocalityLbConfig, SlowStartConfig},
    google::protobuf::Duration,
};

/// Of two endpoints drawn at random the one where a request is expected to wait less, by the
/// latency of its answers and by how much it has to do.
#[derive(Clone, PartialEq, Message)]
pub struct PeakEwma {
    /// How fast what was measured is forgotten: after this time it counts by a factor of e less.
    /// 10 s by default.
    #[prost(message, optional, tag = "1")]
    pub decay_time: Option<Duration>,
    /// How localities are chosen among.
    #[prost(message, optional, tag = "2")]
    pub locality_lb_config: Option<LocalityLbConfig>,
    /// New endpoints take less at first.
    #[prost(message, optional, tag = "3")]
    pub slow_start_config: Option<SlowStartConfig>,
}

impl Name for PeakEwma {
    const NAME: &'static str = "PeakEwma";
    const PACKAGE: &'static str = "weft.balancing.v1";

    fn full_name() -> String {
        "weft.balancing.v1.PeakEwma".to_owned()
    }

    fn type_url() -> String {
        crate::type_url::PEAK_EWMA.to_owned()
    }
}
