//! The picker of a cluster.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use crate::{
    bounded,
    directory::Directory,
    draw::{Chance, Draw},
    endpoint::{EndpointId, EndpointState},
    host::{Condition, Host, Locality},
    latency::{Decay, Ticks},
    levels::{Level, Levels},
    locality::weigh,
    placement::Hashing,
    pool::Pool,
    priority::{Census, Load, loads},
    zone::{self, ZoneRouting, Zones},
};

/// How often a hash is changed in search of a host that was not tried before all are looked through.
const REHASHED: u64 = 8;

/// How hosts of one priority are picked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// In turn, by weight (`ROUND_ROBIN`).
    RoundRobin,
    /// The one with the fewest requests in flight per weight, of some drawn at random
    /// (`LEAST_REQUEST`).
    LeastRequest {
        /// How many are drawn (`choice_count`); Envoy's default is 2, fewer is taken as that.
        choices: u32,
        /// `active_request_bias`: the power of the number of requests where weights differ; 1 by
        /// default, and 0 leaves requests out of account.
        bias: f64,
    },
    /// Of two drawn at random the one where a request is expected to wait less, by how long answers
    /// take there and how much is in flight, per weight.
    PeakEwma {
        /// How fast what was measured is forgotten.
        decay: Decay,
    },
    /// Any, whatever the weights of hosts (`RANDOM`).
    Random,
    /// The one that the request's hash leads to; a random one for a request without.
    Hashed(Hashing),
    /// The same, unless that one has so many percent of the average in flight: then another one
    /// that the hash leads to (`hash_balance_factor`, 100 and more).
    HashedWithin(Hashing, u32),
}

impl Policy {
    /// Whether weights of hosts matter to it.
    pub(crate) fn is_weighted(self) -> bool {
        self != Self::Random
    }

    fn hashing(self) -> Option<Hashing> {
        match self {
            Self::Hashed(hashing) | Self::HashedWithin(hashing, _) => Some(hashing),
            Self::RoundRobin | Self::LeastRequest { .. } | Self::PeakEwma { .. } | Self::Random => {
                None
            }
        }
    }
}

/// What happens where too few hosts of a priority are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPanic {
    /// All of its hosts are used: their state is more likely to be wrong than all to be down.
    UseAll,
    /// None is (`fail_traffic_on_panic`).
    Fail,
}

/// What decides when a priority is too weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `overprovisioning_factor` in percent.
    pub overprovisioning: u32,
    /// `healthy_panic_threshold` in percent; 0 never uses hosts that are not available.
    pub panic_threshold: u32,
    /// What follows when it is.
    pub on_panic: OnPanic,
}

impl Default for Settings {
    /// Envoy's defaults.
    fn default() -> Self {
        Self { overprovisioning: 140, panic_threshold: 50, on_panic: OnPanic::UseAll }
    }
}

/// Hosts that are balanced in one way: those of a cluster, or of one member of an aggregate.
#[derive(Debug)]
pub struct Group {
    /// How they are picked.
    pub policy: Policy,
    /// `overprovisioning_factor` in percent.
    pub overprovisioning: u32,
    /// The hosts, in any order.
    pub hosts: Vec<Host>,
    /// Where the requests of hosts of priority 0 stay in the zone they come from.
    pub zones: Option<Zones>,
}

impl Group {
    /// Hosts that are picked from whatever their zone.
    pub fn new(policy: Policy, overprovisioning: u32, hosts: Vec<Host>) -> Self {
        Self { policy, overprovisioning, hosts, zones: None }
    }
}

/// The outcome of a pick.
#[derive(Clone, Copy, Debug)]
pub struct Picked<'a> {
    /// Who takes the request.
    pub endpoint: &'a Arc<EndpointState>,
    /// Which [`Group`] it belongs to.
    pub group: usize,
    /// Whether it was picked regardless of its state.
    pub panicking: bool,
    /// How its zone was chosen,
    pub routing: ZoneRouting,
    /// and whether that is the zone of this proxy.
    pub is_near: bool,
}

/// Picks endpoints of one version of a cluster.
#[derive(Debug)]
pub struct Balancer {
    /// Policy and overprovisioning factor of the first group.
    first: Option<(Policy, u32)>,
    /// What the first group prefers.
    zones: Option<Zones>,
    /// Which hosts are in the zone of this proxy; empty where that does not matter.
    pub(crate) near: Box<[bool]>,
    pub(crate) hosts: Box<[Host]>,
    /// Where the hosts of each group end.
    pub(crate) group_ends: Box<[u32]>,
    /// Finds hosts by their addresses.
    pub(crate) directory: Directory,
    hashes: bool,
    /// Where picks go.
    tiers: Box<[Tier]>,
    priorities: Box<[Priority]>,
    /// Each of the priorities by itself, where there are several.
    levels: Option<Levels>,
}

/// Hosts that take a share of all picks.
#[derive(Debug)]
struct Tier {
    /// The running sum of percents up to and including this one.
    upto: u64,
    /// `None` where requests are to fail.
    pool: Option<Pool>,
    policy: Policy,
    group: usize,
    panicking: bool,
    routing: ZoneRouting,
}

impl Balancer {
    /// A balancer with Envoy's default [`Settings`].
    pub fn new(policy: Policy, hosts: Vec<Host>) -> Self {
        Self::with_settings(policy, Settings::default(), hosts)
    }

    /// A balancer over `hosts`, in any order.
    pub fn with_settings(policy: Policy, settings: Settings, hosts: Vec<Host>) -> Self {
        let group = Group::new(policy, settings.overprovisioning, hosts);
        Self::of_groups(vec![group], settings)
    }

    /// A balancer over several groups: all priorities of a group come before those of the next.
    pub fn of_groups(groups: Vec<Group>, settings: Settings) -> Self {
        let mut hosts = Vec::with_capacity(groups.iter().map(|group| group.hosts.len()).sum());
        let mut priorities = Vec::new();
        let mut group_ends = Vec::with_capacity(groups.len());
        let first = groups.first().map(|group| (group.policy, group.overprovisioning));
        let zones = groups.first().and_then(|group| group.zones.clone());
        let own =
            groups.iter().find_map(|group| group.zones.as_ref()).map(|it| Arc::clone(&it.own));
        for (index, group) in groups.into_iter().enumerate() {
            let Group { policy, overprovisioning, hosts: members, zones } = group;
            let mut of_group: BTreeMap<u32, Priority> = BTreeMap::new();
            for host in members {
                let priority = of_group.entry(host.priority).or_insert_with(|| Priority {
                    policy,
                    overprovisioning,
                    group: index,
                    members: Vec::new(),
                    zones: zones.as_ref().filter(|_| host.priority == 0).cloned(),
                });
                priority.members.push(u32::try_from(hosts.len()).unwrap_or(u32::MAX));
                hosts.push(host);
            }
            priorities.extend(of_group.into_values());
            group_ends.push(u32::try_from(hosts.len()).unwrap_or(u32::MAX));
        }
        let tiers = tiers(&hosts, &priorities, settings);
        let levels = (priorities.len() > 1).then(|| levels(&hosts, &priorities));
        let hashes = priorities.iter().any(|priority| priority.policy.hashing().is_some());
        let is_near = |own: &Arc<Locality>| {
            hosts.iter().map(|host| host.locality.as_deref() == Some(&**own)).collect()
        };
        let near = own.as_ref().map(is_near).unwrap_or_default();
        Self {
            first,
            zones,
            near,
            hosts: hosts.into_boxed_slice(),
            group_ends: group_ends.into_boxed_slice(),
            directory: Directory::default(),
            hashes,
            tiers,
            levels,
            priorities: priorities.into(),
        }
    }

    /// Every host, available or not.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Whether any host of it takes requests.
    pub(crate) fn takes_requests(&self) -> bool {
        self.tiers.iter().any(|tier| tier.pool.is_some())
    }

    /// Whether the hash of a request decides where it goes.
    pub fn hashes(&self) -> bool {
        self.hashes
    }

    /// Whether the time decides where requests go.
    pub fn is_timed(&self) -> bool {
        self.tiers.iter().any(|tier| matches!(tier.policy, Policy::PeakEwma { .. }))
    }

    /// The hosts of a cluster as a group of an aggregate.
    pub fn to_group(&self) -> Group {
        let (policy, overprovisioning) = self.first.unwrap_or((Policy::RoundRobin, 140));
        let zones = self.zones.clone();
        Group { policy, overprovisioning, hosts: self.hosts.to_vec(), zones }
    }

    /// The endpoint for a request without a hash; `None` when there is none to be used. `random` is
    /// uniformly random.
    #[inline]
    pub fn pick(&self, random: u64) -> Option<Picked<'_>> {
        self.pick_for(random, None)
    }

    /// The endpoint for a request; the same one for the same hash, where hashes decide.
    #[inline]
    pub fn pick_for(&self, chance: impl Into<Chance>, hash: Option<u64>) -> Option<Picked<'_>> {
        let Chance { random, now } = chance.into();
        let mut draw = Draw::new(random);
        let hash = self.hash(hash, &mut draw);
        let tier = self.choose_tier(hash, &mut draw)?;
        let pool = tier.pool.as_ref()?;
        self.picked(tier, pool, self.choose((tier.policy, pool), hash, now, &mut draw))
    }

    /// Like [`Self::pick_for`] for another try: not one of `avoid`, unless there are no others.
    pub fn pick_avoiding(
        &self,
        chance: impl Into<Chance>,
        hash: Option<u64>,
        avoid: &[EndpointId],
    ) -> Option<Picked<'_>> {
        let chance = chance.into();
        self.pick_other(chance, hash, |host| avoid.contains(&host.endpoint.id()))
            .or_else(|| self.pick_for(chance, hash))
    }

    /// Like [`Self::pick_for`] for another try; `None` where all hosts are left out.
    pub fn pick_other(
        &self,
        chance: impl Into<Chance>,
        hash: Option<u64>,
        is_left_out: impl Fn(&Host) -> bool,
    ) -> Option<Picked<'_>> {
        let Chance { random, now } = chance.into();
        let mut draw = Draw::new(random);
        let hash = self.hash(hash, &mut draw);
        let tier = self.choose_tier(hash, &mut draw)?;
        let pool = tier.pool.as_ref()?;
        let at = self.choose((tier.policy, pool), hash, now, &mut draw);
        // Requests of one hash go on together, but those of different ones to different hosts.
        let rehashed = tier.policy.hashing().map_or(0..0, |_| 1..REHASHED).map(|again| {
            let other = Draw::new(hash.wrapping_add(again)).number();
            (tier, pool, pool.at_hash(other))
        });
        let others = self.tiers.iter().filter_map(|tier| Some((tier, tier.pool.as_ref()?, 0)));
        let everyone =
            std::iter::once((tier, pool, at)).chain(others).flat_map(|(tier, pool, from)| {
                (from..from + pool.len()).map(move |at| (tier, pool, at))
            });
        rehashed
            .chain(everyone)
            .find(|(_, pool, at)| self.host(pool, *at).is_some_and(|host| !is_left_out(host)))
            .and_then(|(tier, pool, at)| self.picked(tier, pool, at))
    }

    /// Like [`Self::pick_other`] for a try that is to go to a priority where none of those in `tried` went;
    /// it is looked anew where they went after `every` so many tries. `None` while that changes nothing.
    pub fn pick_beyond(
        &self,
        chance: impl Into<Chance>,
        hash: Option<u64>,
        (tried, every): (&[EndpointId], NonZeroU32),
        is_left_out: impl Fn(&Host) -> bool,
    ) -> Option<Picked<'_>> {
        let Chance { random, now } = chance.into();
        let mut draw = Draw::new(random);
        let levels = self.levels.as_ref()?;
        let hash = self.hash(hash, &mut draw);
        let point = if self.hashes { hash % 100 } else { draw.below(100) };
        let (level, pool) = levels.choose(tried, every, point)?;
        let Priority { policy, group, .. } = *self.priorities.get(level)?;
        let at = self.choose((policy, pool), hash, now, &mut draw);
        let other = (at..at + pool.len())
            .find(|at| self.host(pool, *at).is_some_and(|host| !is_left_out(host)));
        let index = pool.member(other.unwrap_or(at))? as usize;
        let endpoint = &self.hosts.get(index)?.endpoint;
        let is_near = self.near.get(index).copied().unwrap_or(false);
        Some(Picked { endpoint, group, panicking: false, routing: ZoneRouting::Off, is_near })
    }

    /// The number that decides where hashes do.
    #[inline]
    fn hash(&self, hash: Option<u64>, draw: &mut Draw) -> u64 {
        if self.hashes { hash.unwrap_or_else(|| draw.number()) } else { 0 }
    }

    #[inline]
    fn choose_tier(&self, hash: u64, draw: &mut Draw) -> Option<&Tier> {
        let (first, others) = self.tiers.split_first()?;
        if others.is_empty() {
            return Some(first);
        }
        let total = self.tiers.last()?.upto;
        let point = match first.policy.hashing() {
            Some(_) => hash.checked_rem(total)?,
            None => draw.below(total),
        };
        self.tiers.iter().find(|tier| point < tier.upto)
    }

    #[inline]
    fn choose(
        &self,
        (policy, pool): (Policy, &Pool),
        hash: u64,
        now: Option<Ticks>,
        draw: &mut Draw,
    ) -> usize {
        match policy {
            Policy::RoundRobin => pool.next_in_turn(draw),
            Policy::LeastRequest { choices, bias } => {
                pool.least_loaded(choices.max(2), draw, |at| pool.load(&self.hosts, at, bias))
            }
            Policy::PeakEwma { decay } => {
                pool.least_loaded(2, draw, |at| pool.wait(&self.hosts, at, (now, decay)))
            }
            Policy::Random => pool.at_random(draw),
            Policy::Hashed(_) => pool.at_hash(hash),
            Policy::HashedWithin(_, factor) => bounded::at(pool, &self.hosts, hash, factor),
        }
    }

    fn host(&self, pool: &Pool, at: usize) -> Option<&Host> {
        self.hosts.get(pool.member(at)? as usize)
    }

    #[inline]
    fn picked(&self, tier: &Tier, pool: &Pool, at: usize) -> Option<Picked<'_>> {
        let index = pool.member(at)? as usize;
        let host = self.hosts.get(index)?;
        let Tier { group, panicking, routing, .. } = *tier;
        let is_near = self.near.get(index).copied().unwrap_or(false);
        Some(Picked { endpoint: &host.endpoint, group, panicking, routing, is_near })
    }
}

/// Hosts of one priority of a group, by their indices.
#[derive(Debug)]
struct Priority {
    policy: Policy,
    overprovisioning: u32,
    group: usize,
    members: Vec<u32>,
    zones: Option<Zones>,
}

/// Hosts of one priority, with their indices.
pub(crate) type Members<'a> = Vec<(u32, &'a Host)>;

/// Each priority by itself.
fn levels(hosts: &[Host], priorities: &[Priority]) -> Levels {
    let members = |priority: &Priority| -> Vec<(u32, &Host)> {
        let at = |index: &u32| Some((*index, hosts.get(*index as usize)?));
        priority.members.iter().filter_map(at).collect()
    };
    let level = |priority: &Priority| {
        let Priority { policy, overprovisioning, .. } = *priority;
        let members = members(priority);
        Level::new(count(&members, overprovisioning), |usable| {
            let weighed = weigh(&members, policy, overprovisioning, usable);
            Pool::new(weighed, hosts, policy.hashing())
        })
    };
    let all = priorities.iter().map(level).collect();
    let of = priorities.iter().enumerate().flat_map(|(level, priority)| {
        members(priority).into_iter().map(move |(_, host)| (level, host))
    });
    Levels::new(all, of)
}

fn tiers(hosts: &[Host], priorities: &[Priority], settings: Settings) -> Box<[Tier]> {
    let members: Vec<Members<'_>> = priorities
        .iter()
        .map(|priority| {
            let at = |index: &u32| Some((*index, hosts.get(*index as usize)?));
            priority.members.iter().filter_map(at).collect()
        })
        .collect();
    let census: Vec<Census> = priorities
        .iter()
        .zip(&members)
        .map(|(priority, members)| count(members, priority.overprovisioning))
        .collect();
    // Shares of a percent are needed only where some of the requests prefer their zone.
    let unit = if priorities.iter().any(|priority| priority.zones.is_some()) { 100 } else { 1 };
    let mut upto = 0;
    priorities
        .iter()
        .zip(&members)
        .zip(loads(&census, settings.panic_threshold.into()))
        .flat_map(|((priority, members), load)| {
            let pools = pools((priority, members, hosts), load, (settings, unit));
            pools.into_iter().map(move |share| (priority, load, share))
        })
        .map(|(priority, load, Share { parts, pool, routing })| {
            upto += parts;
            let Priority { policy, group, .. } = *priority;
            Tier { upto, pool, policy, group, panicking: load.panic, routing }
        })
        .collect()
}

fn count(members: &[(u32, &Host)], overprovisioning: u32) -> Census {
    let of = |condition| members.iter().filter(|(_, host)| host.condition() == condition).count();
    Census {
        healthy: of(Condition::Healthy),
        degraded: of(Condition::Degraded),
        total: members.len() - of(Condition::Excluded),
        overprovisioning,
    }
}

/// Requests that go to one pool.
struct Share {
    parts: u64,
    /// `None` where they are to fail.
    pool: Option<Pool>,
    routing: ZoneRouting,
}

impl Share {
    fn plain(parts: u64, pool: Option<Pool>) -> Self {
        Self { parts, pool, routing: ZoneRouting::Off }
    }
}

/// The pools of a priority with the shares that go to them, in parts of a percent.
fn pools(
    (priority, members, hosts): (&Priority, &Members<'_>, &[Host]),
    load: Load,
    (settings, unit): (Settings, u64),
) -> Vec<Share> {
    let Priority { policy, overprovisioning, .. } = *priority;
    if load.panic {
        let percent = load.healthy + load.degraded;
        if percent == 0 {
            return Vec::new();
        }
        // Nothing is known of the state of hosts, so localities are not weighed by it either.
        let everyone = members.iter().map(|(index, host)| (*index, host.weight_for(policy)));
        let pool = match settings.on_panic {
            OnPanic::UseAll => Pool::new(everyone.collect(), hosts, policy.hashing()),
            OnPanic::Fail => None,
        };
        return vec![Share::plain(percent * unit, pool)];
    }
    let mut shares = Vec::new();
    let mut healthy = load.healthy * unit;
    if let Some(zones) = priority.zones.as_ref().filter(|_| healthy > 0)
        && let Some((weighed, routing)) = zone::weigh(members, policy, zones)
    {
        // The unit is that of percents then.
        let parts = load.healthy * u64::from(zones.enabled.min(100));
        if let Some(pool) = Pool::new(weighed, hosts, policy.hashing()).filter(|_| parts > 0) {
            healthy -= parts;
            shares.push(Share { parts, pool: Some(pool), routing });
        }
    }
    let rest = [(healthy, Condition::Healthy), (load.degraded * unit, Condition::Degraded)];
    for (parts, usable) in rest.into_iter().filter(|(parts, _)| *parts > 0) {
        let weighed = weigh(members, policy, overprovisioning, usable);
        if let Some(pool) = Pool::new(weighed, hosts, policy.hashing()) {
            shares.push(Share::plain(parts, Some(pool)));
        }
    }
    shares
}
