//! Names that need neither an allocation nor validation, found by one hash without collisions.

use http::HeaderName;

use crate::{field::Pseudo, places::Places};
use Use::{Repeats, Secret, Varies};

/// What is known of a name.
#[derive(Debug)]
pub(crate) struct Known {
    text: &'static str,
    pub(crate) name: KnownName,
    /// Where the static table has it; 0 when it does not.
    pub(crate) index: u8,
    pub(crate) values: Use,
}

#[derive(Debug)]
pub(crate) enum KnownName {
    Header(HeaderName),
    Pseudo(Pseudo),
}

/// What the values of a field are like, which decides how the encoder writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The same ones come again.
    Repeats,
    /// Somebody who can have this proxy send guesses over the same connection could find it out by
    /// watching sizes (RFC 7541 §7.1): never in a table.
    Secret,
    /// Every message has another one: it would only push out what repeats.
    Varies,
}

impl Known {
    pub(crate) fn text(&self) -> &'static str {
        self.text
    }
}

const fn header(text: &'static str, index: u8, values: Use) -> Known {
    Known { text, name: KnownName::Header(HeaderName::from_static(text)), index, values }
}

const fn pseudo(text: &'static str, pseudo: Pseudo, index: u8) -> Known {
    Known { text, name: KnownName::Pseudo(pseudo), index, values: Repeats }
}

const COUNT: usize = 150;

/// Name, index in the static table or 0, and what its values are like.
static KNOWN: [Known; COUNT] = [
    pseudo(":authority", Pseudo::Authority, 1),
    pseudo(":method", Pseudo::Method, 2),
    pseudo(":path", Pseudo::Path, 4),
    pseudo(":protocol", Pseudo::Protocol, 0),
    pseudo(":scheme", Pseudo::Scheme, 6),
    pseudo(":status", Pseudo::Status, 8),
    header("accept", 19, Repeats),
    header("accept-charset", 15, Repeats),
    header("accept-encoding", 16, Repeats),
    header("accept-language", 17, Repeats),
    header("accept-post", 0, Repeats),
    header("accept-ranges", 18, Repeats),
    header("access-control-allow-credentials", 0, Repeats),
    header("access-control-allow-headers", 0, Repeats),
    header("access-control-allow-methods", 0, Repeats),
    header("access-control-allow-origin", 20, Repeats),
    header("access-control-expose-headers", 0, Repeats),
    header("access-control-max-age", 0, Repeats),
    header("access-control-request-headers", 0, Repeats),
    header("access-control-request-method", 0, Repeats),
    header("age", 21, Varies),
    header("allow", 22, Repeats),
    header("alt-svc", 0, Repeats),
    header("authorization", 23, Secret),
    header("b3", 0, Varies),
    header("baggage", 0, Varies),
    header("cache-control", 24, Repeats),
    header("connection", 0, Repeats),
    header("content-disposition", 25, Varies),
    header("content-encoding", 26, Repeats),
    header("content-language", 27, Repeats),
    header("content-length", 28, Varies),
    header("content-location", 29, Repeats),
    header("content-range", 30, Varies),
    header("content-security-policy", 0, Repeats),
    header("content-type", 31, Repeats),
    header("cookie", 32, Secret),
    header("date", 33, Repeats),
    header("dnt", 0, Repeats),
    header("early-data", 0, Repeats),
    header("etag", 34, Varies),
    header("expect", 35, Repeats),
    header("expect-ct", 0, Repeats),
    header("expires", 36, Repeats),
    header("forwarded", 0, Repeats),
    header("from", 37, Repeats),
    header("grpc-accept-encoding", 0, Repeats),
    header("grpc-encoding", 0, Repeats),
    header("grpc-message", 0, Varies),
    header("grpc-status", 0, Repeats),
    header("grpc-status-details-bin", 0, Varies),
    header("grpc-timeout", 0, Varies),
    header("grpc-trace-bin", 0, Varies),
    header("host", 38, Repeats),
    header("if-match", 39, Varies),
    header("if-modified-since", 40, Varies),
    header("if-none-match", 41, Varies),
    header("if-range", 42, Varies),
    header("if-unmodified-since", 43, Varies),
    header("keep-alive", 0, Repeats),
    header("last-modified", 44, Varies),
    header("link", 45, Repeats),
    header("location", 46, Varies),
    header("max-forwards", 47, Repeats),
    header("origin", 0, Repeats),
    header("permissions-policy", 0, Repeats),
    header("pragma", 0, Repeats),
    header("priority", 0, Repeats),
    header("proxy-authenticate", 48, Repeats),
    header("proxy-authorization", 49, Secret),
    header("proxy-connection", 0, Repeats),
    header("proxy-status", 0, Repeats),
    header("range", 50, Varies),
    header("referer", 51, Repeats),
    header("referrer-policy", 0, Repeats),
    header("refresh", 52, Repeats),
    header("retry-after", 53, Repeats),
    header("sec-ch-ua", 0, Repeats),
    header("sec-ch-ua-mobile", 0, Repeats),
    header("sec-ch-ua-platform", 0, Repeats),
    header("sec-fetch-dest", 0, Repeats),
    header("sec-fetch-mode", 0, Repeats),
    header("sec-fetch-site", 0, Repeats),
    header("sec-fetch-user", 0, Repeats),
    header("sec-websocket-extensions", 0, Repeats),
    header("sec-websocket-protocol", 0, Repeats),
    header("sec-websocket-version", 0, Repeats),
    header("server", 54, Repeats),
    header("server-timing", 0, Varies),
    header("set-cookie", 55, Secret),
    header("strict-transport-security", 56, Repeats),
    header("te", 0, Repeats),
    header("timing-allow-origin", 0, Repeats),
    header("traceparent", 0, Varies),
    header("tracestate", 0, Varies),
    header("trailer", 0, Repeats),
    header("transfer-encoding", 57, Repeats),
    header("upgrade", 0, Repeats),
    header("upgrade-insecure-requests", 0, Repeats),
    header("user-agent", 58, Repeats),
    header("vary", 59, Repeats),
    header("via", 60, Repeats),
    header("www-authenticate", 61, Repeats),
    header("x-amzn-trace-id", 0, Varies),
    header("x-b3-flags", 0, Repeats),
    header("x-b3-parentspanid", 0, Varies),
    header("x-b3-sampled", 0, Repeats),
    header("x-b3-spanid", 0, Varies),
    header("x-b3-traceid", 0, Varies),
    header("x-cache", 0, Repeats),
    header("x-client-trace-id", 0, Varies),
    header("x-cloud-trace-context", 0, Varies),
    header("x-content-type-options", 0, Repeats),
    header("x-correlation-id", 0, Varies),
    header("x-envoy-attempt-count", 0, Varies),
    header("x-envoy-decorator-operation", 0, Repeats),
    header("x-envoy-downstream-service-cluster", 0, Repeats),
    header("x-envoy-downstream-service-node", 0, Repeats),
    header("x-envoy-expected-rq-timeout-ms", 0, Varies),
    header("x-envoy-external-address", 0, Repeats),
    header("x-envoy-force-trace", 0, Repeats),
    header("x-envoy-internal", 0, Repeats),
    header("x-envoy-is-timeout-retry", 0, Repeats),
    header("x-envoy-max-retries", 0, Repeats),
    header("x-envoy-original-path", 0, Repeats),
    header("x-envoy-overloaded", 0, Repeats),
    header("x-envoy-peer-metadata", 0, Repeats),
    header("x-envoy-peer-metadata-id", 0, Repeats),
    header("x-envoy-ratelimited", 0, Repeats),
    header("x-envoy-retry-grpc-on", 0, Repeats),
    header("x-envoy-retry-on", 0, Repeats),
    header("x-envoy-upstream-canary", 0, Repeats),
    header("x-envoy-upstream-healthchecked-cluster", 0, Repeats),
    header("x-envoy-upstream-rq-per-try-timeout-ms", 0, Repeats),
    header("x-envoy-upstream-rq-timeout-ms", 0, Repeats),
    header("x-envoy-upstream-service-time", 0, Varies),
    header("x-forwarded-client-cert", 0, Repeats),
    header("x-forwarded-for", 0, Repeats),
    header("x-forwarded-host", 0, Repeats),
    header("x-forwarded-port", 0, Repeats),
    header("x-forwarded-proto", 0, Repeats),
    header("x-frame-options", 0, Repeats),
    header("x-ot-span-context", 0, Varies),
    header("x-powered-by", 0, Repeats),
    header("x-real-ip", 0, Repeats),
    header("x-request-id", 0, Varies),
    header("x-requested-with", 0, Repeats),
    header("x-response-time", 0, Varies),
    header("x-user-agent", 0, Repeats),
    header("x-xss-protection", 0, Repeats),
];

static PLACES: Places<2048> = Places::find(&texts(), 0x9e37_79b9_7f4a_7c9b);

/// The known name that is written so.
#[inline]
pub(crate) fn find(name: &[u8]) -> Option<&'static Known> {
    id(name).and_then(get)
}

/// The number of the known name that is written so.
#[inline]
pub(crate) fn id(name: &[u8]) -> Option<u8> {
    let id = PLACES.id(name);
    (get(id)?.text.as_bytes() == name).then_some(id)
}

#[inline]
pub(crate) fn get(id: u8) -> Option<&'static Known> {
    KNOWN.get(usize::from(id))
}

const fn texts() -> [&'static str; COUNT] {
    let mut texts = [""; COUNT];
    let mut id = 0;
    while id < COUNT {
        texts[id] = KNOWN[id].text;
        id += 1;
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Name;

    #[test]
    fn every_name_is_found_and_nothing_else() {
        for known in &KNOWN {
            assert!(std::ptr::eq(find(known.text.as_bytes()).unwrap(), known), "{}", known.text);
            if let KnownName::Header(name) = &known.name {
                assert_eq!(name.as_str(), known.text);
            }
            for other in [&known.text[1..], &format!("{}x", known.text)] {
                assert!(find(other.as_bytes()).is_none_or(|found| found.text == other), "{other}");
            }
        }
        assert!(find(b"").is_none());
    }

    #[test]
    fn indices_are_those_of_the_static_table() {
        for known in KNOWN.iter().filter(|known| known.index > 0) {
            let entry = crate::static_table::get(usize::from(known.index)).unwrap();
            assert_eq!(entry.name, known.text.len());
            match (entry.field.name(), &known.name) {
                (Name::Header(one), KnownName::Header(other)) => assert_eq!(&*one, other),
                (Name::Pseudo(one), KnownName::Pseudo(other)) => assert_eq!(one, *other),
                (one, other) => panic!("{one:?} is not {other:?}"),
            }
        }
    }
}
