//! Keeping web pages out.
//!
//! The API listens on loopback without a password. A page in a browser on the same machine can
//! send requests there: by a name of its own that resolves to loopback (DNS rebinding), or across
//! sites. Programs send neither a foreign `Host` nor an `Origin`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::api::{Refusal, RefusalKind};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Tells requests of programs from those that a web page could have caused.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    names: Arc<[String]>,
}

impl Guard {
    /// Answers to IP addresses, `localhost`, and to `names`.
    #[must_use]
    pub fn answering_to(names: Vec<String>) -> Self {
        Self { names: names.into() }
    }

    /// Why a request is not answered, if it is not.
    fn objection(&self, request: &Request) -> Option<String> {
        let text = |name| {
            let value = request.headers().get(name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let host = text(header::HOST);
        let asked = [host.clone(), request.uri().authority().map(Authority::to_string)];
        if let Some(host) = asked.into_iter().flatten().find(|host| !self.is_ours(host)) {
            return Some(format!(
                "host {host:?} is not answered to\n  hint: use an IP address or localhost, or start the control plane with --admin-host for this name"
            ));
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let origin = text(header::ORIGIN)
            .filter(|origin| origin.strip_prefix("http://") != Some(host.as_deref().unwrap_or("")));
        let site = text(FETCH_SITE).filter(|site| site != "same-origin" && site != "none");
        origin.or(site).map(|from| {
            format!(
                "a web page ({from}) may not change the mesh\n  hint: the request came from a browser; use weft, or a program of your own"
            )
        })
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let address =
            name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Lets only requests through that no web page could have caused.
pub(crate) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.objection(&request) {
        Some(text) => Refusal::new(RefusalKind::Forbidden, &text).into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn objection(method: Method, headers: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder().method(method).uri("/v1/info");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let guard = Guard::answering_to(vec!["weft.internal".to_owned()]);
        guard.objection(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn only_names_that_are_ours_are_answered_to() {
        for host in ["127.0.0.1:15080", "[::1]:1", "LOCALHOST", "weft.internal:80"] {
            assert_eq!(objection(Method::PUT, &[("host", host)]), None, "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:1", "", "[x]:1"] {
            assert!(objection(Method::GET, &[("host", host)]).is_some(), "{host}");
        }
    }

    #[test]
    fn pages_may_not_change_anything() {
        let host = ("host", "127.0.0.1:15080");
        let own = ("origin", "http://127.0.0.1:15080");
        assert_eq!(objection(Method::DELETE, &[host, own]), None);
        for foreign in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:80"),
            ("sec-fetch-site", "cross-site"),
        ] {
            assert!(objection(Method::PUT, &[host, foreign]).is_some(), "{foreign:?}");
            assert_eq!(objection(Method::GET, &[host, foreign]), None, "{foreign:?}");
        }
    }
}
