//! Matching header fields.

use std::{fmt, str::FromStr};

use http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

use crate::{request::RequestView, string::StringMatch};

/// What a [`HeaderMatch`] looks at: a header field or one of the request's pseudo fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HeaderKey {
    /// `:method`.
    Method,
    /// `:path`, with the query string.
    Path,
    /// `:authority`, also meant by `host`.
    Authority,
    /// A header field.
    Field(HeaderName),
}

/// A name that no request can have a field of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{name}\" is not a header name to match on \
     (hint: use a field name, or :method, :path or :authority)"
)]
pub struct HeaderKeyError {
    /// The name.
    pub name: Box<str>,
}

impl FromStr for HeaderKey {
    type Err = HeaderKeyError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            ":method" => Ok(Self::Method),
            ":path" => Ok(Self::Path),
            ":authority" => Ok(Self::Authority),
            _ => match HeaderName::from_bytes(name.as_bytes()) {
                Ok(header::HOST) => Ok(Self::Authority),
                Ok(field) => Ok(Self::Field(field)),
                Err(_) => Err(HeaderKeyError { name: name.into() }),
            },
        }
    }
}

impl fmt::Display for HeaderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Authority => ":authority",
            Self::Field(name) => name.as_str(),
        })
    }
}

/// `route.v3.HeaderMatcher`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderMatch {
    /// The field.
    pub name: HeaderKey,
    /// What it must be.
    pub value: HeaderValueMatch,
    /// `invert_match`. A missing field still does not match, unless the match is for presence.
    pub invert: bool,
    /// `treat_missing_header_as_empty`.
    pub treat_missing_as_empty: bool,
}

/// What a header field must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HeaderValueMatch {
    /// Its value matches; several lines of one name are joined by `,`.
    String(StringMatch),
    /// Its value is a whole decimal number in `start..end` (`type.v3.Int64Range`).
    Range {
        /// The first number that matches.
        start: i64,
        /// The first number that does not match any more.
        end: i64,
    },
    /// There, or not there.
    Present(bool),
}

/// Most joined values fit here, so that matching them does not allocate.
type JoinBuffer = SmallVec<[u8; 512]>;

impl HeaderMatch {
    /// Whether the request has what is asked for.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        let mut joined = JoinBuffer::new();
        let found = match &self.name {
            HeaderKey::Method => Some(request.method.as_bytes()),
            HeaderKey::Path => Some(request.path_and_query.as_bytes()),
            HeaderKey::Authority => {
                Some(request.authority.as_bytes()).filter(|authority| !authority.is_empty())
            }
            HeaderKey::Field(name) => joined_value(request.headers, name, &mut joined),
        };
        let found = found.or(self.treat_missing_as_empty.then_some(b""));
        let matched = match (&self.value, found) {
            (HeaderValueMatch::Present(present), found) => found.is_some() == *present,
            (_, None) => return false,
            (HeaderValueMatch::String(matcher), Some(value)) => matcher.matches(value),
            (HeaderValueMatch::Range { start, end }, Some(value)) => {
                decimal(value).is_some_and(|number| (*start..*end).contains(&number))
            }
        };
        matched != self.invert
    }
}

fn joined_value<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    buffer: &'a mut JoinBuffer,
) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?.as_bytes();
    let Some(second) = lines.next() else { return Some(first) };
    buffer.extend_from_slice(first);
    for line in std::iter::once(second).chain(lines) {
        buffer.push(b',');
        buffer.extend_from_slice(line.as_bytes());
    }
    Some(buffer.as_slice())
}

/// A whole decimal number with optional sign and surrounding white space.
fn decimal(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn request(headers: &HeaderMap) -> RequestView<'_> {
        RequestView {
            authority: "Shop",
            path_and_query: "/a?b=c",
            method: "GET",
            headers,
            random: 0,
        }
    }

    fn matcher(name: &str, value: HeaderValueMatch) -> HeaderMatch {
        HeaderMatch {
            name: name.parse().unwrap(),
            value,
            invert: false,
            treat_missing_as_empty: false,
        }
    }

    fn exact(text: &str) -> HeaderValueMatch {
        HeaderValueMatch::String(StringMatch::exact(text))
    }

    #[test]
    fn pseudo_fields_and_host() {
        let headers = HeaderMap::new();
        let request = request(&headers);
        assert!(matcher(":method", exact("GET")).matches(&request));
        assert!(matcher(":path", exact("/a?b=c")).matches(&request));
        assert!(matcher(":authority", exact("Shop")).matches(&request));
        assert!(matcher("Host", exact("Shop")).matches(&request));
        assert!(":scheme".parse::<HeaderKey>().is_err());
        assert!("a b".parse::<HeaderKey>().is_err());
    }

    #[test]
    fn lines_are_joined_by_commas() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        let request = request(&headers);
        assert!(matcher("x-a", exact("1,2")).matches(&request));
        assert!(!matcher("x-a", exact("1")).matches(&request));
    }

    /// The truth table of a field that is not there, from the description of
    /// `treat_missing_header_as_empty` in Envoy's `route_components.proto`.
    #[test]
    fn missing_fields() {
        let headers = HeaderMap::new();
        let request = request(&headers);
        let range = || HeaderValueMatch::Range { start: 1, end: 10 };
        let check = |value, invert, treat_missing_as_empty| {
            HeaderMatch { invert, treat_missing_as_empty, ..matcher("x", value) }.matches(&request)
        };
        assert!(check(range(), true, true));
        assert!(!check(range(), true, false));
        assert!(check(exact(""), false, true));
        assert!(!check(exact(""), false, false));
        assert!(check(HeaderValueMatch::Present(false), false, false));
        assert!(check(HeaderValueMatch::Present(true), true, false));
        assert!(check(HeaderValueMatch::Present(true), false, true));
        assert!(!check(HeaderValueMatch::Present(false), false, true));
    }

    #[test]
    fn ranges_are_half_open_and_decimal() {
        let matches = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x", HeaderValue::from_static(value));
            matcher("x", HeaderValueMatch::Range { start: -1, end: 10 }).matches(&request(&headers))
        };
        for (value, expected) in
            [("-1", true), ("9", true), ("+3", true), ("10", false), ("-2", false), ("", false)]
        {
            assert_eq!(matches(value), expected, "{value}");
        }
        assert!(!matches("1.0"));
        assert!(!matches("99999999999999999999"));
    }
}
