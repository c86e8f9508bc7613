//! Machine against machine.

#![allow(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

mod common;

use bytes::Bytes;
use common::{End, exchange, map};
use proptest::prelude::*;
use weft_h2::{Code, ResetCause, Role, Settings};

fn pair(settings: Settings) -> (End, End) {
    (End::new(Role::Client, settings.clone()), End::new(Role::Server, settings))
}

fn body(length: usize) -> Bytes {
    (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

#[test]
fn a_request_is_echoed_with_fields_and_trailers() {
    let (mut client, mut server) = pair(Settings::default());
    let key = client.request(body(100_000), &map(&[("x-some", "value")]), true).unwrap();
    exchange(&mut client, &mut server);
    let received = &client.received[&key];
    assert_eq!(received.response.as_ref().unwrap().headers()["x-some"], "value");
    assert_eq!(received.informational, [103]);
    assert_eq!(received.body, body(100_000));
    assert_eq!(received.trailers, Some(map(&[("x-end", "1")])));
    assert!(received.ended);
    for end in [&client, &server] {
        assert_eq!(end.machine.open_streams(), 0);
    }
    let request = server.received.values().next().unwrap().request.as_ref().unwrap();
    assert_eq!(request.uri(), "http://echo.test/some/path?x=1");
}

#[test]
fn streams_never_exceed_what_the_server_allows() {
    let settings = Settings { max_concurrent_streams: 3, ..Settings::default() };
    let (mut client, mut server) = pair(settings);
    exchange(&mut client, &mut server);
    let opened: Vec<_> =
        (0..5).map(|_| client.request(body(10), &map(&[]), false).is_some()).collect();
    assert_eq!(opened, [true, true, true, false, false]);
    exchange(&mut client, &mut server);
    assert!(client.request(body(10), &map(&[]), false).is_some());
}

#[test]
fn nothing_is_granted_for_what_is_not_released() {
    let window = 65_535;
    let settings = Settings {
        initial_stream_window_size: window,
        initial_connection_window_size: window,
        ..Settings::default()
    };
    let (mut client, mut server) = pair(settings);
    client.request(body(1_000_000), &map(&[]), false).unwrap();
    for _ in 0..100 {
        let up = client.write_all();
        server.read(&up);
        let down = server.write_all();
        client.read(&down);
    }
    let received = server.received.values().next().unwrap();
    assert_eq!(received.body.len(), window as usize);
    exchange(&mut client, &mut server);
    let pieces = server.unreleased.len();
    for _ in 0..pieces {
        server.release();
    }
    exchange(&mut client, &mut server);
    assert_eq!(client.received.values().next().unwrap().body.len(), 1_000_000);
}

#[test]
fn a_server_leaves_in_two_steps_and_loses_nothing() {
    let (mut client, mut server) = pair(Settings::default());
    exchange(&mut client, &mut server);
    server.machine.shut_down();
    // This request crosses the first GOAWAY.
    let crossing = client.request(body(10), &map(&[]), false).unwrap();
    let up = client.write_all();
    let first = server.write_all();
    server.read(&up);
    client.read(&first);
    assert_eq!(client.goaway, Some(Code::NoError));
    assert!(client.request(body(10), &map(&[]), false).is_none());
    assert!(!server.machine.is_finished());
    exchange(&mut client, &mut server);
    assert_eq!(client.received[&crossing].body, body(10));
    assert!(server.machine.is_finished() && client.machine.is_finished());
}

#[test]
fn streams_above_the_last_goaway_are_reported_as_not_processed() {
    let (mut client, mut server) = pair(Settings::default());
    exchange(&mut client, &mut server);
    server.machine.shut_down_now();
    let late = client.request(body(10), &map(&[]), false).unwrap();
    exchange(&mut client, &mut server);
    assert_eq!(client.received[&late].reset, Some(ResetCause::NotProcessed));
    assert!(server.received.is_empty());
    assert!(server.failed.is_none() && client.failed.is_none());
}

#[test]
fn a_reset_reaches_the_other_end_and_frees_the_window() {
    let (mut client, mut server) = pair(Settings::default());
    for _ in 0..50 {
        let key = client.request(body(200_000), &map(&[]), false).unwrap();
        let up = client.write_all();
        server.read(&up);
        client.machine.reset(key, Code::Cancel);
        server.unreleased.clear();
        exchange(&mut client, &mut server);
        let cause = server.received.drain().next().unwrap().1.reset;
        assert_eq!(cause, Some(ResetCause::Peer(Code::Cancel)));
        client.received.clear();
        client.sending.clear();
    }
    assert!(client.failed.is_none() && server.failed.is_none());
    assert_eq!((client.machine.open_streams(), server.machine.open_streams()), (0, 0));
}

#[test]
fn a_ping_is_answered() {
    let (mut client, mut server) = pair(Settings::default());
    client.machine.ping(77);
    exchange(&mut client, &mut server);
    assert_eq!(client.pongs, [77]);
}

#[test]
fn one_stream_does_not_starve_the_others() {
    let (mut client, mut server) = pair(Settings::default());
    let keys: Vec<_> =
        (0..4).map(|_| client.request(body(150_000), &map(&[]), false).unwrap()).collect();
    exchange(&mut client, &mut server);
    for key in keys {
        assert_eq!(client.received[&key].body.len(), 150_000);
    }
}

/// What may happen next.
#[derive(Clone, Debug)]
enum Act {
    Request { body: usize, trailers: bool },
    Up(usize),
    Down(usize),
    ReleaseClient,
    ReleaseServer,
    Cancel,
    Ping,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (0usize..200_000, any::<bool>())
            .prop_map(|(body, trailers)| Act::Request { body, trailers }),
        2 => (0usize..50, any::<bool>()).prop_map(|(body, trailers)| Act::Request { body, trailers }),
        6 => (1usize..40_000).prop_map(Act::Up),
        6 => (1usize..40_000).prop_map(Act::Down),
        2 => (1usize..20).prop_map(Act::Up),
        2 => (1usize..20).prop_map(Act::Down),
        4 => Just(Act::ReleaseClient),
        4 => Just(Act::ReleaseServer),
        1 => Just(Act::Cancel),
        1 => Just(Act::Ping),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_the_order_every_request_is_echoed(acts in prop::collection::vec(act(), 1..200)) {
        let settings = Settings { max_output: 40_000, ..Settings::default() };
        let (mut client, mut server) = pair(settings);
        let mut asked = Vec::new();
        for act in acts {
            match act {
                Act::Request { body: length, trailers } => {
                    if let Some(key) = client.request(body(length), &map(&[("x-a", "1")]), trailers) {
                        asked.push((key, length, trailers));
                    }
                }
                Act::Up(most) => {
                    let up = client.write(most);
                    server.read(&up);
                }
                Act::Down(most) => {
                    let down = server.write(most);
                    client.read(&down);
                }
                Act::ReleaseClient => client.release(),
                Act::ReleaseServer => server.release(),
                Act::Cancel => {
                    if let Some((key, ..)) = asked.pop() {
                        client.machine.reset(key, Code::Cancel);
                        client.sending.remove(&key);
                    }
                }
                Act::Ping => client.machine.ping(1),
            }
            client.pump();
            server.pump();
            prop_assert!(client.machine.output().len() <= 40_000 + 64 * 1024);
            prop_assert!(server.machine.output().len() <= 40_000 + 64 * 1024);
        }
        loop {
            exchange(&mut client, &mut server);
            client.pump();
            server.pump();
            if client.machine.output().is_empty() && server.machine.output().is_empty() {
                break;
            }
        }
        prop_assert!(client.failed.is_none() && server.failed.is_none());
        for (key, length, trailers) in asked {
            let received = &client.received[&key];
            prop_assert_eq!(received.body.len(), length);
            prop_assert_eq!(&received.body[..], &body(length)[..]);
            prop_assert_eq!(received.trailers.is_some(), trailers);
            prop_assert!(received.ended && received.reset.is_none());
        }
        prop_assert_eq!((client.machine.open_streams(), server.machine.open_streams()), (0, 0));
    }
}
