//! The syntax of names, host names, paths, header names and durations.

use std::ops::Range;
use std::time::Duration;

pub(crate) const LABEL: &str =
    "a name of at most 63 lower-case letters, digits and dashes (RFC 1123 label)";
pub(crate) const SUBDOMAIN: &str =
    "a name of at most 253 lower-case letters, digits, dashes and dots (RFC 1123 subdomain)";
pub(crate) const HOSTNAME: &str = "a host name such as shop.example.com or *.example.com";
pub(crate) const HEADER_NAME: &str = "a header name (RFC 9110 token)";
pub(crate) const HEADER_VALUE: &str = "a header value of 1 to 4096 visible characters";
pub(crate) const PATH: &str =
    "a path that starts with / and has no query, fragment, empty or dot segments";
pub(crate) const DURATION: &str = "a duration such as 2s, 500ms or 1m30s";
pub(crate) const ADDRESS: &str = "an address such as 127.0.0.1:9000 or [::1]:9000";
pub(crate) const TIMESTAMP: &str = "a time in UTC such as 2026-01-31T12:00:00Z";
pub(crate) const IP_ADDRESS: &str = "an IP address such as 192.0.2.1 or 2001:db8::1";
pub(crate) const LABEL_VALUE: &str =
    "a label value of at most 63 letters, digits, dashes, dots and underscores";

pub(crate) const DNS_NAME: &str = "a DNS name such as db.example.com";
pub(crate) const GRPC_SERVICE: &str = "the full name of a gRPC service such as shop.v1.Catalog";
pub(crate) const GRPC_METHOD: &str = "the name of a gRPC method such as GetItem";
pub(crate) const TRUST_DOMAIN: &str =
    "a SPIFFE trust domain: at most 255 lower-case letters, digits, dots, dashes and underscores";

/// RFC 1123 label, as Kubernetes names a Service.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// RFC 1123 subdomain, as Kubernetes names most objects.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Gateway API `Hostname`: a subdomain whose first label may be `*`, and no IP address.
pub(crate) fn is_hostname(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    is_subdomain(name) && text.parse::<std::net::IpAddr>().is_err()
}

/// A name to be looked up: no wildcard, no IP address; underscores as in SRV names are left out.
pub(crate) fn is_dns_name(text: &str) -> bool {
    is_subdomain(text) && text.parse::<std::net::IpAddr>().is_err()
}

/// What protobuf takes for an identifier.
pub(crate) fn is_grpc_method(text: &str) -> bool {
    (1..=1024).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !text.starts_with(|first: char| first.is_ascii_digit())
}

/// Identifiers separated by dots.
pub(crate) fn is_grpc_service(text: &str) -> bool {
    text.len() <= 1024 && text.split('.').all(is_grpc_method)
}

/// SPIFFE-ID section 2.1.
pub(crate) fn is_trust_domain(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(allowed)
}

/// RFC 9110 section 5.1.
pub(crate) fn is_header_name(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=256).contains(&text.len()) && text.bytes().all(token)
}

/// RFC 9110 section 5.5, without surrounding white space and obsolete bytes.
pub(crate) fn is_header_value(text: &str) -> bool {
    (1..=4096).contains(&text.len())
        && text.bytes().all(|b| (b' '..=b'~').contains(&b) || b == b'\t')
        && text.trim_matches([' ', '\t']).len() == text.len()
}

/// A Kubernetes label value; may be empty.
pub(crate) fn is_label_value(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let edge = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.iter().all(|b| inner(*b))
        && edge(bytes.first())
        && edge(bytes.last())
}

/// RFC 3339 in UTC to the second, as Kubernetes writes it: its order is that of the text.
pub(crate) fn is_timestamp(text: &str) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:ddZ";
    let fits = |(byte, form): (u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        _ => byte == *form,
    };
    let number = |range: Range<usize>| text.get(range).and_then(|text| text.parse::<u8>().ok());
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(fits)
        && number(5..7).is_some_and(|month| (1..=12).contains(&month))
        && number(8..10).is_some_and(|day| (1..=31).contains(&day))
        && number(11..13).is_some_and(|hour| hour < 24)
        && number(14..16).is_some_and(|minute| minute < 60)
        && number(17..19).is_some_and(|second| second < 61)
}

/// Gateway API's rules for the value of an exact or prefix path.
pub(crate) fn is_path(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    text.len() <= 1024
        && text.starts_with('/')
        && text.bytes().all(|b| (b'!'..=b'~').contains(&b))
        && !["//", "/./", "/../", "%2f", "#", "?", "\\"].iter().any(|bad| lower.contains(bad))
        && !["/..", "/."].iter().any(|bad| text.ends_with(bad))
}

/// Gateway API `Duration` (GEP-2257): up to four numbers of up to five digits with h, m, s or ms.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest.get(..digits).filter(|_| (1..=5).contains(&digits))?.parse().ok()?;
        rest = rest.get(digits..)?;
        let (unit, milliseconds) = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))?;
        rest = rest.get(unit.len()..)?;
        total += Duration::from_millis(number * milliseconds);
        parts += 1;
    }
    // The upper bound keeps every accepted value writable with five digits.
    ((1..=4).contains(&parts) && total < Duration::from_secs(99_999 * 3600)).then_some(total)
}

/// The shortest form that [`parse_duration`] reads back.
pub(crate) fn write_duration(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, milliseconds) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        let number = rest / milliseconds;
        rest %= milliseconds;
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases =
            [("2s", 2000), ("500ms", 500), ("1h30m", 5_400_000), ("0s", 0), ("99999ms", 99_999)];
        for (text, milliseconds) in cases {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["", "5", "s", "-1s", "1.5s", "100000s", "1s1s1s1s1s", "1d", "1 s", "99999h1h", "١s"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        for milliseconds in [0, 1, 999, 1000, 61_001, 3_599_999_999] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(&write_duration(duration)), Some(duration));
        }
    }

    #[test]
    fn timestamps() {
        assert!(is_timestamp("2026-01-31T23:59:60Z"));
        for bad in [
            "",
            "2026-13-01T00:00:00Z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00+01:00",
            "2026-01-01T24:00:00Z",
            "é026-01-01T00:00:0Z",
            "2026-01-01T00:00:00.5Z",
        ] {
            assert!(!is_timestamp(bad), "{bad}");
        }
    }

    #[test]
    fn names() {
        assert!(is_label("inventory-v2") && is_label("0"));
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", &"a".repeat(64)] {
            assert!(!is_label(bad), "{bad}");
        }
        assert!(is_subdomain("a.b-c.d") && !is_subdomain("a..b") && !is_subdomain(".a"));
        assert!(is_dns_name("db.example.com") && is_dns_name("db"));
        assert!(!is_dns_name("*.example.com") && !is_dns_name("10.0.0.1") && !is_dns_name(""));
        assert!(is_grpc_service("a.v1.B_c") && !is_grpc_service("a..B") && !is_grpc_service("a/B"));
        assert!(is_grpc_method("Get_2") && !is_grpc_method("2Get") && !is_grpc_method("a.b"));
        assert!(is_trust_domain("prod.example_1-x") && !is_trust_domain("Prod"));
        assert!(is_hostname("*.example.com") && is_hostname("shop"));
        assert!(!is_hostname("127.0.0.1") && !is_hostname("*") && !is_hostname("a.*.b"));
        assert!(
            is_label_value("")
                && is_label_value("v1.2_b")
                && !is_label_value("-v")
                && !is_label_value("a b")
        );
    }

    #[test]
    fn paths_and_headers() {
        assert!(is_path("/") && is_path("/a/b.c/%20"));
        for bad in ["", "a", "/a//b", "/a/../b", "/a/..", "/a/.", "/%2Fa", "/a?b", "/a#b", "/a b"] {
            assert!(!is_path(bad), "{bad}");
        }
        assert!(is_header_name("x-user") && !is_header_name(":path") && !is_header_name("a b"));
        assert!(is_header_value("a b; c") && !is_header_value("a\r\nb") && !is_header_value(" a"));
    }
}
