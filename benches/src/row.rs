//! The rows of the table: what is asked of every peer.

use serde::Serialize;

use crate::load::{Backends, Engine, Load, Protocol, Reuse};
use crate::peers::Front;

/// The virtual host that all requests ask for.
pub const AUTHORITY: &str = "bench.local";

/// One kind of traffic.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row {
    /// What `--only` takes and the table shows.
    pub name: &'static str,
    /// What stands behind the name, for readers.
    pub summary: &'static str,
    #[serde(skip)]
    protocol: Protocol,
    #[serde(skip)]
    reuse: Reuse,
    /// The response body, in bytes.
    pub body: usize,
    /// Client connections.
    pub connections: usize,
    /// Requests in flight per connection.
    pub streams: usize,
    /// Requests per second of the open-loop run: about 40 % of what the slowest peer
    /// can do, so that latencies are those of a proxy that is busy and not drowned.
    pub rate: u32,
}

impl Row {
    /// A row of kept connections with one request in flight on each; what differs is
    /// said where it is listed.
    const fn kept(name: &'static str, summary: &'static str, protocol: Protocol) -> Self {
        Self {
            name,
            summary,
            protocol,
            reuse: Reuse::KeepAlive,
            body: Engine::SMALL,
            connections: 32,
            streams: 1,
            rate: 12000,
        }
    }

    /// Another body, and the rate that goes with it.
    const fn carrying(self, body: usize, rate: u32) -> Self {
        Self { body, rate, ..self }
    }

    /// Other numbers of connections and of requests in flight on each.
    const fn over(self, connections: usize, streams: usize) -> Self {
        Self { connections, streams, ..self }
    }

    const fn connecting(self) -> Self {
        Self { reuse: Reuse::PerRequest, ..self }
    }

    const fn at(self, rate: u32) -> Self {
        Self { rate, ..self }
    }
}

/// All rows, in the order of the table.
pub const ROWS: [Row; 14] = {
    use Protocol::{GrpcStream, GrpcUnary, H2c, Http1, Tcp, WebSocket};
    [
        Row::kept("http1-64b", "HTTP/1.1, 32 kept connections, 64-byte body", Http1),
        Row::kept("http1-64k", "HTTP/1.1, 32 kept connections, 64-KiB body", Http1)
            .carrying(Engine::LARGE, 4000),
        Row::kept("http1-1m", "HTTP/1.1, 8 kept connections, 1-MiB body", Http1)
            .carrying(Engine::HUGE, 300)
            .over(8, 1),
        Row::kept("http1-256c", "HTTP/1.1, 256 kept connections, 64-byte body", Http1).over(256, 1),
        Row::kept("h2c-64b", "h2c, 4 connections × 16 streams, 64-byte body", H2c)
            .over(4, 16)
            .at(20000),
        Row::kept("h2c-64k", "h2c, 4 connections × 16 streams, 64-KiB body", H2c)
            .carrying(Engine::LARGE, 3000)
            .over(4, 16),
        Row::kept("h2c-1m", "h2c, 4 connections × 2 streams, 1-MiB body", H2c)
            .carrying(Engine::HUGE, 200)
            .over(4, 2),
        Row::kept("connect-64b", "HTTP/1.1, a new connection per request, 64-byte body", Http1)
            .connecting()
            .at(6000),
        Row::kept("connect-64k", "HTTP/1.1, a new connection per request, 64-KiB body", Http1)
            .connecting()
            .carrying(Engine::LARGE, 4000),
        Row::kept("grpc-unary", "gRPC, 4 connections × 16 calls, 64-byte messages", GrpcUnary)
            .over(4, 16)
            .at(15000),
        Row::kept(
            "grpc-stream",
            "gRPC, 4 connections × 16 streams, 64 bytes to and fro",
            GrpcStream,
        )
        .over(4, 16)
        .at(15000),
        Row::kept("websocket", "WebSocket, 32 connections, 64-byte messages to and fro", WebSocket),
        Row::kept("tcp-64b", "TCP, 32 connections, 64 bytes to and fro", Tcp),
        Row::kept("tcp-1m", "TCP, 8 connections, 64 bytes there and 1 MiB back", Tcp)
            .carrying(Engine::HUGE, 400)
            .over(8, 1),
    ]
};

impl Row {
    /// What is spoken.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether what it leaves open, idle, can be measured: connections by the thousand.
    pub fn has_idle_connections(&self) -> bool {
        self.reuse == Reuse::KeepAlive && self.body == Engine::SMALL
    }

    /// The load of this row on a listener.
    pub fn load(&self, front: Front) -> Load {
        let (path, pick): (_, fn(&Backends) -> _) = match self.body {
            Engine::SMALL => ("/small/item", |backends| backends.small),
            Engine::LARGE => ("/large/item", |backends| backends.large),
            _ => ("/huge/item", |backends| backends.huge),
        };
        Load {
            target: match front {
                Front::Proxy(address) => address,
                Front::Backend(backends) => pick(&backends),
            },
            protocol: self.protocol,
            reuse: self.reuse,
            authority: AUTHORITY,
            path,
            body: self.body,
            connections: self.connections,
            streams: self.streams,
        }
    }
}
