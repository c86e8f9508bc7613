//! Which zones take the requests of a proxy that prefers its own, after Envoy's description of
//! zone-aware routing (`docs/root/intro/arch_overview/upstream/load_balancing/zone_aware`).

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    balancer::{Members, Policy},
    host::{Condition, Locality},
};

/// Shares of zones are in parts of this.
const WHOLE: u64 = 10_000;

/// Where the peers of this proxy are: those who send to the same endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zones {
    /// Where this proxy is.
    pub own: Arc<Locality>,
    /// How many healthy peers are where.
    pub peers: BTreeMap<Locality, u64>,
    /// `routing_enabled`, in percent of the requests.
    pub enabled: u32,
    /// `min_cluster_size`: with fewer healthy endpoints all zones are alike.
    pub least_endpoints: u64,
    /// `force_locality_direct_routing`: the own zone takes everything, whatever it can carry.
    pub own_only: bool,
}

/// What came of preferring the own zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneRouting {
    /// All zones are alike: too few endpoints, or none in the own zone, or nobody knows the peers.
    Off,
    /// The own zone takes everything.
    Direct,
    /// It takes what it can carry, and others the rest.
    Residual,
}

/// The healthy endpoints with weights by which each zone gets its share; `None` where all zones are
/// alike.
pub(crate) fn weigh(
    members: &Members<'_>,
    policy: Policy,
    zones: &Zones,
) -> Option<(Vec<(u32, u64)>, ZoneRouting)> {
    let healthy = || members.iter().filter(|(_, host)| host.condition() == Condition::Healthy);
    let nowhere = Locality::default();
    let mut endpoints: BTreeMap<&Locality, (u64, u64)> = BTreeMap::new();
    for (_, host) in healthy() {
        let here = endpoints.entry(host.locality.as_deref().unwrap_or(&nowhere)).or_default();
        here.0 += 1;
        here.1 += host.weight_for(policy);
    }
    let counts = endpoints.iter().map(|(locality, (count, _))| (*locality, *count)).collect();
    let (shares, routing) = shares(&counts, zones)?;
    let weighed = healthy().filter_map(|(index, host)| {
        let locality = host.locality.as_deref().unwrap_or(&nowhere);
        let share = *shares.get(locality)?;
        let (_, weights) = *endpoints.get(locality)?;
        // In units small enough that rounding does not show.
        let part = u128::from(share) * u128::from(host.weight_for(policy)) * (1 << 24);
        let weight = u64::try_from(part / u128::from(weights.max(1))).ok()?;
        (weight > 0).then_some((*index, weight))
    });
    Some((weighed.collect(), routing))
}

/// How much each zone takes.
fn shares<'l>(
    endpoints: &BTreeMap<&'l Locality, u64>,
    zones: &Zones,
) -> Option<(BTreeMap<&'l Locality, u64>, ZoneRouting)> {
    let total: u64 = endpoints.values().sum();
    let peers: u64 = zones.peers.values().sum();
    let (own, here) = endpoints.get_key_value(&*zones.own)?;
    let is_known = peers > 0 && zones.peers.contains_key(&*zones.own);
    if total < zones.least_endpoints || endpoints.len() < 2 || !is_known || *here == 0 {
        return None;
    }
    let of_peers =
        |locality: &Locality| WHOLE * zones.peers.get(locality).copied().unwrap_or(0) / peers;
    let of_endpoints = |count: u64| WHOLE * count / total;
    let (sent, carried) = (of_peers(own), of_endpoints(*here));
    if zones.own_only || carried >= sent {
        return Some((BTreeMap::from([(*own, WHOLE)]), ZoneRouting::Direct));
    }
    let stays = carried * WHOLE / sent.max(1);
    let room =
        |locality: &Locality, count: u64| of_endpoints(count).saturating_sub(of_peers(locality));
    let others = endpoints.iter().filter(|(locality, _)| *locality != own);
    let rooms: BTreeMap<&Locality, u64> =
        others.map(|(locality, count)| (*locality, room(locality, *count))).collect();
    let all_room: u64 = rooms.values().sum();
    let mut shares: BTreeMap<&Locality, u64> = if all_room == 0 {
        // Nobody has room: the rest goes anywhere.
        let part = (WHOLE - stays) / endpoints.len() as u64;
        endpoints.keys().map(|locality| (*locality, part)).collect()
    } else {
        let part = |room| (WHOLE - stays) * room / all_room;
        rooms.into_iter().map(|(locality, room)| (locality, part(room))).collect()
    };
    *shares.entry(*own).or_default() += stays;
    Some((shares, ZoneRouting::Residual))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(zone: usize) -> Locality {
        Locality { zone: format!("z{zone}").into(), ..Locality::default() }
    }

    fn zones(peers: &[u64]) -> Zones {
        Zones {
            own: Arc::new(at(0)),
            peers: peers.iter().enumerate().map(|(zone, count)| (at(zone), *count)).collect(),
            enabled: 100,
            least_endpoints: 0,
            own_only: false,
        }
    }

    fn of(endpoints: &[u64], zones: &Zones) -> Option<(Vec<u64>, ZoneRouting)> {
        let places: Vec<Locality> = (0..endpoints.len()).map(at).collect();
        let counts = places.iter().zip(endpoints.iter().copied()).filter(|it| it.1 > 0).collect();
        let (found, routing) = shares(&counts, zones)?;
        Some((places.iter().map(|place| found.get(place).copied().unwrap_or(0)).collect(), routing))
    }

    #[test]
    fn the_own_zone_takes_what_it_can_carry() {
        use ZoneRouting::{Direct, Residual};
        let even = zones(&[10, 10]);
        assert_eq!(of(&[5, 5], &even), Some((vec![10_000, 0], Direct)));
        assert_eq!(of(&[7, 3], &even), Some((vec![10_000, 0], Direct)));
        // A fifth of the endpoints for half of the requests: two fifths of those can stay.
        assert_eq!(of(&[1, 4], &even), Some((vec![4_000, 6_000], Residual)));
        // The rest goes where there is room: none in the second zone, which is busy itself.
        let three = zones(&[4, 4, 2]);
        assert_eq!(of(&[2, 4, 4], &three), Some((vec![5_000, 0, 5_000], Residual)));
    }

    #[test]
    fn without_a_reason_all_zones_are_alike() {
        let even = zones(&[10, 10]);
        assert_eq!(of(&[0, 5], &even), None);
        assert_eq!(of(&[5, 0], &even), None);
        assert_eq!(of(&[5, 5], &zones(&[])), None);
        assert_eq!(of(&[5, 5], &zones(&[0, 7])).map(|it| it.1), Some(ZoneRouting::Direct));
        let few = Zones { least_endpoints: 11, ..zones(&[10, 10]) };
        assert_eq!(of(&[5, 5], &few), None);
        let forced = Zones { own_only: true, ..zones(&[10, 10]) };
        assert_eq!(of(&[1, 9], &forced), Some((vec![10_000, 0], ZoneRouting::Direct)));
    }

    proptest! {
        /// When the proxies of every zone go by these shares, no zone gets more than its endpoints'
        /// part of the load, but for rounding; and the own zone never less than it can carry.
        #[test]
        fn no_zone_is_overloaded(
            counts in prop::collection::vec((1u64..20, 1u64..20), 2..6),
        ) {
            let peers: Vec<u64> = counts.iter().map(|it| it.0).collect();
            let endpoints: Vec<u64> = counts.iter().map(|it| it.1).collect();
            let (all_peers, all) = (peers.iter().sum::<u64>(), endpoints.iter().sum::<u64>());
            let mut load = vec![0.0; counts.len()];
            for (zone, sending) in peers.iter().enumerate() {
                let asked = Zones { own: Arc::new(at(zone)), ..zones(&peers) };
                let (shares, _) = of(&endpoints, &asked).unwrap();
                prop_assert!(shares.iter().sum::<u64>() <= WHOLE);
                prop_assert!(shares.iter().sum::<u64>() + 10 >= WHOLE);
                for (taken, share) in load.iter_mut().zip(&shares) {
                    *taken += *sending as f64 / all_peers as f64 * *share as f64 / WHOLE as f64;
                }
            }
            for (taken, count) in load.iter().zip(&endpoints) {
                let fair = *count as f64 / all as f64;
                prop_assert!((taken - fair).abs() < 0.02, "{} of {}", taken, fair);
            }
        }
    }
}
