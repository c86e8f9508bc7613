//! Two small applications on top of the machine: an echo server and a client that checks echoes.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

pub(crate) mod raw;

use std::{
    collections::{HashMap, VecDeque},
    io::IoSlice,
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use weft_h2::{
    Code, Connection, ConnectionError, Event, RequestHead, ResetCause, Role, Settings, StreamKey,
};

/// What is sent on one stream.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    pub(crate) data: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) complete: bool,
}

/// What has come on one stream.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) request: Option<Request<()>>,
    pub(crate) response: Option<Response<()>>,
    pub(crate) informational: Vec<StatusCode>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) ended: bool,
    pub(crate) reset: Option<ResetCause>,
}

/// One end: a machine, what waits for it, and what has come.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) machine: Connection,
    pub(crate) input: BytesMut,
    pub(crate) sending: HashMap<StreamKey, Sending>,
    pub(crate) received: HashMap<StreamKey, Received>,
    pub(crate) unreleased: VecDeque<(StreamKey, usize)>,
    pub(crate) failed: Option<ConnectionError>,
    pub(crate) refused: Vec<weft_h2::Violation>,
    pub(crate) pongs: Vec<u64>,
    pub(crate) goaway: Option<Code>,
}

impl End {
    pub(crate) fn new(role: Role, settings: Settings) -> Self {
        Self {
            machine: Connection::new(role, settings),
            input: BytesMut::new(),
            sending: HashMap::new(),
            received: HashMap::new(),
            unreleased: VecDeque::new(),
            failed: None,
            refused: Vec::new(),
            pongs: Vec::new(),
            goaway: None,
        }
    }

    /// Up to `most` bytes of output, taken as a writer would.
    pub(crate) fn write(&mut self, most: usize) -> Vec<u8> {
        let output = self.machine.output();
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = output.chunks(&mut slices);
        let mut bytes: Vec<u8> = slices[..filled].iter().flat_map(|it| it.to_vec()).collect();
        bytes.truncate(most);
        output.advance(bytes.len());
        bytes
    }

    pub(crate) fn write_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while !self.machine.output().is_empty() {
            all.extend(self.write(usize::MAX));
        }
        all
    }

    /// Reads, handles all events, and goes on with what waited for windows.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        loop {
            match self.machine.receive(&mut self.input) {
                Ok(Some(event)) => self.handle(event),
                Ok(None) => break,
                Err(error) => {
                    self.failed = Some(error);
                    return;
                }
            }
        }
        self.pump();
    }

    pub(crate) fn pump(&mut self) {
        while let Some(key) = self.machine.next_writable() {
            self.send(key);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Request { stream, head, end } => {
                let received = self.received.entry(stream).or_default();
                received.request = Some(head);
                received.ended = end;
                if end {
                    self.echo(stream);
                }
            }
            Event::Response { stream, head, end } => {
                let received = self.received.entry(stream).or_default();
                received.response = Some(head);
                received.ended = end;
            }
            Event::Informational { stream, head } => {
                self.received.entry(stream).or_default().informational.push(head.status());
            }
            Event::Data { stream, data, end } => {
                let received = self.received.entry(stream).or_default();
                received.body.extend_from_slice(&data);
                received.ended = end;
                self.unreleased.push_back((stream, data.len()));
                if end {
                    self.echo(stream);
                }
            }
            Event::Trailers { stream, fields } => {
                let received = self.received.entry(stream).or_default();
                received.trailers = Some(fields);
                received.ended = true;
                self.echo(stream);
            }
            Event::Reset { stream, cause } => {
                self.received.entry(stream).or_default().reset = Some(cause);
                self.sending.remove(&stream);
            }
            Event::Refused(violation) => self.refused.push(violation),
            Event::GoAway { code } => self.goaway = Some(code),
            Event::Pong(payload) => self.pongs.push(payload),
        }
    }

    /// Releases the oldest data that is held.
    pub(crate) fn release(&mut self) {
        if let Some((key, n)) = self.unreleased.pop_front() {
            self.machine.release(key, u32::try_from(n).unwrap());
        }
    }

    /// Answers a complete request with its own body and trailers.
    fn echo(&mut self, key: StreamKey) {
        let received = &self.received[&key];
        if received.request.is_none() {
            return;
        }
        let (data, trailers) = (received.body.clone().into(), received.trailers.clone());
        let head = received.request.as_ref().unwrap().headers().clone();
        let end = received.body.is_empty() && trailers.is_none();
        self.machine.respond(key, StatusCode::EARLY_HINTS, &HeaderMap::new(), false).unwrap();
        self.machine.respond(key, StatusCode::OK, &head, end).unwrap();
        if !end {
            self.sending.insert(key, Sending { data, trailers, complete: true });
            self.send(key);
        }
    }

    /// Sends what there is room for.
    pub(crate) fn send(&mut self, key: StreamKey) {
        let Some(sending) = self.sending.get_mut(&key) else { return };
        let end = sending.complete && sending.trailers.is_none();
        let Ok(all) = self.machine.send_data(key, &mut sending.data, end) else {
            self.sending.remove(&key);
            return;
        };
        if all && sending.complete {
            let sending = self.sending.remove(&key).unwrap();
            if let Some(trailers) = sending.trailers {
                self.machine.send_trailers(key, &trailers).unwrap();
            }
        }
    }

    /// Asks for an echo.
    pub(crate) fn request(
        &mut self,
        body: Bytes,
        fields: &HeaderMap,
        trailers: bool,
    ) -> Option<StreamKey> {
        let end = body.is_empty() && !trailers;
        let method = if end { Method::GET } else { Method::POST };
        let head = RequestHead {
            method: &method,
            scheme: "http",
            authority: b"echo.test",
            path: "/some/path?x=1",
            protocol: None,
            headers: fields,
        };
        let key = self.machine.open(head, end).ok()?;
        if !end {
            let trailers = trailers.then(|| map(&[("x-end", "1")]));
            self.sending.insert(key, Sending { data: body, trailers, complete: true });
            self.send(key);
        }
        Some(key)
    }
}

pub(crate) fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

/// Moves bytes both ways until nothing moves.
pub(crate) fn exchange(client: &mut End, server: &mut End) {
    loop {
        let (up, down) = (client.write_all(), server.write_all());
        if up.is_empty() && down.is_empty() {
            return;
        }
        server.read(&up);
        client.read(&down);
        for end in [&mut *client, &mut *server] {
            while !end.unreleased.is_empty() {
                end.release();
            }
        }
    }
}

/// A frame as raw bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// All frames in `bytes`: kind, flags, stream and payload.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let length = usize::try_from(bytes.get_uint(3)).unwrap();
        let (kind, flags, stream) = (bytes.get_u8(), bytes.get_u8(), bytes.get_u32());
        frames.push((kind, flags, stream, bytes[..length].to_vec()));
        bytes.advance(length);
    }
    frames
}
