//! The header that tells an upstream who the client is (PROXY protocol).

use std::net::SocketAddr;

use weft_compile::UpstreamProxyProtocol;
use weft_net::{Tlv, encode_proxy_v1, encode_proxy_v2};

/// What a connection to an upstream begins with. `addresses` are the client and where it connected
/// to, `told` what was told of it besides. An extension that the cluster adds takes the place of all
/// others of its type.
pub(crate) fn greeting(
    asked: &UpstreamProxyProtocol,
    addresses: Option<(SocketAddr, SocketAddr)>,
    told: &[Tlv],
) -> Vec<u8> {
    if !asked.binary {
        return encode_proxy_v1(addresses);
    }
    let is_added = |kind| asked.added.iter().any(|(added, _)| *added == kind);
    let passed = told.iter().filter(|tlv| asked.pass.keeps(tlv.kind) && !is_added(tlv.kind));
    let added = asked.added.iter().map(|(kind, value)| Tlv { kind: *kind, value: value.clone() });
    let tlvs: Vec<Tlv> = added.chain(passed.cloned()).collect();
    encode_proxy_v2(addresses, &tlvs)
}

#[cfg(test)]
mod tests {
    use weft_compile::KeptTlvs;
    use weft_net::{ProxyHeader, inspect_proxy_header};

    use super::*;

    fn tlv(kind: u8, value: &[u8]) -> Tlv {
        Tlv { kind, value: value.into() }
    }

    #[test]
    fn what_is_added_takes_the_place_of_what_is_passed_on() {
        let asked = UpstreamProxyProtocol {
            binary: true,
            pass: KeptTlvs::Only([1, 2].into()),
            added: [(2, b"new"[..].into()), (3, b"own"[..].into())].into(),
        };
        let addresses = "10.0.0.1:1".parse().ok().zip("10.0.0.2:2".parse().ok());
        let told = [tlv(1, b"kept"), tlv(2, b"old"), tlv(4, b"not kept")];
        let bytes = greeting(&asked, addresses, &told);
        let ProxyHeader::Complete(read) = inspect_proxy_header(&bytes, |_| true) else {
            panic!("{bytes:?}")
        };
        assert_eq!(read.addresses, addresses);
        assert_eq!(read.tlvs, [tlv(2, b"new"), tlv(3, b"own"), tlv(1, b"kept")]);
        let text = UpstreamProxyProtocol { binary: false, ..asked };
        assert_eq!(greeting(&text, addresses, &told), b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n");
        assert_eq!(greeting(&text, None, &told), b"PROXY UNKNOWN\r\n");
    }
}
