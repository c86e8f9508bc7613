//! How a cluster chooses among its endpoints.

use std::time::Duration;

use prost::Name;
use weft_proto::balancing::PeakEwma;
use weft_proto::pb::envoy::{
    config::{cluster::v3 as wire, core::v3 as core},
    extensions::load_balancing_policies::{
        cluster_provided::v3::ClusterProvided,
        common::v3::{LocalityLbConfig, locality_lb_config},
        least_request::v3::{LeastRequest, least_request::SelectionMethod},
        maglev::v3::Maglev,
        random::v3::Random,
        ring_hash::v3::RingHash,
        round_robin::v3::RoundRobin,
        wrr_locality::v3::WrrLocality,
    },
};

use crate::{
    cluster::optional,
    consistent_hashing::{self, Common, ConsistentHashing},
    extension,
    path::At,
    problem::{Notes, Problem},
    scalar,
    slow_start::{self, SlowStart},
    zone_aware::{self, ZoneAware},
};

const SUPPORTED_TYPES: &str = "round_robin, least_request, random, ring_hash, maglev, cluster_provided, wrr_locality and weft's \
     own PeakEwma are";

/// How fast latencies are forgotten unless it is said.
const DECAY: Duration = Duration::from_secs(10);

/// How deep policies may be nested in each other.
const DEEPEST: usize = 4;

/// A load balancing policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balancing {
    /// Chooses within the endpoints that are left.
    pub picker: Picker,
    /// What the weights of localities mean.
    pub localities: LocalityWeights,
    /// Below this share of usable endpoints (in percent) all of them are used:
    /// `healthy_panic_threshold`, 50 by default.
    pub panic_threshold: u8,
    /// `fail_traffic_on_panic`: instead none of them is.
    pub fail_on_panic: bool,
    /// `slow_start_config`: new endpoints take less at first.
    pub slow_start: Option<SlowStart>,
    /// `zone_aware_lb_config`: requests stay in their zone. Needs to know where the peers are.
    pub zone_aware: Option<ZoneAware>,
}

/// Chooses an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Picker {
    /// One after the other, as often as their weights say.
    RoundRobin,
    /// The one of `choices` random ones with the fewest requests in flight.
    LeastRequest {
        /// `choice_count`, 2 by default.
        choices: u32,
        /// `active_request_bias`, 1 by default: the power of the number of requests in flight
        /// where weights differ.
        bias: f64,
    },
    /// Of two random ones the one where a request is expected to wait less.
    PeakEwma {
        /// `decay_time`, 10 s by default: how fast what was measured is forgotten.
        decay: Duration,
    },
    /// A random one.
    Random,
    /// The one that the request's hash leads to.
    Hashed(ConsistentHashing),
    /// The cluster itself says which (`CLUSTER_PROVIDED`).
    ClusterProvided,
}

/// Whether `LocalityLbEndpoints.load_balancing_weight` is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalityWeights {
    /// No: all endpoints of a priority are one group (Envoy's default).
    Ignored,
    /// Yes: `locality_weighted_lb_config`, or the policy `wrr_locality`.
    Followed,
}

/// What a policy says.
#[derive(Clone, Copy)]
struct Chosen {
    picker: Picker,
    localities: LocalityWeights,
    fail_on_panic: bool,
    slow_start: Option<SlowStart>,
    zone_aware: Option<ZoneAware>,
}

impl Chosen {
    fn plain(picker: Picker) -> Self {
        Self {
            picker,
            localities: LocalityWeights::Ignored,
            fail_on_panic: false,
            slow_start: None,
            zone_aware: None,
        }
    }

    fn hashed(hashing: ConsistentHashing, weighted: bool) -> Self {
        let localities =
            if weighted { LocalityWeights::Followed } else { LocalityWeights::Ignored };
        Self { localities, ..Self::plain(Picker::Hashed(hashing)) }
    }
}

/// Reads `load_balancing_policy`, which wins over `lb_policy` as in Envoy.
pub(crate) fn of_cluster(
    message: &wire::Cluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Balancing> {
    let panic_threshold = panic_threshold(message, at, notes);
    let chosen = match &message.load_balancing_policy {
        Some(policy) => first_known(policy, DEEPEST, &at.field("load_balancing_policy"), notes)?,
        None => by_lb_policy(message, at, notes)?,
    };
    let Chosen { picker, localities, fail_on_panic, slow_start, zone_aware } = chosen;
    Some(Balancing { picker, localities, panic_threshold, fail_on_panic, slow_start, zone_aware })
}

fn by_lb_policy(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> Option<Chosen> {
    use wire::cluster::common_lb_config::LocalityConfigSpecifier as Specifier;
    let mut chosen = Chosen::plain(by_enum(message, at, notes)?);
    let common = message.common_lb_config.as_ref();
    match common.and_then(|common| common.locality_config_specifier.as_ref()) {
        Some(Specifier::LocalityWeightedLbConfig(_)) => {
            chosen.localities = LocalityWeights::Followed;
        }
        Some(Specifier::ZoneAwareLbConfig(zone)) => {
            chosen.fail_on_panic = zone.fail_traffic_on_panic;
            let least = zone.min_cluster_size.as_ref();
            let at = at.field("common_lb_config");
            let at = at.field("zone_aware_lb_config");
            chosen.zone_aware =
                Some(zone_aware::read(zone.routing_enabled.as_ref(), least, false, &at, notes));
        }
        None => {}
    }
    chosen.slow_start = match &message.lb_config {
        Some(wire::cluster::LbConfig::RoundRobinLbConfig(config)) => {
            let at = at.field("round_robin_lb_config");
            slow_start::by_enum(config.slow_start_config.as_ref(), &at, notes)
        }
        Some(wire::cluster::LbConfig::LeastRequestLbConfig(config)) => {
            let at = at.field("least_request_lb_config");
            slow_start::by_enum(config.slow_start_config.as_ref(), &at, notes)
        }
        _ => None,
    };
    Some(chosen)
}

fn by_enum(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> Option<Picker> {
    use wire::cluster::{LbConfig, LbPolicy};
    let at_policy = at.field("lb_policy");
    match LbPolicy::try_from(message.lb_policy) {
        Ok(LbPolicy::RoundRobin) => Some(Picker::RoundRobin),
        Ok(LbPolicy::Random) => Some(Picker::Random),
        Ok(LbPolicy::RingHash) => {
            let config = match &message.lb_config {
                Some(LbConfig::RingHashLbConfig(config)) => Some(config),
                _ => None,
            };
            let common = hashing_in_common(message, at, notes);
            let at = at.field("ring_hash_lb_config");
            consistent_hashing::ring_by_enum(config, common, &at, notes).map(Picker::Hashed)
        }
        Ok(LbPolicy::Maglev) => {
            let config = match &message.lb_config {
                Some(LbConfig::MaglevLbConfig(config)) => Some(config),
                _ => None,
            };
            let common = hashing_in_common(message, at, notes);
            let at = at.field("maglev_lb_config");
            consistent_hashing::maglev_by_enum(config, common, &at, notes).map(Picker::Hashed)
        }
        Ok(LbPolicy::ClusterProvided) => Some(Picker::ClusterProvided),
        Ok(LbPolicy::LeastRequest) => {
            let config = match &message.lb_config {
                Some(LbConfig::LeastRequestLbConfig(config)) => Some(config),
                _ => None,
            };
            let choices = config.and_then(|config| optional(config.choice_count.as_ref()));
            let bias = config.and_then(|config| config.active_request_bias.as_ref());
            least_request(choices, bias, &at.field("least_request_lb_config"), notes)
        }
        Ok(LbPolicy::LoadBalancingPolicyConfig) => {
            notes.refuse(&at.field("load_balancing_policy"), Problem::Missing)
        }
        Err(_) => notes.refuse(&at_policy, Problem::UnknownEnum(message.lb_policy)),
    }
}

fn hashing_in_common(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> Common {
    let common = message.common_lb_config.as_ref();
    let hashing = common.and_then(|common| common.consistent_hashing_lb_config.as_ref());
    let at = at.field("common_lb_config");
    Common::by_enum(hashing, &at.field("consistent_hashing_lb_config"), notes)
}

/// There is no runtime layer, so the default value of the bias always holds.
fn least_request(
    choices: Option<u32>,
    bias: Option<&core::RuntimeDouble>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Picker> {
    let bias = bias.map_or(1.0, |bias| bias.default_value);
    if !(0.0..=f64::MAX).contains(&bias) {
        let at = at.field("active_request_bias");
        return notes.unsupported(&at, bias.to_string(), "0 or more is");
    }
    match choices.unwrap_or(2) {
        choices @ 2.. => Some(Picker::LeastRequest { choices, bias }),
        fewer => notes.unsupported(&at.field("choice_count"), fewer.to_string(), "2 or more are"),
    }
}

/// The first policy of the list that is known, as in Envoy and gRPC.
fn first_known(
    message: &wire::LoadBalancingPolicy,
    depth: usize,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Chosen> {
    let mut seen = Vec::new();
    for (index, policy) in message.policies.iter().enumerate() {
        let at = at.item("policies", index);
        let at = at.field("typed_extension_config");
        let Some(extension) = &policy.typed_extension_config else {
            return notes.refuse(&at, Problem::Missing);
        };
        let at = at.field("typed_config");
        let Some(any) = &extension.typed_config else {
            return notes.refuse(&at, Problem::Missing);
        };
        match extension::type_name(any) {
            name if name == RoundRobin::full_name() => {
                let message = extension::unpack::<RoundRobin>(any, &at, notes)?;
                let localities = message.locality_lb_config.as_ref();
                let chosen = with_localities(Picker::RoundRobin, localities, &at, notes);
                let slow_start =
                    slow_start::by_type(message.slow_start_config.as_ref(), &at, notes);
                return Some(Chosen { slow_start, ..chosen });
            }
            name if name == LeastRequest::full_name() => {
                let message = extension::unpack::<LeastRequest>(any, &at, notes)?;
                return typed_least_request(&message, &at, notes);
            }
            name if name == PeakEwma::full_name() => {
                let message = extension::unpack::<PeakEwma>(any, &at, notes)?;
                return Some(peak_ewma(&message, &at, notes));
            }
            name if name == Random::full_name() => {
                let message = extension::unpack::<Random>(any, &at, notes)?;
                let localities = message.locality_lb_config.as_ref();
                return Some(with_localities(Picker::Random, localities, &at, notes));
            }
            name if name == RingHash::full_name() => {
                let message = extension::unpack::<RingHash>(any, &at, notes)?;
                let hashing = consistent_hashing::ring_by_type(&message, &at, notes)?;
                let weighted = message.locality_weighted_lb_config.is_some();
                return Some(Chosen::hashed(hashing, weighted));
            }
            name if name == Maglev::full_name() => {
                let message = extension::unpack::<Maglev>(any, &at, notes)?;
                let hashing = consistent_hashing::maglev_by_type(&message, &at, notes)?;
                let weighted = message.locality_weighted_lb_config.is_some();
                return Some(Chosen::hashed(hashing, weighted));
            }
            name if name == ClusterProvided::full_name() => {
                return Some(Chosen::plain(Picker::ClusterProvided));
            }
            name if name == WrrLocality::full_name() && depth > 0 => {
                let message = extension::unpack::<WrrLocality>(any, &at, notes)?;
                let at = at.field("endpoint_picking_policy");
                let Some(inner) = &message.endpoint_picking_policy else {
                    return notes.refuse(&at, Problem::Missing);
                };
                let inner = first_known(inner, depth - 1, &at, notes)?;
                return Some(Chosen { localities: LocalityWeights::Followed, ..inner });
            }
            other => seen.push(other.to_owned()),
        }
    }
    let what = if seen.is_empty() { "an empty list".to_owned() } else { seen.join(", ") };
    notes.unsupported(at, what, SUPPORTED_TYPES)
}

fn peak_ewma(message: &PeakEwma, at: &At<'_>, notes: &mut Notes) -> Chosen {
    let decay = message.decay_time.as_ref();
    let decay = scalar::duration_or(decay, DECAY, &at.field("decay_time"), notes);
    let slow_start = slow_start::by_type(message.slow_start_config.as_ref(), at, notes);
    let picker = Picker::PeakEwma { decay };
    let chosen = with_localities(picker, message.locality_lb_config.as_ref(), at, notes);
    Chosen { slow_start, ..chosen }
}

fn typed_least_request(message: &LeastRequest, at: &At<'_>, notes: &mut Notes) -> Option<Chosen> {
    let method_at = at.field("selection_method");
    match SelectionMethod::try_from(message.selection_method) {
        Ok(SelectionMethod::NChoices) => {}
        Ok(other) => {
            return notes.unsupported(&method_at, other.as_str_name(), "N_CHOICES is");
        }
        Err(_) => {
            return notes.refuse(&method_at, Problem::UnknownEnum(message.selection_method));
        }
    }
    let choices = optional(message.choice_count.as_ref());
    let picker = least_request(choices, message.active_request_bias.as_ref(), at, notes)?;
    let slow_start = slow_start::by_type(message.slow_start_config.as_ref(), at, notes);
    let chosen = with_localities(picker, message.locality_lb_config.as_ref(), at, notes);
    Some(Chosen { slow_start, ..chosen })
}

fn with_localities(
    picker: Picker,
    message: Option<&LocalityLbConfig>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Chosen {
    use locality_lb_config::LocalityConfigSpecifier as Specifier;
    let mut chosen = Chosen::plain(picker);
    match message.and_then(|message| message.locality_config_specifier.as_ref()) {
        Some(Specifier::LocalityWeightedLbConfig(_)) => {
            chosen.localities = LocalityWeights::Followed;
        }
        Some(Specifier::ZoneAwareLbConfig(zone)) => {
            chosen.fail_on_panic = zone.fail_traffic_on_panic;
            let at = at.field("locality_lb_config");
            let at = at.field("zone_aware_lb_config");
            let (enabled, least) = (zone.routing_enabled.as_ref(), zone.min_cluster_size.as_ref());
            #[expect(deprecated, reason = "it still counts")]
            let own_only = zone.force_locality_direct_routing;
            chosen.zone_aware = Some(zone_aware::read(enabled, least, own_only, &at, notes));
        }
        None => {}
    }
    chosen
}

fn panic_threshold(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> u8 {
    const DEFAULT: u8 = 50;
    let Some(percent) =
        message.common_lb_config.as_ref().and_then(|c| c.healthy_panic_threshold.as_ref())
    else {
        return DEFAULT;
    };
    // Envoy truncates to whole percents as well.
    match percent.value {
        value if (0.0..=100.0).contains(&value) => {
            #[expect(clippy::cast_possible_truncation, reason = "0 to 100, checked above")]
            #[expect(clippy::cast_sign_loss, reason = "0 to 100, checked above")]
            let whole = value as u8;
            whole
        }
        value => {
            let at = at.field("common_lb_config");
            let at = at.field("healthy_panic_threshold");
            notes.unsupported::<()>(&at, value.to_string(), "0 to 100 are");
            DEFAULT
        }
    }
}
