//! A plain HPACK of both directions to compare with: no caches, no hashing, nothing parsed.

use crate::{huffman, support::byte};

/// Name and value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// One side's idea of the tables.
pub(crate) struct Oracle {
    pub(crate) dynamic: Vec<Pair>,
    capacity: usize,
}

/// How a field shall be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) kind: Kind,
    /// Refer to whatever is in a table.
    pub(crate) refer: bool,
    pub(crate) huffman: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Indexed,
    Unindexed,
    Never,
}

impl Oracle {
    pub(crate) fn new() -> Self {
        Self { dynamic: Vec::new(), capacity: 4096 }
    }

    /// All entries of both tables with their indices.
    fn all(&self) -> impl Iterator<Item = (usize, (&[u8], &[u8]))> {
        let fixed = STATIC.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let dynamic = self.dynamic.iter().map(|(name, value)| (&name[..], &value[..]));
        (1..).zip(fixed.chain(dynamic))
    }

    fn get(&self, index: usize) -> Option<Pair> {
        let (_, (name, value)) = self.all().nth(index.checked_sub(1)?)?;
        Some((name.to_vec(), value.to_vec()))
    }

    fn insert(&mut self, pair: Pair) {
        self.dynamic.insert(0, pair);
        self.evict();
    }

    pub(crate) fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.evict();
    }

    pub(crate) fn size(&self) -> usize {
        self.dynamic.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }

    fn evict(&mut self) {
        while self.size() > self.capacity {
            self.dynamic.pop();
        }
    }

    /// Writes a size update.
    pub(crate) fn update(&mut self, capacity: usize, out: &mut Vec<u8>) {
        integer(0x20, 5, capacity, out);
        self.resize(capacity);
    }

    pub(crate) fn write(&mut self, (name, value): &Pair, how: How, out: &mut Vec<u8>) {
        if how.refer
            && how.kind != Kind::Never
            && let Some((index, _)) = self.all().find(|(_, it)| *it == (name, value))
        {
            return integer(0x80, 7, index, out);
        }
        let (flags, bits) = match how.kind {
            Kind::Indexed => (0x40, 6),
            Kind::Unindexed => (0, 4),
            Kind::Never => (0x10, 4),
        };
        match self.all().find(|(_, it)| how.refer && it.0 == name) {
            Some((index, _)) => integer(flags, bits, index, out),
            None => {
                integer(flags, bits, 0, out);
                string(name, how.huffman, out);
            }
        }
        string(value, how.huffman, out);
        if how.kind == Kind::Indexed {
            self.insert((name.clone(), value.clone()));
        }
    }

    /// Reads a block: each field, and whether it must never be indexed.
    pub(crate) fn read(&mut self, block: &[u8]) -> Option<Vec<(Pair, bool)>> {
        let mut rest = block;
        let mut fields = Vec::new();
        while let Some(&first) = rest.first() {
            if first & 0x80 != 0 {
                fields.push((self.get(read_integer(7, &mut rest)?)?, false));
                continue;
            }
            if first & 0xe0 == 0x20 {
                let size = read_integer(5, &mut rest)?;
                self.resize(size);
                continue;
            }
            let index = read_integer(if first & 0x40 != 0 { 6 } else { 4 }, &mut rest)?;
            let name = if index > 0 { self.get(index)?.0 } else { read_string(&mut rest)? };
            let pair = (name, read_string(&mut rest)?);
            if first & 0x40 != 0 {
                self.insert(pair.clone());
            }
            fields.push((pair, first & 0xf0 == 0x10));
        }
        Some(fields)
    }
}

fn integer(flags: u8, bits: u32, value: usize, out: &mut Vec<u8>) {
    let full = (1 << bits) - 1;
    if value < full {
        return out.push(flags | byte(value));
    }
    out.push(flags | byte(full));
    let mut value = value - full;
    while value >= 128 {
        out.push(byte(value % 128 + 128));
        value /= 128;
    }
    out.push(byte(value));
}

fn string(text: &[u8], coded: bool, out: &mut Vec<u8>) {
    let coded_text = huffman::encode(text);
    let text = if coded { &coded_text } else { text };
    integer(if coded { 0x80 } else { 0 }, 7, text.len(), out);
    out.extend_from_slice(text);
}

fn read_integer(bits: u32, rest: &mut &[u8]) -> Option<usize> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    let full = (1 << bits) - 1;
    let mut value = usize::from(*first) & full;
    let mut place = 0;
    let mut more = value == full;
    while more {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value += usize::from(byte % 128) << place;
        place += 7;
        more = *byte >= 128 && place < 28;
    }
    Some(value)
}

fn read_string(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let coded = rest.first()? & 0x80 != 0;
    let length = read_integer(7, rest)?;
    let (text, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    if coded { huffman::decode(text) } else { Some(text.to_vec()) }
}

/// RFC 7541 Appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
