//! Where a redirect points.

use http::{HeaderValue, Uri};
use weft_compile::{Redirect, RedirectPath};
use weft_format::Format;

use crate::rewrite;

/// The `location` of a redirect for this request (`route.v3.RedirectAction`). `written` says what a
/// format comes to.
pub(crate) fn location(
    redirect: &Redirect,
    scheme: &str,
    authority: &str,
    path_and_query: &str,
    written: impl FnOnce(&Format) -> Vec<u8>,
) -> Option<HeaderValue> {
    let target_scheme = redirect.scheme.as_deref().unwrap_or(scheme);
    let mut out = String::with_capacity(authority.len() + path_and_query.len() + 16);
    out.push_str(target_scheme);
    out.push_str("://");
    push_authority(&mut out, redirect, scheme, target_scheme, authority);
    push_path(&mut out, redirect, path_and_query, written)?;
    HeaderValue::try_from(out).ok()
}

fn push_authority(
    out: &mut String,
    redirect: &Redirect,
    scheme: &str,
    target_scheme: &str,
    authority: &str,
) {
    let (host, port) = split_port(authority);
    out.push_str(redirect.host.as_deref().unwrap_or(host));
    match redirect.port {
        Some(port) => {
            out.push(':');
            out.push_str(itoa::Buffer::new().format(port));
        }
        // A port that was the default of the old scheme says nothing about the new one.
        None if scheme != target_scheme && port == default_port(scheme) => {}
        None if redirect.host.is_some() => {}
        None => {
            if let Some(port) = port {
                out.push(':');
                out.push_str(port);
            }
        }
    }
}

/// `None` where a format comes to what no header can hold.
fn push_path(
    out: &mut String,
    redirect: &Redirect,
    path_and_query: &str,
    written: impl FnOnce(&Format) -> Vec<u8>,
) -> Option<()> {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let query = if redirect.strip_query { None } else { query };
    match &redirect.path {
        RedirectPath::Keep => out.push_str(path),
        RedirectPath::Replace(uri) => {
            push_uri(out, uri);
            // A path_redirect with a query of its own replaces the request's.
            if uri.query().is_some() {
                return Some(());
            }
        }
        RedirectPath::Prefix(prefix) => rewrite::push_prefixed(out, prefix, path),
        RedirectPath::Regex(substitution) => out.push_str(&substitution.replace_all(path)),
        RedirectPath::Format(format) => {
            let text = String::from_utf8(written(format)).ok()?;
            let text = if text.is_empty() { path } else { &text };
            out.push_str(if text.starts_with('/') { "" } else { "/" });
            out.push_str(text);
            if text.contains('?') {
                return Some(());
            }
        }
    }
    if let Some(query) = query {
        out.push('?');
        out.push_str(query);
    }
    Some(())
}

fn push_uri(out: &mut String, uri: &Uri) {
    out.push_str(uri.path_and_query().map_or("/", |path| path.as_str()));
}

/// The `location` that asks for the same over https (`require_tls`).
pub(crate) fn to_https(authority: &str, path_and_query: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("https://{authority}{path_and_query}")).ok()
}

fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "http" => Some("80"),
        "https" => Some("443"),
        _ => None,
    }
}

/// Host and port of an authority; an IPv6 literal keeps its brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            (host, Some(port))
        }
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use weft_compile::PrefixRewrite;
    use weft_route::Substitution;

    use super::*;

    fn to(redirect: &Redirect, authority: &str, path: &str) -> String {
        location(redirect, "http", authority, path, |_| b"/w".to_vec())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn keep() -> Redirect {
        Redirect {
            status: StatusCode::MOVED_PERMANENTLY,
            scheme: None,
            host: None,
            port: None,
            path: RedirectPath::Keep,
            strip_query: false,
        }
    }

    #[test]
    fn scheme_host_port_and_path_change_on_their_own() {
        let https = Redirect { scheme: Some("https".into()), ..keep() };
        assert_eq!(to(&https, "shop:80", "/a?b"), "https://shop/a?b");
        assert_eq!(to(&https, "shop:8080", "/a"), "https://shop:8080/a");
        assert_eq!(to(&https, "shop:443", "/a"), "https://shop:443/a");
        let host = Redirect { host: Some("other".into()), ..keep() };
        assert_eq!(to(&host, "shop:8080", "/a"), "http://other/a");
        let port = Redirect { port: Some(81), ..keep() };
        assert_eq!(to(&port, "[::1]:80", "/"), "http://[::1]:81/");
        let strip = Redirect { strip_query: true, ..keep() };
        assert_eq!(to(&strip, "shop", "/a?b"), "http://shop/a");
        let path = Redirect { path: RedirectPath::Replace(Uri::from_static("/new?x=1")), ..keep() };
        assert_eq!(to(&path, "shop", "/a?b"), "http://shop/new?x=1");
        let prefix = Redirect {
            path: RedirectPath::Prefix(PrefixRewrite {
                matched: Some(4),
                replacement: "/v2".into(),
            }),
            ..keep()
        };
        assert_eq!(to(&prefix, "shop", "/api/x?b"), "http://shop/v2/x?b");
        let regex = Substitution::new("^/([a-z]+)", r"/\1s").unwrap();
        let regex = Redirect { path: RedirectPath::Regex(regex), ..keep() };
        assert_eq!(to(&regex, "shop", "/item/7?b=/item"), "http://shop/items/7?b=/item");
        let format = RedirectPath::Format("%REQ(x)%".parse().unwrap());
        assert_eq!(to(&Redirect { path: format, ..keep() }, "shop", "/a?b"), "http://shop/w?b");
    }
}
