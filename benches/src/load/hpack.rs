//! Header blocks (RFC 7541) of a message that never varies.
//!
//! The first block on a connection puts its fields into the peer's dynamic table, all
//! later ones are indices: what ordinary clients and servers do with repeated fields,
//! and so what proxies must be measured with.

/// A field whose name stands in the static table.
pub(crate) struct Field<'a> {
    /// Index of the name in the static table, 1 to 61.
    pub name: u8,
    /// The value, at most 126 bytes.
    pub value: &'a str,
}

/// The first and all later encodings of the same field list.
pub(crate) struct Block {
    first: Vec<u8>,
    later: Vec<u8>,
}

/// What the peer must let us keep in its table: see [`Block::new`].
pub(crate) const TABLE_NEEDED: u32 = 1024;

const INDEXED: u8 = 0x80;
const WITH_INDEXING: u8 = 0x40;
/// The first index of the dynamic table: its newest entry.
const NEWEST: u8 = 62;

impl Block {
    /// Fields that stand whole in the static table by index, then the others. The
    /// latter may take at most [`TABLE_NEEDED`] bytes of table, which the caller's few
    /// short fields never reach; a longer value than 126 bytes does not fit.
    pub(crate) fn new(indexed: &[u8], fields: &[Field<'_>]) -> Option<Self> {
        let mut first: Vec<u8> = indexed.iter().map(|index| INDEXED | index).collect();
        let mut later = first.clone();
        let count = u8::try_from(fields.len()).ok()?;
        for (position, field) in (0..count).zip(fields) {
            let length = u8::try_from(field.value.len()).ok().filter(|&n| n < 127)?;
            first.push(WITH_INDEXING | field.name);
            first.push(length);
            first.extend_from_slice(field.value.as_bytes());
            later.push(INDEXED | (NEWEST + count - 1 - position));
        }
        Some(Self { first, later })
    }

    /// The block to send, when `sent` tells whether one went out on this connection.
    pub(crate) fn bytes(&self, sent: bool) -> &[u8] {
        if sent { &self.later } else { &self.first }
    }
}

/// Whether a response's block begins with `:status: 200`, the static table's entry 8.
/// Size updates of the dynamic table may stand before it (RFC 7541 §4.2).
pub(crate) fn is_ok(block: &[u8]) -> bool {
    let mut rest = block.iter();
    while let Some(&byte) = rest.next() {
        if byte & 0xe0 != 0x20 {
            return byte == INDEXED | 8;
        }
        // A five-bit prefix of ones goes on in bytes whose top bit says "more".
        if byte & 0x1f == 0x1f {
            while rest.next().is_some_and(|more| more & 0x80 != 0) {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_blocks_point_at_what_the_first_put_in() {
        let fields = [Field { name: 1, value: "a" }, Field { name: 4, value: "/b" }];
        let block = Block::new(&[2, 6], &fields).unwrap();
        assert_eq!(block.bytes(false), b"\x82\x86\x41\x01a\x44\x02/b");
        assert_eq!(block.bytes(true), b"\x82\x86\xbf\xbe");
    }

    #[test]
    fn a_value_beyond_one_length_byte_is_refused() {
        let long = "x".repeat(127);
        let field = Field { name: 1, value: &long };
        assert!(Block::new(&[], &[field]).is_none());
    }

    #[test]
    fn status_is_found_behind_size_updates() {
        assert!(is_ok(b"\x88\x5c"));
        assert!(is_ok(b"\x20\x3f\xe1\x1f\x88"));
        assert!(!is_ok(b"\x8d"));
        assert!(!is_ok(b"\x20"));
        assert!(!is_ok(b""));
    }
}
