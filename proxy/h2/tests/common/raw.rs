//! Frames as raw bytes, and ends that are ready for them.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

use bytes::Bytes;
use weft_h2::{PREFACE, Role, Settings, Violation};

use super::{End, frame, frames, map};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;

pub(crate) fn server() -> End {
    server_with(Settings::default())
}

pub(crate) fn server_with(settings: Settings) -> End {
    let mut server = End::new(Role::Server, settings);
    server.read(PREFACE);
    server.read(&frame(SETTINGS, 0, 0, &[]));
    server.write_all();
    server
}

/// A client with one request sent.
pub(crate) fn client() -> End {
    let mut client = End::new(Role::Client, Settings::default());
    client.request(Bytes::new(), &map(&[]), false).unwrap();
    client.read(&frame(SETTINGS, 0, 0, &[]));
    client.write_all();
    client
}

/// Literal fields without any table.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

pub(crate) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];

pub(crate) fn request(extra: &[(&str, &str)]) -> Vec<u8> {
    block(&[&GET, extra].concat())
}

pub(crate) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &request(&[]))
}

pub(crate) fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request(&[]))
}

/// The server's answer to bytes that cost the connection.
#[track_caller]
pub(crate) fn connection_error(mut end: End, bytes: &[u8], violation: Violation) {
    end.read(bytes);
    assert_eq!(end.failed.map(|error| error.0), Some(violation));
    let out = frames(&end.write_all());
    let (kind, _, _, payload) = out.last().unwrap();
    assert_eq!(*kind, GOAWAY);
    assert_eq!(payload[4..], violation.code().to_wire().to_be_bytes());
    end.read(&get(1001));
    assert!(end.write_all().is_empty(), "nothing happens after the end");
}

/// Bytes that cost stream 1 and nothing else.
#[track_caller]
pub(crate) fn stream_error(mut end: End, bytes: &[u8], violation: Violation) {
    end.read(bytes);
    assert_eq!(end.failed, None);
    let out = frames(&end.write_all());
    let expected = (RST_STREAM, 0, 1, violation.code().to_wire().to_be_bytes().to_vec());
    assert!(out.contains(&expected), "{out:?}");
    if end.received.values().all(|it| it.response.is_none() && it.request.is_some()) {
        end.read(&get(1001));
        let out = frames(&end.write_all());
        assert!(out.iter().any(|(kind, _, stream, _)| (*kind, *stream) == (HEADERS, 1001)));
    }
}
