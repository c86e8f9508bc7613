//! Endpoints of a cluster by their labels, as Envoy's subset load balancer divides them.
//!
//! Each set of values that hosts have for the names of a selector is a subset with a balancer of its
//! own, made once for a version of the cluster's endpoints. A pick looks one up by what its route asks
//! for: no lock, no allocation.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    balancer::{Balancer, Group, Settings},
    host::Host,
    labels::{Criteria, Label, hash_of},
};

/// Sets of labels that one host is counted under for one selector, where its lists stand for each of
/// their items.
pub const MOST_PER_HOST: usize = 1024;

/// `LbSubsetConfig`.
#[derive(Clone, Debug, PartialEq)]
pub struct SubsetRules {
    /// `subset_selectors`.
    pub selectors: Vec<Selector>,
    /// `fallback_policy`: where requests go that no subset is found for.
    pub fallback: Fallback,
    /// `default_subset`.
    pub default_subset: Criteria,
    /// `locality_weight_aware`: weights of localities hold in subsets too.
    pub keeps_locality_weights: bool,
    /// `panic_mode_any`: where the fallback has no host either, any host is used.
    pub any_on_panic: bool,
    /// `list_as_any`: a host whose value is a list has each of its items.
    pub list_as_any: bool,
}

/// `LbSubsetSelector`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// `keys`, in order.
    pub keys: Vec<Box<str>>,
    /// `fallback_policy`, where it says more than that of the cluster.
    pub fallback: Option<SelectorFallback>,
}

/// Where requests go that no subset is found for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Nowhere.
    None,
    /// To any host.
    Any,
    /// To the hosts of the default subset.
    Default,
}

/// Where requests go that ask for the names of a selector with values that no host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectorFallback {
    /// As those that no selector is for might.
    To(Fallback),
    /// Where they would if they asked for these names alone (`fallback_keys_subset`, fewer than the
    /// selector has).
    Fewer(Box<[Box<str>]>),
}

/// Where a request may go, and why there.
#[derive(Clone, Copy, Debug)]
pub enum Chosen<'a> {
    /// To hosts that have what it asks for.
    Subset(&'a Balancer),
    /// To others, as the rules say.
    Fallback(&'a Balancer),
    /// To any, because those that the rules say are not there.
    Panic(&'a Balancer),
    /// Nowhere.
    Nowhere,
}

impl<'a> Chosen<'a> {
    /// Picks the host.
    #[inline]
    pub fn balancer(self) -> Option<&'a Balancer> {
        match self {
            Self::Subset(found) | Self::Fallback(found) | Self::Panic(found) => Some(found),
            Self::Nowhere => None,
        }
    }
}

/// The subsets of a cluster.
#[derive(Debug)]
pub struct Subsets {
    rules: SubsetRules,
    /// By their hashes.
    subsets: Box<[Subset]>,
    any: Balancer,
    default: Balancer,
}

#[derive(Debug)]
struct Subset {
    hash: u64,
    criteria: Criteria,
    balancer: Balancer,
}

impl Subsets {
    /// Divides the hosts of a cluster, picked within a subset as in the whole `group`.
    pub fn new(rules: &SubsetRules, group: &Group, settings: Settings) -> Self {
        let balancer = |hosts: Vec<Host>| {
            let hosts = hosts.into_iter().map(|host| match rules.keeps_locality_weights {
                true => host,
                false => Host { locality_weight: None, ..host },
            });
            let zones = group.zones.clone();
            let of_subset = Group::new(group.policy, group.overprovisioning, hosts.collect());
            Balancer::of_groups(vec![Group { zones, ..of_subset }], settings)
        };
        let mut members: BTreeMap<Values, Vec<Host>> = BTreeMap::new();
        let names: BTreeSet<&[Box<str>]> = rules.selectors.iter().map(|it| &*it.keys).collect();
        for host in &group.hosts {
            for keys in &names {
                for labels in combinations(keys, &host.labels, rules.list_as_any) {
                    members.entry(labels).or_default().push(host.clone());
                }
            }
        }
        let mut subsets: Vec<Subset> = members
            .into_iter()
            .map(|(labels, hosts)| {
                let criteria = Criteria::new(labels);
                Subset { hash: hash_of(criteria.among(None)), criteria, balancer: balancer(hosts) }
            })
            .collect();
        subsets.sort_by_key(|subset| subset.hash);
        let is_default =
            |host: &&Host| rules.default_subset.are_met_by(&host.labels, rules.list_as_any);
        Self {
            rules: rules.clone(),
            subsets: subsets.into_boxed_slice(),
            any: balancer(group.hosts.clone()),
            default: balancer(group.hosts.iter().filter(is_default).cloned().collect()),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.subsets.len()
    }

    /// Where a request goes that asks for these labels.
    pub fn choose(&self, asked: Option<&Criteria>) -> Chosen<'_> {
        let Some(asked) = asked else { return self.fall_back() };
        let mut kept: Option<&[Box<str>]> = None;
        // Each step asks for fewer names than the one before it.
        loop {
            if let Some(found) = self.find(asked, kept) {
                return Chosen::Subset(&found.balancer);
            }
            match self.selector(asked, kept).and_then(|selector| selector.fallback.as_ref()) {
                None => return self.fall_back(),
                Some(SelectorFallback::To(Fallback::None)) => return Chosen::Nowhere,
                Some(SelectorFallback::To(Fallback::Any)) => return Chosen::Fallback(&self.any),
                Some(SelectorFallback::To(Fallback::Default)) => {
                    return Chosen::Fallback(&self.default);
                }
                Some(SelectorFallback::Fewer(keys)) => {
                    if kept.is_some_and(|kept| kept.len() <= keys.len()) {
                        return Chosen::Nowhere;
                    }
                    kept = Some(keys);
                }
            }
        }
    }

    fn find(&self, asked: &Criteria, kept: Option<&[Box<str>]>) -> Option<&Subset> {
        let hash = hash_of(asked.among(kept));
        let from = self.subsets.partition_point(|subset| subset.hash < hash);
        let alike = self.subsets.get(from..)?.iter().take_while(|subset| subset.hash == hash);
        alike.into_iter().find(|subset| subset.criteria.among(None).eq(asked.among(kept)))
    }

    /// The selector of exactly the names that are asked for.
    fn selector(&self, asked: &Criteria, kept: Option<&[Box<str>]>) -> Option<&Selector> {
        self.rules.selectors.iter().find(|selector| {
            let names = asked.among(kept).map(|each| &*each.key);
            selector.keys.iter().map(|key| &**key).eq(names)
        })
    }

    fn fall_back(&self) -> Chosen<'_> {
        let found = match self.rules.fallback {
            Fallback::None => return Chosen::Nowhere,
            Fallback::Any => &self.any,
            Fallback::Default => &self.default,
        };
        if self.rules.any_on_panic && !found.takes_requests() {
            return Chosen::Panic(&self.any);
        }
        Chosen::Fallback(found)
    }
}

/// Names and values, one for each key of a selector.
type Values = Vec<(Arc<str>, Arc<str>)>;

/// Every set of values that a host has for these names; none where it lacks one of them.
fn combinations(keys: &[Box<str>], labels: &[Label], list_as_any: bool) -> Vec<Values> {
    let mut sets = vec![Vec::with_capacity(keys.len())];
    for key in keys {
        let Some(label) = labels.iter().find(|label| *label.key == **key) else {
            return Vec::new();
        };
        let values: BTreeSet<&Arc<str>> = label.values(list_as_any).iter().collect();
        let with = |set: &Vec<_>, value: &Arc<str>| {
            let mut set = set.clone();
            set.push((Arc::clone(&label.key), Arc::clone(value)));
            set
        };
        let more = sets.iter().flat_map(|set| values.iter().map(move |value| with(set, value)));
        sets = more.take(MOST_PER_HOST).collect();
    }
    sets
}
