//! The filters of an `HTTPRoute` rule: changes to requests and responses on their way.

use serde::{Serialize, Serializer, ser::SerializeSeq};
use serde_json::json;

use super::cors::Cors;
use super::mirror::Mirror;

/// The filters of a rule, each at most once as Gateway API has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// `RequestHeaderModifier`.
    pub request_headers: Option<HeaderModifier>,
    /// `ResponseHeaderModifier`.
    pub response_headers: Option<HeaderModifier>,
    /// `RequestRedirect`; never along with `rewrite`.
    pub redirect: Option<Redirect>,
    /// `URLRewrite`.
    pub rewrite: Option<Rewrite>,
    /// `CORS`.
    pub cors: Option<Cors>,
    /// Each `RequestMirror`; there may be several.
    pub mirrors: Vec<Mirror>,
}

impl Filters {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a redirect or rewrite does to the path.
    pub fn path(&self) -> Option<&PathModifier> {
        let redirect = self.redirect.as_ref().and_then(|redirect| redirect.path.as_ref());
        redirect.or_else(|| self.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref()))
    }
}

impl Serialize for Filters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        if let Some(modifier) = &self.request_headers {
            let filter =
                json!({"type": "RequestHeaderModifier", "requestHeaderModifier": modifier});
            list.serialize_element(&filter)?;
        }
        if let Some(modifier) = &self.response_headers {
            let filter =
                json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": modifier});
            list.serialize_element(&filter)?;
        }
        if let Some(redirect) = &self.redirect {
            list.serialize_element(
                &json!({"type": "RequestRedirect", "requestRedirect": redirect}),
            )?;
        }
        if let Some(rewrite) = &self.rewrite {
            list.serialize_element(&json!({"type": "URLRewrite", "urlRewrite": rewrite}))?;
        }
        if let Some(cors) = &self.cors {
            list.serialize_element(&json!({"type": "CORS", "cors": cors}))?;
        }
        for mirror in &self.mirrors {
            list.serialize_element(&json!({"type": "RequestMirror", "requestMirror": mirror}))?;
        }
        list.end()
    }
}

/// Changes to headers: set replaces, add appends, remove takes away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HeaderModifier {
    /// Replaced, or added where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Header>,
    /// Appended to what is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Header>,
    /// Taken away, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// A header with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// An answer that sends the client elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// The new scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The new host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The new path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
    /// The new port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The status of the answer.
    #[serde(skip_serializing_if = "RedirectStatus::is_default")]
    pub status_code: RedirectStatus,
}

/// URL schemes a redirect can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plaintext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The scheme as URLs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Statuses a redirect can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedirectStatus {
    /// 301.
    MovedPermanently,
    /// 302, the default.
    #[default]
    Found,
    /// 303.
    SeeOther,
    /// 307.
    TemporaryRedirect,
    /// 308.
    PermanentRedirect,
}

impl RedirectStatus {
    /// Every status, by its number.
    pub const ALL: [(u16, Self); 5] = [
        (301, Self::MovedPermanently),
        (302, Self::Found),
        (303, Self::SeeOther),
        (307, Self::TemporaryRedirect),
        (308, Self::PermanentRedirect),
    ];

    /// The number.
    pub fn code(self) -> u16 {
        match self {
            Self::MovedPermanently => 301,
            Self::Found => 302,
            Self::SeeOther => 303,
            Self::TemporaryRedirect => 307,
            Self::PermanentRedirect => 308,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Serialize for RedirectStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.code())
    }
}

/// Changes to the URL on its way to the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rewrite {
    /// The new host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The new path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
}

/// A change to the path; the query stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathModifier {
    /// All of it.
    ReplaceFullPath(String),
    /// The segments that the PathPrefix matched.
    ReplacePrefixMatch(String),
}

impl Serialize for PathModifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::ReplaceFullPath(path) => {
                json!({"type": "ReplaceFullPath", "replaceFullPath": path})
            }
            Self::ReplacePrefixMatch(prefix) => {
                json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": prefix})
            }
        }
        .serialize(serializer)
    }
}
