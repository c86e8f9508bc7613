//! The first bytes of a connection, as listener filters look at them: all at once, and as they would
//! come to somebody who never reads more than was asked for.

use std::mem::discriminant;

use weft_net::{
    Hello, HttpLine, ProxyHeader, encode_proxy_v1, encode_proxy_v2, inspect_client_hello,
    inspect_http_line, inspect_proxy_header,
};

use crate::novelty::Behaviour;

pub(super) fn proxy_protocol(input: &[u8]) -> Behaviour {
    let look = |bytes: &[u8]| inspect_proxy_header(bytes, |kind| kind % 2 == 0);
    let found = as_it_comes(input, look, |found| match found {
        ProxyHeader::Incomplete(need) => Some(*need),
        _ => None,
    });
    let told = match &found {
        ProxyHeader::Complete(told) => told,
        ProxyHeader::Malformed(version, error) => {
            return Behaviour::of((discriminant(version), discriminant(error)));
        }
        ProxyHeader::Incomplete(_) | ProxyHeader::Absent => {
            return Behaviour::of(discriminant(&found));
        }
    };
    assert!(told.length <= input.len(), "{told:?}");
    assert!(told.tlvs.iter().all(|tlv| tlv.kind % 2 == 0), "{told:?}");
    // What was understood can be told on.
    let (first, second) =
        (encode_proxy_v1(told.addresses), encode_proxy_v2(told.addresses, &told.tlvs));
    for (again, keeps_tlvs) in [(first, false), (second, told.addresses.is_some())] {
        let ProxyHeader::Complete(again) = look(&again) else { panic!("{again:?} of {told:?}") };
        assert_eq!(again.addresses.is_some(), told.addresses.is_some());
        assert!(!keeps_tlvs || again.tlvs == told.tlvs, "{again:?} of {told:?}");
    }
    let kinds: Vec<u8> = told.tlvs.iter().map(|tlv| tlv.kind).collect();
    let is_v4 = told.addresses.map(|(source, _)| source.is_ipv4());
    Behaviour::of((discriminant(&told.version), is_v4, kinds))
}

pub(super) fn client_hello(input: &[u8]) -> Behaviour {
    let found = as_it_comes(input, inspect_client_hello, |found| match found {
        Hello::Incomplete(need) => Some(*need),
        _ => None,
    });
    let Hello::Complete(hello) = &found else { return Behaviour::of(discriminant(&found)) };
    let name = hello.server_name.as_deref();
    assert!(name.is_none_or(|name| !name.bytes().any(|byte| byte.is_ascii_uppercase())));
    let named = name.map(|name| name.len() / 16);
    Behaviour::of((named, hello.application_protocols.len().min(8)))
}

pub(super) fn http_line(input: &[u8]) -> Behaviour {
    let found = as_it_comes(input, inspect_http_line, |found| match found {
        HttpLine::Incomplete(need) => Some(*need),
        _ => None,
    });
    Behaviour::of(discriminant(&found))
}

/// What comes of looking at as much as was asked for each time. It must be what comes of looking at
/// everything at once, and each time more must be asked for.
fn as_it_comes<F: PartialEq + std::fmt::Debug>(
    input: &[u8],
    look: impl Fn(&[u8]) -> F,
    needs: impl Fn(&F) -> Option<usize>,
) -> F {
    let at_once = look(input);
    let mut there = 0;
    loop {
        let found = look(&input[..there]);
        let Some(need) = needs(&found) else {
            assert_eq!(found, at_once, "after {there} bytes");
            return found;
        };
        assert!(need > there, "{need} asked for with {there} there");
        if there == input.len() {
            assert_eq!(found, at_once);
            return found;
        }
        there = need.min(input.len());
    }
}
