//! Request heads on the wire (RFC 9112).

use bytes::{BufMut as _, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE},
};
use weft_compile::KeyFormat;

use crate::{
    http1::{
        Names,
        encode::{field, fields},
    },
    tunnel::Tunnel,
    upstream::{Authority, Outgoing, upload::Framing},
};

const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
const NOTHING: HeaderValue = HeaderValue::from_static("");

/// Writes the head of a request. Everything in it was validated when it was parsed: a `Method`, a
/// `PathAndQuery` and `HeaderValue`s hold no line breaks.
pub(super) fn head(out: &mut BytesMut, outgoing: &Outgoing, framing: Framing, format: KeyFormat) {
    let method = outgoing.method.as_str().as_bytes();
    let path = outgoing.path.as_str().as_bytes();
    let authority = outgoing.authority.as_bytes();
    out.reserve(256 + path.len() + authority.len() + outgoing.headers.len() * 48);
    out.put_slice(method);
    out.put_slice(b" ");
    out.put_slice(if outgoing.method == Method::CONNECT { authority } else { path });
    out.put_slice(b" HTTP/1.1\r\n");
    let names = Names::passed_on(&outgoing.spelling, outgoing.key_format, format);
    match &outgoing.authority {
        Authority::Field(host) => field(out, names, &HOST, host),
        Authority::Uri(_) => {
            names.put(out, &HOST, &NOTHING);
            out.put_slice(b": ");
            out.put_slice(authority);
            out.put_slice(b"\r\n");
        }
    }
    // `te` would have to be named by `connection` here; gRPC over HTTP/1.1 does not exist.
    fields(out, &outgoing.headers, names, |name| name != HOST && name != TE);
    if let Some(Tunnel::Upgrade(to)) = &outgoing.tunnel {
        field(out, names, &CONNECTION, &HeaderValue::from_static("upgrade"));
        field(out, names, &UPGRADE, to);
    }
    match framing {
        Framing::Chunked => field(out, names, &TRANSFER_ENCODING, &CHUNKED),
        // Some servers ask for a length (411) where a body would have a meaning.
        Framing::None if means_body(&outgoing.method) && !has_length(&outgoing.headers) => {
            field(out, names, &CONTENT_LENGTH, &HeaderValue::from_static("0"));
        }
        Framing::None | Framing::Length | Framing::Tunnel | Framing::Payload => {}
    }
    out.put_slice(b"\r\n");
}

/// RFC 9110 §8.6; and OPTIONS, of whose body nobody knows what it means.
fn means_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::OPTIONS)
}

fn has_length(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH)
}
