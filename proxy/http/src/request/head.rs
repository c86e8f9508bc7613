//! The parts of a request that name what is asked for.

use http::{HeaderValue, Method, header::HOST, request::Parts};
use weft_format::Request;
use weft_route::{HeaderKey, RequestView};

use crate::{fault::Fault, head_rules::Origin};

/// The parts of a request that name what is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) authority: &'a str,
    pub(crate) path_and_query: &'a str,
}

impl<'a> Head<'a> {
    pub(crate) fn read(parts: &'a Parts) -> Result<Self, Fault> {
        if parts.method == Method::CONNECT {
            let authority = parts.uri.authority().ok_or(Fault::BadRequest(""))?.as_str();
            return Ok(Self { authority, path_and_query: "" });
        }
        let mut hosts = parts.headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            // Two hops that each take another one for the host see different requests.
            return Err(Fault::BadRequest("more than one host"));
        }
        // An absolute-form target wins over `host` (RFC 9112 §3.2.2); h2 has `:authority`.
        let authority = match parts.uri.authority() {
            // What has an authority and no scheme is the target of a CONNECT.
            Some(_) if parts.uri.scheme().is_none() => {
                return Err(Fault::BadRequest("the target is no path"));
            }
            Some(authority) => authority.as_str(),
            None => host
                .ok_or(Fault::BadRequest(""))?
                .to_str()
                .map_err(|_| Fault::BadRequest("host is not ASCII"))?,
        };
        if !names_a_host(authority.as_bytes()) {
            return Err(Fault::BadRequest("the host has characters that no host has"));
        }
        let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { authority, path_and_query })
    }

    /// What matchers look at.
    pub(crate) fn matched(self, parts: &'a Parts, origin: &Origin, random: u64) -> RequestView<'a> {
        RequestView {
            authority: self.authority,
            path_and_query: self.path_and_query,
            method: parts.method.as_str(),
            scheme: origin.scheme,
            is_internal: origin.is_internal,
            headers: &parts.headers,
            random,
        }
    }

    /// What formats look at.
    pub(crate) fn request(self, parts: &'a Parts, scheme: &'static str) -> Request<'a> {
        Request {
            method: parts.method.as_str(),
            path: self.path_and_query,
            authority: self.authority.as_bytes(),
            scheme,
            headers: &parts.headers,
        }
    }
}

/// What the first line of a header says, or a pseudo-header, before any of them is judged.
pub(crate) fn said<'p>(parts: &'p Parts, name: &HeaderKey) -> Option<&'p [u8]> {
    match name {
        HeaderKey::Method => Some(parts.method.as_str().as_bytes()),
        HeaderKey::Path => parts.uri.path_and_query().map(|path| path.as_str().as_bytes()),
        HeaderKey::Authority => match parts.uri.authority() {
            Some(authority) => Some(authority.as_str().as_bytes()),
            None => parts.headers.get(HOST).map(HeaderValue::as_bytes),
        },
        HeaderKey::Scheme => None,
        HeaderKey::Field(name) => parts.headers.get(name).map(HeaderValue::as_bytes),
    }
}

/// Whether these may be a host and a port (RFC 3986 §3.2). Someone's name in front of the host, a
/// path or a second host behind it would be the host to others. Nothing at all is no host in doubt.
pub(crate) fn names_a_host(authority: &[u8]) -> bool {
    authority
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-.:_~%!$&'()*+,;=[]".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_nothing_but_a_host() {
        for host in ["weft.test", "weft.test:8080", "[::1]:80", "a_b", "x%20y", "10.0.0.1", "", "*"]
        {
            assert!(names_a_host(host.as_bytes()), "{host}");
        }
        for host in ["a b", "a/b", "user@a", "a\\b", "a?b", "a#b", "a\tb", "a\"b", "<a>", "ä"] {
            assert!(!names_a_host(host.as_bytes()), "{host}");
        }
    }
}
