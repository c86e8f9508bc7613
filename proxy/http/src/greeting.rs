//! The header that tells an upstream who the client is (PROXY protocol).

use std::net::SocketAddr;

use weft_compile::{TlvValue, Tlvs, UpstreamProxyProtocol};
use weft_format::View;
use weft_net::{Tlv, encode_proxy_v1, encode_proxy_v2};

/// What a connection to an upstream begins with. `addresses` are the client and where it connected
/// to, `told` what was told of it besides. An extension that the cluster adds takes the place of all
/// others of its type.
pub(crate) fn greeting(
    asked: &UpstreamProxyProtocol,
    addresses: Option<(SocketAddr, SocketAddr)>,
    told: &[Tlv],
    view: &View<'_>,
) -> Vec<u8> {
    if !asked.binary {
        return encode_proxy_v1(addresses);
    }
    let is_added = |kind| asked.added.iter().any(|(added, _)| *added == kind);
    let passed = told.iter().filter(|tlv| asked.pass.keeps(tlv.kind) && !is_added(tlv.kind));
    let tlvs: Vec<Tlv> = configured(&asked.added, view).chain(passed.cloned()).collect();
    encode_proxy_v2(addresses, &tlvs)
}

/// Extensions as they are configured, for one connection.
pub(crate) fn configured<'a>(tlvs: &'a Tlvs, view: &'a View<'_>) -> impl Iterator<Item = Tlv> + 'a {
    tlvs.iter().map(|(kind, value)| {
        let value = match value {
            TlvValue::Bytes(bytes) => bytes.clone(),
            TlvValue::Format(format) => {
                let mut text = Vec::new();
                format.render(view, "-", &mut text);
                text.into()
            }
        };
        Tlv { kind: *kind, value }
    })
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
            added: [
                (2, TlvValue::Bytes(b"new"[..].into())),
                (3, TlvValue::Format("for %REQUESTED_SERVER_NAME%".parse().unwrap())),
            ]
            .into(),
        };
        let addresses = "10.0.0.1:1".parse().ok().zip("10.0.0.2:2".parse().ok());
        let told = [tlv(1, b"kept"), tlv(2, b"old"), tlv(4, b"not kept")];
        let view = View { server_name: Some("a.test"), ..View::default() };
        let bytes = greeting(&asked, addresses, &told, &view);
        let ProxyHeader::Complete(read) = inspect_proxy_header(&bytes, |_| true) else {
            panic!("{bytes:?}")
        };
        assert_eq!(read.addresses, addresses);
        assert_eq!(read.tlvs, [tlv(2, b"new"), tlv(3, b"for a.test"), tlv(1, b"kept")]);
        let text = UpstreamProxyProtocol { binary: false, ..asked };
        assert_eq!(
            greeting(&text, addresses, &told, &view),
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"
        );
        assert_eq!(greeting(&text, None, &told, &view), b"PROXY UNKNOWN\r\n");
    }
}
