//! What health checks make of an endpoint, with time and chance in hand.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proptest::prelude::*;
use weft_balance::{EndpointAddress, EndpointState, Verdict};
use weft_compile::{CheckIntervals, CheckQuestion, HealthCheck, TcpCheck};
use weft_health::{Answer, Change, Course, Illness};
use weft_telemetry::CheckStats;

const WELL: Answer = Answer::Well { degraded: false, excluded: false };
const BROKEN: Answer = Answer::Ill { illness: Illness::Network, excluded: false };
const TOLD: Answer = Answer::Ill { illness: Illness::Told, excluded: false };

fn settings() -> HealthCheck {
    let second = Duration::from_secs;
    HealthCheck {
        timeout: second(1),
        intervals: CheckIntervals {
            healthy: second(10),
            healthy_edge: second(2),
            unhealthy: second(20),
            unhealthy_edge: second(3),
            no_traffic: second(60),
            no_traffic_healthy: second(50),
            initial_jitter: Duration::ZERO,
            jitter: Duration::ZERO,
            jitter_percent: 0,
        },
        unhealthy_threshold: 3,
        healthy_threshold: 2,
        reuse_connection: true,
        log_failures: false,
        log_successes: false,
        event_logs: Box::default(),
        question: CheckQuestion::Tcp(TcpCheck::default()),
    }
}

fn endpoint() -> Arc<EndpointState> {
    EndpointState::new(EndpointAddress::Ip(SocketAddr::from(([127, 0, 0, 1], 1))))
}

/// One that was not checked yet.
fn unchecked() -> Arc<EndpointState> {
    let endpoint = endpoint();
    endpoint.judge(Verdict::FailedCheck, true);
    endpoint.judge(Verdict::Unchecked, true);
    endpoint
}

fn course(settings: HealthCheck) -> (Course, Arc<CheckStats>) {
    let stats = Arc::new(CheckStats::default());
    (Course::new(Arc::new(settings), Arc::clone(&stats)), stats)
}

fn all(course: &mut Course, endpoint: &EndpointState, answers: &[Answer]) -> Vec<Change> {
    answers.iter().map(|answer| course.heard(endpoint, *answer)).collect()
}

#[test]
fn the_first_good_answer_is_enough() {
    use Change::{Changed, Pending, Unchanged};
    let (mut course, _) = course(settings());
    let first = unchecked();
    assert_eq!(all(&mut course, &first, &[WELL, WELL]), [Changed, Unchanged]);
    let later = unchecked();
    // The first failure ends the wait, and then it takes as many good ones as the threshold says.
    let answers = [BROKEN, BROKEN, WELL, BROKEN, WELL, WELL];
    let changes = [Changed, Unchanged, Pending, Unchanged, Pending, Changed];
    assert_eq!(all(&mut course, &later, &answers), changes);
    assert!(later.standing().is_usable());
}

#[test]
fn failures_are_counted_unless_the_endpoint_says_so_itself() {
    use Change::{Changed, Pending, Unchanged};
    let (mut course, stats) = course(settings());
    let endpoint = endpoint();
    let answers = [BROKEN, BROKEN, WELL, BROKEN, BROKEN, BROKEN, BROKEN];
    let changes = [Pending, Pending, Unchanged, Pending, Pending, Changed, Unchanged];
    assert_eq!(all(&mut course, &endpoint, &answers), changes);
    assert!(endpoint.standing().has(Verdict::FailedCheck));
    assert_eq!(all(&mut course, &endpoint, &[WELL, WELL, TOLD]), [Pending, Changed, Changed]);
    assert_eq!((stats.network_failure.get(), stats.failure.get(), stats.success.get()), (6, 7, 3));
}

#[test]
fn what_an_endpoint_asks_for_besides_is_a_change_too() {
    let (mut course, _) = course(settings());
    let endpoint = endpoint();
    let degraded = Answer::Well { degraded: true, excluded: false };
    assert_eq!(course.heard(&endpoint, degraded), Change::Changed);
    assert_eq!(course.heard(&endpoint, degraded), Change::Unchanged);
    assert!(endpoint.standing().has(Verdict::DegradedByCheck));
    let excluded = Answer::Well { degraded: false, excluded: true };
    assert_eq!(course.heard(&endpoint, excluded), Change::Changed);
    assert!(endpoint.standing().has(Verdict::Excluded));
    assert_eq!(course.heard(&endpoint, WELL), Change::Changed);
    assert!(!endpoint.standing().has(Verdict::Excluded));
}

#[test]
fn intervals_follow_the_course() {
    let (course, _) = course(settings());
    let seconds = |well, change, traffic| course.pause(well, change, traffic, 7).as_secs();
    assert_eq!(seconds(true, Change::Unchanged, true), 10);
    assert_eq!(seconds(true, Change::Changed, true), 10);
    assert_eq!(seconds(true, Change::Pending, true), 2);
    assert_eq!(seconds(false, Change::Unchanged, true), 20);
    assert_eq!(seconds(false, Change::Pending, true), 3);
    assert_eq!(seconds(true, Change::Unchanged, false), 50);
    assert_eq!(seconds(true, Change::Pending, false), 60);
    assert_eq!(seconds(false, Change::Unchanged, false), 60);
}

proptest! {
    #[test]
    fn checks_are_late_by_chance(random in any::<u64>(), jitter in 0u64..5000, percent in 0u32..300) {
        let mut settings = settings();
        settings.intervals.initial_jitter = Duration::from_millis(jitter);
        settings.intervals.jitter = Duration::from_millis(jitter);
        settings.intervals.jitter_percent = percent;
        let (course, _) = course(settings);
        let most = Duration::from_millis(jitter) + Duration::from_secs(10) * percent / 100;
        let pause = course.pause(true, Change::Unchanged, true, random);
        prop_assert!(pause >= Duration::from_secs(10));
        prop_assert!(pause <= Duration::from_secs(10) + most);
        prop_assert!(course.delay(random) <= Duration::from_millis(jitter));
    }

    /// Whatever is answered, an endpoint is well exactly if the last run of answers says so.
    #[test]
    fn the_last_answers_decide(answers in prop::collection::vec(0u8..4, 1..50)) {
        let (mut course, _) = course(settings());
        let endpoint = unchecked();
        let (mut is_well, mut good, mut bad) = (false, 0, 0);
        for (at, answer) in answers.into_iter().enumerate() {
            let heard = match answer {
                0 | 1 => WELL,
                2 => BROKEN,
                _ => TOLD,
            };
            course.heard(&endpoint, heard);
            if heard == WELL {
                (good, bad) = (good + 1, 0);
                is_well |= at == 0 || good >= 2;
            } else {
                (good, bad) = (0, if is_well { bad + 1 } else { 0 });
                is_well &= heard == BROKEN && bad < 3;
            }
            prop_assert_eq!(endpoint.standing().is_usable(), is_well);
        }
    }
}

#[test]
fn absurd_jitter_overflows_nothing() {
    let mut settings = settings();
    let most = Duration::from_secs(315_576_000_000);
    settings.intervals.jitter = most;
    settings.intervals.healthy = most;
    settings.intervals.jitter_percent = u32::MAX;
    let (course, _) = course(settings);
    assert!(course.pause(true, Change::Unchanged, true, u64::MAX) >= most);
}
