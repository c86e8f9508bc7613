//! Header blocks into fields (RFC 7541 §3.2, §6).

mod table;

use std::ops::ControlFlow;

use crate::{
    DEFAULT_TABLE_SIZE, DecodeError, FIELD_OVERHEAD, Field, field::Name, huffman, integer,
    static_table,
};
pub(crate) use table::Entry;
use table::Table;

/// The receiving side of a connection's header compression.
///
/// A new one holds no memory but itself. Its table grows with what the peer puts there, to
/// `max_table_size` bytes as RFC 7541 §4.1 counts them.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// What we offer.
    offered: usize,
    /// What the peer may use: what we offer, or more until it has acknowledged that.
    limit: usize,
    /// The last string that was in Huffman code, and perhaps more behind it.
    text: Vec<u8>,
}

impl Decoder {
    /// A decoder that offers `max_table_size` in SETTINGS_HEADER_TABLE_SIZE.
    ///
    /// A peer does not know that before it has our settings: with less than [`DEFAULT_TABLE_SIZE`],
    /// call [`settings_acknowledged`](Self::settings_acknowledged) when it does.
    #[must_use]
    pub fn new(max_table_size: usize) -> Self {
        Self {
            table: Table::new(DEFAULT_TABLE_SIZE),
            offered: max_table_size,
            limit: max_table_size.max(DEFAULT_TABLE_SIZE),
            text: Vec::new(),
        }
    }

    /// The peer has acknowledged our settings: the next block must shrink a table that is too large.
    pub fn settings_acknowledged(&mut self) {
        self.limit = self.offered;
    }

    /// Gives back memory that holds no part of the table, for a connection that went idle.
    pub fn shrink(&mut self) {
        self.text = Vec::new();
        self.table.shrink();
    }

    /// Decodes one whole header block, and calls `visit` for each field with its size as RFC 7541 §4.1
    /// and SETTINGS_MAX_HEADER_LIST_SIZE count it: name, value, and [`FIELD_OVERHEAD`].
    ///
    /// A few bytes can stand for many large fields, so `visit` should add up the sizes and return
    /// [`ControlFlow::Break`] beyond its limit. It is not called again then, but the rest is still read,
    /// at little cost, to keep the table in step with the peer's: later blocks can be decoded.
    ///
    /// # Errors
    ///
    /// Every error is a connection error: the decoder must not be used again.
    pub fn decode(
        &mut self,
        block: &[u8],
        mut visit: impl FnMut(Field, usize) -> ControlFlow<()>,
    ) -> Result<(), DecodeError> {
        let mut rest = self.size_updates(block)?;
        let mut wanted = true;
        while let Some((&first, tail)) = rest.split_first() {
            if first & 0x80 != 0 {
                let (index, tail) = integer::decode(first, 7, tail)?;
                let entry = entry(&self.table, index)?;
                rest = tail;
                wanted = wanted && give(&mut visit, &entry.field, entry.size).is_continue();
            } else {
                let (literal, tail) = Literal::parse(first, tail)?;
                rest = tail;
                if literal.kind == Kind::Indexed {
                    let entry = literal.entry(&self.table, &mut self.text)?;
                    let field = wanted.then(|| entry.field.clone());
                    let size = entry.size;
                    self.table.insert(entry);
                    wanted = field.is_some_and(|field| visit(field, size).is_continue());
                } else if wanted {
                    let Entry { field, size, .. } = literal.entry(&self.table, &mut self.text)?;
                    wanted = visit(field, size).is_continue();
                } else if literal.index > 0 {
                    entry(&self.table, literal.index)?;
                }
            }
        }
        Ok(())
    }

    /// Applies the size updates that a block begins with (RFC 7541 §4.2) and returns its fields.
    fn size_updates<'a>(&mut self, block: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        let mut rest = block;
        while let Some((&first @ 0x20..0x40, tail)) = rest.split_first() {
            let (size, tail) = integer::decode(first, 5, tail)?;
            if size > self.limit {
                return Err(DecodeError::SizeUpdate { size, max: self.limit });
            }
            self.table.resize(size);
            rest = tail;
        }
        if self.table.capacity() > self.limit && !rest.is_empty() {
            return Err(DecodeError::MissingSizeUpdate { max: self.limit });
        }
        Ok(rest)
    }
}

/// Visits a copy of the field. Most are headers, and a copy that is known to be one is made where the
/// caller wants it, not moved there.
#[inline]
fn give(
    visit: &mut impl FnMut(Field, usize) -> ControlFlow<()>,
    field: &Field,
    size: usize,
) -> ControlFlow<()> {
    match field {
        Field::Header(name, value) => visit(Field::Header(name.clone(), value.clone()), size),
        other => visit(other.clone(), size),
    }
}

/// The entry at `index`, in whichever table.
#[inline]
fn entry(table: &Table, index: usize) -> Result<&Entry, DecodeError> {
    let entry = match index.checked_sub(static_table::LEN + 1) {
        Some(index) => table.get(index),
        None => static_table::get(index),
    };
    entry.ok_or(DecodeError::Index { index, last: static_table::LEN + table.len() })
}

/// A field that is spelt out, at least its value (RFC 7541 §6.2).
struct Literal<'a> {
    kind: Kind,
    /// Where its name is; 0 when that is spelt out too.
    index: usize,
    name: Text<'a>,
    value: Text<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Indexed,
    Never,
    Unindexed,
}

/// A string as it was sent (RFC 7541 §5.2).
#[derive(Default)]
struct Text<'a> {
    bytes: &'a [u8],
    huffman: bool,
}

impl<'a> Literal<'a> {
    #[inline]
    fn parse(first: u8, rest: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let (kind, bits) = match first {
            0x40.. => (Kind::Indexed, 6),
            0x20.. => return Err(DecodeError::LateSizeUpdate),
            0x10.. => (Kind::Never, 4),
            _ => (Kind::Unindexed, 4),
        };
        let (index, rest) = integer::decode(first, bits, rest)?;
        let (name, rest) = if index == 0 { Text::parse(rest)? } else { (Text::default(), rest) };
        let (value, rest) = Text::parse(rest)?;
        Ok((Self { kind, index, name, value }, rest))
    }

    /// The field; `room` holds its strings while they are read.
    #[inline]
    fn entry(&self, table: &Table, room: &mut Vec<u8>) -> Result<Entry, DecodeError> {
        let (name, length) = if self.index > 0 {
            let entry = entry(table, self.index)?;
            (entry.field.name(), entry.name)
        } else {
            let name = self.name.read(room)?;
            (Name::parse(name), name.len())
        };
        let value = self.value.read(room)?;
        let size = length + value.len() + FIELD_OVERHEAD;
        Ok(Entry { field: name.with(value, self.kind == Kind::Never), name: length, size })
    }
}

impl<'a> Text<'a> {
    /// The string itself; `room` holds it when it was coded.
    #[inline]
    fn read<'r>(&self, room: &'r mut Vec<u8>) -> Result<&'r [u8], DecodeError>
    where
        'a: 'r,
    {
        if self.huffman { huffman::decode(self.bytes, room) } else { Ok(self.bytes) }
    }

    #[inline]
    fn parse(block: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let (&first, rest) = block.split_first().ok_or(DecodeError::Truncated)?;
        let (length, rest) = integer::decode(first, 7, rest)?;
        let (bytes, rest) = rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        Ok((Self { bytes, huffman: first & 0x80 != 0 }, rest))
    }
}
