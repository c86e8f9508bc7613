//! Slow start with time in hand.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use weft_balance::{
    Balancer, EndpointAddress, EndpointState, FULL_SPEED, Hashing, Host, Policy, Verdict,
};
use weft_compile::{SlowStart, speed};
use weft_health::Ramp;

const SECOND: Duration = Duration::from_secs(1);
const TEN: SlowStart =
    SlowStart { window: Duration::from_secs(10), aggression: 1.0, least_percent: 10.0 };

fn host(port: u16) -> Host {
    let address = EndpointAddress::Ip(SocketAddr::from(([127, 0, 0, 1], port)));
    Host::new(EndpointState::new(address))
}

fn fresh(port: u16) -> Host {
    let host = host(port);
    host.endpoint.set_speed(speed(TEN.share(Duration::ZERO)));
    host
}

#[test]
fn a_new_endpoint_grows_and_others_do_not() {
    let hosts = [host(1), fresh(2)];
    let speeds = || (hosts[0].endpoint.speed(), hosts[1].endpoint.speed());
    let (mut ramp, began) = (Ramp::default(), Instant::now());
    let first = ramp.look(&hosts, &TEN, began);
    assert_eq!((first.has_changed, speeds()), (false, (FULL_SPEED, 1_000)));
    assert_eq!(first.next, Some(began + SECOND / 5));
    assert!(ramp.look(&hosts, &TEN, began + 5 * SECOND).has_changed);
    assert_eq!(speeds(), (FULL_SPEED, 5_000));
    let last = ramp.look(&hosts, &TEN, began + 10 * SECOND);
    assert_eq!((last.has_changed, last.next, speeds()), (true, None, (FULL_SPEED, FULL_SPEED)));
    // Once is enough.
    let later = ramp.look(&hosts, &TEN, began + 11 * SECOND);
    assert_eq!((later.has_changed, later.next), (false, None));
}

#[test]
fn it_begins_when_the_endpoint_is_first_healthy_and_again_when_it_was_not() {
    let hosts = [fresh(1)];
    let endpoint = &hosts[0].endpoint;
    endpoint.judge(Verdict::FailedCheck, true);
    let (mut ramp, began) = (Ramp::default(), Instant::now());
    assert_eq!(ramp.look(&hosts, &TEN, began).next, None);
    endpoint.judge(Verdict::FailedCheck, false);
    let healthy = began + 60 * SECOND;
    ramp.look(&hosts, &TEN, healthy);
    assert_eq!(endpoint.speed(), 1_000);
    ramp.look(&hosts, &TEN, healthy + 7 * SECOND);
    assert_eq!(endpoint.speed(), 7_000);
    ramp.look(&hosts, &TEN, healthy + 10 * SECOND);
    endpoint.judge(Verdict::FailedCheck, true);
    ramp.look(&hosts, &TEN, healthy + 20 * SECOND);
    endpoint.judge(Verdict::FailedCheck, false);
    ramp.look(&hosts, &TEN, healthy + 30 * SECOND);
    assert_eq!(endpoint.speed(), 1_000);
    // An ejection is none of its business.
    ramp.look(&hosts, &TEN, healthy + 35 * SECOND);
    endpoint.judge(Verdict::Ejected, true);
    ramp.look(&hosts, &TEN, healthy + 36 * SECOND);
    assert_eq!(endpoint.speed(), 6_000);
}

/// A new endpoint at a tenth of its speed gets about a tenth of what each of the others gets.
#[test]
fn every_policy_gives_new_endpoints_less() {
    for policy in [
        Policy::RoundRobin,
        Policy::LeastRequest { choices: 2, bias: 1.0 },
        Policy::Random,
        Policy::Hashed(Hashing::Ring { least: 1 << 14, most: 8 << 20 }),
        Policy::Hashed(Hashing::Maglev { size: 65_537 }),
    ] {
        let hosts = (1..=4).map(|port| Host { speed: Some(FULL_SPEED), ..host(port) });
        let new = Host { speed: Some(FULL_SPEED / 10), ..host(5) };
        let id = new.endpoint.id();
        let balancer = Balancer::new(policy, hosts.chain([new]).collect());
        let mut random = 0u64;
        let mut taken = 0;
        for _ in 0..41_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let picked = balancer.pick_for(random, Some(random)).unwrap();
            taken += u32::from(picked.endpoint.id() == id);
        }
        assert!((700..1_300).contains(&taken), "{policy:?}: {taken}");
    }
}
