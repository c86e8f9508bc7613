//! What holds for every algorithm, against oracles that know nothing of how it works.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use proptest::prelude::*;
use weft_balance::{
    Balancer, Chance, Decay, EndpointAddress, EndpointId, EndpointState, FULL_SPEED, Hashing,
    Health, Host, Policy, Settings, Ticks,
};

const RING: Hashing = Hashing::Ring { least: 4_096, most: 8 << 20 };
const TABLE: Hashing = Hashing::Maglev { size: 65_537 };
const DECAY: Duration = Duration::from_secs(10);

const POLICIES: [Policy; 7] = [
    Policy::RoundRobin,
    Policy::LeastRequest { choices: 2, bias: 1.0 },
    Policy::PeakEwma { decay: Decay::over(DECAY) },
    Policy::Random,
    Policy::Hashed(RING),
    Policy::Hashed(TABLE),
    Policy::HashedWithin(TABLE, 150),
];

fn host(port: u16) -> Host {
    Host::new(EndpointState::new(EndpointAddress::Ip(SocketAddr::from(([10, 0, 0, 1], port)))))
}

fn hosts(weights: &[u32]) -> Vec<Host> {
    (1..).zip(weights).map(|(port, weight)| Host { weight: *weight, ..host(port) }).collect()
}

/// SplitMix64, so that hashes and chances are as good as those of requests.
fn number(seed: u64, at: u64) -> u64 {
    let mut mixed = seed.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Which endpoint each of so many requests goes to; none stays there.
fn picks(balancer: &Balancer, seed: u64, requests: u64) -> Vec<EndpointId> {
    let picked = |at| {
        let hash = Some(number(!seed, at));
        balancer.pick_for(number(seed, at), hash).map(|picked| picked.endpoint.id())
    };
    (0..requests).filter_map(picked).collect()
}

/// The share of each host.
fn shares(balancer: &Balancer, seed: u64, requests: u64) -> Vec<f64> {
    let mut counts: HashMap<EndpointId, f64> = HashMap::new();
    for id in picks(balancer, seed, requests) {
        *counts.entry(id).or_default() += 1.0;
    }
    let share = |host: &Host| counts.get(&host.endpoint.id()).copied().unwrap_or(0.0);
    balancer.hosts().iter().map(|host| share(host) / requests as f64).collect()
}

/// Seven standard deviations of a share over so many requests.
fn chance(share: f64, requests: u64) -> f64 {
    7.0 * (share * (1.0 - share) / requests as f64).sqrt()
}

/// How far the part of a host in a table of hashes may be from its share: a ring of 4,096 points
/// cuts it unevenly, and the hosts of a Maglev table take whole turns.
fn unevenness(policy: Policy, share: f64) -> f64 {
    match policy {
        Policy::Hashed(Hashing::Ring { .. }) => 0.5 * share + 0.01,
        Policy::Hashed(_) | Policy::HashedWithin(..) => 0.05 * share,
        _ => 0.0,
    }
}

/// What the hosts would get of an ideal balancer.
fn ideal(policy: Policy, weights: &[u32]) -> Vec<f64> {
    let weight = |weight: &u32| if policy == Policy::Random { 1.0 } else { f64::from(*weight) };
    let total: f64 = weights.iter().map(weight).sum();
    weights.iter().map(|it| weight(it) / total).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn hosts_get_the_shares_of_their_weights(
        weights in prop::collection::vec(1u32..10, 1..10),
        seed: u64,
    ) {
        const REQUESTS: u64 = 4_000;
        for policy in POLICIES {
            // With two of the same weight, or one, there is no choice; bounded loads see no load.
            let seen = shares(&Balancer::new(policy, hosts(&weights)), seed, REQUESTS);
            for (seen, share) in seen.iter().zip(ideal(policy, &weights)) {
                let bound = chance(share, REQUESTS) + unevenness(policy, share) + 5.0 / REQUESTS as f64;
                // Two different ones are drawn, which evens weights out where two loads are alike.
                let drawn = matches!(policy, Policy::LeastRequest { .. } | Policy::PeakEwma { .. });
                let bound = if drawn { bound + 0.02 } else { bound };
                prop_assert!((seen - share).abs() <= bound, "{policy:?}: {seen} is not {share} of {weights:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_picks(
        weights in prop::collection::vec(1u32..10, 1..10),
        seed: u64,
    ) {
        for policy in POLICIES {
            let [one, other] = [0, 1].map(|_| Balancer::new(policy, hosts(&weights)));
            let at = |balancer: &Balancer| {
                let ids: Vec<EndpointId> = balancer.hosts().iter().map(|it| it.endpoint.id()).collect();
                let place = |id: &EndpointId| ids.iter().position(|it| it == id);
                picks(balancer, seed, 200).iter().map(place).collect::<Vec<_>>()
            };
            prop_assert_eq!(at(&one), at(&other), "{:?}", policy);
        }
    }

    #[test]
    fn no_host_is_starved(count in 1usize..20, seed: u64) {
        for policy in POLICIES {
            let balancer = Balancer::new(policy, hosts(&vec![1; count]));
            let seen = shares(&balancer, seed, 100 * count as u64);
            prop_assert!(seen.iter().all(|share| *share > 0.0), "{policy:?}: {seen:?}");
        }
    }

    /// The part that spills over, and what is used in a panic, by the arithmetic of the
    /// documentation: a priority takes its healthy share times the overprovisioning factor.
    #[test]
    fn priorities_take_what_they_can_carry(
        healthy in prop::collection::vec((0u32..=6, 1u32..=6), 1..4),
        seed: u64,
        policy in 0usize..7,
    ) {
        const REQUESTS: u64 = 3_000;
        let policy = POLICIES[policy];
        let levels: Vec<(u32, u32)> = healthy.iter().map(|(up, of)| (*up.min(of), *of)).collect();
        let mut all = Vec::new();
        for (priority, (up, of)) in (0..).zip(&levels) {
            for index in 0..*of {
                let health = if index < *up { Health::Healthy } else { Health::Unhealthy };
                let port = u16::try_from(all.len() + 1).unwrap();
                all.push(Host { priority, health, ..host(port) });
            }
        }
        let never = Settings { panic_threshold: 0, ..Settings::default() };
        let seen = shares(&Balancer::with_settings(policy, never, all.clone()), seed, REQUESTS);
        let carries: Vec<u32> = levels.iter().map(|(up, of)| (140 * up / of).min(100)).collect();
        let total = carries.iter().sum::<u32>().min(100);
        let mut left = 100;
        for (priority, carries) in (0..).zip(carries) {
            let takes = (carries * 100).checked_div(total).unwrap_or(0).min(left);
            left -= takes;
            let share: f64 = all.iter().zip(&seen).filter(|(it, _)| it.priority == priority).map(|it| it.1).sum();
            // Shares are whole percents; what rounding leaves goes to the first.
            let bound = chance(f64::from(takes) / 100.0, REQUESTS) + 0.03;
            prop_assert!((share - f64::from(takes) / 100.0).abs() <= bound, "{policy:?}: {share} is not {takes} % of {levels:?}");
            for (host, share) in all.iter().zip(&seen).filter(|(it, _)| it.priority == priority) {
                prop_assert!(host.health == Health::Healthy || *share == 0.0);
            }
        }
    }
}

#[test]
fn new_hosts_take_less_with_every_policy() {
    for policy in POLICIES {
        let mut all = hosts(&[1; 8]);
        for host in &mut all {
            host.speed = Some(FULL_SPEED);
        }
        all[0].speed = Some(FULL_SPEED / 10);
        let seen = shares(&Balancer::new(policy, all), 3, 20_000);
        // A tenth of an eighth, or what a ring makes of it.
        assert!(seen[0] > 0.0 && seen[0] < 0.035, "{policy:?}: {seen:?}");
        assert!(seen[1..].iter().all(|share| *share > 0.06), "{policy:?}: {seen:?}");
    }
}

#[test]
fn too_few_healthy_hosts_are_everyone() {
    for policy in POLICIES {
        let mut all = hosts(&[1; 10]);
        all[4..].iter_mut().for_each(|host| host.health = Health::Unhealthy);
        let panicking = shares(&Balancer::new(policy, all.clone()), 5, 4_000);
        assert!(panicking.iter().all(|share| *share > 0.03), "{policy:?}: {panicking:?}");
        all[4].health = Health::Healthy;
        let calm = shares(&Balancer::new(policy, all), 5, 4_000);
        assert!(calm[5..].iter().all(|share| *share == 0.0), "{policy:?}: {calm:?}");
    }
}

/// Requests of a simulated second-by-second world, one after the other, at endpoints that take so
/// many milliseconds each.
fn simulate(latencies: &[u32], seconds: u32) -> Vec<u32> {
    let decay = Decay::over(DECAY);
    let balancer = Balancer::new(Policy::PeakEwma { decay }, hosts(&vec![1; latencies.len()]));
    let mut counts = vec![0; latencies.len()];
    let (mut millis, mut request) = (0_u64, 0);
    while millis < u64::from(seconds) * 1_000 {
        let now = Ticks::after(Duration::from_millis(millis));
        let chance = Chance { random: number(1, request), now: Some(now) };
        let Some(picked) = balancer.pick_for(chance, None) else { break };
        let picked = picked.endpoint;
        let mut hosts = balancer.hosts().iter();
        let Some(at) = hosts.position(|it| it.endpoint.id() == picked.id()) else { break };
        let took = Duration::from_millis(latencies[at].into());
        millis += u64::from(latencies[at]);
        let now = Ticks::after(Duration::from_millis(millis));
        picked.measure(took, true, now, decay);
        counts[at] += 1;
        request += 1;
    }
    counts
}

#[test]
fn peak_ewma_prefers_who_answers_soon_and_forgets_nobody() {
    let counts = simulate(&[2, 2, 40], 120);
    assert!(counts[2] * 100 < counts[0] + counts[1], "{counts:?}");
    assert!(counts[2] >= 2, "it is tried again: {counts:?}");
    let alike = simulate(&[5, 5, 5, 5], 120);
    assert!(alike.iter().all(|count| *count > 1_000), "{alike:?}");
}

#[test]
fn peak_ewma_counts_what_is_under_way() {
    let decay = Decay::over(DECAY);
    let balancer = Balancer::new(Policy::PeakEwma { decay }, hosts(&[1, 1]));
    let [one, other] = [0, 1].map(|at| balancer.hosts()[at].endpoint.clone());
    let now = Ticks::after(Duration::ZERO);
    one.measure(Duration::from_millis(2), true, now, decay);
    other.measure(Duration::from_millis(5), true, now, decay);
    let pick =
        || balancer.pick_for(Chance { random: 7, now: Some(now) }, None).unwrap().endpoint.id();
    assert_eq!(pick(), one.id());
    let _first = one.begin_request();
    assert_eq!(pick(), one.id(), "twice 2 ms is less than 5");
    let _second = one.begin_request();
    assert_eq!(pick(), other.id(), "three times 2 ms is more");
}

#[test]
fn an_endpoint_that_nobody_knows_gets_one_request_first() {
    let decay = Decay::over(DECAY);
    let balancer = Balancer::new(Policy::PeakEwma { decay }, hosts(&[1, 1]));
    let [known, new] = [0, 1].map(|at| balancer.hosts()[at].endpoint.clone());
    known.measure(Duration::from_millis(2), true, Ticks::after(Duration::ZERO), decay);
    assert_eq!(balancer.pick(1).unwrap().endpoint.id(), new.id());
    let _first = new.begin_request();
    assert!((0..100).all(|random| balancer.pick(random).unwrap().endpoint.id() == known.id()));
}
