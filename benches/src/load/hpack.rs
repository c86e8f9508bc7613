//! Header blocks (RFC 7541) of a message that never varies.
//!
//! The first block on a connection puts its fields into the peer's dynamic table, all
//! later ones are indices: what ordinary clients and servers do with repeated fields,
//! and so what proxies must be measured with.

/// Where the name of a field is from.
pub(crate) enum Name<'a> {
    /// An index of the static table, 1 to 61.
    Static(u8),
    /// Written out, at most 126 bytes.
    Plain(&'a str),
}

/// A field of a header block.
pub(crate) struct Field<'a> {
    /// Its name.
    pub name: Name<'a>,
    /// The value, at most 126 bytes.
    pub value: &'a str,
}

/// The first and all later encodings of the same field list.
pub(crate) struct Block {
    first: Vec<u8>,
    later: Vec<u8>,
    plain: Vec<u8>,
}

/// What the peer must let us keep in its table: see [`Block::new`].
pub(crate) const TABLE_NEEDED: u32 = 1024;

const INDEXED: u8 = 0x80;
const WITH_INDEXING: u8 = 0x40;
const WITHOUT_INDEXING: u8 = 0x00;
/// The first index of the dynamic table: its newest entry.
const NEWEST: u8 = 62;

impl Block {
    /// Fields that stand whole in the static table by index, then the others. The
    /// latter may take at most [`TABLE_NEEDED`] bytes of table, which the caller's few
    /// short fields never reach; a longer value than 126 bytes does not fit.
    pub(crate) fn new(indexed: &[u8], fields: &[Field<'_>]) -> Option<Self> {
        let mut first: Vec<u8> = indexed.iter().map(|index| INDEXED | index).collect();
        let mut later = first.clone();
        let plain = [first.clone(), unindexed(fields)?].concat();
        let count = u8::try_from(fields.len()).ok()?;
        for (position, field) in (0..count).zip(fields) {
            put_field(&mut first, WITH_INDEXING, field)?;
            later.push(INDEXED | (NEWEST + count - 1 - position));
        }
        Some(Self { first, later, plain })
    }

    /// The block to send, when `sent` tells whether one went out on this connection.
    pub(crate) fn bytes(&self, sent: bool) -> &[u8] {
        if sent { &self.later } else { &self.first }
    }

    /// The block for a peer that keeps no table.
    pub(crate) fn without_table(&self) -> &[u8] {
        &self.plain
    }
}

/// A block whose fields leave the table as it is: for trailers, which must not move what
/// header blocks point back at.
pub(crate) fn unindexed(fields: &[Field<'_>]) -> Option<Vec<u8>> {
    let mut block = Vec::new();
    for field in fields {
        put_field(&mut block, WITHOUT_INDEXING, field)?;
    }
    Some(block)
}

/// Appends a field written out; `None` when name or value is longer than one byte tells.
fn put_field(out: &mut Vec<u8>, form: u8, field: &Field<'_>) -> Option<()> {
    match field.name {
        // Without indexing four bits hold the index, and what is above them follows.
        Name::Static(index) if form == WITHOUT_INDEXING && index >= 15 => {
            out.extend_from_slice(&[form | 15, index - 15]);
        }
        Name::Static(index) => out.push(form | index),
        Name::Plain(name) => {
            out.push(form);
            put_text(out, name)?;
        }
    }
    put_text(out, field.value)
}

fn put_text(out: &mut Vec<u8>, text: &str) -> Option<()> {
    out.push(u8::try_from(text.len()).ok().filter(|&length| length < 127)?);
    out.extend_from_slice(text.as_bytes());
    Some(())
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
        let fields = [(1, "a"), (4, "/b")];
        let fields = fields.map(|(name, value)| Field { name: Name::Static(name), value });
        let block = Block::new(&[2, 6], &fields).unwrap();
        assert_eq!(block.bytes(false), b"\x82\x86\x41\x01a\x44\x02/b");
        assert_eq!(block.bytes(true), b"\x82\x86\xbf\xbe");
    }

    #[test]
    fn a_value_beyond_one_length_byte_is_refused() {
        let long = "x".repeat(127);
        let field = Field { name: Name::Static(1), value: &long };
        assert!(Block::new(&[], &[field]).is_none());
    }

    #[test]
    fn trailers_are_written_out_and_not_kept() {
        let status = Field { name: Name::Plain("grpc-status"), value: "0" };
        assert_eq!(unindexed(&[status]).unwrap(), b"\x00\x0bgrpc-status\x010");
        let kind = Field { name: Name::Static(31), value: "a" };
        assert_eq!(unindexed(&[kind]).unwrap(), b"\x0f\x10\x01a");
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
