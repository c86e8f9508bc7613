//! Weights of localities, spread over their hosts.

use std::collections::HashMap;

use crate::{
    balancer::{Members, Policy},
    host::{Condition, Host, Locality},
};

/// The hosts that may be picked, with their weights: those of the hosts themselves, or parts of
/// the weight of their locality.
pub(crate) fn weigh(
    members: &Members<'_>,
    policy: Policy,
    overprovisioning: u32,
    usable: Condition,
) -> Vec<(u32, u64)> {
    let chosen = members.iter().filter(|(_, host)| host.condition() == usable);
    if members.iter().all(|(_, host)| host.locality_weight.is_none()) {
        return chosen.map(|(index, host)| (*index, host.weight_for(policy))).collect();
    }
    let mut localities: HashMap<Option<&Locality>, Share> = HashMap::new();
    for (_, host) in members {
        let share = localities.entry(host.locality.as_deref()).or_default();
        share.total += u64::from(host.condition() != Condition::Excluded);
        if host.condition() == usable {
            share.usable += 1;
            share.weights += host.weight_for(policy);
        }
    }
    chosen
        .filter_map(|(index, host)| {
            let share = localities.get(&host.locality.as_deref())?;
            let locality_weight = host.locality_weight?;
            let weight = share.of(host.weight_for(policy), locality_weight, overprovisioning)?;
            Some((*index, weight))
        })
        .collect()
}

impl Host {
    /// Its weight, as far as the policy takes notice of it.
    pub(crate) fn weight_for(&self, policy: Policy) -> u64 {
        let weight = if policy.is_weighted() { self.weight.max(1).into() } else { 1 };
        // New hosts take less, whatever the policy.
        self.speed.map_or(weight, |speed| weight.saturating_mul(speed.max(1).into()))
    }
}

/// What a locality has to give.
#[derive(Default)]
struct Share {
    usable: u64,
    total: u64,
    weights: u64,
}

impl Share {
    /// A host's part of its locality's weight, which counts in full while enough of its hosts are
    /// usable. In units small enough that rounding does not show.
    fn of(&self, weight: u64, locality_weight: u32, overprovisioning: u32) -> Option<u64> {
        const UNITS: u128 = 1 << 16;
        let availability = (u64::from(overprovisioning) * self.usable / self.total.max(1)).min(100);
        let locality = u128::from(locality_weight) * u128::from(availability) * UNITS;
        let part = locality * u128::from(weight) / u128::from(self.weights.max(1));
        u64::try_from(part).ok().filter(|part| *part > 0)
    }
}
