//! Which endpoint of a cluster takes a request.

use weft_balance::{Balancer, Chance, Chosen, Criteria, EndpointId, Picked};

use super::Cluster;

impl Cluster {
    /// Where a request goes that asks for these labels, as far as this cluster has subsets.
    #[inline]
    pub fn chosen(&self, asked: Option<&Criteria>) -> Chosen<'_> {
        match &self.subsets {
            None => Chosen::Subset(&self.balancer),
            Some(subsets) => subsets.choose(asked),
        }
    }

    /// The endpoint for a request that asks for these labels; not one of `avoid`, unless there are no
    /// others. In an aggregate the members say what their subsets are.
    #[inline]
    pub fn pick(
        &self,
        asked: Option<&Criteria>,
        chance: impl Into<Chance>,
        hash: Option<u64>,
        avoid: &[EndpointId],
    ) -> Option<Picked<'_>> {
        let chance = chance.into();
        let picked = from(self.within(asked)?, chance, hash, avoid)?;
        match self.members.get(picked.group) {
            Some(member) if member.subsets.is_some() => {
                let found = from(member.within(asked)?, chance, hash, avoid)?;
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

#[inline]
fn from<'a>(
    balancer: &'a Balancer,
    chance: Chance,
    hash: Option<u64>,
    avoid: &[EndpointId],
) -> Option<Picked<'a>> {
    if avoid.is_empty() {
        balancer.pick_for(chance, hash)
    } else {
        balancer.pick_avoiding(chance, hash, avoid)
    }
}
