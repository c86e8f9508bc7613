//! What a route makes of the path and the host before the upstream sees them.

use http::{HeaderMap, HeaderName, HeaderValue, header::HOST, request::Parts, uri::PathAndQuery};
use weft_compile::{Forward, HostRewrite, PathRewrite, PrefixRewrite, WeightedCluster};
use weft_format::{Format, Request, View};

use crate::{fault::Fault, headers, upstream::Authority};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The path for the upstream; `None` where it stays. `written` says what a format comes to.
pub(crate) fn path(
    rewrite: &PathRewrite,
    path_and_query: &str,
    written: impl FnOnce(&Format) -> Vec<u8>,
) -> Result<Option<PathAndQuery>, Fault> {
    const NO_PATH: Fault = Fault::BadRequest("rewritten path is not a path");
    let (path, query) = split_query(path_and_query);
    let mut out = String::with_capacity(path_and_query.len() + 16);
    match rewrite {
        PathRewrite::Keep => return Ok(None),
        PathRewrite::Prefix(rewrite) => push_prefixed(&mut out, rewrite, path),
        PathRewrite::Regex(substitution) => out.push_str(&substitution.replace_all(path)),
        PathRewrite::Format(format) => {
            let text = String::from_utf8(written(format)).map_err(|_| NO_PATH)?;
            if text.is_empty() {
                return Ok(None);
            }
            if text.contains('#') {
                // What follows would not be sent on, not even the query.
                return Err(NO_PATH);
            }
            out.push_str(&text);
        }
    }
    out.push_str(query);
    PathAndQuery::try_from(out).map(Some).map_err(|_| NO_PATH)
}

/// What a format comes to; what is not known leaves nothing.
pub(crate) fn written(format: &Format, view: &View<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    format.render(view, "", &mut text);
    text
}

/// `path`, which has no query string, with what was matched of it replaced.
pub(crate) fn push_prefixed(out: &mut String, rewrite: &PrefixRewrite, path: &str) {
    out.push_str(&rewrite.replacement);
    let rest = rewrite.matched.and_then(|matched| path.get(matched..));
    out.push_str(rest.unwrap_or_default());
}

/// The path, and the query string with its `?`.
fn split_query(path_and_query: &str) -> (&str, &str) {
    match path_and_query.find('?').and_then(|at| path_and_query.split_at_checked(at)) {
        Some(parts) => parts,
        None => (path_and_query, ""),
    }
}

/// Whom the request is for, as it came.
pub(crate) fn asked(parts: &Parts) -> Option<Authority> {
    match (parts.uri.authority(), parts.headers.get(HOST)) {
        (Some(authority), _) => Some(Authority::Uri(authority.clone())),
        (None, Some(host)) => Some(Authority::Field(host.clone())),
        (None, None) => None,
    }
}

/// Another host, if the route asks for one, made after all header changes: they may have made the
/// header that it is taken from. What `known` says of headers and authority is not used.
pub(crate) fn host(
    asked: &Authority,
    (to, weighted): (&Forward, Option<&WeightedCluster>),
    path_and_query: &str,
    fields: &mut HeaderMap,
    known: &View<'_>,
    keep_original: bool,
) -> Option<Authority> {
    let weighted = weighted.and_then(|weighted| weighted.host_rewrite.clone());
    let weighted = weighted.map(Authority::Field);
    let asked = weighted.as_ref().unwrap_or(asked);
    let host = match &to.host {
        HostRewrite::Keep | HostRewrite::Auto => None,
        HostRewrite::Literal(host) => Some(host.clone()),
        HostRewrite::Header(name) => fields.get(name).filter(|host| !host.is_empty()).cloned(),
        HostRewrite::PathRegex(substitution) => {
            let host = substitution.replace_all(split_query(path_and_query).0);
            HeaderValue::try_from(host).ok()
        }
        HostRewrite::Format(format) => {
            let authority = asked.as_bytes();
            let request = known.request.map(|it| Request { authority, headers: fields, ..it });
            let host = HeaderValue::try_from(written(format, &View { request, ..*known })).ok();
            host.filter(|host| !host.is_empty())
        }
    };
    match host {
        None => weighted,
        Some(host) => {
            replace(asked, to.append_x_forwarded_host, fields, keep_original);
            Some(Authority::Field(host))
        }
    }
}

/// Keeps what is known of a host that is about to be replaced.
pub(crate) fn replace(asked: &Authority, append: bool, fields: &mut HeaderMap, keep: bool) {
    let Some(asked) = asked.to_value() else { return };
    if append && !asked.is_empty() {
        append_forwarded_host(fields, &asked);
    }
    if keep {
        headers::set_original_host(fields, asked);
    }
}

/// Adds a host, unless it is what was added last.
fn append_forwarded_host(fields: &mut HeaderMap, host: &HeaderValue) {
    let lines = fields.get_all(X_FORWARDED_HOST).iter().map(HeaderValue::as_bytes);
    let mut hosts: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    let last = hosts.last().and_then(|line| line.rsplit(|byte| *byte == b',').next());
    if last == Some(host.as_bytes()) {
        return;
    }
    hosts.push(host.as_bytes());
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(hosts.join(&b","[..]))) {
        fields.insert(X_FORWARDED_HOST, joined);
    }
}

#[cfg(test)]
mod tests {
    use weft_route::Substitution;

    use super::*;

    fn rewritten(rewrite: &PathRewrite, before: &str) -> String {
        path(rewrite, before, |_| Vec::new()).unwrap().unwrap().as_str().to_owned()
    }

    #[test]
    fn rewrites_leave_the_query_alone() {
        let prefix =
            |matched| PathRewrite::Prefix(PrefixRewrite { matched, replacement: "/new".into() });
        assert_eq!(rewritten(&prefix(Some(4)), "/old/x?q=/old"), "/new/x?q=/old");
        assert_eq!(rewritten(&prefix(None), "/old/x?q=1"), "/new?q=1", "matched by an expression");
        let regex = PathRewrite::Regex(Substitution::new("o", "0").unwrap());
        assert_eq!(rewritten(&regex, "/foo?o=o"), "/f00?o=o");
        assert_eq!(path(&PathRewrite::Keep, "/x", |_| Vec::new()).unwrap(), None);
        let broken = PathRewrite::Regex(Substitution::new("/", " ").unwrap());
        assert!(path(&broken, "/x", |_| Vec::new()).is_err());
    }

    #[test]
    fn what_a_format_comes_to_is_the_path_unless_it_is_nothing() {
        let format = PathRewrite::Format("/v2/%REQ(x-id)%".parse().unwrap());
        let rewritten = |text: &'static [u8]| path(&format, "/x?q", |_| text.to_vec());
        assert_eq!(rewritten(b"/v2/7").unwrap().unwrap(), "/v2/7?q");
        assert_eq!(rewritten(b"").unwrap(), None);
        assert!(
            rewritten(b"a b").is_err()
                && rewritten(b"/a#b").is_err()
                && rewritten(b"/\xff\xfe").is_err()
        );
    }

    #[test]
    fn a_forwarded_host_is_added_once() {
        let mut fields = HeaderMap::new();
        for (host, after) in [("a", "a"), ("a", "a"), ("b", "a,b"), ("a", "a,b,a")] {
            append_forwarded_host(&mut fields, &HeaderValue::from_static(host));
            assert_eq!(fields[X_FORWARDED_HOST], after);
        }
    }
}
