//! YAML to a bootstrap.

use prost::Message;
use weft_proto::pb::envoy::config::bootstrap::v3::Bootstrap;
use weft_proto::{check, json, type_url};

use super::resources;
use crate::novelty::Behaviour;

pub(super) const WORDS: &[&[u8]] = &[
    b"&a ",
    b"*a",
    b"<<: *a",
    b"!!binary ",
    b"'@type': ",
    b"{",
    b"[",
    b"- ",
    b"? ",
    b"| ",
    b"> ",
    b"\"\\u0000\"",
    b".inf",
    b"0x7fffffffffffffff",
    b"-1",
    b"1e999",
    b"\xff",
    b"\t",
    b"%YAML 1.2\n---\n",
    b"\xef\xbb\xbf",
    b"10000000000s",
    b"safe_regex: {regex: \"(a+)+$\"}",
    b"{regex: \"((a{99}){99}){99}\"}",
];

pub(super) fn run(input: &[u8]) -> Behaviour {
    let Ok(text) = str::from_utf8(input) else {
        return Behaviour::of("not UTF-8");
    };
    let bootstrap: Bootstrap = match json::from_yaml(text) {
        Ok(bootstrap) => bootstrap,
        Err(error) => return Behaviour::of_words(&error.to_string()),
    };
    let encoded = bootstrap.encode_to_vec();
    let findings: Vec<_> =
        check::check(type_url::BOOTSTRAP, &encoded).iter().map(ToString::to_string).collect();
    let tables = resources::compiled(&resources::of_bootstrap(&bootstrap));
    Behaviour::of((Behaviour::of_words(&findings.join("\n")), tables))
}
