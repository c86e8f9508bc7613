//! Picking does not allocate.

use std::net::SocketAddr;

use weft_balance::{Balancer, EndpointAddress, EndpointState, Hashing, Host, Policy};

#[test]
fn picks_do_not_allocate() {
    for policy in [
        Policy::RoundRobin,
        Policy::LeastRequest { choices: 3, bias: 1.5 },
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
        let avoid = [balancer.hosts()[3].endpoint.id()];
        let allocations = allocation_counter::measure(|| {
            for random in 0..1_000 {
                assert!(balancer.pick_for(random, Some(random)).is_some());
                assert!(balancer.pick_avoiding(random, Some(random), &avoid).is_some());
            }
        });
        assert_eq!(allocations.count_total, 0);
    }
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 64])));
    assert_eq!(counted.count_total, 1, "allocations are counted");
}
