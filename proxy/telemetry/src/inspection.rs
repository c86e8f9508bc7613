//! What listener filters find out, all listeners together.

use crate::{metric::Counter, registry::Value};

/// `tls_inspector.*`, `http_inspector.*` and `proxy_proto.*`.
#[derive(Debug, Default)]
pub struct InspectionStats {
    /// Connections that began with a TLS hello.
    pub tls_found: Counter,
    /// Connections that did not.
    pub tls_not_found: Counter,
    /// Hellos that were longer than allowed.
    pub client_hello_too_large: Counter,
    /// Hellos that offered protocols.
    pub alpn_found: Counter,
    /// Hellos that did not.
    pub alpn_not_found: Counter,
    /// Hellos that named a server.
    pub sni_found: Counter,
    /// Hellos that did not.
    pub sni_not_found: Counter,
    /// Connections that began with HTTP/1.0.
    pub http10_found: Counter,
    /// Connections that began with HTTP/1.1.
    pub http11_found: Counter,
    /// Connections that began with the h2 preface.
    pub http2_found: Counter,
    /// Connections that began with something else.
    pub http_not_found: Counter,
    /// Headers of version 1 of the PROXY protocol.
    pub proxy_v1: ProxyProtocolStats,
    /// Headers of version 2.
    pub proxy_v2: ProxyProtocolStats,
    /// Connections without a header that were let through.
    pub proxy_not_found_allowed: Counter,
    /// Connections without a header that were closed.
    pub proxy_not_found_disallowed: Counter,
}

/// `proxy_proto.versions.v<n>.*`.
#[derive(Debug, Default)]
pub struct ProxyProtocolStats {
    /// Headers that were taken.
    pub found: Counter,
    /// Headers of a version that is not allowed.
    pub disallowed: Counter,
    /// Headers that made no sense.
    pub error: Counter,
}

impl InspectionStats {
    pub(crate) fn visit<'a>(&'a self, see: &mut dyn FnMut(&'static str, &'static str, Value<'a>)) {
        let Self {
            tls_found,
            tls_not_found,
            client_hello_too_large,
            alpn_found,
            alpn_not_found,
            sni_found,
            sni_not_found,
            http10_found,
            http11_found,
            http2_found,
            http_not_found,
            proxy_v1,
            proxy_v2,
            proxy_not_found_allowed,
            proxy_not_found_disallowed,
        } = self;
        for (scope, name, counter) in [
            ("http_inspector", "http10_found", http10_found),
            ("http_inspector", "http11_found", http11_found),
            ("http_inspector", "http2_found", http2_found),
            ("http_inspector", "http_not_found", http_not_found),
            ("proxy_proto", "not_found_allowed", proxy_not_found_allowed),
            ("proxy_proto", "not_found_disallowed", proxy_not_found_disallowed),
            ("proxy_proto.versions.v1", "disallowed", &proxy_v1.disallowed),
            ("proxy_proto.versions.v1", "error", &proxy_v1.error),
            ("proxy_proto.versions.v1", "found", &proxy_v1.found),
            ("proxy_proto.versions.v2", "disallowed", &proxy_v2.disallowed),
            ("proxy_proto.versions.v2", "error", &proxy_v2.error),
            ("proxy_proto.versions.v2", "found", &proxy_v2.found),
            ("tls_inspector", "alpn_found", alpn_found),
            ("tls_inspector", "alpn_not_found", alpn_not_found),
            ("tls_inspector", "client_hello_too_large", client_hello_too_large),
            ("tls_inspector", "sni_found", sni_found),
            ("tls_inspector", "sni_not_found", sni_not_found),
            ("tls_inspector", "tls_found", tls_found),
            ("tls_inspector", "tls_not_found", tls_not_found),
        ] {
            see(scope, name, Value::Counter(counter.get()));
        }
    }
}
