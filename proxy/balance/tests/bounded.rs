//! Hashing with a bound on the load of each host.

use std::{collections::HashMap, net::SocketAddr};

use proptest::prelude::*;
use weft_balance::{Balancer, EndpointAddress, EndpointId, EndpointState, Hashing, Host, Policy};

const MAGLEV: Hashing = Hashing::Maglev { size: 4_099 };

fn hosts(weights: &[u32]) -> Vec<Host> {
    let host = |(port, weight): (u16, &u32)| {
        let address = EndpointAddress::Ip(SocketAddr::from(([127, 0, 0, 1], port)));
        Host { weight: *weight, ..Host::new(EndpointState::new(address)) }
    };
    (1..).zip(weights).map(host).collect()
}

proptest! {
    /// However requests are hashed, no host ever has more in flight than the factor allows, rounded
    /// up to whole requests.
    #[test]
    fn nobody_has_more_than_the_bound(
        weights in prop::collection::vec(1u32..5, 1..12),
        factor in 100u32..300,
        hashes in prop::collection::vec(0u64..4, 1..120),
    ) {
        let balancer = Balancer::new(Policy::HashedWithin(MAGLEV, factor), hosts(&weights));
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut in_flight = Vec::new();
        let mut counts: HashMap<EndpointId, u64> = HashMap::new();
        for (random, hash) in hashes.into_iter().enumerate() {
            let picked = balancer.pick_for(random as u64, Some(hash)).unwrap();
            in_flight.push(picked.endpoint.begin_request());
            *counts.entry(picked.endpoint.id()).or_default() += 1;
            for host in balancer.hosts() {
                let count = counts.get(&host.endpoint.id()).copied().unwrap_or(0);
                let room = in_flight.len() as u64 * u64::from(factor) * u64::from(host.weight);
                let bound = room.div_ceil(total * 100).max(1);
                prop_assert!(count <= bound, "{} of {}", count, bound);
            }
        }
    }
}

#[test]
fn with_nothing_in_flight_the_hash_decides() {
    let made = hosts(&[1, 2, 3]);
    let free = Balancer::new(Policy::Hashed(MAGLEV), made.clone());
    let bounded = Balancer::new(Policy::HashedWithin(MAGLEV, 100), made);
    for hash in 0..500 {
        let of = |balancer: &Balancer| balancer.pick_for(1, Some(hash)).unwrap().endpoint.id();
        assert_eq!(of(&free), of(&bounded));
    }
    // Those that cannot go home have homes of their own: they do not all go to one neighbour.
    let home = free.pick_for(1, Some(7)).unwrap().endpoint.id();
    let crowd: Vec<_> = free.hosts().iter().filter(|host| host.endpoint.id() == home).collect();
    let _busy: Vec<_> = (0..10).map(|_| crowd[0].endpoint.begin_request()).collect();
    assert_ne!(bounded.pick_for(1, Some(7)).unwrap().endpoint.id(), home);
}
