//! Header rules of a proxy: what never crosses a hop, what a hop adds, what routes change.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE},
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_ENVOY_ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const X_ENVOY_IS_TIMEOUT_RETRY: HeaderName = HeaderName::from_static("x-envoy-is-timeout-retry");
const X_ENVOY_ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
const X_ENVOY_ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const X_ENVOY_EXPECTED_TIMEOUT: HeaderName =
    HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const X_ENVOY_UPSTREAM_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// Removes what concerns one connection only (RFC 9110 §7.6.1), including whatever `connection`
/// names. Nothing is looked for in h2, where such fields make a message malformed (RFC 9113
/// §8.2.2) and the protocol machine has refused them.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap, version: Version) {
    if version >= Version::HTTP_2 {
        return;
    }
    // Looking at each name once costs less than looking for each of these.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    if headers.contains_key(CONNECTION) {
        remove_named_by_connection(headers);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade"
    )
}

/// `te` may only say `trailers` beyond the first hop, which gRPC relies on.
pub(crate) fn keep_only_te_trailers(headers: &mut HeaderMap) {
    let Some(te) = headers.get(TE) else { return };
    let trailers = te.as_bytes().split(|b| *b == b',').any(|coding| {
        coding
            .trim_ascii()
            .split(|b| *b == b';')
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(b"trailers"))
    });
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(TE);
    }
}

#[cold]
fn remove_named_by_connection(headers: &mut HeaderMap) {
    let mut named = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for token in value.as_bytes().split(|b| *b == b',') {
            // `te` has a rule of its own; names that frame or route the message never go.
            if let Ok(name) = HeaderName::from_bytes(token.trim_ascii())
                && name != TE
                && name != HOST
                && name != http::header::CONTENT_LENGTH
            {
                named.push(name);
            }
        }
    }
    headers.remove(CONNECTION);
    for name in named {
        headers.remove(name);
    }
}

/// What only a hop of the mesh may say, and a caller must not be able to.
#[cold]
pub(crate) fn remove_forged(headers: &mut HeaderMap, is_edge: bool) {
    const ANYWHERE: [&str; 14] = [
        "x-envoy-force-trace",
        "x-envoy-hedge-on-per-try-timeout",
        "x-envoy-internal",
        "x-envoy-ip-tags",
        "x-envoy-max-retries",
        "x-envoy-original-url",
        "x-envoy-retriable-header-names",
        "x-envoy-retriable-status-codes",
        "x-envoy-retry-grpc-on",
        "x-envoy-retry-on",
        "x-envoy-upstream-alt-stat-name",
        "x-envoy-upstream-rq-per-try-timeout-ms",
        "x-envoy-upstream-rq-timeout-alt-response",
        "x-envoy-upstream-rq-timeout-ms",
    ];
    const AT_THE_EDGE: [&str; 4] = [
        "x-envoy-decorator-operation",
        "x-envoy-downstream-service-cluster",
        "x-envoy-downstream-service-node",
        "x-envoy-original-path",
    ];
    let edge = AT_THE_EDGE.into_iter().filter(|_| is_edge);
    for name in ANYWHERE.into_iter().chain(edge) {
        headers.remove(name);
    }
}

/// The path that a rewrite has replaced.
pub(crate) fn set_original_path(headers: &mut HeaderMap, path: &str) {
    if let Ok(path) = HeaderValue::from_bytes(path.as_bytes()) {
        headers.insert(X_ENVOY_ORIGINAL_PATH, path);
    }
}

/// The host that a rewrite has replaced.
pub(crate) fn set_original_host(headers: &mut HeaderMap, host: HeaderValue) {
    headers.insert(X_ENVOY_ORIGINAL_HOST, host);
}

/// `x-envoy-attempt-count`: which attempt the upstream sees, counted from 1.
pub(crate) fn set_attempt(headers: &mut HeaderMap, attempt: usize) {
    headers.insert(X_ENVOY_ATTEMPT_COUNT, HeaderValue::from(attempt));
}

/// An h2 client may split its cookies, which no other protocol knows (RFC 9113 §8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let pieces: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(pieces.join(&b"; "[..])))
    {
        headers.insert(COOKIE, joined);
    }
}

/// `x-envoy-expected-rq-timeout-ms`: what is left of the route's timeout.
pub(crate) fn set_expected_timeout(headers: &mut HeaderMap, millis: u64) {
    headers.insert(X_ENVOY_EXPECTED_TIMEOUT, HeaderValue::from(millis));
}

/// Whether there is a field that nearly no message has: looking at the few names that there are costs
/// less than hashing a long one.
pub(crate) fn has_rare(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys().any(|known| known == name)
}

/// What a caller who is not believed says of the time.
pub(crate) fn remove_expected_timeout(headers: &mut HeaderMap) {
    headers.remove(X_ENVOY_EXPECTED_TIMEOUT);
}

/// `x-envoy-is-timeout-retry`: whether the try before took too long.
pub(crate) fn set_timeout_retry(headers: &mut HeaderMap, was_timeout: bool) {
    let value = HeaderValue::from_static(if was_timeout { "true" } else { "false" });
    headers.insert(X_ENVOY_IS_TIMEOUT_RETRY, value);
}

/// What `x-envoy-expected-rq-timeout-ms` says.
pub(crate) fn expected_timeout(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(X_ENVOY_EXPECTED_TIMEOUT)
}

/// `x-envoy-upstream-service-time`, in milliseconds.
pub(crate) fn set_upstream_time(headers: &mut HeaderMap, millis: u64) {
    headers.insert(X_ENVOY_UPSTREAM_TIME, number(millis));
}

/// A number as a value. Most times are short, and cost no allocation.
fn number(number: u64) -> HeaderValue {
    const SMALL: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let small = usize::try_from(number).ok().and_then(|number| SMALL.get(number));
    small.map_or_else(|| HeaderValue::from(number), |text| HeaderValue::from_static(text))
}

/// Tells an HTTP/1.1 client that this connection ends here.
pub(crate) fn close_after(headers: &mut HeaderMap, version: Version) {
    if version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// A version 4 UUID (RFC 9562 §5.4).
pub(crate) fn request_id(random: &mut fastrand::Rng) -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bits =
        random.u128(..) & !(0xf000 << 64) & !(0xc000 << 48) | (0x4000 << 64) | (0x8000 << 48);
    let mut text = [b'-'; 36];
    let places = text.iter_mut().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
    let bytes = bits.to_be_bytes();
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    for ((_, place), nibble) in places.zip(nibbles) {
        *place = HEX[usize::from(nibble & 0xf)];
    }
    let mut id = HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
    // No other request has this value: in HPACK's table it would only push out what recurs.
    id.set_sensitive(true);
    id
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)))
            .collect()
    }

    #[test]
    fn connection_takes_what_it_names_but_not_the_frame() {
        let mut headers = map(&[
            ("connection", "x-secret, Host , content-length,keep-alive"),
            ("x-secret", "1"),
            ("host", "shop"),
            ("content-length", "3"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("x-kept", "1"),
        ]);
        remove_hop_by_hop(&mut headers, Version::HTTP_11);
        assert_eq!(headers, map(&[("host", "shop"), ("content-length", "3"), ("x-kept", "1")]));
        assert!(headers.contains_key(HOST));
    }

    #[test]
    fn te_keeps_trailers_only() {
        let mut headers = map(&[("te", "gzip, Trailers;q=1")]);
        keep_only_te_trailers(&mut headers);
        assert_eq!(headers, map(&[("te", "trailers")]));
        let mut headers = map(&[("te", "gzip")]);
        keep_only_te_trailers(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn cookies_of_an_h2_client_become_one() {
        let mut headers = map(&[("cookie", "a=1"), ("x", "1"), ("cookie", "b=2; c=3")]);
        join_cookies(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=1; b=2; c=3"), ("x", "1")]));
    }

    #[test]
    fn what_only_hops_of_the_mesh_say_is_not_taken_from_callers() {
        let said = [("x-envoy-internal", "true"), ("x-envoy-original-path", "/x"), ("x-kept", "1")];
        let mut inside = map(&said);
        remove_forged(&mut inside, false);
        assert_eq!(inside, map(&[("x-envoy-original-path", "/x"), ("x-kept", "1")]));
        let mut edge = map(&said);
        remove_forged(&mut edge, true);
        assert_eq!(edge, map(&[("x-kept", "1")]));
    }

    #[test]
    fn request_ids_are_uuids_of_version_4() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100 {
            let id = request_id(&mut random);
            let text = id.to_str().unwrap();
            assert_eq!(text.len(), 36);
            assert_eq!(&text[14..15], "4");
            assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        }
    }
}
