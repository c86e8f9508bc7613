//! Bytes from somebody who means harm.

use std::ops::ControlFlow;

use proptest::{collection::vec, prelude::*};
use weft_hpack::{DecodeError, Decoder, Field, Malformed, Pseudo};

use crate::{
    huffman,
    oracle::{How, Kind, Oracle},
    support::{byte, decode, of, pair, pairs},
};

fn error(block: &[u8]) -> DecodeError {
    decode(&mut Decoder::new(4096), block).unwrap_err()
}

#[test]
fn indices_beyond_the_tables() {
    assert_eq!(error(&[0x80]), DecodeError::Index { index: 0, last: 61 });
    assert_eq!(error(&[0xbe]), DecodeError::Index { index: 62, last: 61 });
    assert_eq!(error(&[0x7f, 0x00, 0x00]), DecodeError::Index { index: 63, last: 61 });
    assert_eq!(error(&[0x0f, 0x80, 0x01, 0x00]), DecodeError::Index { index: 143, last: 61 });
    let huge = DecodeError::Index { index: 0x7f + 0x0fff_ffff, last: 61 };
    assert_eq!(error(&[0xff, 0xff, 0xff, 0xff, 0x7f]), huge);
}

#[test]
fn integers_without_end() {
    for first in [0xff, 0x7f, 0x3f, 0x1f, 0x0f] {
        assert_eq!(
            error(&[first, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            DecodeError::IntegerOverflow
        );
        assert_eq!(
            error(&[first, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
            DecodeError::IntegerOverflow
        );
    }
    assert_eq!(error(&[0x41, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x01]), DecodeError::IntegerOverflow);
}

#[test]
fn blocks_that_end_too_early() {
    let whole = [0x40, 0x02, b'x', b'y', 0x83, 0xff, 0xff, 0xff];
    for length in 1..whole.len() {
        assert_eq!(error(&whole[..length]), DecodeError::Truncated, "{length} bytes");
    }
    assert_eq!(
        error(&[0x41, 0x7f, 0xff, 0xff, 0xff, 0x7f]),
        DecodeError::Truncated,
        "a length of 256 MiB"
    );
}

#[test]
fn size_updates_where_and_as_large_as_they_may_be() {
    assert_eq!(error(&[0x82, 0x20]), DecodeError::LateSizeUpdate);
    assert_eq!(error(&[0x3f, 0xe2, 0x1f]), DecodeError::SizeUpdate { size: 4097, max: 4096 });
    assert_eq!(decode(&mut Decoder::new(4096), &[0x20, 0x3f, 0xe1, 0x1f, 0x82]).unwrap().len(), 1);
    assert_eq!(decode(&mut Decoder::new(4097), &[0x3f, 0xe2, 0x1f]).unwrap(), []);
}

#[test]
fn a_smaller_table_is_due_once_it_was_acknowledged() {
    let mut decoder = Decoder::new(100);
    assert_eq!(pairs(&mut decoder, &[0x40, 1, b'a', 1, b'b', 0xbe]).len(), 2, "4096 until then");
    decoder.settings_acknowledged();
    assert_eq!(decode(&mut decoder, &[]).unwrap(), []);
    let mut other = Decoder::new(100);
    other.settings_acknowledged();
    assert_eq!(decode(&mut other, &[0x82]), Err(DecodeError::MissingSizeUpdate { max: 100 }));
    assert_eq!(decode(&mut decoder, &[0x3f, 0x45, 0xbe]).unwrap().len(), 1, "100 is small enough");
    assert_eq!(
        decode(&mut decoder, &[0x3f, 0x46]),
        Err(DecodeError::SizeUpdate { size: 101, max: 100 })
    );
}

#[test]
fn huffman_code_that_is_none() {
    let value = |code: &[u8]| {
        let mut block = vec![0x41, 0x80 | byte(code.len())];
        block.extend_from_slice(code);
        decode(&mut Decoder::new(4096), &block)
    };
    let bad = |code: &[u8]| assert_eq!(value(code), Err(DecodeError::Huffman), "{code:x?}");
    bad(&[0xff]); // eight bits of padding
    bad(&[0x1f, 0xff]); // "a", then eleven bits of padding
    bad(&[0x18]); // padding of zeroes after "a"
    bad(&[0x1e]); // not all ones
    bad(&[0xff, 0xff, 0xff, 0xff]); // the end of a string, which must not be sent
    bad(&[0xff, 0xff, 0xff, 0xfc]); // the same, and two zeroes
    bad(&[0x1f, 0xff, 0xff, 0xff, 0xff, 0xff]); // amid a string
    assert_eq!(value(&[0x1f]).map(|fields| of(&fields[0].0)), Ok(Some(pair(":authority", "a"))));
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new(4096);
    let mut oracle = Oracle::new();
    let how = How { kind: Kind::Indexed, refer: true, huffman: false };
    let mut block = Vec::new();
    oracle.update(100, &mut block);
    for value in ["b", "c"] {
        oracle.write(&pair("a", value), how, &mut block);
    }
    oracle.write(&pair("large", "v".repeat(64)), how, &mut block);
    assert_eq!(oracle.dynamic, []);
    assert_eq!(pairs(&mut decoder, &block).len(), 3);
    assert_eq!(decode(&mut decoder, &[0xbe]), Err(DecodeError::Index { index: 62, last: 61 }));
    // Its name may be that of an entry that goes as it comes (RFC 7541 §4.4).
    assert_eq!(pairs(&mut decoder, &[0x40, 1, b'a', 1, b'b']).len(), 1);
    let mut reuse = vec![0x7e, 67];
    reuse.extend([b'v'; 67]);
    assert_eq!(pairs(&mut decoder, &reuse), [pair("a", "v".repeat(67))]);
    assert_eq!(pairs(&mut decoder, &[0xbe]), [pair("a", "v".repeat(67))]);
}

#[test]
fn malformed_fields_are_told_apart_and_keep_their_place_in_the_table() {
    let name = |name: &str| name.parse().unwrap();
    let cases: [(&[u8], &[u8], Field); 14] = [
        (b"Accept", b"x", Field::Malformed(Malformed::Name)),
        (b"", b"x", Field::Malformed(Malformed::Name)),
        (b"a b", b"x", Field::Malformed(Malformed::Name)),
        (b"a:", b"x", Field::Malformed(Malformed::Name)),
        (b"caf\xe9", b"x", Field::Malformed(Malformed::Name)),
        (b":unknown", b"x", Field::UnknownPseudo),
        (b":Path", b"/", Field::UnknownPseudo),
        (b"accept", b"a\r\nb: c", Field::Malformed(Malformed::Value(name("accept")))),
        (b"x-own", b"a\0", Field::Malformed(Malformed::Value(name("x-own")))),
        (b":path", b"", Field::Malformed(Malformed::Pseudo(Pseudo::Path))),
        (b":path", b"/a#b", Field::Malformed(Malformed::Pseudo(Pseudo::Path))),
        (b":path", b"/a b", Field::Malformed(Malformed::Pseudo(Pseudo::Path))),
        (b":authority", b"a/b", Field::Malformed(Malformed::Pseudo(Pseudo::Authority))),
        (b":status", b"20", Field::Malformed(Malformed::Pseudo(Pseudo::Status))),
    ];
    for (name, value, expected) in cases {
        for huffman in [false, true] {
            let (mut decoder, mut oracle) = (Decoder::new(4096), Oracle::new());
            let mut block = Vec::new();
            let field = pair(name, value);
            oracle.write(&field, How { kind: Kind::Indexed, refer: false, huffman }, &mut block);
            block.push(0xbe);
            let size = name.len() + value.len() + 32;
            let twice = vec![(expected.clone(), size), (expected.clone(), size)];
            assert_eq!(decode(&mut decoder, &block), Ok(twice), "{field:?}");
            // A good value under the same name.
            let again = decode(&mut decoder, &[0x7e, 3, b'2', b'0', b'0']).unwrap();
            assert_eq!(again[0].1, name.len() + 3 + 32);
            let unnamed =
                matches!(expected, Field::UnknownPseudo | Field::Malformed(Malformed::Name));
            let path = field.0 == b":path";
            assert_eq!(of(&again[0].0).is_none(), unnamed || path, "{field:?}: {again:?}");
        }
    }
}

#[test]
fn a_bomb_is_cut_off_and_the_table_stays_in_step() {
    let mut decoder = Decoder::new(4096);
    let (mut block, value) = (vec![0x40, 1, b'a', 0x7f, 0x81, 0x1e], [b'v'; 3968]);
    block.extend(value);
    block.extend(vec![0xbe; 60_000]);
    block.extend([0x40, 4, b'l', b'a', b's', b't', 1, b'x']);
    let (mut calls, mut sum) = (0, 0);
    let mut bomb = |decoder: &mut Decoder| {
        decoder.decode(&block, |_, size| {
            calls += 1;
            sum += size;
            if sum > 65_536 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    let cost = allocation_counter::measure(|| assert_eq!(bomb(&mut decoder), Ok(())));
    assert_eq!(calls, 17, "240 MB are announced");
    assert!(cost.bytes_max < 40_000, "{cost:?}");
    assert_eq!(pairs(&mut decoder, &[0xbe]), [pair("last", "x")]);
}

#[test]
fn what_is_not_visited_is_still_checked_for_the_table() {
    let skip = |block: &[u8]| Decoder::new(4096).decode(block, |_, _| ControlFlow::Break(()));
    assert_eq!(skip(&[0x82, 0xbe]), Err(DecodeError::Index { index: 62, last: 61 }));
    assert_eq!(skip(&[0x82, 0x0f, 0x30, 0x00]), Err(DecodeError::Index { index: 63, last: 61 }));
    assert_eq!(skip(&[0x82, 0x41, 0x81, 0xff]), Err(DecodeError::Huffman));
    assert_eq!(skip(&[0x82, 0x00, 0x01]), Err(DecodeError::Truncated));
    assert_eq!(skip(&[0x82, 0x20]), Err(DecodeError::LateSizeUpdate));
}

#[test]
fn memory_stays_within_a_few_tables_whatever_is_sent() {
    let code = huffman::encode(&[b'0'; 400]);
    let cost = allocation_counter::measure(|| {
        let mut decoder = Decoder::new(4096);
        for n in 0..3000 {
            // The smallest entries there are, a large field between them, code that grows.
            let mut block = vec![0x40, 1, b'a' + byte(n % 26), 0];
            block.extend([0x00, 1, b'b', 0x7f, 0x81, 0x06]);
            block.extend([b'v'; 896]);
            block.extend([0x40, 1, b'c', 0xff, byte(code.len() - 127) | 0x80, 0x00]);
            block.extend(&code);
            assert_eq!(decode(&mut decoder, &block).map(|fields| fields.len()), Ok(3));
        }
    });
    assert!(cost.bytes_max < 64 * 1024, "{cost:?}");
    assert_eq!(cost.bytes_current, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn random_bytes_never_panic(blocks in vec(vec(any::<u8>(), 0..200), 1..6)) {
        let mut decoder = Decoder::new(4096);
        for block in blocks {
            let decoded = decode(&mut decoder, &block);
            prop_assert!(decoded.is_err() || decoded.unwrap().len() <= block.len());
        }
    }

    /// Random code is read as one bit after the other would be.
    #[test]
    fn huffman_code_means_what_the_rfc_says(
        code in prop_oneof![
            vec(any::<u8>(), 0..40),
            vec(any::<u8>(), 0..40).prop_map(|text| huffman::encode(&text)),
            (vec(any::<u8>(), 0..40), 0..3usize).prop_map(|(text, ones)| {
                let mut code = huffman::encode(&text);
                code.extend(vec![0xff; ones]);
                code
            }),
        ],
    ) {
        let code = &code[..code.len().min(126)];
        let mut block = vec![0x00, 0x01, b'a', 0x80 | byte(code.len())];
        block.extend_from_slice(code);
        let decoded = decode(&mut Decoder::new(4096), &block);
        match huffman::decode(code) {
            None => prop_assert_eq!(decoded, Err(DecodeError::Huffman)),
            Some(text) => {
                let (field, size) = decoded.unwrap().remove(0);
                prop_assert_eq!(size, 33 + text.len());
                let valid = text.iter().all(|byte| *byte == b'\t' || *byte >= 0x20 && *byte != 0x7f);
                prop_assert_eq!(of(&field), valid.then(|| pair("a", text)));
            }
        }
    }

    /// Stopping early, at any field, leaves the same table as going on.
    #[test]
    fn the_table_does_not_depend_on_what_is_visited(
        fields in vec(("[a-d]", "[ -~]{0,40}", any::<[bool; 2]>()), 1..30), stop in 0..30usize,
    ) {
        let (mut all, mut some, mut oracle) = (Decoder::new(4096), Decoder::new(4096), Oracle::new());
        let mut block = Vec::new();
        for (name, value, [indexed, huffman]) in fields {
            let kind = if indexed { Kind::Indexed } else { Kind::Unindexed };
            oracle.write(&pair(name, value), How { kind, refer: true, huffman }, &mut block);
        }
        decode(&mut all, &block).unwrap();
        let mut visited = 0;
        some.decode(&block, |_, _| {
            visited += 1;
            if visited > stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }).unwrap();
        let table: Vec<u8> = (62..62 + oracle.dynamic.len()).map(|index| 0x80 | byte(index)).collect();
        prop_assert_eq!(pairs(&mut some, &table), pairs(&mut all, &table));
    }
}
