//! What a connection costs in memory and in calls of the allocator.

use std::ops::ControlFlow;

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Method, header};
use weft_hpack::{Block, Decoder, Encoder, Field};

use crate::{
    oracle::{How, Kind, Oracle},
    support::pair,
};

/// A request as gateways send them. What differs from one to the next is `n`.
fn request(block: &mut Block<'_>, n: u32) {
    block.method(&Method::GET);
    block.scheme(b"http");
    block.authority(b"catalog.shop.example:8080");
    block.path(format!("/items/{n}?currency=EUR").as_bytes());
    for (name, value) in [
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-tenant", "blue"),
    ] {
        block.field(&name.parse().unwrap(), &HeaderValue::from_static(value));
    }
    let id = format!("{n:036}");
    block.field(&"x-request-id".parse().unwrap(), &id.parse().unwrap());
}

fn blocks(encoder: &mut Encoder, count: u32) -> Vec<BytesMut> {
    (0..count)
        .map(|n| {
            let mut out = BytesMut::with_capacity(1024);
            request(&mut encoder.block(&mut out), n);
            out
        })
        .collect()
}

#[test]
fn a_new_connection_allocates_nothing() {
    let cost = allocation_counter::measure(|| {
        let (mut encoder, decoder) = (Encoder::new(), Decoder::new(4096));
        encoder.set_peer_max_table_size(1024);
        assert!(format_args!("{encoder:?} {decoder:?}").as_str().is_none());
    });
    assert_eq!(cost.count_total, 0, "{cost:?}");
}

#[test]
fn a_warm_encoder_allocates_nothing() {
    let mut encoder = Encoder::new();
    blocks(&mut encoder, 4);
    let (accept, id) =
        (HeaderValue::from_static("application/json"), "x-request-id".parse().unwrap());
    let ids: Vec<HeaderValue> = (0..100).map(|n| format!("{n:036}").parse().unwrap()).collect();
    let paths: Vec<String> = (0..100).map(|n| format!("/items/{n}")).collect();
    let mut out = BytesMut::with_capacity(16_384);
    let cost = allocation_counter::measure(|| {
        for (value, path) in ids.iter().zip(&paths) {
            let mut block = encoder.block(&mut out);
            block.method(&Method::GET);
            block.path(path.as_bytes());
            block.field(&header::ACCEPT, &accept);
            block.field(&id, value);
        }
    });
    assert_eq!(cost.count_total, 0, "{cost:?}");
}

/// Only what differs from message to message is allocated: here a path and an identifier.
#[test]
fn a_warm_decoder_allocates_literals_alone() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    let blocks = blocks(&mut encoder, 104);
    let mut headers = HeaderMap::with_capacity(32);
    let mut read = |block: &[u8]| {
        let mut path = None;
        let visit = |field: Field, _| {
            match field {
                Field::Header(name, value) => drop(headers.insert(name, value)),
                Field::Path(it) => path = Some(it),
                _ => {}
            }
            ControlFlow::Continue(())
        };
        decoder.decode(block, visit).unwrap();
        assert!(path.is_some() && headers.len() == 7);
        headers.clear();
    };
    blocks[..4].iter().for_each(|block| read(block));
    let cost = allocation_counter::measure(|| blocks[4..].iter().for_each(|block| read(block)));
    assert_eq!(cost.count_total, 200, "{cost:?}");
}

/// Literals under known names with common values, as peers send them that keep no table.
#[test]
fn common_names_and_values_are_not_allocated() {
    let mut decoder = Decoder::new(4096);
    let mut oracle = Oracle::new();
    let fields = [
        pair("accept", "*/*"),
        pair("content-type", "application/json"),
        pair("grpc-encoding", "gzip"),
        pair("te", "trailers"),
        pair("x-forwarded-proto", "https"),
    ];
    let how = How { kind: Kind::Unindexed, refer: false, huffman: false };
    let mut block = Vec::new();
    fields.iter().for_each(|field| oracle.write(field, how, &mut block));
    let mut read = 0;
    let cost = allocation_counter::measure(|| {
        let visit = |_, _| {
            read += 1;
            ControlFlow::Continue(())
        };
        decoder.decode(&block, visit).unwrap();
    });
    assert_eq!((cost.count_total, read), (0, fields.len()), "{cost:?}");
}

#[test]
fn an_idle_connection_gives_back_what_it_does_not_need() {
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new(4096);
    let cost = allocation_counter::measure(|| {
        for block in blocks(&mut encoder, 8) {
            decoder.decode(&block, |_, _| ControlFlow::Continue(())).unwrap();
        }
        encoder.shrink();
        decoder.shrink();
    });
    assert!(cost.bytes_max > 4096, "{cost:?}");
    // The peer's table stays: nine entries, with what they hold.
    assert!(cost.bytes_current < 2560, "{cost:?}");
    let mut out = BytesMut::new();
    request(&mut encoder.block(&mut out), 9);
    let mut fields = 0;
    let visit = |_, _| {
        fields += 1;
        ControlFlow::Continue(())
    };
    decoder.decode(&out, visit).unwrap();
    assert_eq!(fields, 11);
}
