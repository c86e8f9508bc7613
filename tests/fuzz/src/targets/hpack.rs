//! Header blocks of one HTTP/2 connection to fields, and those to blocks again.

use std::{mem::discriminant, ops::ControlFlow};

use weft_hpack::{DecodeError, Decoder, Encoder, Field};

use crate::novelty::Behaviour;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frames that hold header blocks: HEADERS, PUSH_PROMISE, CONTINUATION.
const BLOCKS: [u8; 3] = [1, 5, 9];

/// Where a proxy would say that a head is too large.
const MOST: usize = 64 * 1024;

pub(super) fn run(input: &[u8]) -> Behaviour {
    let (mut decoder, mut again) = (Decoder::new(4096), Decoder::new(4096));
    let mut encoder = Encoder::new();
    let mut seen = Vec::new();
    for block in blocks(input) {
        let fields = match decode(&mut decoder, block) {
            Ok(fields) => fields,
            Err(error) => return Behaviour::of((seen, discriminant(&error))),
        };
        seen.push(fields.iter().map(discriminant).collect::<Vec<_>>());
        let usable: Vec<Field> = fields.into_iter().filter(is_usable).collect();
        // Twice: fields that come again are written in another way.
        for _ in 0..2 {
            let written = encode(&mut encoder, &usable);
            assert_eq!(decode(&mut again, &written).as_ref(), Ok(&usable));
        }
    }
    Behaviour::of(seen)
}

fn blocks(input: &[u8]) -> Vec<&[u8]> {
    let mut rest = input.strip_prefix(PREFACE).unwrap_or(input);
    let mut blocks = Vec::new();
    while let Some(([high, middle, low, kind, _flags, ..], tail)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        let (payload, tail) = tail.split_at(length.min(tail.len()));
        if BLOCKS.contains(kind) {
            blocks.push(payload);
        }
        rest = tail;
    }
    blocks
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Field>, DecodeError> {
    let (mut fields, mut sum) = (Vec::new(), 0);
    decoder.decode(block, |field, size| {
        sum += size;
        if sum > MOST {
            return ControlFlow::Break(());
        }
        fields.push(field);
        ControlFlow::Continue(())
    })?;
    Ok(fields)
}

fn is_usable(field: &Field) -> bool {
    !matches!(field, Field::Malformed(_) | Field::UnknownPseudo)
}

fn encode(encoder: &mut Encoder, fields: &[Field]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    let mut block = encoder.block(&mut out);
    for field in fields {
        match field {
            Field::Authority(authority) => block.authority(authority.as_str().as_bytes()),
            Field::Header(name, value) => block.field(name, value),
            Field::Method(method) => block.method(method),
            Field::Path(path) => block.path(path.as_str().as_bytes()),
            Field::Protocol(protocol) => block.protocol(protocol.as_bytes()),
            Field::Scheme(scheme) => block.scheme(scheme.as_str().as_bytes()),
            Field::Status(status) => block.status(*status),
            Field::Malformed(_) | Field::UnknownPseudo => {}
        }
    }
    out.to_vec()
}
