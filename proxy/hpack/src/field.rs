//! A field as the caller sees it: parsed, or known to be malformed.

use std::borrow::Cow;

use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::InvalidHeaderValue,
    uri::{Authority, PathAndQuery, Scheme},
};

use crate::{
    common,
    known::{self, KnownName},
};

/// One field of a header block.
///
/// Where a value was sent as one that must never be indexed (RFC 7541 §6.2.3), the [`HeaderValue`] is
/// sensitive, and the encoder passes it on in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// `:authority`. It may hold a user, which RFC 9113 §8.3.1 forbids to clients: the caller decides.
    Authority(Authority),
    /// A field that is no pseudo-header. The name is valid in HTTP/2, so it holds no upper case.
    Header(HeaderName, HeaderValue),
    /// A field that can be read but not used: a matter of this message, not of the connection
    /// (RFC 9113 §8.1.1, §8.2.1).
    Malformed(Malformed),
    /// `:method`.
    Method(Method),
    /// `:path`, never empty and without a fragment.
    Path(PathAndQuery),
    /// `:protocol` of an extended CONNECT (RFC 8441).
    Protocol(HeaderValue),
    /// `:scheme`.
    Scheme(Scheme),
    /// `:status`.
    Status(StatusCode),
    /// A pseudo-header that nobody defined.
    UnknownPseudo,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The name is empty, holds upper case, or bytes that no name may hold.
    Name,
    /// The value of this pseudo-header does not parse.
    Pseudo(Pseudo),
    /// The value of this field holds control characters.
    Value(HeaderName),
}

/// Which pseudo-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pseudo {
    /// `:authority`.
    Authority,
    /// `:method`.
    Method,
    /// `:path`.
    Path,
    /// `:protocol`.
    Protocol,
    /// `:scheme`.
    Scheme,
    /// `:status`.
    Status,
}

/// A name by itself, as a literal field or a table has it.
#[derive(Clone, Debug)]
pub(crate) enum Name<'a> {
    Header(Cow<'a, HeaderName>),
    Malformed,
    Pseudo(Pseudo),
    UnknownPseudo,
}

impl Name<'static> {
    pub(crate) fn parse(name: &[u8]) -> Self {
        if let Some(known) = known::find(name) {
            return match &known.name {
                KnownName::Header(name) => Self::Header(Cow::Borrowed(name)),
                KnownName::Pseudo(pseudo) => Self::Pseudo(*pseudo),
            };
        }
        if name.starts_with(b":") {
            return Self::UnknownPseudo;
        }
        HeaderName::from_lowercase(name)
            .map_or(Self::Malformed, |name| Self::Header(Cow::Owned(name)))
    }
}

impl Name<'_> {
    #[inline]
    pub(crate) fn with(self, value: &[u8], never_indexed: bool) -> Field {
        match self {
            Self::Header(name) => match header_value(value, never_indexed) {
                Ok(value) => Field::Header(name.into_owned(), value),
                Err(_) => Field::Malformed(Malformed::Value(name.into_owned())),
            },
            Self::Malformed => Field::Malformed(Malformed::Name),
            Self::Pseudo(pseudo) => pseudo.with(value),
            Self::UnknownPseudo => Field::UnknownPseudo,
        }
    }
}

#[inline]
fn header_value(value: &[u8], never_indexed: bool) -> Result<HeaderValue, InvalidHeaderValue> {
    if let Some(common) = common::find(value).filter(|_| !never_indexed) {
        return Ok(common.clone());
    }
    let mut value = HeaderValue::from_bytes(value)?;
    if never_indexed {
        value.set_sensitive(true);
    }
    Ok(value)
}

impl Pseudo {
    fn with(self, value: &[u8]) -> Field {
        let field = match self {
            Self::Authority => Authority::try_from(value).ok().map(Field::Authority),
            Self::Method => Method::from_bytes(value).ok().map(Field::Method),
            Self::Path => path(value).map(Field::Path),
            Self::Protocol => header_value(value, false).ok().map(Field::Protocol),
            Self::Scheme => Scheme::try_from(value).ok().map(Field::Scheme),
            Self::Status => StatusCode::from_bytes(value).ok().map(Field::Status),
        };
        field.unwrap_or(Field::Malformed(Malformed::Pseudo(self)))
    }
}

/// A path just as it came: `PathAndQuery` mends an empty one and drops fragments, which would hide from
/// the caller that the request is malformed.
fn path(value: &[u8]) -> Option<PathAndQuery> {
    let path = PathAndQuery::try_from(value).ok()?;
    (path.as_str().len() == value.len()).then_some(path)
}

impl Field {
    /// The name, for another field that refers to it.
    pub(crate) fn name(&self) -> Name<'_> {
        match self {
            Self::Authority(_) => Name::Pseudo(Pseudo::Authority),
            Self::Header(name, _) | Self::Malformed(Malformed::Value(name)) => {
                Name::Header(Cow::Borrowed(name))
            }
            Self::Malformed(Malformed::Name) => Name::Malformed,
            Self::Malformed(Malformed::Pseudo(pseudo)) => Name::Pseudo(*pseudo),
            Self::Method(_) => Name::Pseudo(Pseudo::Method),
            Self::Path(_) => Name::Pseudo(Pseudo::Path),
            Self::Protocol(_) => Name::Pseudo(Pseudo::Protocol),
            Self::Scheme(_) => Name::Pseudo(Pseudo::Scheme),
            Self::Status(_) => Name::Pseudo(Pseudo::Status),
            Self::UnknownPseudo => Name::UnknownPseudo,
        }
    }
}
