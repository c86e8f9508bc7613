//! Properties of picks over whole sequences of them.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use proptest::prelude::*;
use weft_balance::{
    Balancer, EndpointAddress, EndpointId, EndpointState, Health, Host, Locality, Policy, Settings,
};

fn host(port: u16) -> Host {
    Host::new(EndpointState::new(EndpointAddress::Ip(SocketAddr::from(([127, 0, 0, 1], port)))))
}

fn weighted(weights: &[u32]) -> Vec<Host> {
    (1..).zip(weights).map(|(port, weight)| Host { weight: *weight, ..host(port) }).collect()
}

fn counts(balancer: &Balancer, picks: u64) -> Vec<u64> {
    let mut counts: HashMap<EndpointId, u64> = HashMap::new();
    for random in 0..picks {
        if let Some(endpoint) = balancer.pick(random) {
            *counts.entry(endpoint.id()).or_default() += 1;
        }
    }
    balancer
        .hosts()
        .iter()
        .map(|host| counts.get(&host.endpoint.id()).copied().unwrap_or(0))
        .collect()
}

const POLICIES: [Policy; 2] = [Policy::RoundRobin, Policy::LeastRequest { choices: 2 }];

#[test]
fn nothing_to_pick_from() {
    for policy in POLICIES {
        assert!(Balancer::new(policy, Vec::new()).pick(7).is_none());
        assert!(Balancer::new(policy, Vec::new()).pick_avoiding(7, &[]).is_none());
        let down = vec![Host { health: Health::Unhealthy, ..host(1) }];
        let never_panic = Settings { panic_threshold: 0, ..Settings::default() };
        assert!(Balancer::with_settings(policy, never_panic, down).pick(7).is_none());
    }
}

#[test]
fn unavailable_hosts_get_nothing_while_there_are_enough_others() {
    let states = [
        Health::Healthy,
        Health::Unknown,
        Health::Healthy,
        Health::Unknown,
        Health::Draining,
        Health::Healthy,
    ];
    for policy in POLICIES {
        let hosts = (1..).zip(states).map(|(port, health)| Host { health, ..host(port) }).collect();
        let counts = counts(&Balancer::new(policy, hosts), 1_000);
        assert_eq!(counts[4], 0);
        assert!([0, 1, 2, 3, 5].iter().all(|at| (150..250).contains(&counts[*at])), "{counts:?}");
    }
}

#[test]
fn a_lost_priority_is_replaced_by_the_next() {
    let hosts = |health| {
        let first = Host { health, ..host(1) };
        vec![Host { priority: 5, ..host(2) }, first]
    };
    let up = Balancer::new(Policy::RoundRobin, hosts(Health::Healthy));
    assert_eq!(counts(&up, 100), [0, 100]);
    let down = Balancer::new(Policy::RoundRobin, hosts(Health::Timeout));
    assert_eq!(counts(&down, 100), [100, 0]);
}

#[test]
fn load_spills_over_in_the_documented_measure() {
    let mut hosts: Vec<Host> = (1..=4).map(host).collect();
    hosts[0].health = Health::Unhealthy;
    hosts[1].health = Health::Unhealthy;
    hosts.extend((5..=6).map(|port| Host { priority: 1, ..host(port) }));
    let counts = counts(&Balancer::new(Policy::RoundRobin, hosts), 10_000);
    assert_eq!(&counts[..2], [0, 0]);
    assert!((6_800..7_200).contains(&(counts[2] + counts[3])), "{counts:?}");
}

#[test]
fn locality_weights_come_before_host_weights() {
    let zone = |zone: &str| Some(Arc::new(Locality { zone: zone.into(), ..Locality::default() }));
    let mut hosts: Vec<Host> = (1..=3).map(host).collect();
    for (at, (name, weight)) in [("a", 30), ("b", 10), ("b", 10)].into_iter().enumerate() {
        hosts[at].locality = zone(name);
        hosts[at].locality_weight = Some(weight);
    }
    hosts[1].weight = 3;
    let counts = counts(&Balancer::new(Policy::RoundRobin, hosts.clone()), 16_000);
    for (count, expected) in counts.iter().zip([12_000u64, 3_000, 1_000]) {
        assert!(count.abs_diff(expected) <= 8, "{counts:?}");
    }
    // A locality without weight is not used while others have one.
    hosts[0].locality_weight = None;
    assert_eq!(self::counts(&Balancer::new(Policy::RoundRobin, hosts), 400)[0], 0);
}

#[test]
fn busy_hosts_are_passed_over() {
    let balancer = Balancer::new(Policy::LeastRequest { choices: 2 }, (1..=2).map(host).collect());
    let busy = balancer.hosts()[0].endpoint.begin_request();
    assert_eq!(counts(&balancer, 100), [0, 100]);
    drop(busy);
    assert!(counts(&balancer, 1_000).iter().all(|count| (400..600).contains(count)));
}

/// With requests that stay, loads settle in proportion to the weights.
#[test]
fn least_request_keeps_loads_in_proportion() {
    let balancer = Balancer::new(Policy::LeastRequest { choices: 2 }, weighted(&[1, 2, 5]));
    let held: Vec<_> =
        (0..800).map(|random| balancer.pick(random).unwrap().begin_request()).collect();
    let loads: Vec<u32> =
        balancer.hosts().iter().map(|host| host.endpoint.active_requests()).collect();
    for (load, expected) in loads.iter().zip([100u32, 200, 500]) {
        assert!(load.abs_diff(expected) <= expected / 10, "{loads:?}");
    }
    drop(held);
    assert!(balancer.hosts().iter().all(|host| host.endpoint.active_requests() == 0));
}

#[test]
fn workers_that_pick_at_once_share_the_turns() {
    let balancer = Balancer::new(Policy::RoundRobin, (1..=5).map(host).collect());
    let picks: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| counts(&balancer, 1_000))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    for at in 0..5 {
        assert_eq!(picks.iter().map(|counts| counts[at]).sum::<u64>(), 800);
    }
}

proptest! {
    /// Round robin gives each host its share of any number of picks to within a few.
    #[test]
    fn round_robin_is_fair_at_any_time(
        weights in prop::collection::vec(1u32..1_000, 1..20),
        picks in 1u64..5_000,
        start: u64,
    ) {
        let balancer = Balancer::new(Policy::RoundRobin, weighted(&weights));
        balancer.pick(start);
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for (count, weight) in counts(&balancer, picks).iter().zip(&weights) {
            let share = picks as f64 * f64::from(*weight) / total;
            prop_assert!((*count as f64 - share).abs() <= 4.0, "{count} of {picks}, not {share}");
        }
    }

    /// Hosts of one weight take strict turns: no two differ by more than one pick.
    #[test]
    fn equal_hosts_take_strict_turns(hosts in 1u16..30, picks in 1u64..500, start: u64) {
        let balancer = Balancer::new(Policy::RoundRobin, (1..=hosts).map(host).collect());
        balancer.pick(start);
        let counts = counts(&balancer, picks);
        let (least, most) = (counts.iter().min(), counts.iter().max());
        prop_assert!(most.unwrap() - least.unwrap() <= 1);
    }

    /// Whatever the states, weights and priorities: with any host there is a pick, and another
    /// try goes elsewhere while there is an elsewhere among the hosts in use.
    #[test]
    fn nothing_is_lost(
        hosts in prop::collection::vec((0u32..3, 0u8..6, 0u32..5, any::<bool>()), 1..12),
        random: u64,
        least_request: bool,
    ) {
        let hosts: Vec<Host> = (1..).zip(hosts).map(|(port, (priority, health, weight, zoned))| {
            let health = [
                Health::Unknown, Health::Healthy, Health::Unhealthy, Health::Draining,
                Health::Timeout, Health::Degraded,
            ][usize::from(health)];
            Host {
                priority, health, weight, locality_weight: zoned.then_some(7), ..host(port)
            }
        }).collect();
        let policy = POLICIES[usize::from(least_request)];
        let unzoned: Vec<Host> =
            hosts.iter().map(|host| Host { locality_weight: None, ..host.clone() }).collect();
        prop_assert!(Balancer::new(policy, unzoned).pick(random).is_some());
        let balancer = Balancer::new(policy, hosts);
        if let Some(first) = balancer.pick(random) {
            let used: Vec<EndpointId> =
                (0..500).filter_map(|n| balancer.pick(n)).map(|endpoint| endpoint.id()).collect();
            let second = balancer.pick_avoiding(random, &[first.id()]).unwrap();
            let elsewhere = used.iter().any(|id| *id != first.id());
            prop_assert!(second.id() != first.id() || !elsewhere);
        }
    }
}
