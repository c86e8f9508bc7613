//! Fields into header blocks (RFC 7541 §6).
//!
//! Strings are written as they are, without Huffman code.

mod table;

use bytes::BytesMut;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::{
    DEFAULT_TABLE_SIZE, integer,
    known::{self, Use},
    static_table,
};
use table::{Name, Table};

/// The most that we use of what a peer offers: more repeats little more, and costs memory on both sides.
const MAX_TABLE_SIZE: usize = DEFAULT_TABLE_SIZE;

/// The sending side of a connection's header compression.
///
/// A new one holds no memory but itself; its table holds at most [`DEFAULT_TABLE_SIZE`] bytes as
/// RFC 7541 §4.1 counts them, or what the peer allows if that is less.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    update: Option<SizeUpdate>,
}

/// What the next block must say of the table's size (RFC 7541 §4.2).
#[derive(Clone, Copy, Debug)]
struct SizeUpdate {
    lowest: usize,
    last: usize,
}

/// One header block being written; see [`Encoder::block`].
///
/// Pseudo-headers come before other fields, and requests have other ones than responses
/// (RFC 9113 §8.3): both are up to the caller.
#[derive(Debug)]
pub struct Block<'a> {
    table: &'a mut Table,
    out: &'a mut BytesMut,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder that uses the default table size.
    #[must_use]
    pub fn new() -> Self {
        Self { table: Table::new(MAX_TABLE_SIZE), update: None }
    }

    /// Takes over the peer's SETTINGS_HEADER_TABLE_SIZE; to be called before the settings are
    /// acknowledged. The next block tells the peer what changes.
    pub fn set_peer_max_table_size(&mut self, max: usize) {
        self.resize(max.min(MAX_TABLE_SIZE));
    }

    /// Gives back the memory of the table, for a connection that went idle. The next block tells the
    /// peer that it is empty.
    pub fn shrink(&mut self) {
        let size = self.table.capacity();
        self.resize(0);
        self.table.shrink();
        self.resize(size);
    }

    fn resize(&mut self, size: usize) {
        if size == self.table.capacity() {
            return;
        }
        let lowest = self.update.map_or(size, |update| update.lowest.min(size));
        self.update = Some(SizeUpdate { lowest, last: size });
        self.table.resize(size);
    }

    /// Begins a header block at the end of `out`. Its bytes are whole when the last field was written.
    pub fn block<'a>(&'a mut self, out: &'a mut BytesMut) -> Block<'a> {
        if let Some(SizeUpdate { lowest, last }) = self.update.take() {
            if lowest < last {
                integer::encode(0x20, 5, lowest, out);
            }
            integer::encode(0x20, 5, last, out);
        }
        Block { table: &mut self.table, out }
    }
}

/// How a field is written that is in no table (RFC 7541 §6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Literal {
    /// Its first byte.
    flags: u8,
    /// How many bits of that are left for the name.
    bits: u32,
}

const INDEXED: Literal = Literal { flags: 0x40, bits: 6 };
const UNINDEXED: Literal = Literal { flags: 0x00, bits: 4 };
const NEVER_INDEXED: Literal = Literal { flags: 0x10, bits: 4 };

/// More than the integers before a name and a value take.
const PREFIXES: usize = 16;

impl Block<'_> {
    /// `:authority`.
    pub fn authority(&mut self, authority: &[u8]) {
        self.known(b":authority", authority, Use::Repeats);
    }

    /// `:method`.
    pub fn method(&mut self, method: &Method) {
        match *method {
            Method::GET => self.index(2),
            Method::POST => self.index(3),
            _ => self.known(b":method", method.as_str().as_bytes(), Use::Repeats),
        }
    }

    /// `:path`, with its query, which is in no table because it may hold a secret or anything else.
    pub fn path(&mut self, path: &[u8]) {
        match path {
            b"/" => self.index(4),
            _ => {
                let values = if path.contains(&b'?') { Use::Varies } else { Use::Repeats };
                self.known(b":path", path, values);
            }
        }
    }

    /// `:protocol` of an extended CONNECT.
    pub fn protocol(&mut self, protocol: &[u8]) {
        self.known(b":protocol", protocol, Use::Repeats);
    }

    /// `:scheme`.
    pub fn scheme(&mut self, scheme: &[u8]) {
        match scheme {
            b"http" => self.index(6),
            b"https" => self.index(7),
            _ => self.known(b":scheme", scheme, Use::Repeats),
        }
    }

    /// `:status`.
    pub fn status(&mut self, status: StatusCode) {
        match status.as_u16() {
            200 => self.index(8),
            204 => self.index(9),
            206 => self.index(10),
            304 => self.index(11),
            400 => self.index(12),
            404 => self.index(13),
            500 => self.index(14),
            _ => self.known(b":status", status.as_str().as_bytes(), Use::Repeats),
        }
    }

    /// A field that is no pseudo-header. Its value goes into no table, here or at the peer, when it is
    /// sensitive or the field is one that holds secrets (RFC 7541 §7.1.3).
    pub fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        let (id, values) = match known::id(name.as_str().as_bytes()) {
            Some(id) => (Name::Known(id), known::get(id).map_or(Use::Repeats, |it| it.values)),
            None => (Name::Other(name), Use::Repeats),
        };
        let values = if value.is_sensitive() { Use::Secret } else { values };
        self.write(id, value.as_bytes(), values);
    }

    fn known(&mut self, name: &[u8], value: &[u8], values: Use) {
        if let Some(id) = known::id(name) {
            self.write(Name::Known(id), value, values);
        }
    }

    fn write(&mut self, name: Name<'_>, value: &[u8], values: Use) {
        match values {
            Use::Repeats => match self.table.find(name, value) {
                Some(age) => self.index(static_table::LEN + 1 + age),
                None if self.table.worth(name, value) => self.literal(INDEXED, name, value),
                None => self.literal(UNINDEXED, name, value),
            },
            Use::Secret => self.literal(NEVER_INDEXED, name, value),
            Use::Varies => self.literal(UNINDEXED, name, value),
        }
    }

    #[inline]
    fn index(&mut self, index: usize) {
        integer::encode(0x80, 7, index, self.out);
    }

    fn literal(&mut self, literal: Literal, name: Name<'_>, value: &[u8]) {
        let index = self.name(name);
        // With a name that comes again, its value goes into the table too, so that the name can be
        // referred to.
        let literal = match literal {
            UNINDEXED if index == 0 && self.table.familiar(name, value) => INDEXED,
            as_it_is => as_it_is,
        };
        self.out.reserve(value.len() + PREFIXES);
        integer::encode(literal.flags, literal.bits, index, self.out);
        if index == 0 {
            self.text(name.as_str().as_bytes());
        }
        self.text(value);
        if literal == INDEXED {
            self.table.insert(name, value);
        }
    }

    /// Where a table has the name; 0 when none does.
    fn name(&self, name: Name<'_>) -> usize {
        match name.index() {
            0 => self.table.find_name(name).map_or(0, |age| static_table::LEN + 1 + age),
            index => index,
        }
    }

    fn text(&mut self, text: &[u8]) {
        integer::encode(0, 7, text.len(), self.out);
        self.out.extend_from_slice(text);
    }
}
