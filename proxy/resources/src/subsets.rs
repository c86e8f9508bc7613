//! `Cluster.lb_subset_config`: endpoints divided by what they say of themselves.

use std::collections::BTreeSet;

use weft_proto::pb::envoy::config::cluster::v3::{
    self as wire,
    cluster::lb_subset_config::{
        LbSubsetFallbackPolicy as Policy, LbSubsetMetadataFallbackPolicy as MetadataPolicy,
        LbSubsetSelector, lb_subset_selector::LbSubsetSelectorFallbackPolicy as OwnPolicy,
    },
};

use crate::{
    metadata::{self, Labels},
    path::At,
    problem::{Notes, Problem},
};

/// `LbSubsetConfig` with at least one selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubsetConfig {
    /// `subset_selectors`.
    pub selectors: Vec<SubsetSelector>,
    /// `fallback_policy`.
    pub fallback: SubsetFallback,
    /// `default_subset`.
    pub default_subset: Labels,
    /// `locality_weight_aware`.
    pub locality_weight_aware: bool,
    /// `panic_mode_any`.
    pub panic_mode_any: bool,
    /// `list_as_any`.
    pub list_as_any: bool,
}

/// `LbSubsetSelector`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubsetSelector {
    /// `keys`, at least one, each once and in order.
    pub keys: Vec<Box<str>>,
    /// `fallback_policy`, unless that of the cluster holds.
    pub fallback: Option<SelectorFallback>,
}

/// Where requests go that ask for what no endpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubsetFallback {
    /// `NO_FALLBACK`.
    Nowhere,
    /// `ANY_ENDPOINT`.
    Any,
    /// `DEFAULT_SUBSET`.
    Default,
}

/// The same of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectorFallback {
    /// As a cluster may say.
    To(SubsetFallback),
    /// `KEYS_SUBSET`: as if fewer keys were asked for; these, some but not all of the selector's.
    Keys(Vec<Box<str>>),
}

/// Reads it; there are no subsets where there is no selector.
pub(crate) fn of_cluster(
    message: &wire::Cluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<SubsetConfig> {
    let config = message.lb_subset_config.as_ref()?;
    let at = at.field("lb_subset_config");
    if message.load_balancing_policy.is_some() {
        return notes.refuse(&at, Problem::Conflict("load_balancing_policy"));
    }
    let by_cluster = wire::cluster::LbPolicy::ClusterProvided;
    if message.lb_policy == i32::from(by_cluster) && !config.subset_selectors.is_empty() {
        return notes.refuse(&at, Problem::Conflict("lb_policy CLUSTER_PROVIDED"));
    }
    let fallback = match Policy::try_from(config.fallback_policy) {
        Ok(Policy::NoFallback) => SubsetFallback::Nowhere,
        Ok(Policy::AnyEndpoint) => SubsetFallback::Any,
        Ok(Policy::DefaultSubset) => SubsetFallback::Default,
        Err(_) => {
            let number = config.fallback_policy;
            return notes.refuse(&at.field("fallback_policy"), Problem::UnknownEnum(number));
        }
    };
    if config.metadata_fallback_policy != i32::from(MetadataPolicy::MetadataNoFallback) {
        let at = at.field("metadata_fallback_policy");
        return notes.unsupported(&at, "a list of fallbacks", "METADATA_NO_FALLBACK is");
    }
    let mut selectors: Vec<SubsetSelector> = Vec::with_capacity(config.subset_selectors.len());
    for (index, message) in config.subset_selectors.iter().enumerate() {
        let at = at.item("subset_selectors", index);
        let read = selector(message, &at, notes)?;
        // The first of the same keys counts, as in Envoy.
        if selectors.iter().all(|known| known.keys != read.keys) {
            selectors.push(read);
        } else {
            notes.warn(&at, "a selector of these keys is there already; the first one counts");
        }
    }
    (!selectors.is_empty()).then(|| SubsetConfig {
        selectors,
        fallback,
        default_subset: config.default_subset.as_ref().map(metadata::of_struct).unwrap_or_default(),
        locality_weight_aware: config.locality_weight_aware,
        panic_mode_any: config.panic_mode_any,
        list_as_any: config.list_as_any,
    })
}

fn selector(message: &LbSubsetSelector, at: &At<'_>, notes: &mut Notes) -> Option<SubsetSelector> {
    let keys = in_order(&message.keys);
    if keys.is_empty() {
        return notes.refuse(&at.field("keys"), Problem::Missing);
    }
    let fewer = in_order(&message.fallback_keys_subset);
    let at_fewer = at.field("fallback_keys_subset");
    let to = |to| Some(SelectorFallback::To(to));
    let fallback = match OwnPolicy::try_from(message.fallback_policy) {
        Ok(OwnPolicy::KeysSubset) if fewer.is_empty() => {
            return notes.refuse(&at_fewer, Problem::Missing);
        }
        Ok(OwnPolicy::KeysSubset) => {
            if fewer.len() >= keys.len() || fewer.iter().any(|key| !keys.contains(key)) {
                let what = format!("[{}]", fewer.join(", "));
                return notes.unsupported(&at_fewer, what, "some, but not all, of keys are");
            }
            Some(SelectorFallback::Keys(fewer))
        }
        Ok(_) if !fewer.is_empty() => {
            let others = "a fallback_policy other than KEYS_SUBSET";
            return notes.refuse(&at_fewer, Problem::Conflict(others));
        }
        Ok(OwnPolicy::NotDefined) => None,
        Ok(OwnPolicy::NoFallback) => to(SubsetFallback::Nowhere),
        Ok(OwnPolicy::AnyEndpoint) => to(SubsetFallback::Any),
        Ok(OwnPolicy::DefaultSubset) => to(SubsetFallback::Default),
        Err(_) => {
            let number = message.fallback_policy;
            return notes.refuse(&at.field("fallback_policy"), Problem::UnknownEnum(number));
        }
    };
    Some(SubsetSelector { keys, fallback })
}

fn in_order(keys: &[String]) -> Vec<Box<str>> {
    let ordered: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
    ordered.into_iter().map(Box::from).collect()
}
