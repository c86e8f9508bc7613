//! What a peer may try to make us do, and random bytes: nothing of it does harm.

#![allow(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

mod common;

use bytes::BytesMut;
use common::{End, exchange, frame, frames, map, raw::*};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use weft_h2::{Code, Role, Settings, Violation};
use weft_hpack::Encoder;

#[test]
fn heads_are_bounded_and_the_table_stays_in_step() {
    let settings =
        Settings { max_header_list_size: 1_000, max_header_count: 20, ..Settings::default() };
    let mut end = server_with(settings);
    let mut encoder = Encoder::new();
    let mut head = |fields: usize, size: usize| {
        let mut out = BytesMut::new();
        let mut block = encoder.block(&mut out);
        block.method(&http::Method::GET);
        block.scheme(b"http");
        block.path(b"/");
        for n in 0..fields {
            let name = HeaderName::try_from(format!("x-{n}")).unwrap();
            block.field(&name, &HeaderValue::try_from("v".repeat(size)).unwrap());
        }
        out
    };
    for (stream, (fields, size)) in [(1, (10, 200)), (3, (25, 1)), (5, (2, 1))] {
        end.read(&frame(HEADERS, 5, stream, &head(fields, size)));
    }
    assert_eq!(end.refused, [Violation::HeadTooLarge; 2]);
    let request = end.received.values().next().unwrap().request.as_ref().unwrap();
    assert_eq!(request.headers()["x-1"], "v");
    // RFC 6585 §5: both were answered with 431.
    let out = frames(&end.write_all());
    assert!([1, 3].iter().all(|id| out.iter().any(|it| it.0 == HEADERS && it.2 == *id)));
}

#[test]
fn a_bomb_of_references_is_refused_without_being_built() {
    let mut end = server();
    let value = "v".repeat(100);
    let mut bomb = request(&[]);
    bomb.extend([0x40, 3]);
    bomb.extend(b"x-b");
    bomb.push(100);
    bomb.extend(value.as_bytes());
    bomb.extend(std::iter::repeat_n(0x80 | 62, 15_000));
    end.read(&frame(HEADERS, 5, 1, &bomb));
    assert_eq!(end.refused, [Violation::HeadTooLarge]);
    assert_eq!(end.failed, None);
}

#[test]
fn floods_end_the_connection() {
    let repeat = |frame: Vec<u8>, n: usize| frame.repeat(n);
    let flood = |bytes: Vec<u8>, violation| connection_error(server(), &bytes, violation);
    // The peer reads nothing, and everything must be answered.
    flood(repeat(frame(PING, 0, 0, &[0; 8]), 1_001), Violation::OutboundControlFlood);
    flood(repeat(frame(SETTINGS, 0, 0, &[]), 1_001), Violation::OutboundControlFlood);
    flood([post(1), repeat(frame(DATA, 0, 1, b""), 2)].concat(), Violation::EmptyFrameFlood);
    flood(repeat(frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]), 101), Violation::PriorityFlood);
    flood(repeat(frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), 33), Violation::WindowUpdateFlood);
    flood(repeat(frame(0xbb, 0, 0, &[]), 2), Violation::EmptyFrameFlood);
    let pieces = repeat(frame(CONTINUATION, 0, 1, b"\0"), 40);
    flood([frame(HEADERS, 0, 1, b""), pieces].concat(), Violation::ContinuationFlood);
    let large = repeat(frame(CONTINUATION, 0, 1, &[0; 16_000]), 10);
    flood([frame(HEADERS, 0, 1, b""), large].concat(), Violation::ContinuationFlood);
}

#[test]
fn rapid_resets_end_the_connection() {
    let mut end = server();
    for stream in (1..).step_by(2) {
        end.read(&[post(stream), frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat());
        end.write_all();
        end.received.clear();
        if end.failed.is_some() {
            assert_eq!(stream, 1_001, "the 501st");
            break;
        }
    }
    assert_eq!(end.failed.unwrap().0.code(), Code::EnhanceYourCalm);
}

#[test]
fn streams_above_the_limit_are_refused() {
    let settings = Settings { max_concurrent_streams: 2, ..Settings::default() };
    let mut end = server_with(settings);
    end.read(&[post(1), post(3), post(5)].concat());
    assert_eq!(end.refused, [Violation::TooManyStreams]);
    let refused = (RST_STREAM, 0, 5, Code::RefusedStream.to_wire().to_be_bytes().to_vec());
    assert!(frames(&end.write_all()).contains(&refused));
}

#[test]
fn frames_that_crossed_our_reset_are_ignored() {
    let mut end = server();
    end.read(&post(1));
    let key = *end.received.keys().next().unwrap();
    end.machine.reset(key, Code::Cancel);
    for _ in 0..200 {
        end.read(&frame(DATA, 0, 1, &[0; 10_000]));
    }
    end.read(&frame(HEADERS, 5, 1, &block(&[("x-end", "1")])));
    end.read(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]));
    assert_eq!(end.failed, None);
    assert_eq!(end.received[&key].body.len(), 0);
    let granted = frames(&end.write_all());
    assert!(granted.iter().any(|it| (it.0, it.2) == (WINDOW_UPDATE, 0)), "the window comes back");
}

/// A conversation to be spoilt.
fn conversation() -> Vec<u8> {
    let mut client = End::new(Role::Client, Settings::default());
    for length in [0, 10, 40_000] {
        client.request(vec![7; length].into(), &map(&[("x-a", "1")]), length > 0);
    }
    client.machine.ping(1);
    client.write_all()
}

proptest! {
    #[test]
    fn spoilt_bytes_do_no_harm(
        spoilt in prop::collection::vec((0usize..41_000, any::<u8>()), 0..20),
        chunk in 1usize..3_000,
    ) {
        let mut bytes = conversation();
        for (at, value) in spoilt {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        let mut end = End::new(Role::Server, Settings::default());
        for piece in bytes.chunks(chunk) {
            end.read(piece);
            prop_assert!(end.machine.output().len() <= 400_000);
            prop_assert!(end.machine.open_streams() <= 1024);
        }
    }

    #[test]
    fn random_frames_do_no_harm(
        random in prop::collection::vec(
            (0u8..12, any::<u8>(), 0u32..8, prop::collection::vec(any::<u8>(), 0..40)),
            0..60,
        ),
    ) {
        for mut end in [server(), client()] {
            for (kind, flags, stream, payload) in &random {
                end.read(&frame(*kind, *flags, *stream, payload));
            }
            prop_assert!(end.machine.output().len() <= 100_000);
        }
    }
}

#[test]
fn a_spoilt_conversation_was_a_good_one() {
    let mut end = End::new(Role::Server, Settings::default());
    end.read(&conversation());
    assert_eq!(end.failed, None);
    let mut client = End::new(Role::Client, Settings::default());
    exchange(&mut client, &mut End::new(Role::Server, Settings::default()));
    assert_eq!(end.received.len(), 3);
}
