//! Picking an endpoint and recording what became of a request: no lock, no allocation.

use std::{
    hint::black_box,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use weft_balance::{
    Balancer, Chance, Decay, EndpointAddress, EndpointState, Hashing, Host, Locality, Outcome,
    Patience, Policy, Statuses, Ticks,
};

use crate::harness::{Bench, Row};

const PREFIX: &str = "balance/";

/// Hosts of the clusters that are picked from.
const HOSTS: [u8; 2] = [10, 250];

/// Envoy's defaults, where it has any.
const POLICIES: [(&str, Policy); 7] = [
    ("round robin", Policy::RoundRobin),
    ("least request", Policy::LeastRequest { choices: 2, bias: 1.0 }),
    ("peak EWMA", Policy::PeakEwma { decay: DECAY }),
    ("random", Policy::Random),
    ("ring", Policy::Hashed(RING)),
    ("ring, bounded loads", Policy::HashedWithin(RING, 125)),
    ("Maglev", Policy::Hashed(Hashing::Maglev { size: 65_537 })),
];
const RING: Hashing = Hashing::Ring { least: 1_024, most: 8 * 1_024 * 1_024 };

/// How fast latencies are forgotten.
const DECAY: Decay = Decay::over(Duration::from_secs(10));

/// What a request and a failure in a row are compared with.
const PATIENCE: Patience =
    Patience { server_errors: 5, gateway_failures: 5, local_failures: 5, split: false };

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for (name, policy) in POLICIES {
        for hosts in HOSTS {
            let name = format!("{PREFIX}pick of {hosts}, {name}");
            if bench.wants(&name) {
                pick(bench, &name, &Balancer::new(policy, of(hosts)))?;
            }
        }
    }
    let name = format!("{PREFIX}pick of 250, again elsewhere");
    if bench.wants(&name) {
        again(bench, &name)?;
    }
    let name = format!("{PREFIX}one of 250 that a session asks for");
    if bench.wants(&name) {
        seek(bench, &name)?;
    }
    record(bench)
}

/// Endpoints in three zones, some of which weigh more.
fn of(hosts: u8) -> Vec<Host> {
    let zones =
        ["a", "b", "c"].map(|zone| Arc::new(Locality { zone: zone.into(), ..Locality::default() }));
    let host = |n: u8| {
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, n), 8080));
        let mut host = Host::new(EndpointState::new(EndpointAddress::Ip(address)));
        host.weight = u32::from(n % 3 + 1);
        host.locality = zones.get(usize::from(n % 3)).cloned();
        host
    };
    (1..=hosts).map(host).collect()
}

/// With the request counted in and out, as a request does.
fn pick(bench: &mut Bench, name: &str, balancer: &Balancer) -> Result<()> {
    balancer.pick(0).context("nobody can be picked")?;
    bench.measure(name, |n| {
        let random = spread(n);
        let now = balancer.is_timed().then(|| Ticks::after(Duration::from_millis(n)));
        let chance = Chance { random, now };
        let picked = balancer.pick_for(chance, Some(random.rotate_left(32)));
        black_box(picked.map(|picked| picked.endpoint.begin_request()).is_some())
    });
    Ok(())
}

/// The pick of a third try.
fn again(bench: &mut Bench, name: &str) -> Result<()> {
    let balancer = Balancer::new(Policy::RoundRobin, of(250));
    let tried = [0, 1].map(|random| balancer.pick(random).map(|picked| picked.endpoint.id()));
    let tried: Option<Vec<_>> = tried.into_iter().collect();
    let tried = tried.context("nobody can be picked")?;
    bench.measure(name, |n| balancer.pick_avoiding(spread(n), None, &tried).is_some());
    Ok(())
}

/// A host by its address.
fn seek(bench: &mut Bench, name: &str) -> Result<()> {
    let balancer = Balancer::new(Policy::RoundRobin, of(250));
    let host = balancer.hosts().get(200).context("a host")?;
    let address = host.endpoint.address().clone();
    bench.measure(name, |_| black_box(balancer.seek(&address, Statuses::default())));
    Ok(())
}

/// What outlier detection is told of each request.
fn record(bench: &mut Bench) -> Result<()> {
    let hosts = of(1);
    let endpoint = &hosts.first().context("a host")?.endpoint;
    for (name, outcome) in [
        ("an answer", Outcome::Responded(200)),
        ("a failure", Outcome::Responded(503)),
        ("a broken connection", Outcome::Broken),
    ] {
        let name = format!("{PREFIX}record {name}");
        bench.measure(&name, |_| endpoint.outcomes().record(outcome, &PATIENCE));
    }
    let name = format!("{PREFIX}record a latency");
    bench.measure(&name, |n| {
        let now = Ticks::after(Duration::from_micros(n));
        endpoint.measure(Duration::from_micros(n % 1_000), true, now, DECAY);
    });
    Ok(())
}

/// Numbers that look like a worker's random ones.
fn spread(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17)
}

/// What is wrong with the rows, for `--check`.
pub(crate) fn faults(rows: &[Row]) -> Vec<String> {
    rows.iter()
        .filter(|row| row.name.starts_with(PREFIX) && row.allocations > 0.0)
        .map(|row| format!("{} allocates {} times", row.name, row.allocations))
        .collect()
}
