//! Matching cookies.

use http::{HeaderMap, header::COOKIE};

use crate::string::StringMatch;

/// `route.v3.CookieMatcher`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CookieMatch {
    /// The cookie, compared byte by byte.
    pub name: Box<str>,
    /// What its value must be.
    pub value: StringMatch,
    /// `invert_match`: a cookie that is not there matches then, too.
    pub invert: bool,
}

impl CookieMatch {
    /// Whether the first cookie of this name is what is asked for.
    pub fn matches(&self, fields: &HeaderMap) -> bool {
        let value = first_cookie(fields, self.name.as_bytes());
        value.is_some_and(|value| self.value.matches(value)) != self.invert
    }
}

/// The first cookie of this name, without its quotes.
fn first_cookie<'a>(fields: &'a HeaderMap, name: &[u8]) -> Option<&'a [u8]> {
    let lines = fields.get_all(COOKIE).iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        let (key, value) = (pair.get(..at)?, pair.get(at + 1..)?);
        (without_spaces(key) == name).then(|| unquoted(value))
    })
}

fn without_spaces(mut key: &[u8]) -> &[u8] {
    while let Some(rest) = key.strip_prefix(b" ") {
        key = rest;
    }
    key
}

fn unquoted(value: &[u8]) -> &[u8] {
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    bare.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn matches(invert: bool, lines: &[&'static str]) -> bool {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(COOKIE, HeaderValue::from_static(line));
        }
        let value = StringMatch::exact("ann");
        CookieMatch { name: "who".into(), value, invert }.matches(&fields)
    }

    #[test]
    fn the_first_cookie_of_a_name_counts() {
        assert!(matches(false, &["a=b; who=ann"]));
        assert!(matches(false, &["who=\"ann\""]), "without its quotes");
        assert!(matches(false, &["a", "  who=ann;who=bob"]));
        assert!(!matches(false, &["who =ann", "who=ann ", "\twho=ann"]), "no other spaces");
        assert!(!matches(false, &["who=bob; who=ann"]));
        assert!(!matches(false, &["who", "Who=ann", "awho=ann"]));
        assert!(matches(false, &["who", "who=ann"]), "a name alone is no cookie");
    }

    #[test]
    fn what_is_not_there_is_not_what_was_asked_for() {
        assert!(!matches(false, &[]));
        assert!(matches(true, &[]));
        assert!(matches(true, &["who=bob"]));
        assert!(!matches(true, &["who=ann"]));
    }
}
