//! Keeping web pages out.
//!
//! The admin interface listens on loopback without a password. A page in a browser on the same
//! machine can send requests there: by a name of its own that resolves to loopback (DNS
//! rebinding), or by posting a form across sites. Programs send neither a foreign `Host` nor an
//! `Origin`.

use std::net::IpAddr;

use http::{HeaderMap, Uri, header};

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    #[error(
        "host \"{host}\" is not answered to (hint: use an IP address or localhost, so that a web \
         page cannot reach this interface by a name of its own)"
    )]
    ForeignHost { host: String },
    #[error(
        "a page of \"{origin}\" may not change this proxy (hint: the request came from a browser)"
    )]
    ForeignOrigin { origin: String },
}

/// Checks that a request was addressed to this interface on purpose. `names` are host names that
/// are answered to besides `localhost` and IP addresses.
pub(crate) fn check(
    uri: &Uri,
    headers: &HeaderMap,
    mutates: bool,
    names: &[String],
) -> Result<(), Forbidden> {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let host = text(header::HOST);
    let asked = [host.as_deref(), uri.authority().map(http::uri::Authority::as_str)];
    for host in asked.into_iter().flatten() {
        if !is_ours(host, names) {
            return Err(Forbidden::ForeignHost { host: host.to_owned() });
        }
    }
    match text(header::ORIGIN) {
        Some(origin)
            if mutates && origin.strip_prefix("http://") != Some(host.as_deref().unwrap_or("")) =>
        {
            Err(Forbidden::ForeignOrigin { origin: origin.into_owned() })
        }
        _ => Ok(()),
    }
}

fn is_ours(host: &str, names: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn checked(host: &str, origin: Option<&str>, mutates: bool) -> Result<(), Forbidden> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        check(&Uri::from_static("/ready"), &headers, mutates, &["admin.internal".to_owned()])
    }

    #[test]
    fn addresses_and_local_names_are_ours() {
        for host in
            ["127.0.0.1:15000", "127.0.0.1", "[::1]:15000", "LOCALHOST:1", "admin.internal:80"]
        {
            assert_eq!(checked(host, None, true), Ok(()), "{host}");
        }
        for host in ["evil.example", "evil.example:15000", "127.0.0.1.evil.example", "", "[x]:1"] {
            assert!(matches!(checked(host, None, false), Err(Forbidden::ForeignHost { .. })));
        }
        let uri = Uri::from_static("http://evil.example/ready");
        assert!(check(&uri, &HeaderMap::new(), false, &[]).is_err());
        assert!(check(&Uri::from_static("/ready"), &HeaderMap::new(), false, &[]).is_ok());
    }

    #[test]
    fn only_our_own_page_may_post() {
        let host = "127.0.0.1:15000";
        assert_eq!(checked(host, Some("http://127.0.0.1:15000"), true), Ok(()));
        assert_eq!(checked(host, Some("https://evil.example"), false), Ok(()));
        for origin in ["https://evil.example", "null", "http://127.0.0.1:80"] {
            assert!(checked(host, Some(origin), true).is_err(), "{origin}");
        }
    }
}
