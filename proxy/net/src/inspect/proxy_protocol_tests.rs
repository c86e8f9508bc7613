use proptest::prelude::*;

use super::*;

fn all(bytes: &[u8]) -> ProxyHeader {
    inspect_proxy_header(bytes, |_| true)
}

fn pair(source: &str, destination: &str) -> Option<(SocketAddr, SocketAddr)> {
    Some((source.parse().unwrap(), destination.parse().unwrap()))
}

fn told(bytes: &[u8]) -> Told {
    match all(bytes) {
        ProxyHeader::Complete(told) => told,
        other => panic!("{other:?}"),
    }
}

fn error(bytes: &[u8]) -> ProxyError {
    match all(bytes) {
        ProxyHeader::Malformed(_, error) => error,
        other => panic!("{other:?}"),
    }
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [V2, &[command, family], &length, body].concat()
}

#[test]
fn lines_tell_addresses() {
    let header = told(b"PROXY TCP4 10.1.2.3 10.0.0.1 56324 443\r\nGET /");
    assert_eq!(header.addresses, pair("10.1.2.3:56324", "10.0.0.1:443"));
    assert_eq!((header.version, header.length), (ProxyVersion::V1, 40));
    let header = told(b"PROXY TCP6 fd00::1 ::1 0 65535\r\n");
    assert_eq!(header.addresses, pair("[fd00::1]:0", "[::1]:65535"));
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ff:: what ever 1\r\n"] {
        assert_eq!(told(line.as_bytes()).addresses, None, "{line}");
    }
}

#[test]
fn lines_that_say_something_else_are_refused() {
    for line in [
        "PROXY TCP4 10.1.2.3 10.0.0.1 56324\r\n",
        "PROXY TCP4 10.1.2.3 10.0.0.1 56324 443 1\r\n",
        "PROXY TCP4 10.1.2.3 10.0.0.1  56324 443\r\n",
        "PROXY TCP4 fd00::1 ::1 1 2\r\n",
        "PROXY TCP6 10.1.2.3 10.0.0.1 1 2\r\n",
        "PROXY TCP4 10.1.2.3 10.0.0.1 +1 2\r\n",
        "PROXY TCP4 10.1.2.3 10.0.0.1 01 2\r\n",
        "PROXY TCP4 10.1.2.3 10.0.0.1 65536 2\r\n",
        "PROXY TCP4 10.1.2.3 10.0.0.1 1 2\n",
        "PROXY tcp4 10.1.2.3 10.0.0.1 1 2\r\n",
        "PROXY \r\n",
    ] {
        assert_eq!(error(line.as_bytes()), ProxyError::Line, "{line:?}");
    }
    let endless = [V1, &[b'x'; 200]].concat();
    assert_eq!(error(&endless), ProxyError::Endless);
    assert_eq!(all(&endless[..106]), ProxyHeader::Incomplete(107));
}

#[test]
fn what_is_no_header_is_told_by_its_first_bytes() {
    for bytes in [&b"G"[..], b"PROXX", b"PROXYTCP4", b"\r\nG", b"\r\n\r\n\0\r\nQUIX"] {
        assert_eq!(all(bytes), ProxyHeader::Absent, "{bytes:?}");
    }
    for bytes in [&b""[..], b"PRO", b"PROXY", b"\r\n\r\n\0\r\nQ"] {
        assert_eq!(all(bytes), ProxyHeader::Incomplete(bytes.len() + 1), "{bytes:?}");
    }
}

#[test]
fn binary_headers_tell_addresses_and_extensions() {
    let tlv = |kind, value: &[u8]| Tlv { kind, value: value.into() };
    for addresses in [pair("10.1.2.3:5", "10.0.0.1:443"), pair("[fd00::1]:5", "[::1]:443")] {
        let tlvs = [tlv(1, b"h2"), tlv(0xea, b""), tlv(2, b"a.test")];
        let mut wire = encode_proxy_v2(addresses, &tlvs);
        let length = wire.len();
        wire.extend(b"client");
        let header = told(&wire);
        assert_eq!((header.addresses, header.length), (addresses, length));
        assert_eq!(header.tlvs, tlvs);
        let some = inspect_proxy_header(&wire, |kind| kind == 2);
        assert!(matches!(some, ProxyHeader::Complete(told) if told.tlvs == [tlv(2, b"a.test")]));
        for cut in 0..length {
            let ProxyHeader::Incomplete(need) = all(&wire[..cut]) else { panic!("at {cut}") };
            assert!(need > cut && need <= length);
        }
    }
    assert_eq!(told(&encode_proxy_v2(None, &[tlv(1, b"h2")])).addresses, None);
    assert_eq!(told(&v2(0x21, 0x00, b"ignored")).addresses, None, "unspecified");
    assert_eq!(told(&v2(0x21, 0x31, &[0; 216])).addresses, None, "Unix");
    assert_eq!(told(&v2(0x20, 0x77, b"ignored")).addresses, None, "local");
}

#[test]
fn binary_headers_that_make_no_sense_are_refused() {
    assert_eq!(error(&v2(0x22, 0x11, &[0; 12])), ProxyError::Command);
    assert_eq!(error(&v2(0x11, 0x11, &[0; 12])), ProxyError::Command);
    for family in [0x12, 0x22, 0x01, 0x41] {
        assert_eq!(error(&v2(0x21, family, &[0; 36])), ProxyError::Family);
    }
    for (family, body) in [(0x11, 11), (0x21, 35), (0x31, 215)] {
        assert_eq!(error(&v2(0x21, family, &vec![0; body])), ProxyError::Length);
    }
    let cut_short = [&[0; 12][..], &[1, 0, 9, b'x']].concat();
    assert_eq!(error(&v2(0x21, 0x11, &cut_short)), ProxyError::Length);
}

#[test]
fn what_is_encoded_is_what_is_read() {
    for addresses in [pair("10.1.2.3:5", "10.0.0.1:443"), pair("[fd00::1]:5", "[::1]:443"), None] {
        assert_eq!(told(&encode_proxy_v1(addresses)).addresses, addresses);
        assert_eq!(told(&encode_proxy_v2(addresses, &[])).addresses, addresses);
    }
    let mixed = pair("10.1.2.3:5", "[::1]:443");
    let mapped = pair("[::ffff:10.1.2.3]:5", "[::1]:443");
    assert_eq!(told(&encode_proxy_v1(mixed)).addresses, mapped);
    assert_eq!(told(&encode_proxy_v2(mixed, &[])).addresses, mapped);
    let huge = Tlv { kind: 9, value: vec![0; 65_530].into() };
    assert!(told(&encode_proxy_v2(pair("1.1.1.1:1", "2.2.2.2:2"), &[huge])).tlvs.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_it_panic_or_claim_more_than_there_is(
        start in prop_oneof![Just(&b""[..]), Just(V1), Just(V2)],
        command in prop_oneof![Just(0x21u8), any::<u8>()],
        family in prop_oneof![Just(0x11u8), Just(0x21), any::<u8>()],
        rest in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let bytes = [start, &[command, family, 0], &rest].concat();
        for end in 0..=bytes.len() {
            match all(&bytes[..end]) {
                ProxyHeader::Complete(told) => {
                    prop_assert!(told.length <= end);
                    prop_assert_eq!(all(&bytes), ProxyHeader::Complete(told));
                }
                ProxyHeader::Incomplete(need) => prop_assert!(need > end && need <= V2_HEAD + 65_535),
                ProxyHeader::Absent | ProxyHeader::Malformed(..) => {}
            }
        }
    }
}
