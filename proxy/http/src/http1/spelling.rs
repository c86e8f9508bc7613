//! How header names were spelled when they came.
//!
//! Names are compared without regard to case, and kept in lower case. Some old peers look at them
//! more closely than they should, so towards HTTP/1 a name goes on as it came. A value that shares
//! the received bytes knows where it is in them, and its name stands right before it: nothing has to
//! be remembered for each field.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// The received bytes of a head with capitals in its names; nothing for any other head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spelling(Option<Bytes>);

impl Spelling {
    /// Names as in `block`.
    pub(super) fn of_block(block: &Bytes) -> Self {
        Self(Some(block.clone()))
    }

    /// The name as it was before this value; `None` when the value is not of that head.
    #[inline]
    pub(crate) fn of(&self, name: &HeaderName, value: &HeaderValue) -> Option<&[u8]> {
        let block = self.0.as_deref()?;
        let at = (value.as_bytes().as_ptr() as usize).checked_sub(block.as_ptr() as usize)?;
        let before = block.get(..at)?.trim_ascii_end().strip_suffix(b":")?;
        let spelled = before.get(before.len().checked_sub(name.as_str().len())?..)?;
        spelled.eq_ignore_ascii_case(name.as_str().as_bytes()).then_some(spelled)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http::HeaderMap;

    use super::*;
    use crate::http1::fields;

    #[test]
    fn names_are_found_before_their_values() {
        let text = b"X-Up:1\r\nx-low: 2\r\nETag: \t 3\r\nWWW-Empty:\r\n\r\n";
        let mut parsed = [httparse::EMPTY_HEADER; 8];
        let mut buffer = BytesMut::from(&text[..]);
        let (length, parsed) = httparse::parse_headers(&buffer, &mut parsed).unwrap().unwrap();
        let places = fields::places(parsed, &buffer).unwrap();
        let block = buffer.split_to(length).freeze();
        let spelling = places.spelling(&block);
        let mut map: HeaderMap = places.into_map(&block).unwrap();
        map.insert("x-new", HeaderValue::from_static("4"));
        let spelled: Vec<_> =
            map.iter().map(|(n, v)| spelling.of(n, v).map(<[u8]>::to_vec)).collect();
        let expected =
            [Some(b"X-Up".to_vec()), Some(b"x-low".to_vec()), Some(b"ETag".to_vec()), None, None];
        assert_eq!(spelled, expected);
    }
}
