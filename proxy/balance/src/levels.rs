//! Every priority by itself, whatever its load: for another try of a request that is to go to a
//! priority where none of its tries went (`envoy.retry_priorities.previous_priorities`).

use std::num::NonZeroU32;

use crate::{
    endpoint::EndpointId,
    host::{Condition, Host},
    pool::Pool,
    priority::{Census, loads},
};

/// The priorities of a balancer, in their order.
#[derive(Debug)]
pub(crate) struct Levels {
    /// Which priority an endpoint is of, in the order of identities.
    of: Box<[(EndpointId, usize)]>,
    all: Box<[Level]>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) census: Census,
    pub(crate) healthy: Option<Pool>,
    pub(crate) degraded: Option<Pool>,
}

impl Levels {
    /// `all` with the hosts of each.
    pub(crate) fn new<'a>(all: Vec<Level>, hosts: impl Iterator<Item = (usize, &'a Host)>) -> Self {
        let mut of: Vec<_> = hosts.map(|(level, host)| (host.endpoint.id(), level)).collect();
        of.sort_unstable();
        Self { of: of.into(), all: all.into() }
    }

    /// The priority and the pool for a point between 0 and 99, after these tries; `None` while all
    /// priorities are as good as before. `every` says after how many tries it is looked anew where
    /// they went.
    pub(crate) fn choose(
        &self,
        tried: &[EndpointId],
        every: NonZeroU32,
        point: u64,
    ) -> Option<(usize, &Pool)> {
        let left_out = self.left_out(tried, every)?;
        let loads = self.loads(&left_out);
        let healthy = loads.iter().map(|load| load.healthy).zip(&self.all);
        let degraded = loads.iter().map(|load| load.degraded).zip(&self.all);
        let healthy = healthy.map(|(load, level)| (load, &level.healthy)).enumerate();
        let degraded = degraded.map(|(load, level)| (load, &level.degraded)).enumerate();
        let mut upto = 0;
        let (level, (_, pool)) = healthy.chain(degraded).find(|(_, (load, _))| {
            upto += load;
            point < upto
        })?;
        Some((level, pool.as_ref()?))
    }

    /// Which priorities are left out; `None` for none. When nothing is left of them, all count again, and
    /// what was tried before is forgotten.
    fn left_out(&self, tried: &[EndpointId], every: NonZeroU32) -> Option<Vec<bool>> {
        let every = usize::try_from(every.get()).unwrap_or(usize::MAX);
        let mut left_out = vec![false; self.all.len()];
        let mut since = Vec::new();
        for id in tried {
            since.push(*id);
            if !since.len().is_multiple_of(every) {
                continue;
            }
            for id in &since {
                let level = self.of.binary_search_by_key(id, |(known, _)| *known).ok();
                let level = level.and_then(|at| self.of.get(at)).map(|(_, level)| *level);
                if let Some(out) = level.and_then(|level| left_out.get_mut(level)) {
                    *out = true;
                }
            }
            if self.loads(&left_out).iter().all(|load| load.healthy + load.degraded == 0) {
                left_out.fill(false);
                since.clear();
            }
        }
        left_out.contains(&true).then_some(left_out)
    }

    fn loads(&self, left_out: &[bool]) -> Vec<crate::priority::Load> {
        let nothing = Census { healthy: 0, degraded: 0, total: 1, overprovisioning: 0 };
        let all = self.all.iter().zip(left_out);
        let census: Vec<_> =
            all.map(|(level, out)| if *out { nothing } else { level.census }).collect();
        // None is used in panic: where nobody is available another try does not help.
        loads(&census, 0)
    }
}

impl Level {
    /// The hosts of one priority; `pool` makes one of those in this condition.
    pub(crate) fn new(census: Census, pool: impl Fn(Condition) -> Option<Pool>) -> Self {
        Self { census, healthy: pool(Condition::Healthy), degraded: pool(Condition::Degraded) }
    }
}
