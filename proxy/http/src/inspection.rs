//! What is found out of a connection before its chain is chosen (listener filters).
//!
//! A connection that says nothing holds no buffer here, and the buffers of all that have begun to say
//! something are bounded together: a flood of half-said things is cut off, not stored.

use std::{cell::Cell, io, sync::Arc, time::Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::time::timeout;
use weft_compile::{Listener, ListenerFilter, ListenerFilterKind, ProxyProtocolRules};
use weft_net::{
    ClientHello, Hello, HttpLine, PeerAddress, ProxyHeader, ProxyVersion, Stream, Told,
    inspect_client_hello, inspect_http_line, inspect_proxy_header,
};
use weft_telemetry::{GaugeGuard, InspectionStats};

use crate::{
    client::Client,
    phase::{PhaseCell, unless_closing},
};

/// Bytes of the first read: most hellos and request heads.
const FIRST_READ: usize = 2048;
/// Bytes that all connections of a worker may hold while they are looked at.
const MAX_HELD: usize = 32 << 20;

/// Why a connection does not get as far as a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The client closed.
    Gone,
    /// It broke, a filter does not let it through, or there is no room for what it says.
    Refused,
}

/// What filters ask for next.
enum Next {
    /// This filter is done.
    Done,
    /// Not before there are this many bytes.
    Read(usize),
    /// The connection must not go on.
    Close,
}

/// Lets the listener's filters look at a connection. Returns what was read and belongs to the client's
/// own bytes; `None` closes the connection, which has been counted.
pub(crate) async fn inspect(
    phase: &PhaseCell,
    held: &HeldBytes,
    listener: &Arc<Listener>,
    (stream, begun): (&Stream, Bytes),
    client: &mut Client,
) -> Option<Bytes> {
    let stats = &listener.stats;
    let _active = GaugeGuard::raise(Arc::clone(listener), |l| &l.stats.downstream_pre_cx_active);
    let mut look = Look {
        stats: &listener.inspection.stats,
        stream,
        client,
        buffer: Buffer { bytes: begun.into(), held, counted: 0 },
    };
    let limit = listener.inspection.timeout;
    let looking = async {
        let filters = look.through(&listener.inspection.filters);
        match limit {
            None => Some(filters.await),
            Some(limit) => timeout(limit, filters).await.ok(),
        }
    };
    let outcome = unless_closing(phase, looking).await?;
    match outcome {
        Some(Ok(())) => {}
        Some(Err(Stop::Gone)) => {
            stats.downstream_listener_filter_remote_close.inc();
            return None;
        }
        Some(Err(Stop::Refused)) => {
            stats.downstream_listener_filter_error.inc();
            return None;
        }
        None => {
            stats.downstream_pre_cx_timeout.inc();
            if !listener.inspection.continue_on_timeout {
                return None;
            }
        }
    }
    Some(look.buffer.take())
}

/// Filters at work on one connection.
struct Look<'a> {
    stats: &'a InspectionStats,
    stream: &'a Stream,
    client: &'a mut Client,
    buffer: Buffer<'a>,
}

impl Look<'_> {
    async fn through(&mut self, filters: &[ListenerFilter]) -> Result<(), Stop> {
        for filter in filters {
            if let Some(rule) = &filter.disabled {
                let destination = self.client.destination(self.stream);
                if rule.holds(destination.map(|at| at.port())) {
                    continue;
                }
            }
            loop {
                match self.ask(&filter.kind) {
                    Next::Done => break,
                    Next::Read(need) => self.buffer.fill(self.stream, need).await?,
                    Next::Close => return Err(Stop::Refused),
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, filter: &ListenerFilterKind) -> Next {
        match filter {
            ListenerFilterKind::OriginalDst => {
                let local = self.stream.local_address();
                let meant_for = self.stream.original_destination().filter(|at| Some(*at) != local);
                self.client.meant_for = meant_for.or(self.client.meant_for);
                Next::Done
            }
            ListenerFilterKind::TlsInspector { max_hello, close_on_error } => {
                self.tls(*max_hello, *close_on_error)
            }
            // What is inside of TLS is not to be seen.
            ListenerFilterKind::HttpInspector if self.client.is_tls => Next::Done,
            ListenerFilterKind::HttpInspector => self.http(),
            ListenerFilterKind::ProxyProtocol(rules) => self.proxy_protocol(rules),
            ListenerFilterKind::Rate(rate) if rate.admits(Instant::now()) => Next::Done,
            ListenerFilterKind::Rate(_) => Next::Close,
        }
    }

    fn tls(&mut self, max_hello: usize, close_on_error: bool) -> Next {
        let bytes = &self.buffer.bytes;
        match inspect_client_hello(bytes.get(..max_hello).unwrap_or(bytes)) {
            Hello::Incomplete(need) if need <= max_hello => return Next::Read(need),
            Hello::Incomplete(_) => {
                self.stats.client_hello_too_large.inc();
                return Next::Close;
            }
            // Where only TLS is expected, plain text is a hello that cannot be read.
            Hello::Malformed | Hello::NotTls if close_on_error => {
                self.stats.tls_not_found.inc();
                return Next::Close;
            }
            Hello::Malformed | Hello::NotTls => self.stats.tls_not_found.inc(),
            Hello::Complete(hello) => self.hello(hello),
        }
        Next::Done
    }

    fn hello(&mut self, hello: ClientHello) {
        let stats = self.stats;
        let ClientHello { server_name, application_protocols } = hello;
        stats.tls_found.inc();
        if server_name.is_some() { &stats.sni_found } else { &stats.sni_not_found }.inc();
        if application_protocols.is_empty() { &stats.alpn_not_found } else { &stats.alpn_found }
            .inc();
        self.client.is_tls = true;
        self.client.server_name = server_name;
        self.client.application_protocols = application_protocols;
    }

    fn http(&mut self) -> Next {
        let (found, protocol) = match inspect_http_line(&self.buffer.bytes) {
            HttpLine::Incomplete(need) => return Next::Read(need),
            HttpLine::Http2 => (&self.stats.http2_found, "h2c"),
            HttpLine::Http11 => (&self.stats.http11_found, "http/1.1"),
            HttpLine::Http10 => (&self.stats.http10_found, "http/1.0"),
            HttpLine::Other => {
                self.stats.http_not_found.inc();
                return Next::Done;
            }
        };
        found.inc();
        self.client.application_protocols = vec![protocol.into()];
        Next::Done
    }

    fn proxy_protocol(&mut self, rules: &ProxyProtocolRules) -> Next {
        let of = |version| match version {
            ProxyVersion::V1 => (&self.stats.proxy_v1, rules.version_1),
            ProxyVersion::V2 => (&self.stats.proxy_v2, rules.version_2),
        };
        match inspect_proxy_header(&self.buffer.bytes, |kind| rules.wants(kind)) {
            ProxyHeader::Incomplete(need) => Next::Read(need),
            ProxyHeader::Absent if rules.required => {
                self.stats.proxy_not_found_disallowed.inc();
                Next::Close
            }
            ProxyHeader::Absent => {
                self.stats.proxy_not_found_allowed.inc();
                Next::Done
            }
            ProxyHeader::Malformed(version, error) => {
                of(version).0.error.inc();
                tracing::debug!(peer = ?self.client.direct_peer, %error, "refused");
                Next::Close
            }
            ProxyHeader::Complete(told) => match of(told.version) {
                (stats, true) => {
                    stats.found.inc();
                    self.believe(told, rules);
                    Next::Done
                }
                (stats, false) => {
                    stats.disallowed.inc();
                    Next::Close
                }
            },
        }
    }

    fn believe(&mut self, told: Told, rules: &ProxyProtocolRules) {
        self.buffer.bytes.advance(told.length);
        self.client.is_told = true;
        for rule in &rules.rules {
            // Of several with the same type the last one counts.
            let found = told.tlvs.iter().rev().find(|tlv| tlv.kind == rule.kind);
            if let Some(tlv) = found {
                let values = self.client.metadata.get_or_insert_default();
                let values = values.entry(rule.namespace.clone()).or_default();
                values.insert(rule.key.clone(), sanitized(&tlv.value));
            }
        }
        self.client.tlvs = told.tlvs;
        self.client.tlvs.retain(|tlv| rules.keep.keeps(tlv.kind));
        if let Some((source, destination)) = told.addresses {
            self.client.peer = PeerAddress::Ip(source);
            if self.client.destination(self.stream) != Some(destination) {
                self.client.meant_for = Some(destination);
            }
        }
    }
}

/// As text; each byte that cannot be part of one becomes a `!`, as in Envoy.
fn sanitized(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '!'));
    }
    text.into()
}

/// Bytes that connections hold while they are looked at, all of a worker together.
#[derive(Debug, Default)]
pub(crate) struct HeldBytes(Cell<usize>);

/// What was read of a connection.
struct Buffer<'a> {
    bytes: BytesMut,
    held: &'a HeldBytes,
    /// How much of the worker's room it counts for.
    counted: usize,
}

impl Buffer<'_> {
    /// Reads until there are `need` bytes, and whatever else comes with them.
    async fn fill(&mut self, stream: &Stream, need: usize) -> Result<(), Stop> {
        while self.bytes.len() < need {
            stream.readable().await.map_err(|_| Stop::Refused)?;
            // What a client claims that will come is not made room for before it does.
            let room = self.bytes.len().max(FIRST_READ);
            if self.bytes.capacity() == self.bytes.len() {
                self.count(room)?;
                self.bytes.reserve(room);
            }
            match stream.try_read(&mut self.bytes) {
                Ok(0) => return Err(Stop::Gone),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Stop::Gone);
                }
                Err(_) => return Err(Stop::Refused),
            }
        }
        Ok(())
    }

    fn count(&mut self, room: usize) -> Result<(), Stop> {
        let all = self.held.0.get() + room;
        if all > MAX_HELD {
            return Err(Stop::Refused);
        }
        self.held.0.set(all);
        self.counted += room;
        Ok(())
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes).freeze()
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        self.held.0.set(self.held.0.get() - self.counted);
    }
}
