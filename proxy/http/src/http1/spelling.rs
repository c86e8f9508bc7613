//! How header names are written.
//!
//! Names are compared without regard to case, and kept in lower case. Some old peers look at them
//! more closely than they should, so towards HTTP/1 a name goes on as it came. A value that shares
//! the received bytes knows where it is in them, and its name stands right before it: nothing has to
//! be remembered for each field. `header_key_format` may ask for more, or for something else.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderName, HeaderValue};
use weft_compile::KeyFormat;

/// The received bytes of a head with capitals in its names; nothing for any other head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spelling(Option<Bytes>);

impl Spelling {
    /// Of the head in `block`, which came from a side that asks for `from`.
    pub(super) fn new(block: &Bytes, capitals: bool, from: KeyFormat) -> Self {
        let is_kept = capitals || from == KeyFormat::PreserveOrProper;
        Self(is_kept.then(|| block.clone()))
    }

    /// The name as it was before this value; `None` when the value is not of that head.
    #[inline]
    fn before(&self, name: &HeaderName, value: &HeaderValue) -> Option<&[u8]> {
        let block = self.0.as_deref()?;
        let at = (value.as_bytes().as_ptr() as usize).checked_sub(block.as_ptr() as usize)?;
        let before = block.get(..at)?.trim_ascii_end().strip_suffix(b":")?;
        let spelled = before.get(before.len().checked_sub(name.as_str().len())?..)?;
        spelled.eq_ignore_ascii_case(name.as_str().as_bytes()).then_some(spelled)
    }

    /// The name as it was in any line of that head.
    fn anywhere(&self, name: &HeaderName) -> Option<&[u8]> {
        let lines = self.0.as_deref()?.split(|byte| *byte == b'\n');
        lines
            .filter_map(|line| line.split(|byte| *byte == b':').next())
            .find(|spelled| spelled.eq_ignore_ascii_case(name.as_str().as_bytes()))
    }
}

/// How names are written to one side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    /// Of the head that is passed on.
    received: Option<&'a Spelling>,
    format: KeyFormat,
}

impl<'a> Names<'a> {
    /// For a head that is passed on. What the side asks for that it came from goes first, as in Envoy.
    pub(crate) fn passed_on(received: &'a Spelling, from: KeyFormat, to: KeyFormat) -> Self {
        let keeps = |format| matches!(format, KeyFormat::Preserve | KeyFormat::PreserveOrProper);
        let format = match (from, to) {
            (from, _) if keeps(from) => from,
            (_, KeyFormat::Proper) => KeyFormat::Proper,
            _ => KeyFormat::AsReceived,
        };
        Self { received: Some(received), format }
    }

    /// For fields that were made here.
    pub(crate) fn own(format: KeyFormat) -> Self {
        let format = if format == KeyFormat::Proper { format } else { KeyFormat::AsReceived };
        Self { received: None, format }
    }

    /// Puts the name of a field down.
    #[inline]
    pub(crate) fn put(self, out: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
        if self.format == KeyFormat::AsReceived {
            let spelled = self.received.and_then(|received| received.before(name, value));
            out.put_slice(spelled.unwrap_or(name.as_str().as_bytes()));
        } else {
            self.put_formatted(out, name);
        }
    }

    #[cold]
    fn put_formatted(self, out: &mut BytesMut, name: &HeaderName) {
        let received = self.received.filter(|_| self.format != KeyFormat::Proper);
        match received.and_then(|received| received.anywhere(name)) {
            Some(spelled) => out.put_slice(spelled),
            None if self.format == KeyFormat::Preserve => out.put_slice(name.as_str().as_bytes()),
            None => put_proper(out, name.as_str()),
        }
    }
}

/// Puts a name down with a capital at the beginning of each word.
fn put_proper(out: &mut BytesMut, name: &str) {
    let mut begins = true;
    for byte in name.bytes() {
        out.put_u8(if begins { byte.to_ascii_uppercase() } else { byte });
        begins = !byte.is_ascii_alphanumeric();
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::http1::fields;

    /// The names of a head and of what was added to it, as they are passed on.
    fn passed_on(text: &[u8], from: KeyFormat, to: KeyFormat) -> Vec<String> {
        let mut parsed = [httparse::EMPTY_HEADER; 8];
        let mut buffer = BytesMut::from(text);
        let (length, parsed) = httparse::parse_headers(&buffer, &mut parsed).unwrap().unwrap();
        let places = fields::places(parsed, &buffer).unwrap();
        let block = buffer.split_to(length).freeze();
        let spelling = places.spelling(&block, from);
        let mut map: HeaderMap = places.to_map(&block).unwrap();
        map.insert("x-up", HeaderValue::from_static("changed"));
        map.insert("x-new-foo$b", HeaderValue::from_static("4"));
        let names = Names::passed_on(&spelling, from, to);
        let put = |(name, value)| {
            let mut out = BytesMut::new();
            names.put(&mut out, name, value);
            String::from_utf8(out.to_vec()).unwrap()
        };
        map.iter().map(put).collect()
    }

    const HEAD: &[u8] = b"X-Up:1\r\nx-low: 2\r\nETag: \t 3\r\nWWW-Empty:\r\n\r\n";

    #[test]
    fn names_are_found_before_their_values() {
        let names = passed_on(HEAD, KeyFormat::AsReceived, KeyFormat::AsReceived);
        assert_eq!(names, ["x-up", "x-low", "ETag", "www-empty", "x-new-foo$b"]);
    }

    #[test]
    fn names_may_be_proper_whatever_came() {
        for from in [KeyFormat::AsReceived, KeyFormat::Proper] {
            let names = passed_on(HEAD, from, KeyFormat::Proper);
            assert_eq!(names, ["X-Up", "X-Low", "Etag", "Www-Empty", "X-New-Foo$B"]);
        }
    }

    #[test]
    fn names_may_be_kept_where_their_values_are_not() {
        let kept = ["X-Up", "x-low", "ETag", "WWW-Empty", "x-new-foo$b"];
        assert_eq!(passed_on(HEAD, KeyFormat::Preserve, KeyFormat::Proper), kept);
        let names = passed_on(HEAD, KeyFormat::PreserveOrProper, KeyFormat::AsReceived);
        assert_eq!(names[..4], kept[..4]);
        assert_eq!(names[4], "X-New-Foo$B");
        let names =
            passed_on(b"x-low: 2\r\n\r\n", KeyFormat::PreserveOrProper, KeyFormat::AsReceived);
        assert_eq!(names, ["x-low", "X-Up", "X-New-Foo$B"]);
    }
}
