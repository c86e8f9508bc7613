//! The wire format of HTTP/1 (RFC 9112), for both sides of the proxy.

pub(crate) mod encode;
pub(crate) mod fields;
pub(crate) mod framing;
mod spelling;

pub(crate) use framing::{Body, BodyLength, Malformed, Step};
pub(crate) use spelling::{Names, Spelling};
