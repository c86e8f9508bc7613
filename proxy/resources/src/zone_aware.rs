//! `zone_aware_lb_config`: requests stay in the zone that they come from.

use weft_proto::pb::{envoy::r#type::v3::Percent, google::protobuf::UInt64Value};

use crate::{path::At, problem::Notes};

/// Which requests prefer the zone of the proxy, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneAware {
    /// `routing_enabled` in whole percents (100 by default).
    pub enabled: u8,
    /// `min_cluster_size` (6 by default): with fewer healthy endpoints none do.
    pub least_endpoints: u64,
    /// `force_locality_direct_routing`: whatever the zone can carry.
    pub own_only: bool,
}

pub(crate) fn read(
    enabled: Option<&Percent>,
    least: Option<&UInt64Value>,
    own_only: bool,
    at: &At<'_>,
    notes: &mut Notes,
) -> ZoneAware {
    let percent = enabled.map_or(100.0, |percent| percent.value);
    if !(0.0..=100.0).contains(&percent) {
        notes.unsupported::<()>(&at.field("routing_enabled"), percent.to_string(), "0 to 100 are");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
    let enabled = percent.clamp(0.0, 100.0) as u8;
    ZoneAware { enabled, least_endpoints: least.map_or(6, |least| least.value), own_only }
}
