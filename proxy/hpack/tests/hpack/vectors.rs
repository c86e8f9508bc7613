//! Blocks that Python's `hpack` wrote (`vectors/generate.py`): several connections with changing table
//! sizes, with and without Huffman code, with fields that must never be indexed.

use http::HeaderValue;
use weft_hpack::{Decoder, Field};

use crate::{
    oracle::{Oracle, Pair},
    support::{bytes, decode, of, pair},
};

const VECTORS: &str = include_str!("vectors/python-hpack.txt");

/// A block and its fields; sensitive ones are marked.
type Block = (Vec<u8>, Vec<(Pair, bool)>);

/// The blocks of each connection.
fn connections() -> Vec<Vec<Block>> {
    let mut connections: Vec<Vec<Block>> = Vec::new();
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let (kind, rest) = line.split_at(1);
        match kind {
            "c" => connections.push(Vec::new()),
            "b" => connections.last_mut().unwrap().push((bytes(rest), Vec::new())),
            _ => {
                let (name, value) = rest.split_once('\t').unwrap();
                let fields = &mut connections.last_mut().unwrap().last_mut().unwrap().1;
                fields.push((pair(name, value), kind == "!"));
            }
        }
    }
    connections
}

#[test]
fn the_decoder_reads_what_python_wrote() {
    let mut blocks = 0;
    for connection in connections() {
        let mut decoder = Decoder::new(16_384);
        for (block, expected) in connection {
            let decoded = decode(&mut decoder, &block).unwrap();
            let fields: Vec<(Pair, bool)> =
                decoded.iter().map(|(field, _)| (of(field).unwrap(), never(field))).collect();
            assert_eq!(fields, expected);
            blocks += 1;
        }
    }
    assert!(blocks > 100, "only {blocks} blocks");
}

/// What the other tests compare with agrees with Python too.
#[test]
fn the_oracle_reads_what_python_wrote() {
    for connection in connections() {
        let mut oracle = Oracle::new();
        for (block, expected) in connection {
            assert_eq!(oracle.read(&block), Some(expected));
        }
    }
}

fn never(field: &Field) -> bool {
    matches!(field, Field::Header(_, value) if HeaderValue::is_sensitive(value))
}
