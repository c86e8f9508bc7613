//! HTTP/2 (RFC 9113) as a machine without IO, for both ends of a connection.
//!
//! Bytes go in by [`Connection::receive`], which returns one [`Event`] at a time; commands are methods
//! of [`Connection`]; bytes come out of [`Connection::output`], as few and as large pieces as there
//! can be. The machine belongs to one thread: it knows no lock, no clock and no randomness.
//!
//! What it holds is bounded, whatever the peer sends:
//!
//! * it queues no body: [`Connection::send_data`] takes what both windows and the output have room
//!   for, and [`Connection::next_writable`] says who may go on;
//! * it grants window only for bytes that the consumer has taken ([`Connection::release`]);
//! * heads are bounded in bytes and fields ([`Settings`]), streams in number;
//! * what a peer may make it write or do for nothing is counted ([`Violation`] names each flood).

mod assembly;
mod budget;
mod connection;
mod control;
mod error;
mod event;
mod frame;
mod ignored;
mod messages;
mod output;
mod receive;
mod send;
mod settings;
mod stream;
mod window;

pub use connection::{Connection, Role};
pub use error::{Code, ConnectionError, Violation};
pub use event::{Event, Protocol, ResetCause, StreamKey};
pub use output::Output;
pub use send::{Gone, NotOpened, RequestHead};
pub use settings::Settings;

/// What a client says first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
