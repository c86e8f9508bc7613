//! Header compression: a head of twelve fields on a connection that has seen such heads before.

use std::ops::ControlFlow;

use anyhow::Result;
use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use weft_hpack::{Decoder, Encoder, Field};

use crate::harness::Bench;

const PREFIX: &str = "hpack/";

/// Heads that differ in what differs from one request to the next.
const HEADS: usize = 64;

const REQUEST: [(&str, &str); 7] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "application/json"),
    ("accept-encoding", "gzip, deflate, br"),
    ("content-type", "application/json"),
    ("x-forwarded-for", "203.0.113.9"),
    ("x-forwarded-proto", "https"),
    ("x-tenant", "blue"),
];

const RESPONSE: [(&str, &str); 11] = [
    ("content-type", "application/json"),
    ("content-length", "1234"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("server", "weft"),
    ("cache-control", "no-cache"),
    ("vary", "accept-encoding"),
    ("x-envoy-upstream-service-time", "3"),
    ("access-control-allow-origin", "*"),
    ("strict-transport-security", "max-age=31536000"),
    ("x-content-type-options", "nosniff"),
    ("x-revision", "blue"),
];

/// A head: a path for a request, none for a response, and its fields.
struct Head {
    path: Option<String>,
    fields: Vec<(HeaderName, HeaderValue)>,
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    both_ways(bench, "request", &requests()?)?;
    both_ways(bench, "response", &[response()])
}

fn both_ways(bench: &mut Bench, kind: &str, heads: &[Head]) -> Result<()> {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    let mut blocks = Vec::new();
    // The last round finds both tables as they stay.
    for _ in 0..3 {
        blocks = heads.iter().map(|head| encode(&mut encoder, head)).collect::<Vec<_>>();
        for block in &blocks {
            decoder.decode(block, |_, _| ControlFlow::Continue(()))?;
        }
    }
    let mut out = BytesMut::with_capacity(4096);
    bench.measure(&format!("{PREFIX}encode a {kind}"), |n| {
        out.clear();
        write(&mut encoder, &heads[at(heads, n)], &mut out);
        out.len()
    });
    bench.measure(&format!("{PREFIX}decode a {kind}"), |n| {
        let mut size = 0;
        let decoded = decoder.decode(&blocks[at(&blocks, n)], |field, bytes| {
            size += bytes;
            std::hint::black_box(&field);
            ControlFlow::Continue(())
        });
        (decoded.is_ok(), size)
    });
    let mut map = HeaderMap::with_capacity(24);
    bench.measure(&format!("{PREFIX}decode a {kind} into a map"), |n| {
        map.clear();
        let decoded = decoder.decode(&blocks[at(&blocks, n)], |field, _| {
            if let Field::Header(name, value) = field {
                map.append(name, value);
            }
            ControlFlow::Continue(())
        });
        (decoded.is_ok(), map.len())
    });
    Ok(())
}

fn at<T>(all: &[T], n: u64) -> usize {
    usize::try_from(n % all.len() as u64).unwrap_or(0)
}

fn encode(encoder: &mut Encoder, head: &Head) -> BytesMut {
    let mut out = BytesMut::new();
    write(encoder, head, &mut out);
    out
}

fn write(encoder: &mut Encoder, head: &Head, out: &mut BytesMut) {
    let mut block = encoder.block(out);
    if let Some(path) = &head.path {
        block.method(&Method::GET);
        block.scheme(b"https");
        block.authority(b"catalog.shop.example:8080");
        block.path(path.as_bytes());
    } else {
        block.status(StatusCode::OK);
    }
    for (name, value) in &head.fields {
        block.field(name, value);
    }
}

fn requests() -> Result<Vec<Head>> {
    let request = |n| {
        let mut fields = parsed(&REQUEST);
        let id = format!("3f2504e0-4f89-41d3-9a0c-0305e82c{n:04}");
        fields.push((HeaderName::from_static("x-request-id"), id.parse()?));
        Ok(Head { path: Some(format!("/catalog/items/{n}?currency=EUR")), fields })
    };
    (0..HEADS).map(request).collect()
}

fn response() -> Head {
    Head { path: None, fields: parsed(&RESPONSE) }
}

fn parsed(fields: &[(&'static str, &'static str)]) -> Vec<(HeaderName, HeaderValue)> {
    fields
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}
