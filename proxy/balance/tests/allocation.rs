//! Picking neither allocates nor waits for anybody.

use std::{net::SocketAddr, time::Duration};

use weft_balance::{
    Balancer, Chance, Decay, EndpointAddress, EndpointState, Hashing, Host, Policy, Sought,
    Statuses, Ticks,
};

const DECAY: Decay = Decay::over(Duration::from_secs(10));

#[test]
fn picks_do_not_allocate() {
    for policy in [
        Policy::RoundRobin,
        Policy::LeastRequest { choices: 3, bias: 1.5 },
        Policy::PeakEwma { decay: DECAY },
        Policy::Random,
        Policy::Hashed(Hashing::Ring { least: 1024, most: 8 << 20 }),
        Policy::Hashed(Hashing::Maglev { size: 65_537 }),
        Policy::HashedWithin(Hashing::Maglev { size: 65_537 }, 125),
    ] {
        let hosts = (1..100).map(|port| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let endpoint = EndpointState::new(EndpointAddress::Ip(address));
            Host { weight: u32::from(port % 7), ..Host::new(endpoint) }
        });
        let balancer = Balancer::new(policy, hosts.collect());
        let known = balancer.hosts()[7].endpoint.address().clone();
        let avoid = [balancer.hosts()[3].endpoint.id()];
        // The first request that asks for one host has them all looked up.
        balancer.seek(&known, Statuses::default());
        let allocations = allocation_counter::measure(|| {
            for random in 0..1_000 {
                let now = Ticks::after(Duration::from_millis(random));
                let chance = Chance { random, now: Some(now) };
                let picked = balancer.pick_for(chance, Some(random)).unwrap();
                picked.endpoint.measure(Duration::from_millis(3), true, now, DECAY);
                assert!(balancer.pick_avoiding(random, Some(random), &avoid).is_some());
                assert!(matches!(balancer.seek(&known, Statuses::default()), Sought::Found(_)));
            }
        });
        assert_eq!(allocations.count_total, 0);
    }
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 64])));
    assert_eq!(counted.count_total, 1, "allocations are counted");
}

/// Whatever a pick goes through knows no lock: atomics alone, so that no worker waits for another.
#[test]
fn picks_take_no_lock() {
    for (name, text) in [
        ("balancer", include_str!("../src/balancer.rs")),
        ("bounded", include_str!("../src/bounded.rs")),
        ("draw", include_str!("../src/draw.rs")),
        ("latency", include_str!("../src/latency.rs")),
        ("placement", include_str!("../src/placement.rs")),
        ("pool", include_str!("../src/pool.rs")),
        ("labels", include_str!("../src/labels.rs")),
        ("subset", include_str!("../src/subset.rs")),
    ] {
        for lock in ["Mutex", "RwLock", "Condvar", "OnceLock", "LazyLock", "Barrier"] {
            assert!(!text.contains(lock), "{name}.rs knows {lock}");
        }
    }
}
