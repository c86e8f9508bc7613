//! The filter `CORS` of an `HTTPRoute` rule (GEP-1767): which pages of other origins may ask.

use serde::{Serialize, Serializer};

/// What browsers are told about pages of other origins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// The origins, at least one.
    pub allow_origins: Vec<AllowedOrigin>,
    /// Whether requests may have cookies and other credentials.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_credentials: bool,
    /// Methods besides those that need no permission.
    #[serde(skip_serializing_if = "Listed::is_empty")]
    pub allow_methods: Listed,
    /// Request headers besides those that need no permission.
    #[serde(skip_serializing_if = "Listed::is_empty")]
    pub allow_headers: Listed,
    /// Response headers that pages may read.
    #[serde(skip_serializing_if = "Listed::is_empty")]
    pub expose_headers: Listed,
    /// How many seconds an answer may be remembered; 5 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
}

/// Names, or every name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// These.
    Only(Vec<String>),
    /// `*`
    All,
}

impl Listed {
    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(names) if names.is_empty())
    }
}

impl Default for Listed {
    fn default() -> Self {
        Self::Only(Vec::new())
    }
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Only(names) => names.serialize(serializer),
            Self::All => ["*"].serialize(serializer),
        }
    }
}

/// An origin: scheme, host and, when it is not the scheme's own, port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum AllowedOrigin {
    /// `*`
    Any,
    /// This one, such as `https://shop.example.com`.
    Exact(String),
    /// Every name below, such as `https://*.example.com`: what comes before the wildcard, and what
    /// comes after.
    Below {
        /// The scheme with `://`.
        scheme: String,
        /// From the dot behind the wildcard to the end.
        suffix: String,
    },
}

impl AllowedOrigin {
    /// Reads an origin; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let (scheme, authority) = text.split_once("://")?;
        if !matches!(scheme, "http" | "https") {
            return None;
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        if !crate::syntax::is_hostname(host) || port.is_some_and(|port| !is_port(port)) {
            return None;
        }
        Some(match authority.strip_prefix('*') {
            Some(suffix) => {
                Self::Below { scheme: format!("{scheme}://"), suffix: suffix.to_owned() }
            }
            None => Self::Exact(text.to_owned()),
        })
    }
}

impl From<AllowedOrigin> for String {
    fn from(origin: AllowedOrigin) -> Self {
        match origin {
            AllowedOrigin::Any => "*".to_owned(),
            AllowedOrigin::Exact(origin) => origin,
            AllowedOrigin::Below { scheme, suffix } => format!("{scheme}*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_and_written() {
        for text in ["*", "http://a.example", "https://a.example:8443", "https://*.a.example"] {
            assert_eq!(AllowedOrigin::parse(text).map(String::from).as_deref(), Some(text));
        }
        for text in
            ["", "a.example", "ftp://a", "https://", "https://a/", "https://a:0", "https://a:b"]
        {
            assert_eq!(AllowedOrigin::parse(text), None, "{text}");
        }
    }
}
