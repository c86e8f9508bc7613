//! Bytes to a running weft-proxy, as its client or as its upstream. After each input the proxy
//! must still run and answer others, and its memory must not grow with the number of inputs.

mod proxy;
mod upstream;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use self::proxy::Proxy;
use self::upstream::{Answer, Upstream};
use super::Runner;
use crate::Settings;
use crate::novelty::Behaviour;

pub(super) const HTTP1_WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"chunked",
    b"transfer-encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"content-length: 5\r\n",
    b"Content-Length: 18446744073709551615\r\n",
    b"content-length: +1\r\n",
    b"connection: close\r\n",
    b"connection: upgrade\r\nupgrade: websocket\r\n",
    b"expect: 100-continue\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"5;a=\"b\r\n",
    b"http://a/",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
    b"trailer: x\r\n",
];

/// The longest that an answer is waited for. Both sides end their sending, so that nearly all
/// exchanges end by themselves.
const ANSWER: Duration = Duration::from_millis(300);
/// The most of an answer that is looked at.
const MOST: usize = 256 * 1024;
/// After so many inputs the proxy's memory counts as that of one at work.
const SETTLED: u64 = 400;
/// What it may grow by from then on, in KiB: buffers of sizes not seen before, and no more.
const GROWTH_KIB: u64 = 48 * 1024;

/// What filters of a chain look for in requests.
pub(super) const FILTER_WORDS: &[&[u8]] = &[
    b"content-type: application/grpc-web\r\n",
    b"content-type: application/grpc-web-text\r\n",
    b"accept: application/grpc-web-text\r\n",
    b"transfer-encoding: chunked\r\n",
    b"content-length: 5\r\n",
    b"origin: http://page.test\r\n",
    b"access-control-request-method: PUT\r\n",
    b"OPTIONS /",
    b"AAAAAANhYmM=",
    b"=",
    b"====",
    b"4\r\nAAAA\r\n",
    b"?a=1&b",
    b"%",
    b"&",
    b"trailer: x\r\n",
];

/// Whose bytes the inputs are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

/// Every filter that reads or changes what clients send.
const FILTERS: &str = "
          - name: web
            typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb}
          - name: changes
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
              mutations:
                request_mutations:
                - append: {header: {key: x-said, value: '%REQ(:path)% %REQ(origin)%'}}
                - remove_on_match: {key_matcher: {prefix: x-a}}
                query_parameter_mutations:
                - append: {record: {key: a, value: '%REQ(accept)%'}, action: OVERWRITE_IF_EXISTS_OR_ADD}
                - remove: b
                request_trailers_mutations: [{remove: x}]
                response_mutations: [{append: {header: {key: x-back, value: '%REQ(x-said)%'}}}]
          - name: cors
            typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}
          - name: buffer
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer
              max_request_bytes: 64";

struct Wire {
    proxy: Proxy,
    upstream: Upstream,
    side: Side,
    http2: bool,
    probe: Option<TcpStream>,
    ran: u64,
    settled_kib: u64,
}

pub(super) fn http1_server(settings: &Settings) -> Result<Box<dyn Runner>> {
    Wire::start(settings, Side::Client, false)
}

pub(super) fn h2_server(settings: &Settings) -> Result<Box<dyn Runner>> {
    Wire::start(settings, Side::Client, true)
}

pub(super) fn filters(settings: &Settings) -> Result<Box<dyn Runner>> {
    Wire::with(settings, (Side::Client, false), FILTERS)
}

pub(super) fn http1_upstream(settings: &Settings) -> Result<Box<dyn Runner>> {
    Wire::start(settings, Side::Upstream, false)
}

pub(super) fn h2_upstream(settings: &Settings) -> Result<Box<dyn Runner>> {
    Wire::start(settings, Side::Upstream, true)
}

impl Wire {
    fn start(settings: &Settings, side: Side, http2: bool) -> Result<Box<dyn Runner>> {
        Self::with(settings, (side, http2), "")
    }

    /// With these filters before the router.
    fn with(
        settings: &Settings,
        (side, http2): (Side, bool),
        filters: &str,
    ) -> Result<Box<dyn Runner>> {
        let upstream = Upstream::start()?;
        let http2_upstream = http2 && side == Side::Upstream;
        let proxy = Proxy::start(settings, upstream.address(), http2_upstream, filters)?;
        let wire = Self { proxy, upstream, side, http2, probe: None, ran: 0, settled_kib: 0 };
        Ok(Box::new(wire))
    }

    /// Sends what a client sends, ends, and reads what comes.
    fn exchange(&self, request: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        // The proxy may close at any time; whether it does is part of what is seen.
        if let Ok(mut stream) = connect(self.proxy.address()) {
            let _ = stream.write_all(request);
            let _ = stream.shutdown(Shutdown::Write);
            read_for(&mut stream, ANSWER, &mut answer);
        }
        answer
    }

    fn must_serve(&mut self) -> Result<()> {
        let kept = self.probe.take().filter(|stream| asked(stream).is_some());
        let serves = kept.or_else(|| {
            let fresh = connect(self.proxy.address()).ok()?;
            asked(&fresh)?;
            Some(fresh)
        });
        self.probe = serves;
        ensure!(self.probe.is_some(), "the proxy no longer serves: {}", self.proxy.last_words());
        Ok(())
    }

    fn must_not_grow(&mut self) -> Result<()> {
        self.ran += 1;
        if self.ran == SETTLED {
            self.settled_kib = self.proxy.resident_kib()?;
        }
        if self.ran > SETTLED && self.ran.is_multiple_of(200) {
            let now = self.proxy.resident_kib()?;
            let (before, ran) = (self.settled_kib, self.ran);
            ensure!(
                now <= before + GROWTH_KIB,
                "resident memory grew from {before} KiB after {SETTLED} inputs to {now} KiB after {ran}"
            );
        }
        Ok(())
    }
}

impl Runner for Wire {
    fn run(&mut self, input: &[u8]) -> Result<Behaviour> {
        let behaviour = match self.side {
            Side::Client => {
                let answer = self.exchange(input);
                if self.http2 { frames(&answer) } else { statuses(&answer) }
            }
            Side::Upstream => {
                self.upstream.answer(Answer { bytes: input.to_vec(), http2: self.http2 });
                // What the upstream answers means different things to different methods.
                let method = ["GET", "HEAD", "POST"].get(input.len() % 3).unwrap_or(&"GET");
                let body = if *method == "POST" { "content-length: 2\r\n\r\nhi" } else { "\r\n" };
                let request =
                    format!("{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{body}");
                statuses(&self.exchange(request.as_bytes()))
            }
        };
        self.must_serve()?;
        self.must_not_grow()?;
        Ok(behaviour)
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(ANSWER))?;
    Ok(stream)
}

/// Asks what needs no upstream; `Some` when it was answered.
fn asked(mut stream: &TcpStream) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(b"GET /probe HTTP/1.1\r\nhost: a\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while !answer.ends_with(b"alive") {
        let length = stream.read(&mut part).ok().filter(|&length| length > 0)?;
        answer.extend_from_slice(part.get(..length)?);
    }
    answer.starts_with(b"HTTP/1.1 200").then_some(())
}

/// Reads until the end, for a while, up to a bound.
fn read_for(stream: &mut TcpStream, time: Duration, into: &mut Vec<u8>) {
    let end = Instant::now() + time;
    let mut part = [0; 8192];
    while into.len() < MOST {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match stream.read(&mut part) {
            Ok(0) => return,
            Ok(length) => into.extend_from_slice(part.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The statuses of HTTP/1.1 responses.
fn statuses(answer: &[u8]) -> Behaviour {
    let text = String::from_utf8_lossy(answer);
    let found = text.match_indices("HTTP/1.").filter_map(|(at, _)| text.get(at + 8..at + 12));
    Behaviour::of(found.take(8).collect::<Vec<_>>())
}

/// Kinds and flags of frames, and the codes of those that tell of errors.
fn frames(mut answer: &[u8]) -> Behaviour {
    let mut seen = Vec::new();
    while let Some((&[l0, l1, l2, kind, flags, ..], rest)) = answer.split_first_chunk::<9>() {
        let length = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
        let (payload, after) = rest.split_at(length.min(rest.len()));
        let code = match kind {
            3 => payload.get(..4),
            7 => payload.get(4..8),
            _ => None,
        };
        seen.push((kind, flags, code.map(<[u8]>::to_vec)));
        answer = after;
    }
    seen.truncate(12);
    Behaviour::of(seen)
}
