//! Cookies that are read from requests and given to clients.

use std::time::Duration;

use weft_proto::pb::{envoy::r#type::http::v3 as wire, google::protobuf};

use crate::{
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// A cookie, and what is said of it when it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// `name`.
    pub name: Box<str>,
    /// `ttl`: how long a given cookie lasts; zero for as long as the browser runs.
    pub ttl: Option<Duration>,
    /// `path` of a given cookie; empty for none.
    pub path: Box<str>,
    /// `attributes` of a given cookie, names and values.
    pub attributes: Box<[(Box<str>, Box<str>)]>,
}

/// Reads how long a cookie lasts.
pub(crate) fn ttl(
    message: Option<&protobuf::Duration>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Duration> {
    message.and_then(|ttl| scalar::duration(ttl, &at.field("ttl"), notes))
}

/// Reads `envoy.type.http.v3.Cookie`.
pub(crate) fn read(
    message: Option<&wire::Cookie>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Cookie> {
    let Some(message) = message else { return notes.refuse(at, Problem::Missing) };
    let attributes = message
        .attributes
        .iter()
        .map(|attribute| (attribute.name.as_str().into(), attribute.value.as_str().into()));
    Some(Cookie {
        name: message.name.as_str().into(),
        ttl: ttl(message.ttl.as_ref(), at, notes),
        path: message.path.as_str().into(),
        attributes: attributes.collect(),
    })
}
