//! The opening handshake of WebSocket where it goes from one version of HTTP to another: HTTP/1.1 has
//! a key that the server must answer (RFC 6455 §4), which h2 does without (RFC 8441 §5).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderValue,
    header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY},
};
use sha1::{Digest as _, Sha1};

/// What is hashed after the key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a protocol asked for is WebSocket.
pub(crate) fn is(protocol: &HeaderValue) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
}

/// Asks a server of HTTP/1.1 in the name of a client of h2, which has sent no key.
pub(crate) fn ask(fields: &mut HeaderMap, random: u128) {
    if fields.contains_key(SEC_WEBSOCKET_KEY) {
        return;
    }
    let key = BASE64_STANDARD.encode(random.to_be_bytes());
    if let Ok(key) = HeaderValue::try_from(key) {
        fields.insert(SEC_WEBSOCKET_KEY, key);
    }
}

/// Answers a client's key in the name of a server that has not.
pub(crate) fn answer(fields: &mut HeaderMap, key: Option<&HeaderValue>) {
    let Some(key) = key.filter(|_| !fields.contains_key(SEC_WEBSOCKET_ACCEPT)) else { return };
    let hash = Sha1::new().chain_update(key.as_bytes()).chain_update(GUID).finalize();
    if let Ok(accept) = HeaderValue::try_from(BASE64_STANDARD.encode(hash)) {
        fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_in_the_rfc() {
        let mut fields = HeaderMap::new();
        // RFC 6455 §1.3.
        answer(&mut fields, Some(&HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==")));
        assert_eq!(fields[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        answer(&mut fields, Some(&HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA==")));
        assert_eq!(fields[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "said already");
    }

    #[test]
    fn only_who_has_no_key_is_given_one() {
        let mut fields = HeaderMap::new();
        ask(&mut fields, 1);
        assert_eq!(fields[SEC_WEBSOCKET_KEY], "AAAAAAAAAAAAAAAAAAAAAQ==");
        ask(&mut fields, 2);
        assert_eq!(fields[SEC_WEBSOCKET_KEY], "AAAAAAAAAAAAAAAAAAAAAQ==");
    }
}
