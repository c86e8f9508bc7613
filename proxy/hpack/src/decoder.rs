//! Header blocks into fields (RFC 7541 §3.2, §6).

mod table;

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};

use crate::{
    DEFAULT_TABLE_SIZE, DecodeError, FIELD_OVERHEAD, Field, field::Name, huffman, integer,
    static_table,
};
pub(crate) use table::Entry;
use table::Table;

/// Bytes that values are copied into, at least: as many as a few messages need, so that one allocation
/// serves them all when they are gone by the time it is full.
const CHUNK: usize = 1024;

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
    /// Values that no table holds are slices of this.
    chunk: BytesMut,
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
            chunk: BytesMut::new(),
        }
    }

    /// The peer has acknowledged our settings: the next block must shrink a table that is too large.
    pub fn settings_acknowledged(&mut self) {
        self.limit = self.offered;
    }

    /// Gives back memory that holds no part of the table, for a connection that went idle.
    pub fn shrink(&mut self) {
        self.chunk = BytesMut::new();
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
        self.reclaim(huffman::room(block.len()));
        let mut rest = self.size_updates(block)?;
        let mut wanted = true;
        while let Some((&first, tail)) = rest.split_first() {
            if first & 0x80 != 0 {
                let (index, tail) = integer::decode(first, 7, tail)?;
                let entry = self.entry(index)?;
                rest = tail;
                wanted = wanted && visit(entry.field.clone(), entry.size).is_continue();
            } else {
                let (literal, tail) = Literal::parse(first, tail)?;
                rest = tail;
                if let Some(entry) = self.literal(&literal, wanted)? {
                    wanted = wanted && visit(entry.field, entry.size).is_continue();
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

    #[inline]
    fn entry(&self, index: usize) -> Result<&Entry, DecodeError> {
        let entry = match index.checked_sub(static_table::LEN + 1) {
            Some(index) => self.table.get(index),
            None => static_table::get(index),
        };
        entry.ok_or(DecodeError::Index { index, last: static_table::LEN + self.table.len() })
    }

    /// The field, and the table with it. Nothing when neither the caller nor the table wants it.
    fn literal(
        &mut self,
        literal: &Literal<'_>,
        wanted: bool,
    ) -> Result<Option<Entry>, DecodeError> {
        let indexed = literal.kind == Kind::Indexed;
        if !indexed && !wanted {
            if literal.index > 0 {
                self.entry(literal.index)?;
            }
            return Ok(None);
        }
        let (name, name_length) = self.name(literal)?;
        let value = if indexed { self.own(&literal.value)? } else { self.slice(&literal.value)? };
        let size = name_length + value.len() + FIELD_OVERHEAD;
        let field = name.with(value, literal.kind == Kind::Never);
        let entry = Entry { field, name: name_length, size };
        if indexed {
            self.table.insert(entry.clone());
        }
        Ok(Some(entry))
    }

    fn name(&mut self, literal: &Literal<'_>) -> Result<(Name, usize), DecodeError> {
        if literal.index > 0 {
            let entry = self.entry(literal.index)?;
            return Ok((entry.field.name(), entry.name));
        }
        if !literal.name.huffman {
            return Ok((Name::parse(literal.name.bytes), literal.name.bytes.len()));
        }
        let mark = self.chunk.len();
        self.room(&literal.name);
        huffman::decode(literal.name.bytes, &mut self.chunk)?;
        let name = self.chunk.get(mark..).unwrap_or_default();
        let parsed = (Name::parse(name), name.len());
        self.chunk.truncate(mark);
        Ok(parsed)
    }

    /// A value as part of the chunk: it lives as long as a message.
    fn slice(&mut self, text: &Text<'_>) -> Result<Bytes, DecodeError> {
        self.room(text);
        if text.huffman {
            huffman::decode(text.bytes, &mut self.chunk)?;
        } else {
            self.chunk.extend_from_slice(text.bytes);
        }
        Ok(self.chunk.split().freeze())
    }

    /// A value by itself: an entry of the table may live as long as the connection, and must not keep
    /// a whole chunk that others filled.
    fn own(&mut self, text: &Text<'_>) -> Result<Bytes, DecodeError> {
        if !text.huffman {
            return Ok(Bytes::copy_from_slice(text.bytes));
        }
        self.room(text);
        huffman::decode(text.bytes, &mut self.chunk)?;
        let value = Bytes::copy_from_slice(&self.chunk);
        self.chunk.clear();
        Ok(value)
    }

    /// Begins the chunk again, if it may not last for this block and nobody holds a part of it.
    fn reclaim(&mut self, need: usize) {
        if self.chunk.capacity() < need {
            let _in_use = !self.chunk.try_reclaim(need.max(CHUNK));
        }
    }

    /// Makes room for a string, and begins a new chunk when this one is full and in use.
    #[inline]
    fn room(&mut self, text: &Text<'_>) {
        let need = if text.huffman { huffman::room(text.bytes.len()) } else { text.bytes.len() };
        if self.chunk.capacity() - self.chunk.len() < need {
            self.chunk.reserve(need.max(CHUNK));
        }
    }
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
}

impl<'a> Text<'a> {
    #[inline]
    fn parse(block: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let (&first, rest) = block.split_first().ok_or(DecodeError::Truncated)?;
        let (length, rest) = integer::decode(first, 7, rest)?;
        let (bytes, rest) = rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        Ok((Self { bytes, huffman: first & 0x80 != 0 }, rest))
    }
}
