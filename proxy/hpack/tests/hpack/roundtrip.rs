//! Random fields and table sizes: what one side writes the other reads, over many blocks of one
//! connection, whichever of the two is ours.

use proptest::{collection::vec, option, prelude::*, sample::select};
use weft_hpack::{Decoder, Encoder};

use crate::{
    oracle::{How, Kind, Oracle, Pair},
    support::{byte, decode, encode, of, pair, pairs},
};

const NAMES: &[&str] = &[
    ":authority",
    ":method",
    ":path",
    ":protocol",
    ":scheme",
    ":status",
    "accept",
    "authorization",
    "b3",
    "cache-control",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "te",
    "traceparent",
    "user-agent",
    "via",
    "www-authenticate",
    "x-a",
    "x-another-name-that-nobody-knows-and-that-is-longer-than-what-is-usual-for-names",
    "x-own",
    "x-request-id",
];

/// Few values, so that they repeat, or any.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let few = select(
        &["", "*/*", "application/json", "gzip, deflate", "no-cache", "trailers", "!secret"][..],
    );
    prop_oneof![
        6 => few.prop_map(|text| text.as_bytes().to_vec()),
        2 => vec(prop_oneof![0x20..0x7fu8, Just(b'\t'), 0x80..=0xffu8], 0..80),
        1 => (0x20..0x7fu8, 100..2000usize).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn field() -> impl Strategy<Value = Pair> {
    let few =
        |values: &'static [&'static str]| select(values).prop_map(|text| text.as_bytes().to_vec());
    select(NAMES).prop_flat_map(move |name| {
        let value = match name {
            ":authority" => few(&["www.example.com", "a:8080", "[::1]"]).boxed(),
            ":method" => few(&["GET", "POST", "PUT", "PURGE"]).boxed(),
            ":path" => few(&["/", "/index.html", "/a?b=c", "*", "/package.Service/Method"]).boxed(),
            ":scheme" => few(&["http", "https", "ws"]).boxed(),
            ":status" => few(&["100", "200", "201", "304", "503"]).boxed(),
            _ => value().boxed(),
        };
        value.prop_map(move |value| pair(name, value))
    })
}

fn how() -> impl Strategy<Value = How> {
    let kind =
        prop_oneof![6 => Just(Kind::Indexed), 2 => Just(Kind::Unindexed), 1 => Just(Kind::Never)];
    (kind, any::<bool>(), any::<bool>()).prop_map(|(kind, refer, huffman)| How {
        kind,
        refer,
        huffman,
    })
}

/// What happens before a block of ours.
#[derive(Clone, Debug)]
enum Before {
    Nothing,
    Shrink,
    Sizes(Vec<usize>),
}

fn before() -> impl Strategy<Value = Before> {
    prop_oneof![
        6 => Just(Before::Nothing),
        1 => Just(Before::Shrink),
        1 => vec(0..6000usize, 1..4).prop_map(Before::Sizes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_decoder_reads_whatever_others_may_write(
        blocks in vec((option::weighted(0.2, (0..8192usize, 0..8192usize)), vec((field(), how()), 0..12)), 1..12),
    ) {
        let (mut oracle, mut decoder) = (Oracle::new(), Decoder::new(8192));
        for (update, fields) in blocks {
            let mut block = Vec::new();
            if let Some((first, second)) = update {
                oracle.update(first.min(second), &mut block);
                oracle.update(second, &mut block);
            }
            for (field, how) in &fields {
                oracle.write(field, *how, &mut block);
            }
            for ((field, size), (expected, how)) in decode(&mut decoder, &block).unwrap().iter().zip(&fields) {
                prop_assert_eq!(of(field), Some(expected.clone()));
                prop_assert_eq!(*size, expected.0.len() + expected.1.len() + 32);
                if let weft_hpack::Field::Header(_, value) = field {
                    prop_assert_eq!(value.is_sensitive(), how.kind == Kind::Never);
                }
            }
            // Both tables are the same, to the last entry.
            let all: Vec<u8> = (62..62 + oracle.dynamic.len().min(64)).map(|index| 0x80 | byte(index)).collect();
            prop_assert_eq!(pairs(&mut decoder, &all), oracle.dynamic[..all.len()].to_vec());
        }
    }

    #[test]
    fn everybody_reads_what_the_encoder_writes(
        blocks in vec((before(), vec(field(), 0..14)), 1..16),
    ) {
        let (mut encoder, mut oracle, mut decoder) = (Encoder::new(), Oracle::new(), Decoder::new(4096));
        let mut allowed = 4096;
        for (before, fields) in blocks {
            match before {
                Before::Nothing => {}
                Before::Shrink => encoder.shrink(),
                Before::Sizes(sizes) => {
                    allowed = sizes[sizes.len() - 1];
                    sizes.iter().for_each(|size| encoder.set_peer_max_table_size(*size));
                }
            }
            let block = encode(&mut encoder, &fields);
            prop_assert_eq!(pairs(&mut decoder, &block), fields.clone());
            let read = oracle.read(&block).unwrap();
            let (read, never): (Vec<Pair>, Vec<bool>) = read.into_iter().unzip();
            prop_assert_eq!(&read, &fields);
            for ((name, value), never) in fields.iter().zip(never) {
                let secret = matches!(&name[..], b"authorization" | b"cookie")
                    || value.starts_with(b"!") && !name.starts_with(b":");
                prop_assert_eq!(never, secret);
            }
            prop_assert!(oracle.size() <= allowed.min(4096));
        }
    }
}
