//! The rows of the table: what is asked of every peer.

use serde::Serialize;

use crate::load::{Engine, Load, Protocol, Reuse};
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

/// All rows, in the order of the table.
pub const ROWS: [Row; 6] = [
    Row {
        name: "http1-64b",
        summary: "HTTP/1.1, 32 kept connections, 64-byte body",
        protocol: Protocol::Http1,
        reuse: Reuse::KeepAlive,
        body: Engine::SMALL,
        connections: 32,
        streams: 1,
        rate: 12000,
    },
    Row {
        name: "http1-64k",
        summary: "HTTP/1.1, 32 kept connections, 64-KiB body",
        protocol: Protocol::Http1,
        reuse: Reuse::KeepAlive,
        body: Engine::LARGE,
        connections: 32,
        streams: 1,
        rate: 4000,
    },
    Row {
        name: "h2c-64b",
        summary: "h2c, 4 connections × 16 streams, 64-byte body",
        protocol: Protocol::H2c,
        reuse: Reuse::KeepAlive,
        body: Engine::SMALL,
        connections: 4,
        streams: 16,
        rate: 20000,
    },
    Row {
        name: "h2c-64k",
        summary: "h2c, 4 connections × 16 streams, 64-KiB body",
        protocol: Protocol::H2c,
        reuse: Reuse::KeepAlive,
        body: Engine::LARGE,
        connections: 4,
        streams: 16,
        rate: 3000,
    },
    Row {
        name: "connect-64b",
        summary: "HTTP/1.1, a new connection per request, 64-byte body",
        protocol: Protocol::Http1,
        reuse: Reuse::PerRequest,
        body: Engine::SMALL,
        connections: 32,
        streams: 1,
        rate: 6000,
    },
    Row {
        name: "connect-64k",
        summary: "HTTP/1.1, a new connection per request, 64-KiB body",
        protocol: Protocol::Http1,
        reuse: Reuse::PerRequest,
        body: Engine::LARGE,
        connections: 32,
        streams: 1,
        rate: 4000,
    },
];

impl Row {
    /// What is spoken.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The load of this row on a listener.
    pub fn load(&self, front: Front) -> Load {
        let small = self.body == Engine::SMALL;
        Load {
            target: match front {
                Front::Proxy(address) => address,
                Front::Backend(backends) if small => backends.small,
                Front::Backend(backends) => backends.large,
            },
            protocol: self.protocol,
            reuse: self.reuse,
            authority: AUTHORITY,
            path: if small { "/small/item" } else { "/large/item" },
            body: self.body,
            connections: self.connections,
            streams: self.streams,
        }
    }
}
