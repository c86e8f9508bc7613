//! What is found out of a connection before its chain is chosen.

use std::{sync::Arc, time::Duration};

use weft_telemetry::InspectionStats;

pub use weft_resources::{KeptTlvs, PortRule, ProxyProtocol as ProxyProtocolRules, TlvRule};

use crate::rates::ConnectionRate;

/// `listener_filters` and their settings.
#[derive(Debug)]
pub struct Inspection {
    /// In order.
    pub filters: Box<[ListenerFilter]>,
    /// How long they may wait for bytes, all together; `None` for ever.
    pub timeout: Option<Duration>,
    /// Whether a connection goes on when that time is over; else it is closed.
    pub continue_on_timeout: bool,
    /// What is found out, all listeners together.
    pub stats: Arc<InspectionStats>,
}

/// A listener filter.
#[derive(Debug)]
pub struct ListenerFilter {
    /// What it finds out.
    pub kind: ListenerFilterKind,
    /// `filter_disabled`: connections that it leaves alone.
    pub disabled: Option<PortRule>,
}

/// What a listener filter finds out, or lets through.
#[derive(Debug)]
pub enum ListenerFilterKind {
    /// Where the client connected to before the kernel redirected it.
    OriginalDst,
    /// The server name and protocols of a TLS hello.
    TlsInspector {
        /// `max_client_hello_size`, in bytes.
        max_hello: usize,
        /// `close_connection_on_client_hello_parsing_errors`.
        close_on_error: bool,
    },
    /// Which HTTP the client begins with.
    HttpInspector,
    /// Who the client is, as a proxy in front tells.
    ProxyProtocol(ProxyProtocolRules),
    /// So many connections within a time.
    Rate(Arc<ConnectionRate>),
}
