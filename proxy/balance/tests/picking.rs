//! Properties of picks over whole sequences of them.

use std::{collections::HashMap, net::SocketAddr, num::NonZeroU32, sync::Arc};

use proptest::prelude::*;
use weft_balance::{
    Balancer, EndpointAddress, EndpointId, EndpointState, Group, Health, Host, Locality, OnPanic,
    Policy, Settings,
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
        if let Some(picked) = balancer.pick(random) {
            *counts.entry(picked.endpoint.id()).or_default() += 1;
        }
    }
    balancer
        .hosts()
        .iter()
        .map(|host| counts.get(&host.endpoint.id()).copied().unwrap_or(0))
        .collect()
}

const LEAST_REQUEST: Policy = Policy::LeastRequest { choices: 2, bias: 1.0 };
const POLICIES: [Policy; 3] = [Policy::RoundRobin, LEAST_REQUEST, Policy::Random];

#[test]
fn nothing_to_pick_from() {
    for policy in POLICIES {
        assert!(Balancer::new(policy, Vec::new()).pick(7).is_none());
        assert!(Balancer::new(policy, Vec::new()).pick_avoiding(7, None, &[]).is_none());
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
fn random_picks_have_no_weights_but_those_of_localities() {
    let balancer = Balancer::new(Policy::Random, weighted(&[1, 2, 997]));
    assert!(counts(&balancer, 9_000).iter().all(|count| (2_700..3_300).contains(count)));
}

#[test]
fn panic_uses_everyone_or_fails() {
    let hosts = || {
        let states = [Health::Healthy, Health::Unhealthy, Health::Unhealthy, Health::Timeout];
        (1..).zip(states).map(|(port, health)| Host { health, ..host(port) }).collect()
    };
    let panicking = Balancer::new(Policy::RoundRobin, hosts());
    assert_eq!(counts(&panicking, 100), [25, 25, 25, 25]);
    assert!(panicking.pick(3).unwrap().panicking);
    let fail = Settings { on_panic: OnPanic::Fail, ..Settings::default() };
    assert!(Balancer::with_settings(Policy::RoundRobin, fail, hosts()).pick(3).is_none());
    let never = Settings { panic_threshold: 0, ..Settings::default() };
    let steady = Balancer::with_settings(Policy::RoundRobin, never, hosts());
    assert_eq!(counts(&steady, 100), [100, 0, 0, 0]);
    assert!(!steady.pick(3).unwrap().panicking);
}

/// Whoever drains takes nothing, and nobody panics because of it.
#[test]
fn draining_hosts_are_as_good_as_gone() {
    let states = [Health::Healthy, Health::Draining, Health::Draining, Health::Draining];
    let hosts = (1..).zip(states).map(|(port, health)| Host { health, ..host(port) });
    let mut hosts: Vec<Host> = hosts.collect();
    hosts.push(Host { priority: 1, ..host(9) });
    let balancer = Balancer::new(Policy::RoundRobin, hosts);
    assert_eq!(counts(&balancer, 100), [100, 0, 0, 0, 0]);
    assert!(!balancer.pick(1).unwrap().panicking);
}

/// The priorities of one group follow those of another, each picked in the way of its group.
#[test]
fn groups_come_one_after_the_other() {
    let group = |policy, hosts| Group::new(policy, 140, hosts);
    let build = |first: Health, second: Health| {
        let one = vec![Host { health: first, ..host(1) }];
        let reserve = Host { priority: 7, ..host(3) };
        let two = vec![Host { health: second, ..host(2) }, reserve];
        let groups = vec![group(Policy::RoundRobin, one), group(Policy::Random, two)];
        Balancer::of_groups(groups, Settings::default())
    };
    let all_up = build(Health::Healthy, Health::Healthy);
    assert_eq!(counts(&all_up, 100), [100, 0, 0]);
    assert_eq!(all_up.pick(1).unwrap().group, 0);
    let first_down = build(Health::Unhealthy, Health::Healthy);
    assert_eq!(counts(&first_down, 100), [0, 100, 0]);
    assert_eq!(first_down.pick(1).unwrap().group, 1);
    assert_eq!(counts(&build(Health::Unhealthy, Health::Unhealthy), 100), [0, 0, 100]);
}

/// Without a bias requests in flight do not matter; with a strong one they matter more.
#[test]
fn a_bias_says_how_much_requests_in_flight_matter() {
    let share_of_busy = |bias| {
        let policy = Policy::LeastRequest { choices: 2, bias };
        let balancer = Balancer::new(policy, weighted(&[1, 9]));
        let heavy = &balancer.hosts()[1].endpoint;
        let _busy: Vec<_> = (0..4).map(|_| heavy.begin_request()).collect();
        let _some = balancer.hosts()[0].endpoint.begin_request();
        counts(&balancer, 1_000)[1]
    };
    assert!((850..950).contains(&share_of_busy(0.0)));
    assert_eq!(share_of_busy(1.0), 1_000, "4/9 is less than 1/1");
    assert_eq!(share_of_busy(2.0), 0, "16/9 is more than 1/1");
}

#[test]
fn busy_hosts_are_passed_over() {
    let balancer = Balancer::new(LEAST_REQUEST, (1..=2).map(host).collect());
    let busy = balancer.hosts()[0].endpoint.begin_request();
    assert_eq!(counts(&balancer, 100), [0, 100]);
    drop(busy);
    assert!(counts(&balancer, 1_000).iter().all(|count| (400..600).contains(count)));
}

/// With requests that stay, loads settle in proportion to the weights.
#[test]
fn least_request_keeps_loads_in_proportion() {
    let balancer = Balancer::new(LEAST_REQUEST, weighted(&[1, 2, 5]));
    let held: Vec<_> =
        (0..800).map(|random| balancer.pick(random).unwrap().endpoint.begin_request()).collect();
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
        policy in 0usize..3,
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
        let policy = POLICIES[policy];
        let unzoned: Vec<Host> =
            hosts.iter().map(|host| Host { locality_weight: None, ..host.clone() }).collect();
        prop_assert!(Balancer::new(policy, unzoned).pick(random).is_some());
        let balancer = Balancer::new(policy, hosts);
        if let Some(first) = balancer.pick(random) {
            let used: Vec<EndpointId> =
                (0..500).filter_map(|n| balancer.pick(n)).map(|picked| picked.endpoint.id()).collect();
            let second = balancer.pick_avoiding(random, None, &[first.endpoint.id()]).unwrap();
            let elsewhere = used.iter().any(|id| *id != first.endpoint.id());
            prop_assert!(second.endpoint.id() != first.endpoint.id() || !elsewhere);
        }
    }
}

#[test]
fn tries_go_beyond_the_priorities_of_those_before() {
    let of = |port, priority| Host { priority, ..host(port) };
    let hosts = vec![of(1, 0), of(2, 0), of(3, 1), of(4, 2), of(5, 2)];
    let ids: Vec<EndpointId> = hosts.iter().map(|host| host.endpoint.id()).collect();
    let balancer = Balancer::new(Policy::RoundRobin, hosts);
    let once = NonZeroU32::MIN;
    let beyond = |tried: &[usize], every, random| {
        let tried: Vec<_> = tried.iter().map(|at| ids[*at]).collect();
        let left_out = |host: &Host| tried.contains(&host.endpoint.id());
        let picked = balancer.pick_beyond(random, None, (&tried, every), left_out)?;
        ids.iter().position(|id| *id == picked.endpoint.id())
    };
    for random in 0..200 {
        assert_eq!(beyond(&[], once, random), None, "nothing was tried");
        assert_eq!(beyond(&[0], once, random), Some(2));
        assert!(matches!(beyond(&[0, 2], once, random), Some(3 | 4)));
        assert_eq!(beyond(&[0, 2, 3], once, random), None, "nothing is left, so all count again");
        assert_eq!(beyond(&[0, 2, 3, 1], once, random), Some(2), "and what was tried is forgotten");
        let twice = NonZeroU32::new(2).unwrap();
        assert_eq!(beyond(&[0], twice, random), None);
        assert_eq!(beyond(&[0, 1], twice, random), Some(2));
        assert_eq!(beyond(&[2, 1, 4], once, random), None);
        assert_eq!(
            beyond(&[0, 1, 2], twice, random),
            Some(2),
            "it is looked anew with the next one"
        );
    }
}
