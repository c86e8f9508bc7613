//! A field as the caller sees it: parsed, or known to be malformed.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    uri::{Authority, PathAndQuery, Scheme},
};

use crate::known;

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
pub(crate) enum Name {
    Header(HeaderName),
    Malformed,
    Pseudo(Pseudo),
    UnknownPseudo,
}

impl Name {
    pub(crate) fn parse(name: &[u8]) -> Self {
        if let Some(known) = known::find(name) {
            return known.name.clone();
        }
        if name.starts_with(b":") {
            return Self::UnknownPseudo;
        }
        HeaderName::from_lowercase(name).map_or(Self::Malformed, Self::Header)
    }

    pub(crate) fn with(self, value: Bytes, never_indexed: bool) -> Field {
        match self {
            Self::Header(name) => match HeaderValue::from_maybe_shared(value) {
                Ok(mut value) => {
                    value.set_sensitive(never_indexed);
                    Field::Header(name, value)
                }
                Err(_) => Field::Malformed(Malformed::Value(name)),
            },
            Self::Malformed => Field::Malformed(Malformed::Name),
            Self::Pseudo(pseudo) => {
                pseudo.with(value).unwrap_or(Field::Malformed(Malformed::Pseudo(pseudo)))
            }
            Self::UnknownPseudo => Field::UnknownPseudo,
        }
    }
}

impl Pseudo {
    fn with(self, value: Bytes) -> Option<Field> {
        match self {
            Self::Authority => Authority::from_maybe_shared(value).ok().map(Field::Authority),
            Self::Method => Method::from_bytes(&value).ok().map(Field::Method),
            Self::Path => path(value).map(Field::Path),
            Self::Protocol => HeaderValue::from_maybe_shared(value).ok().map(Field::Protocol),
            Self::Scheme => Scheme::try_from(&*value).ok().map(Field::Scheme),
            Self::Status => StatusCode::from_bytes(&value).ok().map(Field::Status),
        }
    }
}

/// A path just as it came: `PathAndQuery` mends an empty one and drops fragments, which would hide from
/// the caller that the request is malformed.
fn path(value: Bytes) -> Option<PathAndQuery> {
    let length = value.len();
    let path = PathAndQuery::from_maybe_shared(value).ok()?;
    (path.as_str().len() == length).then_some(path)
}

impl Field {
    /// The name, for another field that refers to it.
    pub(crate) fn name(&self) -> Name {
        match self {
            Self::Authority(_) => Name::Pseudo(Pseudo::Authority),
            Self::Header(name, _) | Self::Malformed(Malformed::Value(name)) => {
                Name::Header(name.clone())
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
