//! Subsets of clusters, and what routes ask of endpoints.

use std::sync::Arc;

use weft_balance::{
    Criteria, Fallback, Group, Label, Selector, SelectorFallback, Settings, SubsetRules, Subsets,
};
use weft_resources::{self as resources, Labels, SubsetConfig, SubsetFallback};

/// Divides the hosts of a cluster.
pub(crate) fn divide(config: &SubsetConfig, group: &Group, settings: Settings) -> Subsets {
    let selectors = config.selectors.iter().map(|selector| Selector {
        keys: selector.keys.clone(),
        fallback: selector.fallback.as_ref().map(|it| match it {
            resources::SelectorFallback::To(to) => SelectorFallback::To(fallback(*to)),
            resources::SelectorFallback::Keys(keys) => {
                SelectorFallback::Fewer(keys.clone().into_boxed_slice())
            }
        }),
    });
    let rules = SubsetRules {
        selectors: selectors.collect(),
        fallback: fallback(config.fallback),
        default_subset: Criteria::new(texts(&config.default_subset)),
        keeps_locality_weights: config.locality_weight_aware,
        any_on_panic: config.panic_mode_any,
        list_as_any: config.list_as_any,
    };
    Subsets::new(&rules, group, settings)
}

/// The labels of an endpoint.
pub(crate) fn labels(said: Option<&Labels>) -> Arc<[Label]> {
    let label = |(key, value): (&Arc<str>, &resources::LabelValue)| Label {
        key: Arc::clone(key),
        value: Arc::clone(&value.text),
        items: value.items.clone(),
    };
    said.into_iter().flatten().map(label).collect()
}

/// What a route asks for; what one of its weighted clusters says of a name holds before what the route
/// itself does.
pub(crate) fn criteria(own: &Labels, route: &Labels) -> Option<Arc<Criteria>> {
    if own.is_empty() && route.is_empty() {
        return None;
    }
    Some(Arc::new(Criteria::new(texts(own).chain(texts(route)))))
}

fn texts(labels: &Labels) -> impl Iterator<Item = (Arc<str>, Arc<str>)> {
    labels.iter().map(|(key, value)| (Arc::clone(key), Arc::clone(&value.text)))
}

fn fallback(said: SubsetFallback) -> Fallback {
    match said {
        SubsetFallback::Nowhere => Fallback::None,
        SubsetFallback::Any => Fallback::Any,
        SubsetFallback::Default => Fallback::Default,
    }
}
