//! How clusters of proxies choose among their endpoints.

use std::time::Duration;

use weft_config::model::policy::{BalancingPolicy, LoadBalancer, SlowStart, Zones};
use weft_proto::balancing::PeakEwma;
use weft_proto::pb::envoy::config::cluster::v3 as cluster;
use weft_proto::pb::envoy::config::cluster::v3::load_balancing_policy::Policy;
use weft_proto::pb::envoy::config::core::v3::TypedExtensionConfig;
use weft_proto::pb::envoy::extensions::load_balancing_policies::common::v3 as common;
use weft_proto::pb::envoy::extensions::load_balancing_policies::least_request::v3::LeastRequest;
use weft_proto::pb::envoy::r#type::v3::Percent;
use weft_proto::pb::google::protobuf::{Any, UInt64Value};

use crate::wire::{any, duration};

/// With as many endpoints zones make a difference: already two can be in two of them.
const FEWEST: u64 = 2;

/// Says it of a cluster, whose endpoints have zones or not.
pub(crate) fn balance(cluster: &mut cluster::Cluster, said: &LoadBalancer, has_zones: bool) {
    use cluster::cluster::LbPolicy;
    cluster.lb_policy = match said.policy {
        // Those who do not know the policy take the one that is most like it.
        Some(BalancingPolicy::LeastRequest | BalancingPolicy::PeakEwma(_)) => {
            LbPolicy::LeastRequest
        }
        Some(BalancingPolicy::Random) => LbPolicy::Random,
        Some(BalancingPolicy::RingHash(_)) => LbPolicy::RingHash,
        Some(BalancingPolicy::Maglev(_)) => LbPolicy::Maglev,
        Some(BalancingPolicy::RoundRobin) | None => LbPolicy::RoundRobin,
    }
    .into();
    let zones = has_zones && prefers_own_zone(said);
    if let Some(BalancingPolicy::PeakEwma(decay)) = said.policy {
        // Envoy refuses a policy with zones beside it.
        cluster.common_lb_config = common_config(said, false);
        cluster.load_balancing_policy = Some(peak_ewma(said, decay, zones));
    } else {
        cluster.common_lb_config = common_config(said, zones);
        cluster.lb_config = said.spread.slow_start.and_then(|ramp| slow_start(cluster, ramp));
    }
}

fn common_config(said: &LoadBalancer, zones: bool) -> Option<cluster::cluster::CommonLbConfig> {
    use cluster::cluster::common_lb_config::{
        LocalityConfigSpecifier, LocalityWeightedLbConfig, ZoneAwareLbConfig,
    };
    let weighted = (!said.zone_weights.is_empty()).then(|| {
        LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig::default())
    });
    let zones = weighted.or_else(|| {
        zones.then(|| {
            LocalityConfigSpecifier::ZoneAwareLbConfig(ZoneAwareLbConfig {
                min_cluster_size: Some(UInt64Value { value: FEWEST }),
                ..Default::default()
            })
        })
    });
    let panic = said.spread.panic_threshold.map(|percent| Percent { value: f64::from(percent) });
    (zones.is_some() || panic.is_some()).then(|| cluster::cluster::CommonLbConfig {
        healthy_panic_threshold: panic,
        locality_config_specifier: zones,
        ..Default::default()
    })
}

/// Whether requests stay in their zone. Where hashes decide, equal requests go to one endpoint
/// wherever they come from.
fn prefers_own_zone(said: &LoadBalancer) -> bool {
    let hashes = said.policy.as_ref().is_some_and(|policy| !policy.hash_on().is_empty());
    !hashes && said.spread.zones != Some(Zones::Any)
}

fn slow_start(cluster: &cluster::Cluster, ramp: SlowStart) -> Option<cluster::cluster::LbConfig> {
    use cluster::cluster::{LbConfig, LbPolicy, SlowStartConfig};
    use cluster::cluster::{LeastRequestLbConfig, RoundRobinLbConfig};
    let slow_start_config = Some(SlowStartConfig {
        slow_start_window: Some(duration(ramp.window)),
        min_weight_percent: ramp.min_weight_percent.map(|it| Percent { value: f64::from(it) }),
        ..Default::default()
    });
    match LbPolicy::try_from(cluster.lb_policy) {
        Ok(LbPolicy::RoundRobin) => {
            Some(LbConfig::RoundRobinLbConfig(RoundRobinLbConfig { slow_start_config }))
        }
        Ok(LbPolicy::LeastRequest) => {
            let config = LeastRequestLbConfig { slow_start_config, ..Default::default() };
            Some(LbConfig::LeastRequestLbConfig(config))
        }
        // A policy for a target with such a balancer says slowStart for others.
        _ => None,
    }
}

/// Our own policy, and behind it the one for proxies that do not know it.
fn peak_ewma(
    said: &LoadBalancer,
    decay: Option<Duration>,
    zones: bool,
) -> cluster::LoadBalancingPolicy {
    use common::locality_lb_config::{
        LocalityConfigSpecifier, LocalityWeightedLbConfig, ZoneAwareLbConfig,
    };
    let specifier = match zones {
        _ if !said.zone_weights.is_empty() => {
            let weighted = LocalityWeightedLbConfig::default();
            Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(weighted))
        }
        true => Some(LocalityConfigSpecifier::ZoneAwareLbConfig(ZoneAwareLbConfig {
            min_cluster_size: Some(UInt64Value { value: FEWEST }),
            ..Default::default()
        })),
        false => None,
    };
    let locality_lb_config = specifier
        .map(|specifier| common::LocalityLbConfig { locality_config_specifier: Some(specifier) });
    let slow_start_config = said.spread.slow_start.map(|ramp| common::SlowStartConfig {
        slow_start_window: Some(duration(ramp.window)),
        min_weight_percent: ramp.min_weight_percent.map(|it| Percent { value: f64::from(it) }),
        ..Default::default()
    });
    let own = PeakEwma {
        decay_time: decay.map(duration),
        locality_lb_config,
        slow_start_config: slow_start_config.clone(),
    };
    let other = LeastRequest { locality_lb_config, slow_start_config, ..Default::default() };
    let policies = [
        ("weft.peak_ewma", any(&own)),
        ("envoy.load_balancing_policies.least_request", any(&other)),
    ];
    cluster::LoadBalancingPolicy { policies: policies.map(policy).into() }
}

fn policy((name, config): (&str, Any)) -> Policy {
    let typed = TypedExtensionConfig { name: name.to_owned(), typed_config: Some(config) };
    Policy { typed_extension_config: Some(typed) }
}
