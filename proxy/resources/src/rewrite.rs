//! How a route changes the path and the host of a request.

use http::{HeaderName, HeaderValue, Uri};
use weft_format::Format;
use weft_proto::pb::envoy::{config::route::v3 as wire, r#type::matcher::v3 as matcher};
use weft_route::{PathMatch, Substitution};

use crate::{
    headers,
    path::At,
    problem::{Notes, Problem},
};

/// What becomes of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// It stays.
    Keep,
    /// `prefix_rewrite`.
    Prefix(PrefixRewrite),
    /// `regex_rewrite`, which sees the path without its query string.
    Regex(Substitution),
    /// `path_rewrite`: all but the query string is what this says, if it says anything.
    Format(Format),
}

/// `prefix_rewrite`: what the route matched is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixRewrite {
    /// How many bytes of the path the match covered; `None` for all but the query string, as for
    /// an expression.
    pub matched: Option<usize>,
    /// What stands in their place.
    pub replacement: Box<str>,
}

/// What becomes of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRewrite {
    /// It stays.
    Keep,
    /// `host_rewrite_literal`.
    Literal(HeaderValue),
    /// `host_rewrite_header`: what this header says, if it says anything.
    Header(HeaderName),
    /// `host_rewrite_path_regex`: the path without its query string, with this replaced.
    PathRegex(Substitution),
    /// `host_rewrite`: what this says, if it says anything.
    Format(Format),
    /// `auto_host_rewrite`: the name of the endpoint that is picked, if it has one.
    Auto,
}

/// Reads what a route does to the path.
pub(crate) fn path(
    message: &wire::RouteAction,
    matched: Option<&PathMatch>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<PathRewrite> {
    if message.path_rewrite_policy.is_some() {
        let at = at.field("path_rewrite_policy");
        let others = "prefix_rewrite, regex_rewrite and path_rewrite are";
        notes.unsupported::<()>(&at, "an extension", others);
    }
    let (prefix_at, regex_at) = (at.field("prefix_rewrite"), at.field("regex_rewrite"));
    match (&*message.prefix_rewrite, &message.regex_rewrite, &*message.path_rewrite) {
        ("", None, "") => Some(PathRewrite::Keep),
        ("", None, text) => {
            headers::format(text, &at.field("path_rewrite"), notes).map(PathRewrite::Format)
        }
        ("", Some(rewrite), "") => substitution(rewrite, &regex_at, notes).map(PathRewrite::Regex),
        (text, None, "") => {
            let rewrite = prefix(text, matched, &prefix_at, notes)?;
            Some(rewrite.map_or(PathRewrite::Keep, PathRewrite::Prefix))
        }
        (_, Some(_), "") => notes.refuse(&regex_at, Problem::Conflict("prefix_rewrite")),
        ("", Some(_), _) => {
            notes.refuse(&at.field("path_rewrite"), Problem::Conflict("regex_rewrite"))
        }
        (_, _, _) => notes.refuse(&at.field("path_rewrite"), Problem::Conflict("prefix_rewrite")),
    }
}

/// Reads a `prefix_rewrite`; empty means none.
#[expect(clippy::option_option, reason = "refused, or nothing to do, or something")]
pub(crate) fn prefix(
    replacement: &str,
    path: Option<&PathMatch>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<PrefixRewrite>> {
    if replacement.is_empty() {
        return Some(None);
    }
    let is_path = replacement.starts_with('/') && replacement.parse::<Uri>().is_ok();
    if !is_path {
        return notes.refuse(at, Problem::PathText(replacement.to_owned()));
    }
    let matched = path?.matched_len();
    Some(Some(PrefixRewrite { matched, replacement: replacement.into() }))
}

/// Reads an expression with what stands in its place.
pub(crate) fn substitution(
    message: &matcher::RegexMatchAndSubstitute,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Substitution> {
    let Some(pattern) = &message.pattern else {
        return notes.refuse(&at.field("pattern"), Problem::Missing);
    };
    match Substitution::new(&pattern.regex, &message.substitution) {
        Ok(substitution) => Some(substitution),
        Err(error) => {
            // Without groups to put in, only the expression itself can be wrong.
            let at = match Substitution::new(&pattern.regex, "") {
                Ok(_) => at.field("substitution"),
                Err(_) => {
                    return notes
                        .refuse(&at.field("pattern").field("regex"), Problem::Regex(error));
                }
            };
            notes.refuse(&at, Problem::Regex(error))
        }
    }
}

/// Reads what a route does to the host.
pub(crate) fn host(
    message: &wire::RouteAction,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HostRewrite> {
    use wire::route_action::HostRewriteSpecifier as Kind;
    match &message.host_rewrite_specifier {
        None => Some(HostRewrite::Keep),
        Some(Kind::HostRewriteLiteral(host)) => {
            let host = literal(host, &at.field("host_rewrite_literal"), notes)?;
            Some(host.map_or(HostRewrite::Keep, HostRewrite::Literal))
        }
        Some(Kind::AutoHostRewrite(switch)) if switch.value => Some(HostRewrite::Auto),
        // Switched off explicitly is what is done anyway.
        Some(Kind::AutoHostRewrite(_)) => Some(HostRewrite::Keep),
        Some(Kind::HostRewriteHeader(name)) => {
            headers::header_name(name, &at.field("host_rewrite_header"), notes)
                .map(HostRewrite::Header)
        }
        Some(Kind::HostRewritePathRegex(rewrite)) => {
            substitution(rewrite, &at.field("host_rewrite_path_regex"), notes)
                .map(HostRewrite::PathRegex)
        }
        Some(Kind::HostRewrite(text)) => {
            headers::format(text, &at.field("host_rewrite"), notes).map(HostRewrite::Format)
        }
    }
}

/// Reads a `host_rewrite_literal`; empty means none.
#[expect(clippy::option_option, reason = "refused, or nothing to do, or something")]
pub(crate) fn literal(host: &str, at: &At<'_>, notes: &mut Notes) -> Option<Option<HeaderValue>> {
    if host.is_empty() {
        return Some(None);
    }
    headers::header_value(host.as_bytes(), at, notes).map(Some)
}
