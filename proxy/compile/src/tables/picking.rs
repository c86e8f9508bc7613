//! Which endpoint of a cluster takes a request.

use std::num::NonZeroU32;

use weft_balance::{Balancer, Chance, Chosen, Criteria, EndpointId, Host, Picked};
use weft_resources::RetryHosts;

use super::Cluster;

/// Endpoints that another try of a request does not go to while there are others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Avoided<'a> {
    /// Those that were tried.
    pub tried: &'a [EndpointId],
    /// Those that a retry policy leaves out.
    pub omitted: Option<&'a RetryHosts>,
    /// After how many tries it is looked anew which priorities they went to, where those are avoided, too.
    pub priorities_every: Option<NonZeroU32>,
}

impl Avoided<'_> {
    fn has(&self, host: &Host) -> bool {
        self.tried.contains(&host.endpoint.id())
            || self.omitted.is_some_and(|omitted| is_omitted(omitted, host))
    }
}

fn is_omitted(omitted: &RetryHosts, host: &Host) -> bool {
    let says = |key: &str, value: &str| {
        host.labels.iter().any(|label| *label.key == *key && label.says(value))
    };
    (omitted.canaries && says("canary", "true"))
        || omitted
            .labelled
            .iter()
            .any(|labels| labels.iter().all(|(key, value)| says(key, &value.text)))
}

impl Cluster {
    /// Where a request goes that asks for these labels, as far as this cluster has subsets.
    #[inline]
    pub fn chosen(&self, asked: Option<&Criteria>) -> Chosen<'_> {
        match &self.subsets {
            None => Chosen::Subset(&self.balancer),
            Some(subsets) => subsets.choose(asked),
        }
    }

    /// The endpoint for a request that asks for these labels; not one of `tried`, unless there are no
    /// others. In an aggregate the members say what their subsets are.
    #[inline]
    pub fn pick(
        &self,
        asked: Option<&Criteria>,
        chance: impl Into<Chance>,
        hash: Option<u64>,
        tried: &[EndpointId],
    ) -> Option<Picked<'_>> {
        let chance = chance.into();
        let other = || {
            self.pick_other(
                asked,
                chance,
                hash,
                Avoided { tried, omitted: None, priorities_every: None },
            )
        };
        if tried.is_empty() { None } else { other() }
            .or_else(|| self.pick_by(asked, |balancer| balancer.pick_for(chance, hash)))
    }

    /// The endpoint for another try of a request; `None` where there is none but those avoided.
    pub fn pick_other(
        &self,
        asked: Option<&Criteria>,
        chance: impl Into<Chance>,
        hash: Option<u64>,
        avoid: Avoided<'_>,
    ) -> Option<Picked<'_>> {
        let chance = chance.into();
        self.pick_by(asked, |it| {
            let is_avoided = |host: &Host| avoid.has(host);
            let beyond = avoid
                .priorities_every
                .and_then(|every| it.pick_beyond(chance, hash, (avoid.tried, every), is_avoided));
            beyond.or_else(|| it.pick_other(chance, hash, is_avoided))
        })
    }

    #[inline]
    fn pick_by<'a>(
        &'a self,
        asked: Option<&Criteria>,
        pick: impl Fn(&'a Balancer) -> Option<Picked<'a>>,
    ) -> Option<Picked<'a>> {
        let picked = pick(self.within(asked)?)?;
        match self.members.get(picked.group) {
            Some(member) if member.subsets.is_some() => {
                let found = pick(member.within(asked)?)?;
                Some(Picked { group: picked.group, ..found })
            }
            _ => Some(picked),
        }
    }

    #[inline]
    fn within(&self, asked: Option<&Criteria>) -> Option<&Balancer> {
        if self.subsets.is_none() {
            return Some(&self.balancer);
        }
        let chosen = self.chosen(asked);
        match chosen {
            Chosen::Subset(_) => self.stats.lb_subsets_selected.inc(),
            Chosen::Fallback(_) => self.stats.lb_subsets_fallback.inc(),
            Chosen::Panic(_) => self.stats.lb_subsets_fallback_panic.inc(),
            Chosen::Nowhere => {}
        }
        chosen.balancer()
    }
}
