//! Header compression for HTTP/2: HPACK, RFC 7541.
//!
//! A connection has one [`Decoder`] for what its peer sends and one [`Encoder`] for what it sends
//! itself. Both are pure: bytes in, fields out, and the other way round. They know nothing of frames,
//! so the caller hands over whole header blocks, with those of CONTINUATION frames appended.
//!
//! ```
//! use std::ops::ControlFlow;
//! use bytes::BytesMut;
//! use http::{HeaderValue, Method, header::ACCEPT};
//! use weft_hpack::{Decoder, Encoder, Field};
//!
//! let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
//! let mut out = BytesMut::new();
//! let mut block = encoder.block(&mut out);
//! block.method(&Method::GET);
//! block.field(&ACCEPT, &HeaderValue::from_static("*/*"));
//!
//! let mut fields = Vec::new();
//! decoder.decode(&out, |field, _size| {
//!     fields.push(field);
//!     ControlFlow::Continue(())
//! })?;
//! let accept = Field::Header(ACCEPT, HeaderValue::from_static("*/*"));
//! assert_eq!(fields, [Field::Method(Method::GET), accept]);
//! # Ok::<(), weft_hpack::DecodeError>(())
//! ```
//!
//! # What it costs
//!
//! The decoder keeps fields in its table as they are handed out, so that a field that is referred to is
//! a copy of a reference and never parsed again. A literal is copied once, into memory of its own: parts
//! of one shared buffer took as long, because each counts references where the allocator's fast path
//! does not, and a value that is kept would keep the whole buffer. Common names and values take no
//! memory.
//!
//! The encoder finds a field by one hash, and puts one into its table only when it was seen before: what
//! never repeats displaces nothing. It writes strings as they are: Huffman code made a request with a
//! new path and identifier 71 bytes instead of 92, but took the decoder 2 ns longer for every byte of
//! text, and would take the encoder time too. What repeats is one byte either way.

mod common;
mod decoder;
mod encoder;
mod error;
mod field;
mod hash;
mod huffman;
mod integer;
mod known;
mod places;
mod static_table;

pub use decoder::Decoder;
pub use encoder::{Block, Encoder};
pub use error::DecodeError;
pub use field::{Field, Malformed, Pseudo};

/// What a field costs beyond the bytes of its name and value (RFC 7541 §4.1).
pub const FIELD_OVERHEAD: usize = 32;

/// Size of the dynamic tables before anything else is agreed (RFC 9113 §6.5.2).
pub const DEFAULT_TABLE_SIZE: usize = 4096;
