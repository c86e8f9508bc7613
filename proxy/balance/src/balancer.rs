//! The picker of a cluster.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    draw::Draw,
    endpoint::{EndpointId, EndpointState},
    host::{Health, Host, Locality},
    pool::Pool,
    priority::{Census, Load, loads},
};

/// How hosts of one priority are picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// In turn, by weight (`ROUND_ROBIN`).
    RoundRobin,
    /// The one with the fewest requests in flight per weight, of some drawn at random
    /// (`LEAST_REQUEST`).
    LeastRequest {
        /// How many are drawn (`choice_count`); Envoy's default is 2, fewer is taken as that.
        choices: u32,
    },
}

/// What decides when a priority is too weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `overprovisioning_factor` in percent.
    pub overprovisioning: u32,
    /// `healthy_panic_threshold` in percent; 0 never uses hosts that are not available.
    pub panic_threshold: u32,
}

impl Default for Settings {
    /// Envoy's defaults.
    fn default() -> Self {
        Self { overprovisioning: 140, panic_threshold: 50 }
    }
}

/// Picks endpoints of one version of a cluster.
#[derive(Debug)]
pub struct Balancer {
    policy: Policy,
    hosts: Box<[Host]>,
    /// Where picks go, with the running sum of percents up to and including each.
    tiers: Box<[(u64, Pool)]>,
}

impl Balancer {
    /// A balancer with Envoy's default [`Settings`].
    pub fn new(policy: Policy, hosts: Vec<Host>) -> Self {
        Self::with_settings(policy, Settings::default(), hosts)
    }

    /// A balancer over `hosts`, in any order.
    pub fn with_settings(policy: Policy, settings: Settings, hosts: Vec<Host>) -> Self {
        let tiers = tiers(&hosts, settings);
        Self { policy, hosts: hosts.into_boxed_slice(), tiers }
    }

    /// Every host, available or not.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The endpoint for a request; `None` when there is none to be used. `random` is uniformly
    /// random.
    #[inline]
    pub fn pick(&self, random: u64) -> Option<&Arc<EndpointState>> {
        let mut draw = Draw::new(random);
        let pool = self.choose_tier(&mut draw)?;
        let at = self.choose(pool, &mut draw);
        self.endpoint(pool, at)
    }

    /// Like [`Self::pick`] for another try: not one of `avoid`, unless there are no others.
    pub fn pick_avoiding(&self, random: u64, avoid: &[EndpointId]) -> Option<&Arc<EndpointState>> {
        let mut draw = Draw::new(random);
        let pool = self.choose_tier(&mut draw)?;
        let at = self.choose(pool, &mut draw);
        let others = self.tiers.iter().map(|(_, pool)| (pool, 0));
        std::iter::once((pool, at))
            .chain(others)
            .flat_map(|(pool, from)| (from..from + pool.len()).map(move |at| (pool, at)))
            .filter_map(|(pool, at)| self.endpoint(pool, at))
            .find(|endpoint| !avoid.contains(&endpoint.id()))
            .or_else(|| self.endpoint(pool, at))
    }

    #[inline]
    fn choose_tier(&self, draw: &mut Draw) -> Option<&Pool> {
        let (first, others) = self.tiers.split_first()?;
        if others.is_empty() {
            return Some(&first.1);
        }
        let (total, _) = self.tiers.last()?;
        let point = draw.below(*total);
        self.tiers.iter().find(|(upto, _)| point < *upto).map(|(_, pool)| pool)
    }

    #[inline]
    fn choose(&self, pool: &Pool, draw: &mut Draw) -> usize {
        match self.policy {
            Policy::RoundRobin => pool.next_in_turn(draw),
            Policy::LeastRequest { choices } => {
                pool.least_loaded(&self.hosts, choices.max(2), draw)
            }
        }
    }

    #[inline]
    fn endpoint(&self, pool: &Pool, at: usize) -> Option<&Arc<EndpointState>> {
        self.hosts.get(pool.member(at)? as usize).map(|host| &host.endpoint)
    }
}

/// Hosts of one priority, with their indices.
type Members<'a> = Vec<(u32, &'a Host)>;

fn tiers(hosts: &[Host], settings: Settings) -> Box<[(u64, Pool)]> {
    let mut priorities: BTreeMap<u32, Members<'_>> = BTreeMap::new();
    for (index, host) in (0..).zip(hosts) {
        priorities.entry(host.priority).or_default().push((index, host));
    }
    let census: Vec<Census> = priorities.values().map(|members| count(members)).collect();
    let loads = loads(&census, settings.overprovisioning.into(), settings.panic_threshold.into());
    let mut upto = 0;
    priorities
        .values()
        .zip(loads)
        .flat_map(|(members, load)| pools(members, load, settings))
        .map(|(percent, pool)| {
            upto += percent;
            (upto, pool)
        })
        .collect()
}

fn count(members: &[(u32, &Host)]) -> Census {
    let of = |is: fn(Health) -> bool| members.iter().filter(|(_, host)| is(host.health)).count();
    Census {
        healthy: of(Health::is_healthy),
        degraded: of(|health| health == Health::Degraded),
        total: members.len(),
    }
}

/// The pools of a priority with the percents that go to them.
fn pools(members: &Members<'_>, load: Load, settings: Settings) -> Vec<(u64, Pool)> {
    if load.panic {
        // Nothing is known of the state of hosts, so localities are not weighed by it either.
        let everyone = members.iter().map(|(index, host)| (*index, host.weight.max(1).into()));
        let pool = (settings.panic_threshold > 0).then(|| Pool::new(everyone.collect())).flatten();
        return pool.map(|pool| (load.healthy + load.degraded, pool)).into_iter().collect();
    }
    let healthy = || Pool::new(weigh(members, settings, Health::is_healthy));
    let degraded = || Pool::new(weigh(members, settings, |health| health == Health::Degraded));
    let wanted: [(u64, &dyn Fn() -> Option<Pool>); 2] =
        [(load.healthy, &healthy), (load.degraded, &degraded)];
    wanted
        .iter()
        .filter(|(percent, _)| *percent > 0)
        .filter_map(|(percent, pool)| Some((*percent, pool()?)))
        .collect()
}

/// The hosts that may be picked, with their weights: those of the hosts themselves, or parts of
/// the weight of their locality.
fn weigh(members: &Members<'_>, settings: Settings, usable: fn(Health) -> bool) -> Vec<(u32, u64)> {
    let chosen = members.iter().filter(|(_, host)| usable(host.health));
    if members.iter().all(|(_, host)| host.locality_weight.is_none()) {
        return chosen.map(|(index, host)| (*index, host.weight.max(1).into())).collect();
    }
    let mut localities: HashMap<Option<&Locality>, Share> = HashMap::new();
    for (_, host) in members {
        let share = localities.entry(host.locality.as_deref()).or_default();
        share.total += 1;
        if usable(host.health) {
            share.usable += 1;
            share.weights += u64::from(host.weight.max(1));
        }
    }
    chosen
        .filter_map(|(index, host)| {
            let share = localities.get(&host.locality.as_deref())?;
            let weight = share.of(host, host.locality_weight?, settings.overprovisioning)?;
            Some((*index, weight))
        })
        .collect()
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
    fn of(&self, host: &Host, locality_weight: u32, overprovisioning: u32) -> Option<u64> {
        const UNITS: u128 = 1 << 16;
        let availability = (u64::from(overprovisioning) * self.usable / self.total.max(1)).min(100);
        let locality = u128::from(locality_weight) * u128::from(availability) * UNITS;
        let part = locality * u128::from(host.weight.max(1)) / u128::from(self.weights.max(1));
        u64::try_from(part).ok().filter(|part| *part > 0)
    }
}
