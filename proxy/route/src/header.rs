//! Matching header fields.

use std::{fmt, str::FromStr};

use http::{HeaderName, HeaderValue, header};

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
    /// `:scheme`.
    Scheme,
    /// A header field.
    Field(HeaderName),
}

/// A name that no request can have a field of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{name}\" is not a header name to match on \
     (hint: use a field name, or :method, :path, :scheme or :authority)"
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
            ":scheme" => Ok(Self::Scheme),
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
            Self::Scheme => ":scheme",
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
    /// Its value matches.
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

impl HeaderMatch {
    /// Whether the request has what is asked for. Of several lines with one name, any may match.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        match &self.name {
            HeaderKey::Method => self.any_matches(std::iter::once(request.method.as_bytes())),
            HeaderKey::Path => self.any_matches(std::iter::once(request.path_and_query.as_bytes())),
            HeaderKey::Scheme => self.any_matches(std::iter::once(request.scheme.as_bytes())),
            HeaderKey::Authority => {
                let authority = Some(request.authority.as_bytes());
                self.any_matches(authority.filter(|authority| !authority.is_empty()).into_iter())
            }
            HeaderKey::Field(name) => {
                let lines = request.headers.get_all(name).iter();
                self.any_matches(lines.map(HeaderValue::as_bytes))
            }
        }
    }

    /// Whether a message with these fields has what is asked for, as far as fields go: it has no
    /// pseudo fields here.
    pub fn matches_fields(&self, fields: &http::HeaderMap) -> bool {
        match &self.name {
            HeaderKey::Field(name) => {
                self.any_matches(fields.get_all(name).iter().map(HeaderValue::as_bytes))
            }
            HeaderKey::Method | HeaderKey::Path | HeaderKey::Authority | HeaderKey::Scheme => {
                self.any_matches(std::iter::empty())
            }
        }
    }

    fn any_matches<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut lines = lines.peekable();
        let is_missing = lines.peek().is_none();
        let matched = match &self.value {
            HeaderValueMatch::Present(present) => {
                (!is_missing || self.treat_missing_as_empty) == *present
            }
            value if is_missing => {
                // Left alone by `invert`: what is not there is neither in nor out of a range.
                if !self.treat_missing_as_empty {
                    return false;
                }
                value.matches(b"")
            }
            value => lines.any(|line| value.matches(line)),
        };
        matched != self.invert
    }
}

impl HeaderValueMatch {
    fn matches(&self, line: &[u8]) -> bool {
        match self {
            Self::String(matcher) => matcher.matches(line),
            Self::Range { start, end } => {
                decimal(line).is_some_and(|number| (*start..*end).contains(&number))
            }
            Self::Present(present) => *present,
        }
    }
}

/// A whole decimal number with optional sign and surrounding white space.
fn decimal(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn request(headers: &HeaderMap) -> RequestView<'_> {
        RequestView {
            authority: "Shop",
            path_and_query: "/a?b=c",
            method: "GET",
            scheme: "http",
            is_internal: false,
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
        assert!(matcher(":scheme", exact("http")).matches(&request));
        assert!(":protocol".parse::<HeaderKey>().is_err());
        assert!("a b".parse::<HeaderKey>().is_err());
    }

    /// As Envoy 1.40 does: joined, they would match what no line says.
    #[test]
    fn lines_are_matched_one_by_one() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        let request = request(&headers);
        for (value, expected) in [(exact("1"), true), (exact("2"), true), (exact("1,2"), false)] {
            let plain = matcher("x-a", value.clone());
            assert_eq!(plain.matches(&request), expected);
            let inverted = HeaderMatch { invert: true, ..plain };
            assert_eq!(inverted.matches(&request), !expected, "of none of the lines");
        }
        let range = HeaderValueMatch::Range { start: 2, end: 3 };
        assert!(matcher("x-a", range).matches(&request));
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
