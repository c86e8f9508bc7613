//! Reads the matches of an `HTTPRoute` rule.

use super::unique;
use crate::model::route::{Match, Method, NamedMatch, PathMatch, ValueMatch};
use crate::problem::Reason;
use crate::reader::{Choices, Object, Reader};
use crate::syntax::{HEADER_NAME, PATH, is_header_name, is_path};
use crate::tree::Node;

#[derive(Clone, Copy)]
enum PathKind {
    Exact,
    Prefix,
    Regex,
}

const PATH_KINDS: Choices<PathKind> = Choices {
    names: &["Exact", "PathPrefix", "RegularExpression"],
    values: &[PathKind::Exact, PathKind::Prefix, PathKind::Regex],
};

#[derive(Clone, Copy)]
enum ValueKind {
    Exact,
    Regex,
}

const VALUE_KINDS: Choices<ValueKind> = Choices {
    names: &["Exact", "RegularExpression"],
    values: &[ValueKind::Exact, ValueKind::Regex],
};

const METHODS: Choices<Method> = Choices { names: &Method::NAMES, values: &Method::ALL };

const REGEX: &str = "a regular expression (RE2 syntax) of at most 1024 characters";
const VALUE: &str = "a value of 1 to 4096 characters";

pub(super) fn route_match(reader: &mut Reader, node: &Node) -> Option<Match> {
    reader.object(node, |reader, object| {
        let path = object.optional(reader, "path", path);
        let headers = object.optional(reader, "headers", header_list);
        let query_params = object.optional(reader, "queryParams", |reader, node| {
            let params = reader.list(node, query_param);
            unique(reader, node, params, |param| {
                Some((param.name.clone(), format!("the parameter {:?}", param.name)))
            })
        });
        let method = object.optional(reader, "method", method);
        Some(Match {
            path: path?,
            headers: headers?.unwrap_or_default(),
            query_params: query_params?.unwrap_or_default(),
            method: method?,
        })
    })
}

/// Conditions on headers, each name once.
pub(super) fn header_list(reader: &mut Reader, node: &Node) -> Option<Vec<NamedMatch>> {
    let headers = reader.list(node, header);
    unique(reader, node, headers, |header| {
        Some((header.name.clone(), format!("the header {:?}", header.name)))
    })
}

pub(super) fn method(reader: &mut Reader, node: &Node) -> Option<Method> {
    if node.as_text() == Some("CONNECT") {
        let what = "matching the method CONNECT".to_owned();
        return reader.refuse(node, Reason::Unsupported { what, instead: "remove this match" });
    }
    reader.choice(node, &METHODS)
}

pub(super) fn path(reader: &mut Reader, node: &Node) -> Option<PathMatch> {
    reader.object(node, |reader, object| {
        let kind = object
            .optional(reader, "type", |reader, node| reader.choice(node, &PATH_KINDS))
            .map(|kind| kind.unwrap_or(PathKind::Prefix));
        let value = object.optional(reader, "value", |reader, node| match kind {
            Some(PathKind::Regex) => regex(reader, node),
            _ => reader.text(node, PATH, is_path),
        });
        let value = value?.unwrap_or_else(|| "/".to_owned());
        Some(match kind? {
            PathKind::Exact => PathMatch::Exact(value),
            PathKind::Prefix => PathMatch::PathPrefix(value),
            PathKind::Regex => PathMatch::RegularExpression(value),
        })
    })
}

fn header(reader: &mut Reader, node: &Node) -> Option<NamedMatch> {
    reader.object(node, |reader, object| {
        let name = object.required(reader, "name", |reader, node| {
            reader.text(node, HEADER_NAME, is_header_name).map(|name| name.to_ascii_lowercase())
        });
        let value = value(reader, object);
        Some(NamedMatch { name: name?, value: value? })
    })
}

fn query_param(reader: &mut Reader, node: &Node) -> Option<NamedMatch> {
    reader.object(node, |reader, object| {
        // Gateway API restricts the names of parameters to those of headers.
        let name = object.required(reader, "name", |reader, node| {
            reader.text(node, HEADER_NAME, is_header_name)
        });
        let value = value(reader, object);
        Some(NamedMatch { name: name?, value: value? })
    })
}

fn value(reader: &mut Reader, object: &mut Object<'_>) -> Option<ValueMatch> {
    let kind = object
        .optional(reader, "type", |reader, node| reader.choice(node, &VALUE_KINDS))
        .map(|kind| kind.unwrap_or(ValueKind::Exact));
    let value = object.required(reader, "value", |reader, node| match kind {
        Some(ValueKind::Regex) => regex(reader, node),
        _ => reader.text(node, VALUE, |text| (1..=4096).contains(&text.len())),
    });
    Some(match kind? {
        ValueKind::Exact => ValueMatch::Exact(value?),
        ValueKind::Regex => ValueMatch::RegularExpression(value?),
    })
}

/// A regular expression that compiles.
pub(super) fn regex(reader: &mut Reader, node: &Node) -> Option<String> {
    let text = reader.text(node, REGEX, |text| (1..=1024).contains(&text.len()))?;
    match crate::pattern::check(&text) {
        Ok(()) => Some(text),
        Err(why) => reader.refuse(node, Reason::Regex { pattern: text, why }),
    }
}
