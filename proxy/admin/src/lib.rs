//! The admin interface of the proxy: what an operator, a health check or Prometheus asks of it.
//!
//! Paths, parameters and formats are Envoy's wherever Envoy has something of that meaning. What
//! it shows comes from a [`Source`]; what it is asked to change goes out as a [`Command`].
//!
//! Beside HTTP/1 the same port speaks h2 by prior knowledge, and on it CSDS over gRPC.
//!
//! Two things are stricter than Envoy: a parameter that is not honoured is refused by name, and
//! requests that a web page could have caused are not answered (foreign `Host`, foreign `Origin`).

mod clusters;
mod command;
mod config_dump;
mod csds;
mod endpoint;
mod events;
mod explain;
mod guard;
mod help;
mod listeners;
mod logging;
mod pieces;
mod query;
mod refusal;
mod reply;
mod router;
mod section;
mod server;
mod server_info;
mod source;
mod stats;

pub use command::{Command, LogLevel, UnknownLogLevel};
pub use events::event_json;
pub use server::{Admin, Settings};
pub use source::{
    BootstrapView, BoundListener, EventView, ServerInfo, ServerState, Source, SubscriptionError,
    SubscriptionState, SubscriptionView,
};
