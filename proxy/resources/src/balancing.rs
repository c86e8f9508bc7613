//! How a cluster chooses among its endpoints.

use prost::Name;
use weft_proto::pb::envoy::{
    config::cluster::v3 as wire,
    extensions::load_balancing_policies::{
        common::v3::{LocalityLbConfig, locality_lb_config},
        least_request::v3::{LeastRequest, least_request::SelectionMethod},
        round_robin::v3::RoundRobin,
        wrr_locality::v3::WrrLocality,
    },
};

use crate::{
    cluster::optional,
    extension,
    path::At,
    problem::{Notes, Problem},
};

const SUPPORTED: &str = "ROUND_ROBIN and LEAST_REQUEST are";

/// How deep policies may be nested in each other.
const DEEPEST: usize = 4;

/// A load balancing policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balancing {
    /// Chooses within the endpoints that are left.
    pub picker: Picker,
    /// What the weights of localities mean.
    pub localities: LocalityWeights,
    /// Below this share of usable endpoints (in percent) all of them are used:
    /// `healthy_panic_threshold`, 50 by default.
    pub panic_threshold: u8,
}

/// Chooses an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picker {
    /// One after the other, as often as their weights say.
    RoundRobin,
    /// The one of `choices` random ones with the fewest requests in flight.
    LeastRequest {
        /// `choice_count`, 2 by default.
        choices: u32,
    },
}

/// Whether `LocalityLbEndpoints.load_balancing_weight` is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalityWeights {
    /// No: all endpoints of a priority are one group (Envoy's default).
    Ignored,
    /// Yes: `locality_weighted_lb_config`, or the policy `wrr_locality`.
    Followed,
}

/// Reads `load_balancing_policy`, which wins over `lb_policy` as in Envoy.
pub(crate) fn of_cluster(
    message: &wire::Cluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Balancing> {
    let panic_threshold = panic_threshold(message, at, notes);
    if let Some(policy) = &message.load_balancing_policy {
        let at = at.field("load_balancing_policy");
        let (picker, localities) = first_known(policy, DEEPEST, &at, notes)?;
        return Some(Balancing { picker, localities, panic_threshold });
    }
    let picker = by_enum(message, at, notes)?;
    let localities = match message.common_lb_config.as_ref().map(|c| &c.locality_config_specifier) {
        Some(Some(
            wire::cluster::common_lb_config::LocalityConfigSpecifier::LocalityWeightedLbConfig(_),
        )) => LocalityWeights::Followed,
        _ => LocalityWeights::Ignored,
    };
    Some(Balancing { picker, localities, panic_threshold })
}

fn by_enum(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> Option<Picker> {
    use wire::cluster::{LbConfig, LbPolicy};
    let at_policy = at.field("lb_policy");
    match LbPolicy::try_from(message.lb_policy) {
        Ok(LbPolicy::RoundRobin) => Some(Picker::RoundRobin),
        Ok(LbPolicy::LeastRequest) => {
            let choices = match &message.lb_config {
                Some(LbConfig::LeastRequestLbConfig(config)) => {
                    optional(config.choice_count.as_ref())
                }
                _ => None,
            };
            least_request(choices, &at.field("least_request_lb_config"), notes)
        }
        Ok(LbPolicy::LoadBalancingPolicyConfig) => {
            notes.refuse(&at.field("load_balancing_policy"), Problem::Missing)
        }
        Ok(other) => notes.unsupported(&at_policy, other.as_str_name(), SUPPORTED),
        Err(_) => notes.refuse(&at_policy, Problem::UnknownEnum(message.lb_policy)),
    }
}

fn least_request(choices: Option<u32>, at: &At<'_>, notes: &mut Notes) -> Option<Picker> {
    match choices.unwrap_or(2) {
        choices @ 2.. => Some(Picker::LeastRequest { choices }),
        fewer => notes.unsupported(&at.field("choice_count"), fewer.to_string(), "2 or more are"),
    }
}

/// The first policy of the list that is known, as in Envoy and gRPC.
fn first_known(
    message: &wire::LoadBalancingPolicy,
    depth: usize,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<(Picker, LocalityWeights)> {
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
                let localities = localities(message.locality_lb_config.as_ref());
                return Some((Picker::RoundRobin, localities));
            }
            name if name == LeastRequest::full_name() => {
                let message = extension::unpack::<LeastRequest>(any, &at, notes)?;
                return typed_least_request(&message, &at, notes);
            }
            name if name == WrrLocality::full_name() && depth > 0 => {
                let message = extension::unpack::<WrrLocality>(any, &at, notes)?;
                let at = at.field("endpoint_picking_policy");
                let Some(inner) = &message.endpoint_picking_policy else {
                    return notes.refuse(&at, Problem::Missing);
                };
                let (picker, _) = first_known(inner, depth - 1, &at, notes)?;
                return Some((picker, LocalityWeights::Followed));
            }
            other => seen.push(other.to_owned()),
        }
    }
    let what = if seen.is_empty() { "an empty list".to_owned() } else { seen.join(", ") };
    notes.unsupported(at, what, "round_robin, least_request and wrr_locality are")
}

fn typed_least_request(
    message: &LeastRequest,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<(Picker, LocalityWeights)> {
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
    let picker = least_request(optional(message.choice_count.as_ref()), at, notes)?;
    Some((picker, localities(message.locality_lb_config.as_ref())))
}

fn localities(message: Option<&LocalityLbConfig>) -> LocalityWeights {
    use locality_lb_config::LocalityConfigSpecifier as Chosen;
    match message.and_then(|message| message.locality_config_specifier.as_ref()) {
        Some(Chosen::LocalityWeightedLbConfig(_)) => LocalityWeights::Followed,
        // Zone awareness needs to know the cluster of this proxy's own peers; until one is
        // configured Envoy spreads over all endpoints too.
        Some(Chosen::ZoneAwareLbConfig(_)) | None => LocalityWeights::Ignored,
    }
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
