//! Reads the filters of an `HTTPRoute` rule.

use super::cors::cors;
use super::mirror::mirror;
use super::unique;
use crate::model::cors::Cors;
use crate::model::filter::{
    Filters, Header, HeaderModifier, PathModifier, Redirect, RedirectStatus, Rewrite, Scheme,
};
use crate::model::mirror::Mirror;
use crate::problem::{Conflict, Reason};
use crate::reader::{Choices, Object, Reader};
use crate::syntax::{
    HEADER_NAME, HEADER_VALUE, HOSTNAME, PATH, is_header_name, is_header_value, is_hostname,
    is_path,
};
use crate::tree::Node;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FilterKind {
    RequestHeaders,
    ResponseHeaders,
    Redirect,
    Rewrite,
    Cors,
    Mirror,
}

const FILTER_KINDS: Choices<FilterKind> = Choices {
    names: &[
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestRedirect",
        "URLRewrite",
        "CORS",
        "RequestMirror",
    ],
    values: &[
        FilterKind::RequestHeaders,
        FilterKind::ResponseHeaders,
        FilterKind::Redirect,
        FilterKind::Rewrite,
        FilterKind::Cors,
        FilterKind::Mirror,
    ],
};

/// Filters of Gateway API that Weft has not got.
const OTHERS: [&str; 2] = ["ExtensionRef", "ExternalAuth"];

enum Filter {
    RequestHeaders(HeaderModifier),
    ResponseHeaders(HeaderModifier),
    Redirect(Redirect),
    Rewrite(Rewrite),
    Cors(Cors),
    Mirror(Box<Mirror>),
}

pub(super) fn filters(reader: &mut Reader, node: &Node) -> Option<Filters> {
    let list = reader.list(node, filter);
    let list = unique(reader, node, list, |filter| {
        let kind = kind_of(filter);
        let name = FILTER_KINDS.names.get(kind as usize).copied().unwrap_or_default();
        // Copies may go to several places.
        (kind != FilterKind::Mirror).then(|| (kind, format!("the filter {name}")))
    })?;
    let mut filters = Filters::default();
    for filter in list {
        match filter {
            Filter::RequestHeaders(modifier) => filters.request_headers = Some(modifier),
            Filter::ResponseHeaders(modifier) => filters.response_headers = Some(modifier),
            Filter::Redirect(redirect) => filters.redirect = Some(redirect),
            Filter::Rewrite(rewrite) => filters.rewrite = Some(rewrite),
            Filter::Cors(cors) => filters.cors = Some(cors),
            Filter::Mirror(mirror) => filters.mirrors.push(*mirror),
        }
    }
    if filters.redirect.is_some() && filters.rewrite.is_some() {
        return reader.refuse(node, Conflict::RedirectWithRewrite.into());
    }
    Some(filters)
}

/// The filters of a gRPC rule: those that change headers, and copies.
pub(super) fn call_filters(reader: &mut Reader, node: &Node) -> Option<Filters> {
    let filters = filters(reader, node)?;
    if filters.redirect.is_some() || filters.rewrite.is_some() || filters.cors.is_some() {
        let what = "a RequestRedirect, URLRewrite or CORS in a GRPCRoute".to_owned();
        let instead =
            "use RequestHeaderModifier, ResponseHeaderModifier and RequestMirror, or an HTTPRoute";
        return reader.refuse(node, Reason::Unsupported { what, instead });
    }
    Some(filters)
}

/// The filters of a backend: those that change headers.
pub(super) fn backend_filters(reader: &mut Reader, node: &Node) -> Option<Filters> {
    let all = filters(reader, node)?;
    let (request_headers, response_headers) =
        (all.request_headers.clone(), all.response_headers.clone());
    let allowed = Filters { request_headers, response_headers, ..Filters::default() };
    if all != allowed {
        let what = "a filter that changes more than headers in a backendRef".to_owned();
        let instead =
            "use RequestHeaderModifier and ResponseHeaderModifier, or put the filter on the rule";
        return reader.refuse(node, Reason::Unsupported { what, instead });
    }
    Some(all)
}

fn kind_of(filter: &Filter) -> FilterKind {
    match filter {
        Filter::RequestHeaders(_) => FilterKind::RequestHeaders,
        Filter::ResponseHeaders(_) => FilterKind::ResponseHeaders,
        Filter::Redirect(_) => FilterKind::Redirect,
        Filter::Rewrite(_) => FilterKind::Rewrite,
        Filter::Cors(_) => FilterKind::Cors,
        Filter::Mirror(_) => FilterKind::Mirror,
    }
}

fn filter(reader: &mut Reader, node: &Node) -> Option<Filter> {
    reader.object(node, |reader, object| {
        let kind = object.required(reader, "type", |reader, node| {
            if node.as_text().is_some_and(|text| OTHERS.contains(&text)) {
                let what = format!("the filter {}", node.as_text().unwrap_or_default());
                let instead = "use one of: RequestHeaderModifier, ResponseHeaderModifier, RequestRedirect, URLRewrite, CORS, RequestMirror";
                return reader.refuse(node, Reason::Unsupported { what, instead });
            }
            reader.choice(node, &FILTER_KINDS)
        });
        let Some(kind) = kind else {
            object.leave(&["requestHeaderModifier", "responseHeaderModifier", "requestRedirect", "urlRewrite"]);
            object.leave(&["cors", "requestMirror", "extensionRef", "externalAuth"]);
            return None;
        };
        match kind {
            FilterKind::RequestHeaders => {
                object.required(reader, "requestHeaderModifier", |reader, node| modifier(reader, node, &REQUEST)).map(Filter::RequestHeaders)
            }
            FilterKind::ResponseHeaders => {
                object.required(reader, "responseHeaderModifier", |reader, node| modifier(reader, node, &RESPONSE)).map(Filter::ResponseHeaders)
            }
            FilterKind::Redirect => {
                object.required(reader, "requestRedirect", redirect).map(Filter::Redirect)
            }
            FilterKind::Rewrite => object.required(reader, "urlRewrite", rewrite).map(Filter::Rewrite),
            FilterKind::Cors => object.required(reader, "cors", cors).map(Filter::Cors),
            FilterKind::Mirror => {
                object.required(reader, "requestMirror", mirror).map(|it| Filter::Mirror(Box::new(it)))
            }
        }
    })
}

/// A header that filters cannot change, and what to do in its place.
struct Fixed {
    name: &'static str,
    instead: &'static str,
}

const REQUEST: Fixed = Fixed { name: "host", instead: "use the filter URLRewrite with hostname" };
/// Proxies put their own name there after all filters, as Envoy does.
const RESPONSE: Fixed = Fixed { name: "server", instead: "use a header of another name" };

fn modifier(reader: &mut Reader, node: &Node, fixed: &Fixed) -> Option<HeaderModifier> {
    reader.object(node, |reader, object| {
        let set = headers(reader, object, "set", fixed);
        let add = headers(reader, object, "add", fixed);
        let remove = object.list(reader, "remove", |reader, node| header_name(reader, node, fixed));
        Some(HeaderModifier { set: set?, add: add?, remove: remove? })
    })
}

fn headers(
    reader: &mut Reader,
    object: &mut Object<'_>,
    name: &'static str,
    fixed: &Fixed,
) -> Option<Vec<Header>> {
    let headers = object.optional(reader, name, |reader, node| {
        let headers = reader.list(node, |reader, node| header(reader, node, fixed));
        unique(reader, node, headers, |header| {
            Some((header.name.clone(), format!("the header {:?}", header.name)))
        })
    })?;
    Some(headers.unwrap_or_default())
}

fn header(reader: &mut Reader, node: &Node, fixed: &Fixed) -> Option<Header> {
    reader.object(node, |reader, object| {
        let name = object.required(reader, "name", |reader, node| header_name(reader, node, fixed));
        let value = object.required(reader, "value", |reader, node| {
            reader.text(node, HEADER_VALUE, is_header_value)
        });
        Some(Header { name: name?, value: value? })
    })
}

/// A header that a filter may change, in lower case.
fn header_name(reader: &mut Reader, node: &Node, fixed: &Fixed) -> Option<String> {
    let name = reader.text(node, HEADER_NAME, is_header_name)?.to_ascii_lowercase();
    // Filters on either way must not touch `host`: proxies refuse it.
    if name == fixed.name || name == REQUEST.name {
        let what = format!("changing the header {name}");
        return reader.refuse(node, Reason::Unsupported { what, instead: fixed.instead });
    }
    Some(name)
}

const SCHEMES: Choices<Scheme> =
    Choices { names: &["http", "https"], values: &[Scheme::Http, Scheme::Https] };

fn redirect(reader: &mut Reader, node: &Node) -> Option<Redirect> {
    reader.object(node, |reader, object| {
        let scheme =
            object.optional(reader, "scheme", |reader, node| reader.choice(node, &SCHEMES));
        let hostname = hostname(reader, object);
        let path = object.optional(reader, "path", path_modifier);
        let port = object.optional(reader, "port", Reader::port);
        let status_code = object.optional(reader, "statusCode", status);
        Some(Redirect {
            scheme: scheme?,
            hostname: hostname?,
            path: path?,
            port: port?,
            status_code: status_code?.unwrap_or_default(),
        })
    })
}

fn status(reader: &mut Reader, node: &Node) -> Option<RedirectStatus> {
    let code = reader.integer(node, 0, 999)?;
    let known = RedirectStatus::ALL.iter().find(|(known, _)| u32::from(*known) == code);
    match known {
        Some((_, status)) => Some(*status),
        None => reader.invalid(node, &code.to_string(), "one of 301, 302, 303, 307, 308"),
    }
}

fn rewrite(reader: &mut Reader, node: &Node) -> Option<Rewrite> {
    reader.object(node, |reader, object| {
        let hostname = hostname(reader, object);
        let path = object.optional(reader, "path", path_modifier);
        Some(Rewrite { hostname: hostname?, path: path? })
    })
}

/// A host name to go to: no wildcard (Gateway API `PreciseHostname`).
fn hostname(reader: &mut Reader, object: &mut Object<'_>) -> Option<Option<String>> {
    object.optional(reader, "hostname", |reader, node| {
        reader.text(node, HOSTNAME, |text| is_hostname(text) && !text.starts_with('*'))
    })
}

#[derive(Clone, Copy)]
enum PathModifierKind {
    Full,
    Prefix,
}

const PATH_MODIFIERS: Choices<PathModifierKind> = Choices {
    names: &["ReplaceFullPath", "ReplacePrefixMatch"],
    values: &[PathModifierKind::Full, PathModifierKind::Prefix],
};

fn path_modifier(reader: &mut Reader, node: &Node) -> Option<PathModifier> {
    reader.object(node, |reader, object| {
        let kind =
            object.required(reader, "type", |reader, node| reader.choice(node, &PATH_MODIFIERS));
        let Some(kind) = kind else {
            object.leave(&["replaceFullPath", "replacePrefixMatch"]);
            return None;
        };
        match kind {
            PathModifierKind::Full => object
                .required(reader, "replaceFullPath", |reader, node| {
                    reader.text(node, PATH, is_path)
                })
                .map(PathModifier::ReplaceFullPath),
            PathModifierKind::Prefix => object
                .required(reader, "replacePrefixMatch", |reader, node| {
                    // Gateway API lets the empty string stand for `/`.
                    reader.text(node, PATH, |text| text.is_empty() || is_path(text))
                })
                .map(PathModifier::ReplacePrefixMatch),
        }
    })
}
