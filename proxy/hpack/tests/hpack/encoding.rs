//! What the encoder chooses to write.

use weft_hpack::Encoder;

use crate::{
    oracle::{Oracle, Pair},
    support::{encode, pair},
};

fn one(name: &str, value: &str) -> Vec<Pair> {
    vec![pair(name, value)]
}

/// Lengths of the blocks when the same fields are sent this many times.
fn lengths(times: usize, fields: &[Pair]) -> Vec<usize> {
    let mut encoder = Encoder::new();
    (0..times).map(|_| encode(&mut encoder, fields).len()).collect()
}

#[test]
fn what_the_static_table_has_takes_a_byte() {
    let fields = [
        (":method", "GET"),
        (":method", "POST"),
        (":path", "/"),
        (":scheme", "http"),
        (":scheme", "https"),
        (":status", "200"),
        (":status", "204"),
        (":status", "206"),
        (":status", "304"),
        (":status", "400"),
        (":status", "404"),
        (":status", "500"),
    ];
    for (name, value) in fields {
        assert_eq!(lengths(1, &one(name, value)), [1], "{name}: {value}");
    }
}

#[test]
fn what_comes_again_is_a_byte_from_the_third_time_on() {
    for (name, value) in [
        ("accept", "*/*"),
        ("x-own", "some value"),
        (":authority", "www.example.com"),
        (":status", "503"),
    ] {
        let lengths = lengths(4, &one(name, value));
        assert!(lengths[0] > value.len() && lengths[1] > value.len(), "{name}: {lengths:?}");
        assert_eq!(lengths[2..], [1, 1], "{name}");
    }
}

#[test]
fn what_never_comes_again_displaces_nothing() {
    let (mut encoder, mut oracle) = (Encoder::new(), Oracle::new());
    let kept = one("accept", "text/html");
    for _ in 0..2 {
        oracle.read(&encode(&mut encoder, &kept)).unwrap();
    }
    for n in 0..10_000 {
        let fields = [
            pair("x-own", format!("{n} {:x}", n * 7919)),
            pair("x-request-id", format!("{n:036}")),
        ];
        oracle.read(&encode(&mut encoder, &fields)).unwrap();
    }
    assert_eq!(encode(&mut encoder, &kept).len(), 1);
    assert!(oracle.dynamic.len() <= 3, "{}", oracle.dynamic.len());
}

#[test]
fn a_name_that_comes_again_is_not_spelt_out_again() {
    let mut encoder = Encoder::new();
    let lengths: Vec<usize> = (0..4)
        .map(|n| encode(&mut encoder, &one("x-nobody-knows-this-name", &format!("{n}"))).len())
        .collect();
    assert!(lengths[1] > 20 && lengths[2] <= 4 && lengths[3] <= 4, "{lengths:?}");
}

#[test]
fn secrets_are_in_no_table_and_marked() {
    let secrets = [
        ("authorization", "Bearer abc"),
        ("cookie", "a=b"),
        ("proxy-authorization", "x"),
        ("set-cookie", "a=b"),
        ("x-own", "!key"),
    ];
    for (name, value) in secrets {
        let (mut encoder, mut oracle) = (Encoder::new(), Oracle::new());
        for _ in 0..4 {
            let read = oracle.read(&encode(&mut encoder, &one(name, value))).unwrap();
            assert_eq!(read, [(pair(name, value), true)]);
        }
        assert_eq!(oracle.dynamic, [], "{name}");
    }
}

#[test]
fn values_larger_than_a_quarter_of_the_table_stay_out_of_it() {
    let lengths = lengths(4, &one("x-own", &"v".repeat(1100)));
    assert!(lengths.iter().all(|length| *length > 1100), "{lengths:?}");
}

#[test]
fn sizes_are_announced_once_the_lowest_first() {
    let mut encoder = Encoder::new();
    encoder.set_peer_max_table_size(65_536);
    assert_eq!(encode(&mut encoder, &[]), [], "we use no more than before");
    encoder.set_peer_max_table_size(10);
    encoder.set_peer_max_table_size(20);
    assert_eq!(encode(&mut encoder, &[]), [0x2a, 0x34]);
    assert_eq!(encode(&mut encoder, &[]), []);
    encoder.set_peer_max_table_size(0);
    assert_eq!(encode(&mut encoder, &[]), [0x20]);
    let fields = one("accept", "*/*");
    for _ in 0..4 {
        assert!(encode(&mut encoder, &fields).len() > 3, "there is no table");
    }
}

#[test]
fn an_encoder_that_gave_its_memory_back_begins_anew() {
    let (mut encoder, mut oracle) = (Encoder::new(), Oracle::new());
    let fields = [pair("accept", "*/*"), pair("x-own", "value")];
    for round in 0..3 {
        for _ in 0..4 {
            let block = encode(&mut encoder, &fields);
            let read: Vec<Pair> =
                oracle.read(&block).unwrap().into_iter().map(|(pair, _)| pair).collect();
            assert_eq!(read, fields, "round {round}");
        }
        assert_eq!(encode(&mut encoder, &fields).len(), 2);
        encoder.shrink();
    }
}
