//! Field sections: from places in the received bytes to a map that shares those bytes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;
use weft_compile::KeyFormat;

use super::{Malformed, Spelling};

/// Fields of one section at most, where no setting says otherwise.
pub(crate) const MAX_FIELDS: usize = 128;

/// Fields by their place in the bytes that were parsed, so that those can be split off and shared.
/// Small, because it is moved a few times before it becomes a map.
pub(crate) struct Places {
    fields: SmallVec<[Place; 24]>,
    /// Whether a name has a capital letter.
    capitals: bool,
}

/// Where a field begins, and its value, and how long both are.
#[derive(Clone, Copy)]
struct Place {
    name: u32,
    name_length: u32,
    value: u32,
    value_length: u32,
}

impl Place {
    fn of(field: &httparse::Header<'_>, start: usize) -> Option<Self> {
        let (name, value) = (field.name.as_bytes(), field.value);
        Some(Self {
            name: u32::try_from(name.as_ptr() as usize - start).ok()?,
            name_length: u32::try_from(name.len()).ok()?,
            value: u32::try_from(value.as_ptr() as usize - start).ok()?,
            value_length: u32::try_from(value.len()).ok()?,
        })
    }

    fn name<'b>(&self, block: &'b [u8]) -> Option<&'b [u8]> {
        let from = self.name as usize;
        block.get(from..from + self.name_length as usize)
    }

    /// One reference count instead of a copy.
    fn value(&self, block: &Bytes) -> Bytes {
        if self.value_length == 0 {
            return Bytes::new();
        }
        let from = self.value as usize;
        block.slice(from..from + self.value_length as usize)
    }
}

/// Whether every line of a head of `length` bytes ends in CRLF. A recipient may take a bare LF for the
/// end of a line (RFC 9112 §2.2), and another may not: they would see different fields.
#[inline]
pub(crate) fn end_in_crlf(parsed: &[httparse::Header<'_>], buffer: &[u8], length: usize) -> bool {
    let start = buffer.as_ptr() as usize;
    let before = |field: &httparse::Header<'_>| {
        let at = field.name.as_ptr() as usize - start;
        buffer.get(..at).is_some_and(|before| before.ends_with(b"\r\n"))
    };
    buffer.get(..length).is_some_and(|head| head.ends_with(b"\r\n\r\n"))
        && parsed.iter().all(before)
}

/// Where the fields are that were parsed from `buffer`.
#[inline]
pub(crate) fn places(parsed: &[httparse::Header<'_>], buffer: &[u8]) -> Result<Places, Malformed> {
    let start = buffer.as_ptr() as usize;
    let mut places = Places { fields: SmallVec::new(), capitals: false };
    for field in parsed {
        places.capitals |= field.name.bytes().any(|byte| byte.is_ascii_uppercase());
        places.fields.push(Place::of(field, start).ok_or(Malformed)?);
    }
    Ok(places)
}

impl Places {
    /// How the names are spelled in `block`, which holds what was parsed and came from a side that
    /// asks for `from`.
    pub(crate) fn spelling(&self, block: &Bytes, from: KeyFormat) -> Spelling {
        Spelling::new(block, self.capitals, from)
    }

    /// The map. Values share `block`.
    pub(crate) fn to_map(&self, block: &Bytes) -> Result<HeaderMap, Malformed> {
        let mut headers = HeaderMap::with_capacity(self.fields.len() + 4);
        for place in &self.fields {
            let name = HeaderName::from_bytes(place.name(block).ok_or(Malformed)?);
            let value = HeaderValue::from_maybe_shared(place.value(block));
            headers.append(name.map_err(|_| Malformed)?, value.map_err(|_| Malformed)?);
        }
        Ok(headers)
    }
}
