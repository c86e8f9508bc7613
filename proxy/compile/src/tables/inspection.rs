//! What is found out of a connection before its chain is chosen.

use std::{sync::Arc, time::Duration};

use weft_telemetry::InspectionStats;

pub use weft_resources::{
    KeptTlvs, ListenerFilter, ListenerFilterKind, PortRule, ProxyProtocol as ProxyProtocolRules,
};

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
