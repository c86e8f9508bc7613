//! Fields as names and values again, to compare them.

use std::ops::ControlFlow;

use bytes::BytesMut;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use weft_hpack::{Block, DecodeError, Decoder, Encoder, Field};

use crate::oracle::Pair;

pub(crate) fn pair(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Pair {
    (name.as_ref().to_vec(), value.as_ref().to_vec())
}

/// Name and value of a field; nothing of one that cannot be used.
pub(crate) fn of(field: &Field) -> Option<Pair> {
    Some(match field {
        Field::Authority(authority) => pair(":authority", authority.as_str()),
        Field::Header(name, value) => pair(name.as_str(), value),
        Field::Method(method) => pair(":method", method.as_str()),
        Field::Path(path) => pair(":path", path.as_str()),
        Field::Protocol(protocol) => pair(":protocol", protocol),
        Field::Scheme(scheme) => pair(":scheme", scheme.as_str()),
        Field::Status(status) => pair(":status", status.as_str()),
        Field::Malformed(_) | Field::UnknownPseudo => return None,
    })
}

/// All fields of a block and their sizes.
pub(crate) fn decode(
    decoder: &mut Decoder,
    block: &[u8],
) -> Result<Vec<(Field, usize)>, DecodeError> {
    let mut fields = Vec::new();
    decoder.decode(block, |field, size| {
        fields.push((field, size));
        ControlFlow::Continue(())
    })?;
    Ok(fields)
}

/// All fields of a block, none of which is malformed.
pub(crate) fn pairs(decoder: &mut Decoder, block: &[u8]) -> Vec<Pair> {
    decode(decoder, block).unwrap().iter().map(|(field, _)| of(field).unwrap()).collect()
}

/// A block of these fields; a value with `!` before it is sensitive.
pub(crate) fn encode(encoder: &mut Encoder, fields: &[Pair]) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut block = encoder.block(&mut out);
    for (name, value) in fields {
        write(&mut block, name, value);
    }
    out.to_vec()
}

fn write(block: &mut Block<'_>, name: &[u8], value: &[u8]) {
    match name {
        b":authority" => block.authority(value),
        b":method" => block.method(&Method::from_bytes(value).unwrap()),
        b":path" => block.path(value),
        b":protocol" => block.protocol(value),
        b":scheme" => block.scheme(value),
        b":status" => block.status(StatusCode::from_bytes(value).unwrap()),
        _ => {
            let name = HeaderName::from_bytes(name).unwrap();
            let mut header = HeaderValue::from_bytes(value).unwrap();
            header.set_sensitive(value.starts_with(b"!"));
            block.field(&name, &header);
        }
    }
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let text = |digits: &[u8]| std::str::from_utf8(digits).unwrap().to_owned();
    digits.chunks(2).map(|two| u8::from_str_radix(&text(two), 16).unwrap()).collect()
}

pub(crate) fn byte(value: usize) -> u8 {
    u8::try_from(value).unwrap()
}
