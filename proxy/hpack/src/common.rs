//! Values that need no memory of their own: copies of them count no references either.

use http::HeaderValue;

use crate::places::Places;

struct Common {
    text: &'static str,
    value: HeaderValue,
}

const fn common(text: &'static str) -> Common {
    Common { text, value: HeaderValue::from_static(text) }
}

const COUNT: usize = 72;

static COMMON: [Common; COUNT] = [
    common("*"),
    common("*/*"),
    common("0"),
    common("1"),
    common("1; mode=block"),
    common("?0"),
    common("?1"),
    common("Accept"),
    common("Accept-Encoding"),
    common("DENY"),
    common("Origin"),
    common("SAMEORIGIN"),
    common("accept"),
    common("accept-encoding"),
    common("application/grpc"),
    common("application/grpc+proto"),
    common("application/grpc-web"),
    common("application/grpc-web+proto"),
    common("application/javascript"),
    common("application/json"),
    common("application/json; charset=utf-8"),
    common("application/json;charset=utf-8"),
    common("application/octet-stream"),
    common("application/x-protobuf"),
    common("application/x-www-form-urlencoded"),
    common("application/xml"),
    common("br"),
    common("bytes"),
    common("close"),
    common("cors"),
    common("deflate"),
    common("deflate, gzip"),
    common("deflate, gzip, br, zstd"),
    common("document"),
    common("empty"),
    common("en-US,en;q=0.5"),
    common("en-US,en;q=0.9"),
    common("envoy"),
    common("false"),
    common("gzip"),
    common("gzip, br"),
    common("gzip, deflate"),
    common("gzip, deflate, br"),
    common("gzip, deflate, br, zstd"),
    common("gzip,deflate"),
    common("http"),
    common("https"),
    common("identity"),
    common("identity,deflate,gzip"),
    common("identity,gzip"),
    common("image/jpeg"),
    common("image/png"),
    common("image/svg+xml"),
    common("image/webp"),
    common("keep-alive"),
    common("max-age=0"),
    common("max-age=31536000; includeSubDomains"),
    common("navigate"),
    common("no-cache"),
    common("no-store"),
    common("none"),
    common("nosniff"),
    common("private"),
    common("public"),
    common("same-origin"),
    common("text/css"),
    common("text/html"),
    common("text/html; charset=utf-8"),
    common("text/plain"),
    common("text/plain; charset=utf-8"),
    common("trailers"),
    common("true"),
];

static PLACES: Places<1024> = Places::find(&texts(), 0x9e37_79b9_7f4a_7c15);

/// Which lengths there are: most values that vary are not even hashed.
static LENGTHS: u64 = lengths();

/// The common value that is written so.
#[inline]
pub(crate) fn find(value: &[u8]) -> Option<&'static HeaderValue> {
    if value.len() >= 64 || LENGTHS >> value.len() & 1 == 0 {
        return None;
    }
    let common = COMMON.get(usize::from(PLACES.id(value)))?;
    (common.text.as_bytes() == value).then_some(&common.value)
}

const fn texts() -> [&'static str; COUNT] {
    let mut texts = [""; COUNT];
    let mut id = 0;
    while id < COUNT {
        texts[id] = COMMON[id].text;
        id += 1;
    }
    texts
}

const fn lengths() -> u64 {
    let mut lengths = 0;
    let mut id = 0;
    while id < COUNT {
        lengths |= 1 << COMMON[id].text.len();
        id += 1;
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_and_nothing_else() {
        for common in &COMMON {
            assert!(std::ptr::eq(find(common.text.as_bytes()).unwrap(), &common.value));
            let other = format!("{}x", common.text);
            assert!(find(other.as_bytes()).is_none_or(|found| found == &*other), "{other}");
        }
        assert!(find(b"").is_none() && find(&[b'*'; 70]).is_none());
    }
}
