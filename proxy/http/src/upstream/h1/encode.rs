//! Request heads on the wire (RFC 9112).

use bytes::{BufMut as _, BytesMut};
use http::{
    HeaderMap, Method,
    header::{CONTENT_LENGTH, HOST, TE},
};

use crate::{
    http1::encode::{field, fields},
    tunnel::Tunnel,
    upstream::{Outgoing, upload::Framing},
};

/// Writes the head of a request. Everything in it was validated when it was parsed: a `Method`, a
/// `PathAndQuery` and `HeaderValue`s hold no line breaks.
pub(super) fn head(out: &mut BytesMut, outgoing: &Outgoing, framing: Framing) {
    let method = outgoing.method.as_str().as_bytes();
    let path = outgoing.path.as_str().as_bytes();
    let authority = outgoing.authority.as_bytes();
    out.reserve(256 + path.len() + authority.len() + outgoing.headers.len() * 48);
    out.put_slice(method);
    out.put_slice(b" ");
    out.put_slice(if outgoing.method == Method::CONNECT { authority } else { path });
    out.put_slice(b" HTTP/1.1\r\nhost: ");
    out.put_slice(authority);
    out.put_slice(b"\r\n");
    // `te` would have to be named by `connection` here; gRPC over HTTP/1.1 does not exist.
    fields(out, &outgoing.headers, &outgoing.spelling, |name| name != HOST && name != TE);
    if let Some(Tunnel::Upgrade(to)) = &outgoing.tunnel {
        field(out, b"connection", b"upgrade");
        field(out, b"upgrade", to.as_bytes());
    }
    match framing {
        Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        // Some servers ask for a length (411) where a body would have a meaning.
        Framing::None if means_body(&outgoing.method) && !has_length(&outgoing.headers) => {
            out.put_slice(b"content-length: 0\r\n");
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
