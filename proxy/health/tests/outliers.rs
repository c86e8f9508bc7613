//! Outlier detection with time and chance in hand.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use weft_balance::{EndpointAddress, EndpointState, Health, Host, Outcome, Patience, Run, Verdict};
use weft_compile::{Enforcing, OutlierDetection};
use weft_health::{Detector, Event, EventKind, Reason, Sparing};
use weft_telemetry::OutlierStats;

const SECOND: Duration = Duration::from_secs(1);

struct World {
    hosts: Vec<Host>,
    detector: Detector,
    stats: Arc<OutlierStats>,
    settings: OutlierDetection,
    now: Instant,
    random: u64,
}

impl World {
    fn new(hosts: u16, settings: OutlierDetection) -> Self {
        let host = |port| {
            let address = EndpointAddress::Ip(SocketAddr::from(([127, 0, 0, 1], port)));
            Host::new(EndpointState::new(address))
        };
        let hosts: Vec<Host> = (1..=hosts).map(host).collect();
        let (stats, now) = (Arc::new(OutlierStats::default()), Instant::now());
        let mut detector = Detector::new(settings.clone(), Arc::clone(&stats), now);
        detector.follow(&hosts);
        Self { hosts, detector, stats, settings, now, random: 0 }
    }

    fn record(&self, host: usize, outcome: Outcome, times: u32) {
        let patience = Patience {
            server_errors: self.settings.consecutive_5xx,
            gateway_failures: self.settings.consecutive_gateway_failure,
            local_failures: self.settings.consecutive_local_origin_failure,
            split: self.settings.split_local_origin,
        };
        for _ in 0..times {
            self.hosts[host].endpoint.outcomes().record(outcome, &patience);
        }
    }

    fn look(&mut self) -> Vec<Event> {
        let random = self.random;
        self.detector.look(&self.hosts, self.now, &mut || random)
    }

    fn wait(&mut self, time: Duration) -> Vec<Event> {
        self.now += time;
        self.look()
    }

    fn is_ejected(&self, host: usize) -> bool {
        self.hosts[host].endpoint.standing().has(Verdict::Ejected)
    }
}

fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

const SERVER_ERRORS: EventKind =
    EventKind::Ejected { reason: Reason::Run(Run::ServerErrors), enforced: true };

fn whole() -> OutlierDetection {
    OutlierDetection { max_ejection_percent: 100, ..OutlierDetection::default() }
}

#[test]
fn a_run_of_failures_ejects_at_once_and_time_brings_back() {
    let mut world = World::new(3, whole());
    world.record(1, Outcome::Responded(500), 4);
    assert!(world.look().is_empty());
    world.record(1, Outcome::Responded(500), 1);
    assert_eq!(kinds(&world.look()), [SERVER_ERRORS]);
    assert!(world.is_ejected(1));
    assert_eq!(world.stats.ejections_active.get(), 1);
    // It is looked after at the end of intervals.
    assert!(world.wait(29 * SECOND).is_empty());
    let events = world.wait(10 * SECOND);
    assert_eq!(kinds(&events), [EventKind::Returned]);
    assert_eq!((events[0].ejections, events[0].since_last), (1, Some(39 * SECOND)));
    assert!(!world.is_ejected(1));
    assert_eq!(world.stats.ejections_active.get(), 0);
}

#[test]
fn what_is_not_enforced_is_told() {
    let enforcing = Enforcing { consecutive_5xx: 30, ..whole().enforcing };
    let mut world = World::new(2, OutlierDetection { enforcing, ..whole() });
    world.random = 30;
    world.record(0, Outcome::Responded(500), 5);
    let reason = Reason::Run(Run::ServerErrors);
    assert_eq!(kinds(&world.look()), [EventKind::Ejected { reason, enforced: false }]);
    assert!(!world.is_ejected(0));
    // The run begins anew.
    world.random = 29;
    world.record(0, Outcome::Responded(500), 4);
    assert!(world.look().is_empty());
    world.record(0, Outcome::Responded(500), 1);
    assert_eq!(kinds(&world.look()), [SERVER_ERRORS]);
    assert_eq!(world.stats.ejections_detected_consecutive_5xx.get(), 2);
    assert_eq!(world.stats.ejections_enforced_consecutive_5xx.get(), 1);
}

#[test]
fn the_share_of_ejected_hosts_is_bounded() {
    let mut world = World::new(10, OutlierDetection::default());
    world.record(0, Outcome::Responded(500), 5);
    world.record(1, Outcome::Responded(500), 5);
    let reason = Reason::Run(Run::ServerErrors);
    let spared = EventKind::Spared { reason, sparing: Sparing::Share };
    assert_eq!(kinds(&world.look()), [SERVER_ERRORS, spared]);
    assert_eq!(world.stats.ejections_overflow.get(), 1);

    // Ten percent of nine are not one.
    let mut world = World::new(9, OutlierDetection::default());
    world.record(0, Outcome::Responded(500), 5);
    assert_eq!(kinds(&world.look()), [spared]);
    let one = OutlierDetection { always_eject_one: true, ..OutlierDetection::default() };
    let mut world = World::new(9, one);
    world.record(0, Outcome::Responded(500), 5);
    world.record(1, Outcome::Responded(500), 5);
    assert_eq!(kinds(&world.look()), [SERVER_ERRORS, spared]);
}

#[test]
fn the_last_host_that_takes_requests_stays() {
    let mut world = World::new(3, OutlierDetection { always_eject_one: true, ..whole() });
    world.hosts[2].health = Health::Draining;
    world.record(0, Outcome::Responded(500), 5);
    world.record(1, Outcome::Responded(500), 5);
    let last =
        EventKind::Spared { reason: Reason::Run(Run::ServerErrors), sparing: Sparing::LastHost };
    assert_eq!(kinds(&world.look()), [SERVER_ERRORS, last]);
    // One that takes no requests anyway may go.
    world.record(2, Outcome::Responded(500), 5);
    assert_eq!(kinds(&world.look()), [SERVER_ERRORS]);
}

#[test]
fn ejections_grow_longer_and_shorter_again() {
    let settings = OutlierDetection {
        base_ejection_time: 10 * SECOND,
        max_ejection_time: 20 * SECOND,
        max_ejection_time_jitter: 5 * SECOND,
        ..whole()
    };
    let mut world = World::new(2, settings);
    let lasts = |world: &mut World| {
        world.record(0, Outcome::Responded(500), 5);
        assert_eq!(kinds(&world.look()), [SERVER_ERRORS]);
        let began = world.now;
        while world.is_ejected(0) {
            world.now += SECOND;
            // Every second is the end of an interval.
            world.detector.set(&OutlierDetection { interval: SECOND, ..world.settings.clone() });
            world.look();
        }
        world.now - began
    };
    assert_eq!(lasts(&mut world), 10 * SECOND);
    assert_eq!(lasts(&mut world), 20 * SECOND);
    assert_eq!(lasts(&mut world), 20 * SECOND);
    world.random = 3000;
    assert_eq!(lasts(&mut world), 23 * SECOND);
    world.random = 0;
    // Each interval without a failure takes one step back.
    for _ in 0..3 {
        assert!(world.wait(SECOND).is_empty());
    }
    assert_eq!(lasts(&mut world), 10 * SECOND);
}

#[test]
fn who_is_far_below_the_average_is_ejected() {
    for split in [false, true] {
        let mut world = World::new(5, OutlierDetection { split_local_origin: split, ..whole() });
        let (good, bad) = match split {
            false => (Outcome::Responded(200), Outcome::Responded(500)),
            true => (Outcome::Connected, Outcome::Broken),
        };
        for host in 0..5 {
            world.record(host, good, 100);
        }
        for _ in 0..50 {
            world.record(3, bad, 2);
            world.record(3, good, 1);
        }
        assert!(world.look().is_empty());
        let events = world.wait(10 * SECOND);
        let [EventKind::Ejected { reason, enforced: true }] = kinds(&events)[..] else {
            panic!("{events:?}");
        };
        let Reason::SuccessRate { local, rate, average, threshold } = reason else {
            panic!("{reason:?}");
        };
        assert_eq!((local, rate, average, threshold), (split, 60.0, 92.0, 61.6));
        assert!(world.is_ejected(3));
        if !split {
            assert_eq!(world.hosts[0].endpoint.outcomes().success_rate(), Some(100.0));
        }
        // What happened before the interval counts no more.
        assert!(world.wait(10 * SECOND).is_empty());
        assert_eq!(world.hosts[0].endpoint.outcomes().success_rate(), None);
    }
}

#[test]
fn too_many_failures_eject() {
    for split in [false, true] {
        let enforcing = Enforcing {
            failure_percentage: 100,
            failure_percentage_local_origin: 100,
            success_rate: 0,
            local_origin_success_rate: 0,
            ..whole().enforcing
        };
        let settings = OutlierDetection {
            split_local_origin: split,
            enforcing,
            // However long a run is, it is none of them.
            consecutive_5xx: 0,
            consecutive_gateway_failure: 0,
            consecutive_local_origin_failure: 0,
            ..whole()
        };
        let mut world = World::new(6, settings);
        let (good, bad) = match split {
            false => (Outcome::Responded(200), Outcome::Responded(504)),
            true => (Outcome::Connected, Outcome::TimedOut),
        };
        world.record(0, bad, 70);
        world.record(0, good, 10);
        for host in 1..6 {
            world.record(host, bad, 60);
            world.record(host, good, 20);
        }
        let ejected: Vec<_> = world.wait(10 * SECOND).into_iter().map(|it| it.kind).collect();
        let EventKind::Ejected { reason: Reason::FailurePercentage { local, rate }, .. } =
            ejected[0]
        else {
            panic!("{ejected:?}");
        };
        assert_eq!((local, ejected.len()), (split, 1), "{ejected:?}");
        assert!((12.0..13.0).contains(&rate), "{rate}");
        assert!(world.is_ejected(0));
    }
}

#[test]
fn a_passed_check_ends_an_ejection() {
    let mut world = World::new(2, whole());
    world.record(0, Outcome::Responded(500), 5);
    world.look();
    let endpoint = Arc::clone(&world.hosts[0].endpoint);
    world.detector.set(&OutlierDetection { return_when_checked: false, ..whole() });
    assert!(world.detector.found_well(&endpoint, world.now).is_none());
    world.detector.set(&whole());
    let event = world.detector.found_well(&endpoint, world.now).unwrap();
    assert_eq!(event.kind, EventKind::Returned);
    assert!(!world.is_ejected(0));
    assert!(world.detector.found_well(&endpoint, world.now).is_none());
}

#[test]
fn who_is_gone_is_forgotten() {
    let mut world = World::new(4, whole());
    world.record(0, Outcome::Responded(500), 5);
    world.look();
    assert_eq!(world.stats.ejections_active.get(), 1);
    let rest = world.hosts.split_off(1);
    world.hosts = rest;
    let hosts = world.hosts.clone();
    world.detector.follow(&hosts);
    assert_eq!(world.stats.ejections_active.get(), 0);
}

proptest! {
    /// Whatever happens to whom and when, and whatever the settings: somebody takes requests, no
    /// more are ejected than may be, and everybody returns in the end.
    #[test]
    fn somebody_always_takes_requests(
        hosts in 1u16..8,
        percent in 0u8..=100,
        always_one in any::<bool>(),
        split in any::<bool>(),
        steps in prop::collection::vec((any::<usize>(), 0u8..6, 1u32..9, 0u64..20), 1..60),
        random in any::<u64>(),
    ) {
        let settings = OutlierDetection {
            max_ejection_percent: percent,
            always_eject_one: always_one,
            split_local_origin: split,
            success_rate_minimum_hosts: 1,
            success_rate_request_volume: 3,
            success_rate_stdev_factor: 100,
            failure_percentage_minimum_hosts: 1,
            failure_percentage_request_volume: 3,
            enforcing: Enforcing { failure_percentage: 100, ..OutlierDetection::default().enforcing },
            ..OutlierDetection::default()
        };
        let mut world = World::new(hosts, settings);
        world.random = random;
        let most = (usize::from(hosts) * usize::from(percent) / 100).max(usize::from(always_one));
        for (host, what, times, seconds) in steps {
            let outcome = match what {
                0 => Outcome::Responded(200),
                1 => Outcome::Responded(500),
                2 => Outcome::Responded(503),
                3 => Outcome::Broken,
                4 => Outcome::TimedOut,
                _ => Outcome::Connected,
            };
            world.record(host % usize::from(hosts), outcome, times);
            world.wait(Duration::from_secs(seconds));
            let ejected = (0..usize::from(hosts)).filter(|host| world.is_ejected(*host)).count();
            prop_assert!(ejected < usize::from(hosts));
            prop_assert!(ejected <= most);
            prop_assert_eq!(world.stats.ejections_active.get(), ejected as u64);
        }
        for _ in 0..40 {
            world.wait(Duration::from_secs(10));
        }
        prop_assert_eq!(world.stats.ejections_active.get(), 0);
        prop_assert!((0..usize::from(hosts)).all(|host| !world.is_ejected(host)));
    }
}
