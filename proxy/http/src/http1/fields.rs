//! Field sections: from places in the received bytes to a map that shares those bytes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;
use weft_compile::KeyFormat;

use super::{Malformed, Spelling};

/// Fields of one section at most, where no setting says otherwise.
pub(crate) const MAX_FIELDS: usize = 128;

/// Fields by their place in the bytes that were parsed, so that those can be split off and shared.
pub(crate) struct Places {
    /// Name, and where the value begins and how long it is.
    fields: SmallVec<[(HeaderName, usize, usize); 24]>,
    /// Whether a name has a capital letter.
    capitals: bool,
}

/// Where the fields are that were parsed from `buffer`.
pub(crate) fn places(parsed: &[httparse::Header<'_>], buffer: &[u8]) -> Result<Places, Malformed> {
    let start = buffer.as_ptr() as usize;
    let mut capitals = false;
    let fields = parsed
        .iter()
        .map(|field| {
            let name = field.name.as_bytes();
            capitals |= name.iter().any(u8::is_ascii_uppercase);
            let name = HeaderName::from_bytes(name).map_err(|_| Malformed)?;
            Ok((name, field.value.as_ptr() as usize - start, field.value.len()))
        })
        .collect::<Result<_, Malformed>>()?;
    Ok(Places { fields, capitals })
}

impl Places {
    /// How the names are spelled in `block`, which holds what was parsed and came from a side that
    /// asks for `from`.
    pub(crate) fn spelling(&self, block: &Bytes, from: KeyFormat) -> Spelling {
        Spelling::new(block, self.capitals, from)
    }

    /// The map. Values share `block`: one reference count each instead of a copy.
    pub(crate) fn into_map(self, block: &Bytes) -> Result<HeaderMap, Malformed> {
        let mut headers = HeaderMap::with_capacity(self.fields.len() + 4);
        for (name, from, length) in self.fields {
            let value = if length == 0 { Bytes::new() } else { block.slice(from..from + length) };
            headers.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| Malformed)?);
        }
        Ok(headers)
    }
}
