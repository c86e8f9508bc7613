//! The static table (RFC 7541 Appendix A).

use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    uri::{PathAndQuery, Scheme},
};

use crate::{
    FIELD_OVERHEAD,
    decoder::Entry,
    field::{Field, Malformed, Pseudo},
};

/// Entries of the table; the dynamic table begins after them.
pub(crate) const LEN: usize = 61;

/// The entry at `index`, counted from 1 as the RFC does.
#[inline]
pub(crate) fn get(index: usize) -> Option<&'static Entry> {
    TABLE.get(index.wrapping_sub(1))
}

const fn entry(name: usize, value: &str, field: Field) -> Entry {
    Entry { field, name, size: name + value.len() + FIELD_OVERHEAD }
}

const fn header(name: &'static str, value: &'static str) -> Entry {
    let field = Field::Header(HeaderName::from_static(name), HeaderValue::from_static(value));
    entry(name.len(), value, field)
}

const fn status(value: &str, status: StatusCode) -> Entry {
    entry(7, value, Field::Status(status))
}

static TABLE: [Entry; LEN] = [
    entry(10, "", Field::Malformed(Malformed::Pseudo(Pseudo::Authority))),
    entry(7, "GET", Field::Method(Method::GET)),
    entry(7, "POST", Field::Method(Method::POST)),
    entry(5, "/", Field::Path(PathAndQuery::from_static("/"))),
    entry(5, "/index.html", Field::Path(PathAndQuery::from_static("/index.html"))),
    entry(7, "http", Field::Scheme(Scheme::HTTP)),
    entry(7, "https", Field::Scheme(Scheme::HTTPS)),
    status("200", StatusCode::OK),
    status("204", StatusCode::NO_CONTENT),
    status("206", StatusCode::PARTIAL_CONTENT),
    status("304", StatusCode::NOT_MODIFIED),
    status("400", StatusCode::BAD_REQUEST),
    status("404", StatusCode::NOT_FOUND),
    status("500", StatusCode::INTERNAL_SERVER_ERROR),
    header("accept-charset", ""),
    header("accept-encoding", "gzip, deflate"),
    header("accept-language", ""),
    header("accept-ranges", ""),
    header("accept", ""),
    header("access-control-allow-origin", ""),
    header("age", ""),
    header("allow", ""),
    header("authorization", ""),
    header("cache-control", ""),
    header("content-disposition", ""),
    header("content-encoding", ""),
    header("content-language", ""),
    header("content-length", ""),
    header("content-location", ""),
    header("content-range", ""),
    header("content-type", ""),
    header("cookie", ""),
    header("date", ""),
    header("etag", ""),
    header("expect", ""),
    header("expires", ""),
    header("from", ""),
    header("host", ""),
    header("if-match", ""),
    header("if-modified-since", ""),
    header("if-none-match", ""),
    header("if-range", ""),
    header("if-unmodified-since", ""),
    header("last-modified", ""),
    header("link", ""),
    header("location", ""),
    header("max-forwards", ""),
    header("proxy-authenticate", ""),
    header("proxy-authorization", ""),
    header("range", ""),
    header("referer", ""),
    header("refresh", ""),
    header("retry-after", ""),
    header("server", ""),
    header("set-cookie", ""),
    header("strict-transport-security", ""),
    header("transfer-encoding", ""),
    header("user-agent", ""),
    header("vary", ""),
    header("via", ""),
    header("www-authenticate", ""),
];
