//! Reads what makes requests equal, and what keeps them together.

use super::non_empty;
use super::settings::span;
use crate::model::policy::{HashCookie, HashOn};
use crate::model::route::BackendRef;
use crate::model::stickiness::{SessionKeeper, Stickiness};
use crate::problem::{Conflict, Reason};
use crate::reader::{Object, Reader};
use crate::syntax::{HEADER_NAME, PATH, is_header_name, is_path};
use crate::tree::Node;

const COOKIE_NAME: &str = "the name of a cookie (RFC 6265 token)";
const PARAMETER: &str = "the name of a query parameter, 1 to 256 characters";

/// What requests are told apart by: at least one thing.
pub(super) fn told_apart_by(reader: &mut Reader, node: &Node) -> Option<Vec<HashOn>> {
    let list = reader.list(node, hash_on);
    non_empty(reader, node, list)
}

fn hash_on(reader: &mut Reader, node: &Node) -> Option<HashOn> {
    reader.object(node, |reader, object| {
        let header = object.optional(reader, "header", header);
        let cookie = object.optional(reader, "cookie", cookie);
        let parameter = object.optional(reader, "queryParameter", |reader, node| {
            let is_name = |text: &str| (1..=256).contains(&text.len());
            reader.text(node, PARAMETER, is_name).map(HashOn::QueryParameter)
        });
        let source = object.optional(reader, "sourceAddress", |reader, node| {
            reader.object(node, |_, _| Some(HashOn::SourceAddress {}))
        });
        let header = header?.map(HashOn::Header);
        let cookie = cookie?.map(HashOn::Cookie);
        let mut said = [header, cookie, parameter?, source?].into_iter().flatten();
        match (said.next(), said.next()) {
            (Some(on), None) => Some(on),
            _ => {
                let fields = &["header", "cookie", "queryParameter", "sourceAddress"];
                reader.refuse(object.node(), Reason::ExactlyOne { fields })
            }
        }
    })
}

fn header(reader: &mut Reader, node: &Node) -> Option<String> {
    reader.text(node, HEADER_NAME, is_header_name).map(|name| name.to_ascii_lowercase())
}

fn cookie(reader: &mut Reader, node: &Node) -> Option<HashCookie> {
    reader.object(node, |reader, object| {
        let name = object.required(reader, "name", |reader, node| {
            reader.text(node, COOKIE_NAME, is_header_name)
        });
        let ttl = object.optional(reader, "ttl", span);
        let path = object.optional(reader, "path", |reader, node| {
            // It is written into a `set-cookie` header, where these would end the attribute.
            let is_attribute = |text: &str| is_path(text) && !text.contains([';', ',']);
            reader.text(node, PATH, is_attribute)
        });
        Some(HashCookie { name: name?, ttl: ttl?, path: path? })
    })
}

/// How sessions are kept at their endpoints.
pub(super) fn stickiness(reader: &mut Reader, node: &Node) -> Option<Stickiness> {
    reader.object(node, |reader, object| {
        let cookie = object.optional(reader, "cookie", cookie);
        let header = object.optional(reader, "header", header);
        let strict = object.optional(reader, "strict", |reader, node| reader.boolean(node));
        let by = match (cookie?, header?) {
            (Some(cookie), None) => SessionKeeper::Cookie(cookie),
            (None, Some(name)) => SessionKeeper::Header(name),
            _ => {
                let fields = &["cookie", "header"];
                return reader.refuse(object.node(), Reason::ExactlyOne { fields });
            }
        };
        Some(Stickiness { by, strict: strict?.unwrap_or(false) })
    })
}

/// What to write in place of Gateway API's `sessionPersistence`.
pub(super) const NO_AFFINITY: &str = "use splitOn, or stickiness in a TrafficPolicy";

/// What keeps a client to one of the `backends` of a rule, of which there are several then; `None` where they
/// are not known.
pub(super) fn split_on(
    reader: &mut Reader,
    object: &mut Object<'_>,
    backends: Option<&[BackendRef]>,
) -> Option<Vec<HashOn>> {
    let split_on = object.optional(reader, "splitOn", told_apart_by)?.unwrap_or_default();
    if !split_on.is_empty() && backends.is_some_and(|backends| backends.len() < 2) {
        return reader.refuse(object.node(), Conflict::SplitOfOne.into());
    }
    Some(split_on)
}
