//! Header rules of a proxy: what never crosses a hop, what a hop adds, what routes change.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, EXPECT, TE, TRANSFER_ENCODING, UPGRADE},
};
use weft_compile::{AppendAction, HeaderMutations, HttpChain};
use weft_net::PeerAddress;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_ENVOY_INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");
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
    if headers.contains_key(CONNECTION) {
        remove_named_by_connection(headers);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        if headers.contains_key(&name) {
            headers.remove(name);
        }
    }
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
                && name != http::header::HOST
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

/// What this hop adds to a request, by the chain's settings.
pub(crate) fn add_forwarding(
    headers: &mut HeaderMap,
    chain: &HttpChain,
    peer: PeerAddress,
    scheme: &'static str,
    random: &mut fastrand::Rng,
) {
    if chain.use_remote_address {
        append_peer(headers, peer);
        headers.remove(X_ENVOY_INTERNAL);
        if is_internal(peer) {
            headers.insert(X_ENVOY_INTERNAL, HeaderValue::from_static("true"));
        }
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    } else if !headers.contains_key(&X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if headers.contains_key(EXPECT) {
        // The client's 100 (Continue) comes from us, when its body is first asked for.
        headers.remove(EXPECT);
    }
    if chain.generate_request_id {
        let keep =
            !chain.use_remote_address || chain.preserve_external_request_id || is_internal(peer);
        if !(keep && headers.contains_key(&X_REQUEST_ID)) {
            headers.insert(X_REQUEST_ID, request_id(random));
        }
    }
}

/// `x-envoy-expected-rq-timeout-ms`: what is left of the route's timeout.
pub(crate) fn set_expected_timeout(headers: &mut HeaderMap, millis: u64) {
    headers.insert(X_ENVOY_EXPECTED_TIMEOUT, HeaderValue::from(millis));
}

/// `x-envoy-upstream-service-time`, in milliseconds.
pub(crate) fn set_upstream_time(headers: &mut HeaderMap, millis: u64) {
    headers.insert(X_ENVOY_UPSTREAM_TIME, HeaderValue::from(millis));
}

/// A route's header changes.
pub(crate) fn mutate(headers: &mut HeaderMap, mutations: &HeaderMutations) {
    for name in &mutations.remove {
        headers.remove(name);
    }
    for set in &mutations.set {
        let name = set.name.clone();
        match set.append {
            AppendAction::AppendIfExistsOrAdd => {
                headers.append(name, set.value.clone());
            }
            AppendAction::AddIfAbsent => {
                headers.entry(name).or_insert_with(|| set.value.clone());
            }
            AppendAction::OverwriteIfExistsOrAdd => {
                headers.insert(name, set.value.clone());
            }
            AppendAction::OverwriteIfExists => {
                if headers.contains_key(&name) {
                    headers.insert(name, set.value.clone());
                }
            }
        }
    }
}

/// Tells an HTTP/1.1 client that this connection ends here.
pub(crate) fn close_after(headers: &mut HeaderMap, version: Version) {
    if version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn append_peer(headers: &mut HeaderMap, peer: PeerAddress) {
    let PeerAddress::Ip(address) = peer else { return };
    let ip = address.ip().to_string();
    let joined = match headers.get(X_FORWARDED_FOR) {
        Some(before) => [before.as_bytes(), b",", ip.as_bytes()].concat(),
        None => ip.into_bytes(),
    };
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(X_FORWARDED_FOR, value);
    }
}

/// RFC 1918, loopback and unique local addresses; a Unix socket is internal by nature.
fn is_internal(peer: PeerAddress) -> bool {
    match peer {
        PeerAddress::Pipe => true,
        PeerAddress::Ip(address) => match address.ip() {
            IpAddr::V4(ip) => ip.is_private() || ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
        },
    }
}

/// A version 4 UUID (RFC 9562 §5.4).
fn request_id(random: &mut fastrand::Rng) -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bits =
        random.u128(..) & !(0xf000 << 64) & !(0xc000 << 48) | (0x4000 << 64) | (0x8000 << 48);
    let mut text = [b'-'; 36];
    let mut shift = 128;
    for (at, place) in text.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23) {
            shift -= 4;
            let nibble = usize::try_from((bits >> shift) & 0xf).unwrap_or(0);
            *place = HEX.get(nibble).copied().unwrap_or(b'0');
        }
    }
    let mut id = HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
    // No other request has this value: in HPACK's table it would only push out what recurs.
    id.set_sensitive(true);
    id
}

#[cfg(test)]
mod tests {
    use http::header::HOST;
    use weft_compile::HeaderSet;

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

    #[test]
    fn each_append_action_does_what_it_says() {
        let set = |append| HeaderMutations {
            remove: Box::default(),
            set: Box::new([HeaderSet {
                name: HeaderName::from_static("x"),
                value: HeaderValue::from_static("new"),
                append,
            }]),
        };
        let after = |before: &[(&'static str, &'static str)], append| {
            let mut headers = map(before);
            mutate(&mut headers, &set(append));
            headers.get_all("x").iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let old = &[("x", "old")];
        assert_eq!(after(old, AppendAction::AppendIfExistsOrAdd), ["old", "new"]);
        assert_eq!(after(old, AppendAction::AddIfAbsent), ["old"]);
        assert_eq!(after(&[], AppendAction::AddIfAbsent), ["new"]);
        assert_eq!(after(old, AppendAction::OverwriteIfExistsOrAdd), ["new"]);
        assert_eq!(after(old, AppendAction::OverwriteIfExists), ["new"]);
        assert!(after(&[], AppendAction::OverwriteIfExists).is_empty());
    }
}
