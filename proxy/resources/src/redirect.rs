//! `envoy.config.route.v3.RedirectAction`.

use http::{StatusCode, Uri, uri::Scheme};
use weft_format::Format;
use weft_proto::pb::envoy::config::route::v3 as wire;
use weft_route::{PathMatch, Substitution};

use crate::{
    headers,
    path::At,
    problem::{Notes, Problem},
    rewrite::{self, PrefixRewrite},
};

/// `RedirectAction`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// `scheme_redirect` or `https_redirect`.
    pub scheme: Option<Box<str>>,
    /// `host_redirect`.
    pub host: Option<Box<str>>,
    /// `port_redirect`.
    pub port: Option<u16>,
    /// `path_redirect` or `prefix_rewrite`.
    pub path: RedirectPath,
    /// `strip_query`.
    pub strip_query: bool,
}

/// What a redirect does with the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectPath {
    /// Keep the request's.
    Keep,
    /// `path_redirect`.
    Replace(Uri),
    /// `prefix_rewrite`.
    Prefix(PrefixRewrite),
    /// `regex_rewrite`, which sees the path without its query string.
    Regex(Substitution),
    /// `path_rewrite`: what this says, if it says anything.
    Format(Format),
}

/// Reads a redirect.
pub(crate) fn read(
    message: &wire::RedirectAction,
    path: Option<&PathMatch>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Redirect> {
    use wire::redirect_action::RedirectResponseCode as Code;
    let status = match Code::try_from(message.response_code) {
        Ok(Code::MovedPermanently) => Some(StatusCode::MOVED_PERMANENTLY),
        Ok(Code::Found) => Some(StatusCode::FOUND),
        Ok(Code::SeeOther) => Some(StatusCode::SEE_OTHER),
        Ok(Code::TemporaryRedirect) => Some(StatusCode::TEMPORARY_REDIRECT),
        Ok(Code::PermanentRedirect) => Some(StatusCode::PERMANENT_REDIRECT),
        Err(_) => {
            let unknown = Problem::UnknownEnum(message.response_code);
            notes.refuse(&at.field("response_code"), unknown)
        }
    };
    let port = match u16::try_from(message.port_redirect) {
        Ok(port) => Some(port).filter(|port| *port != 0),
        Err(_) => notes.refuse(&at.field("port_redirect"), Problem::Port(message.port_redirect)),
    };
    let scheme = scheme(message, at, notes);
    let host = host(&message.host_redirect, &at.field("host_redirect"), notes);
    let path = redirect_path(message, path, at, notes);
    let strip_query = message.strip_query;
    Some(Redirect { status: status?, scheme, host, port, path: path?, strip_query })
}

fn scheme(message: &wire::RedirectAction, at: &At<'_>, notes: &mut Notes) -> Option<Box<str>> {
    use wire::redirect_action::SchemeRewriteSpecifier as Kind;
    match &message.scheme_rewrite_specifier {
        None | Some(Kind::HttpsRedirect(false)) => None,
        Some(Kind::HttpsRedirect(true)) => Some("https".into()),
        Some(Kind::SchemeRedirect(scheme)) if scheme.is_empty() => None,
        Some(Kind::SchemeRedirect(scheme)) => match scheme.parse::<Scheme>() {
            Ok(scheme) => Some(scheme.as_str().into()),
            Err(_) => notes.unsupported(
                &at.field("scheme_redirect"),
                format!("the scheme {scheme:?}"),
                "letters, digits, +, - and . are",
            ),
        },
    }
}

fn host(host: &str, at: &At<'_>, notes: &mut Notes) -> Option<Box<str>> {
    if host.is_empty() {
        return None;
    }
    headers::header_value(host.as_bytes(), at, notes).map(|_| host.into())
}

fn redirect_path(
    message: &wire::RedirectAction,
    path: Option<&PathMatch>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<RedirectPath> {
    use wire::redirect_action::PathRewriteSpecifier as Kind;
    match &message.path_rewrite_specifier {
        None => Some(RedirectPath::Keep),
        Some(Kind::PathRedirect(text)) if text.is_empty() => Some(RedirectPath::Keep),
        Some(Kind::PathRedirect(text)) => match text.parse::<Uri>() {
            Ok(uri) if text.starts_with('/') => Some(RedirectPath::Replace(uri)),
            _ => notes.refuse(&at.field("path_redirect"), Problem::PathText(text.clone())),
        },
        Some(Kind::PrefixRewrite(text)) => {
            let rewrite = rewrite::prefix(text, path, &at.field("prefix_rewrite"), notes)?;
            Some(rewrite.map_or(RedirectPath::Keep, RedirectPath::Prefix))
        }
        Some(Kind::RegexRewrite(rewrite)) => {
            rewrite::substitution(rewrite, &at.field("regex_rewrite"), notes)
                .map(RedirectPath::Regex)
        }
        Some(Kind::PathRewrite(text)) => {
            headers::format(text, &at.field("path_rewrite"), notes).map(RedirectPath::Format)
        }
    }
}
