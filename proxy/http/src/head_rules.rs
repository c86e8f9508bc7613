//! What becomes of a request's head before routes see it, and of a response's head at last.

use std::net::{IpAddr, SocketAddr};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version,
    header::{HOST, SERVER, USER_AGENT, VIA},
    request::Parts,
    uri::PathAndQuery,
};
use weft_compile::{HeadRules, RouteConfig, ServerHeader, StripPort, Underscores};
use weft_net::PeerAddress;
use weft_route::PathVerdict;

use crate::{
    deadline, downstream::Connection, fault::Fault, headers, local_reply::is_grpc, worker::Identity,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_ENVOY_EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");
const X_ENVOY_DOWNSTREAM_CLUSTER: HeaderName =
    HeaderName::from_static("x-envoy-downstream-service-cluster");
const X_ENVOY_DOWNSTREAM_NODE: HeaderName =
    HeaderName::from_static("x-envoy-downstream-service-node");
const X_ENVOY_INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");

/// What the head of a request said about where it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// What the first client spoke.
    pub(crate) scheme: &'static str,
    /// Who the client is, as far as it can be trusted.
    pub(crate) remote: PeerAddress,
    /// Whether that is one of the internal addresses.
    pub(crate) is_internal: bool,
}

/// Why a request gets no further.
pub(crate) enum Turned {
    /// It is not acceptable.
    Away(Fault),
    /// It is to come again, with this path.
    To(StatusCode, HeaderValue),
}

/// Applies the chain's rules to a request's head.
pub(crate) fn enter(
    connection: &Connection,
    routes: Option<&RouteConfig>,
    parts: &mut Parts,
) -> Result<Origin, Turned> {
    let rules = &connection.chain.heads;
    strip_host(rules, parts, connection.local.map(|local| local.port()));
    rewrite_path(rules, parts)?;
    refuse_underscores(connection, &mut parts.headers)?;
    let fields = &mut parts.headers;
    headers::remove_hop_by_hop(fields, parts.version);
    headers::keep_only_te_trailers(fields);
    if parts.version >= Version::HTTP_2 {
        headers::join_cookies(fields);
    }
    let (remote, is_alone) = client(rules, fields, connection.peer);
    if rules.use_remote_address {
        if !rules.skip_xff_append {
            append_peer(fields, connection.peer);
        }
        let is_told = |name| rules.trusted_hops > 0 && fields.contains_key(name);
        let (keeps_proto, keeps_port) = (is_told(&X_FORWARDED_PROTO), is_told(&X_FORWARDED_PORT));
        if !keeps_proto {
            fields.remove(X_FORWARDED_PROTO);
        }
        if rules.append_x_forwarded_port && !keeps_port {
            fields.remove(X_FORWARDED_PORT);
        }
    }
    if let Some(scheme) = rules.scheme {
        fields.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    fields.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if rules.append_x_forwarded_port
        && let Some(local) = connection.local
    {
        fields.entry(X_FORWARDED_PORT).or_insert_with(|| HeaderValue::from(local.port()));
    }
    let is_internal = is_alone && is_inside(rules, remote);
    let may_shorten = connection.chain.respect_expected_timeout && !rules.use_remote_address;
    mark_origin(rules, fields, remote, (is_internal, may_shorten));
    if let Some(routes) = routes.filter(|_| !is_internal) {
        for name in &routes.internal_only {
            fields.remove(name);
        }
    }
    if rules.adds_user_agent {
        introduce(connection.worker.identity(), fields);
    }
    if rules.generate_request_id {
        let is_edge = rules.use_remote_address && !is_internal;
        let keep = !is_edge || rules.preserve_external_request_id;
        if !(keep && fields.contains_key(&X_REQUEST_ID)) {
            let id = connection.worker.with_random(headers::request_id);
            fields.insert(X_REQUEST_ID, id);
        }
    }
    if let Some(via) = &rules.via {
        append_via(fields, via);
    }
    Ok(Origin { scheme: scheme(fields), remote, is_internal })
}

/// The id that the response is to carry, too.
pub(crate) fn returned_id(rules: &HeadRules, fields: &HeaderMap) -> Option<HeaderValue> {
    fields.get(X_REQUEST_ID).filter(|_| rules.return_request_id).cloned()
}

/// Applies the chain's rules to a response's head.
pub(crate) fn leave(
    connection: &Connection,
    fields: &mut HeaderMap,
    request_id: Option<HeaderValue>,
) {
    let chain = &connection.chain;
    match chain.heads.server_header {
        ServerHeader::Overwrite => {
            fields.insert(SERVER, chain.server_name.clone());
        }
        ServerHeader::AppendIfAbsent => {
            fields.entry(SERVER).or_insert_with(|| chain.server_name.clone());
        }
        ServerHeader::PassThrough => {}
    }
    if let Some(id) = request_id {
        fields.insert(X_REQUEST_ID, id);
    }
    if let Some(via) = &chain.heads.via {
        append_via(fields, via);
    }
}

/// What is said under a name with an underscore is said under the same name with dashes to some
/// servers, and there it may stand for what only a trusted hop may say.
fn refuse_underscores(connection: &Connection, fields: &mut HeaderMap) -> Result<(), Turned> {
    let rule = connection.chain.heads.underscores;
    let has_one = |name: &HeaderName| name.as_str().contains('_');
    if rule == Underscores::Allow || !fields.keys().any(has_one) {
        return Ok(());
    }
    let stats = &connection.chain.stats;
    if rule == Underscores::Reject {
        stats.requests_rejected_with_underscores_in_headers.inc();
        return Err(Turned::Away(Fault::Underscore));
    }
    let dropped: Vec<HeaderName> = fields.keys().filter(|name| has_one(name)).cloned().collect();
    for name in dropped {
        stats.dropped_headers_with_underscores.inc();
        fields.remove(name);
    }
    Ok(())
}

/// The scheme that the first client used, as its last trusted hop says.
fn scheme(fields: &HeaderMap) -> &'static str {
    let said = fields.get(X_FORWARDED_PROTO);
    let is_https = said.is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"https"));
    if is_https { "https" } else { "http" }
}

fn append_via(fields: &mut HeaderMap, via: &HeaderValue) {
    append_listed(fields, VIA, via.as_bytes(), b", ");
}

/// Adds an element to a list, all of whose lines become one.
fn append_listed(fields: &mut HeaderMap, name: HeaderName, element: &[u8], separator: &[u8]) {
    let lines = fields.get_all(&name).iter().map(HeaderValue::as_bytes);
    let mut elements: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    elements.push(element);
    let joined = bytes::Bytes::from(elements.join(separator));
    if let Ok(joined) = HeaderValue::from_maybe_shared(joined) {
        fields.insert(name, joined);
    }
}

fn append_peer(fields: &mut HeaderMap, peer: PeerAddress) {
    if let PeerAddress::Ip(address) = peer {
        append_listed(fields, X_FORWARDED_FOR, address.ip().to_string().as_bytes(), b",");
    }
}

/// Who the client is, and whether nobody else is named who could have made that up.
fn client(rules: &HeadRules, fields: &HeaderMap, peer: PeerAddress) -> (PeerAddress, bool) {
    if rules.use_remote_address {
        let skip = rules.trusted_hops.checked_sub(1);
        let told = skip.and_then(|skip| forwarded_for(fields, skip));
        let address = told.map_or(peer, |(address, _)| address);
        (address, !fields.contains_key(X_FORWARDED_FOR))
    } else {
        forwarded_for(fields, rules.trusted_hops).unwrap_or((peer, false))
    }
}

/// The address that stands before the last `skip` ones of `x-forwarded-for`, and whether it is the
/// only one there.
fn forwarded_for(fields: &HeaderMap, skip: usize) -> Option<(PeerAddress, bool)> {
    let lines = fields.get_all(X_FORWARDED_FOR).iter();
    let mut addresses =
        lines.rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).skip(skip);
    let address = std::str::from_utf8(addresses.next()?).ok()?.trim();
    let ip: IpAddr = address.parse().ok()?;
    let is_alone = skip == 0 && addresses.next().is_none();
    Some((PeerAddress::Ip(SocketAddr::new(ip, 0)), is_alone))
}

fn is_inside(rules: &HeadRules, remote: PeerAddress) -> bool {
    match remote {
        PeerAddress::Ip(address) => {
            rules.internal.ranges.iter().any(|range| range.contains(address.ip()))
        }
        PeerAddress::Pipe => rules.internal.unix_sockets,
    }
}

/// Says who is internal and who is not, and believes nobody else who says so. Whoever is outside
/// may at most say that there is less time.
fn mark_origin(
    rules: &HeadRules,
    fields: &mut HeaderMap,
    remote: PeerAddress,
    (is_internal, may_shorten): (bool, bool),
) {
    if is_internal {
        fields.insert(X_ENVOY_INTERNAL, HeaderValue::from_static("true"));
        return;
    }
    if fields.keys().any(|name| name.as_str().starts_with("x-envoy-")) {
        headers::remove_forged(fields, rules.use_remote_address);
        if !may_shorten || deadline::expected(fields).flatten().is_none() {
            headers::remove_expected_timeout(fields);
        }
    }
    if rules.use_remote_address
        && let PeerAddress::Ip(address) = remote
        && let Ok(ip) = HeaderValue::try_from(address.ip().to_string())
    {
        fields.insert(X_ENVOY_EXTERNAL_ADDRESS, ip);
    }
}

/// Says which proxy this is, also as the user agent where the client says none.
fn introduce(proxy: &Identity, fields: &mut HeaderMap) {
    if let Some(cluster) = &proxy.cluster {
        fields.insert(X_ENVOY_DOWNSTREAM_CLUSTER, cluster.clone());
        if fields.get(USER_AGENT).is_none_or(HeaderValue::is_empty) {
            fields.insert(USER_AGENT, cluster.clone());
        }
    }
    if let Some(node) = &proxy.node {
        fields.insert(X_ENVOY_DOWNSTREAM_NODE, node.clone());
    }
}

fn strip_host(rules: &HeadRules, parts: &mut Parts, local_port: Option<u16>) {
    if rules.strip_port == StripPort::Never && !rules.strip_trailing_host_dot {
        return;
    }
    // The port of a CONNECT is part of what it asks for.
    let port = match rules.strip_port {
        _ if parts.method == Method::CONNECT => StripPort::Never,
        strip => strip,
    };
    let strip = |host: &str| stripped(host, port, local_port, rules.strip_trailing_host_dot);
    if let Some(authority) = parts.uri.authority() {
        let Some(host) = strip(authority.as_str()) else { return };
        let mut uri = parts.uri.clone().into_parts();
        uri.authority = host.parse().ok();
        if let Ok(uri) = Uri::from_parts(uri) {
            parts.uri = uri;
        }
    } else if let Some(host) = parts.headers.get(HOST).and_then(|host| strip(host.to_str().ok()?))
        && let Ok(host) = HeaderValue::try_from(host)
    {
        parts.headers.insert(HOST, host);
    }
}

/// The host as it is compared; `None` where it stays.
fn stripped(host: &str, strip: StripPort, local: Option<u16>, dot: bool) -> Option<String> {
    let (name, port) = match host.rsplit_once(':') {
        // A colon within brackets is part of an address.
        Some((name, port)) if !port.is_empty() && !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let name = if dot { name.strip_suffix('.').unwrap_or(name) } else { name };
    let port = port.filter(|port| match strip {
        StripPort::Never => true,
        StripPort::Any => false,
        StripPort::Matching => port.parse().ok() != local,
    });
    let stripped = match port {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    };
    (stripped != host).then_some(stripped)
}

fn rewrite_path(rules: &HeadRules, parts: &mut Parts) -> Result<(), Turned> {
    let Some(path) = parts.uri.path_and_query() else { return Ok(()) };
    let refused = |_| Turned::Away(Fault::BadRequest(""));
    match rules.path.apply(path.as_str()) {
        PathVerdict::Same => Ok(()),
        PathVerdict::Reject => Err(Turned::Away(Fault::BadRequest(""))),
        // A caller of gRPC follows nothing.
        PathVerdict::Redirect(_) if is_grpc(&parts.headers) => Err(refused(())),
        PathVerdict::Redirect(path) => {
            let location = HeaderValue::try_from(path).map_err(|_| refused(()))?;
            Err(Turned::To(StatusCode::TEMPORARY_REDIRECT, location))
        }
        PathVerdict::Changed(path) => {
            let path = PathAndQuery::try_from(path).map_err(|_| refused(()))?;
            let mut uri = parts.uri.clone().into_parts();
            uri.path_and_query = Some(path);
            parts.uri = Uri::from_parts(uri).map_err(|_| refused(()))?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&'static str], skip: usize) -> Option<(String, bool)> {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let (address, is_alone) = forwarded_for(&fields, skip)?;
        let PeerAddress::Ip(address) = address else { return None };
        Some((address.ip().to_string(), is_alone))
    }

    #[test]
    fn trusted_hops_are_counted_from_the_end() {
        let alone = |ip: &str| Some((ip.to_owned(), true));
        let among = |ip: &str| Some((ip.to_owned(), false));
        assert_eq!(told(&["10.0.0.1"], 0), alone("10.0.0.1"));
        assert_eq!(told(&["10.0.0.1, 10.0.0.2"], 0), among("10.0.0.2"));
        assert_eq!(told(&["10.0.0.1, 10.0.0.2"], 1), among("10.0.0.1"));
        assert_eq!(told(&["10.0.0.1", "::1,10.0.0.3"], 1), among("::1"));
        assert_eq!(told(&["10.0.0.1", "::1,10.0.0.3"], 2), among("10.0.0.1"));
        assert_eq!(told(&["10.0.0.1"], 1), None);
        assert_eq!(told(&["nobody"], 0), None);
        assert_eq!(told(&[], 0), None);
    }

    #[test]
    fn hosts_lose_what_they_are_told_to() {
        use StripPort::{Any, Matching, Never};
        for (host, strip, dot, wanted) in [
            ("shop:80", Any, false, Some("shop")),
            ("shop:80", Matching, false, Some("shop")),
            ("shop:81", Matching, false, None),
            ("shop.:81", Never, true, Some("shop:81")),
            ("shop.", Any, true, Some("shop")),
            ("[::1]:80", Any, false, Some("[::1]")),
            ("[::1]", Any, true, None),
        ] {
            assert_eq!(stripped(host, strip, Some(80), dot).as_deref(), wanted, "{host}");
        }
    }

    #[test]
    fn lists_become_one_line() {
        let mut fields = HeaderMap::new();
        append_via(&mut fields, &HeaderValue::from_static("weft"));
        assert_eq!(fields[VIA], "weft");
        fields.append(VIA, HeaderValue::from_static("other"));
        append_via(&mut fields, &HeaderValue::from_static("weft"));
        assert_eq!(fields[VIA], "weft, other, weft");
        assert_eq!(fields.get_all(VIA).iter().count(), 1);
    }
}
