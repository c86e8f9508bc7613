//! RFC 7541 Appendix C, decoded.

use weft_hpack::{Decoder, Field};

use crate::{
    oracle::Pair,
    support::{byte, bytes, decode, of, pair, pairs},
};

fn fields(lines: &[&str]) -> Vec<Pair> {
    let split = |line: &&str| {
        let (name, value) = line.split_once(": ").unwrap();
        pair(name, value)
    };
    lines.iter().map(split).collect()
}

fn check(decoder: &mut Decoder, hex: &str, expected: &[&str]) {
    assert_eq!(pairs(decoder, &bytes(hex)), fields(expected), "{hex}");
}

/// A block that refers to the `count` newest entries, the newest first.
fn check_table(decoder: &mut Decoder, expected: &[&str]) {
    let block: Vec<u8> = (0..expected.len()).map(|age| 0x80 | byte(62 + age)).collect();
    assert_eq!(pairs(decoder, &block), fields(expected));
    let beyond = 0x80 | byte(62 + expected.len());
    assert!(decode(decoder, &[beyond]).is_err(), "the table holds more");
}

#[test]
fn c_2_1_literal_with_indexing() {
    let mut decoder = Decoder::new(4096);
    let block = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    check(&mut decoder, block, &["custom-key: custom-header"]);
    check_table(&mut decoder, &["custom-key: custom-header"]);
}

#[test]
fn c_2_2_literal_without_indexing() {
    let mut decoder = Decoder::new(4096);
    check(&mut decoder, "040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"]);
    check_table(&mut decoder, &[]);
}

#[test]
fn c_2_3_literal_never_indexed() {
    let mut decoder = Decoder::new(4096);
    let decoded =
        decode(&mut decoder, &bytes("1008 7061 7373 776f 7264 0673 6563 7265 74")).unwrap();
    let [(field @ Field::Header(_, value), size)] = &decoded[..] else { panic!("{decoded:?}") };
    assert_eq!(of(field), Some(pair("password", "secret")));
    assert!(value.is_sensitive());
    assert_eq!(*size, "password".len() + "secret".len() + 32);
    check_table(&mut decoder, &[]);
}

#[test]
fn c_2_4_indexed() {
    check(&mut Decoder::new(4096), "82", &[":method: GET"]);
}

const REQUESTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
        "cache-control: no-cache",
    ],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

fn requests(blocks: [&str; 3]) {
    let mut decoder = Decoder::new(4096);
    for (block, expected) in blocks.iter().zip(REQUESTS) {
        check(&mut decoder, block, expected);
    }
    let table =
        ["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"];
    check_table(&mut decoder, &table);
}

#[test]
fn c_3_requests_without_huffman_code() {
    requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn c_4_requests_with_huffman_code() {
    requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

const LOCATION: &str = "location: https://www.example.com";
const COOKIE: &str = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const DATES: [&str; 2] =
    ["date: Mon, 21 Oct 2013 20:13:21 GMT", "date: Mon, 21 Oct 2013 20:13:22 GMT"];
const PRIVATE: &str = "cache-control: private";
const GZIP: &str = "content-encoding: gzip";

/// The peer keeps its table to 256 bytes, so that entries are evicted.
fn responses(blocks: [&str; 3]) {
    let mut decoder = Decoder::new(4096);
    check(&mut decoder, "3f e1 01", &[]);
    check(&mut decoder, blocks[0], &[":status: 302", PRIVATE, DATES[0], LOCATION]);
    check(&mut decoder, blocks[1], &[":status: 307", PRIVATE, DATES[0], LOCATION]);
    check(&mut decoder, blocks[2], &[":status: 200", PRIVATE, DATES[1], LOCATION, GZIP, COOKIE]);
    check_table(&mut decoder, &[COOKIE, GZIP, DATES[1]]);
}

#[test]
fn c_5_responses_without_huffman_code() {
    responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 \
         3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 \
         7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 \
         6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ]);
}

#[test]
fn c_6_responses_with_huffman_code() {
    responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad \
         1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 \
         e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]);
}
