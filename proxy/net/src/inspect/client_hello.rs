//! What a TLS client asks for (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301), read without a handshake.

use std::borrow::Cow;

use super::scan::Scan;

/// Record type of handshake messages.
const HANDSHAKE: u8 = 22;
/// Major version of every TLS record.
const MAJOR: u8 = 3;
/// Bytes before a record's payload.
const RECORD_HEAD: usize = 5;
/// Bytes of a record at most (RFC 8446 §5.1).
const MAX_RECORD: usize = 1 << 14;
/// Records that a hello may be spread over. Clients use one, or two for large key shares.
const MAX_RECORDS: usize = 16;
/// Handshake type of a client's hello.
const CLIENT_HELLO: u8 = 1;
/// Bytes before a handshake message's body.
const MESSAGE_HEAD: usize = 4;
/// Bytes of version and random.
const FIXED: usize = 34;
/// Extension types.
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// What the first bytes of a connection are, as far as TLS goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// It cannot be said before there are this many bytes.
    Incomplete(usize),
    /// Not TLS.
    NotTls,
    /// It begins like TLS and is not a hello.
    Malformed,
    /// A hello.
    Complete(ClientHello),
}

/// The parts of a hello that decide where a connection goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// The protocols offered, in the client's order. Those that are not text are left out.
    pub application_protocols: Vec<Box<str>>,
}

/// Reads a client's hello, which may be spread over several records.
pub fn inspect_client_hello(bytes: &[u8]) -> Hello {
    match handshake(bytes) {
        Ok(message) => match client_hello(&message) {
            Some(hello) => Hello::Complete(hello),
            None => Hello::Malformed,
        },
        Err(other) => other,
    }
}

/// The whole first handshake message, with its head; or what to say instead.
fn handshake(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Hello> {
    let mut message: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut rest = bytes;
    for _ in 0..MAX_RECORDS {
        let at = bytes.len() - rest.len();
        match rest {
            [HANDSHAKE, MAJOR, ..] | [HANDSHAKE] | [] => {}
            _ if at == 0 => return Err(Hello::NotTls),
            _ => return Err(Hello::Malformed),
        }
        let Some(([_, _, _, high, low], after)) = rest.split_first_chunk::<RECORD_HEAD>() else {
            return Err(Hello::Incomplete(at + RECORD_HEAD));
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > MAX_RECORD {
            return Err(Hello::Malformed);
        }
        // What is no hello is told by its first byte, however long its record claims to be.
        if message.is_empty() && after.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(Hello::Malformed);
        }
        let Some((payload, next)) = after.split_at_checked(length) else {
            return Err(Hello::Incomplete(at + RECORD_HEAD + length));
        };
        rest = next;
        if message.is_empty() {
            message = Cow::Borrowed(payload);
        } else {
            message.to_mut().extend_from_slice(payload);
        }
        if let [_, a, b, c, ..] = *message {
            let whole =
                MESSAGE_HEAD + usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(0);
            if message.len() >= whole {
                return Ok(message);
            }
        }
    }
    Err(Hello::Malformed)
}

fn client_hello(message: &[u8]) -> Option<ClientHello> {
    let mut scan = Scan(message);
    let [_, a, b, c] = *scan.take(MESSAGE_HEAD)? else { return None };
    let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    let mut body = Scan(scan.take(length)?);
    body.take(FIXED)?;
    let _session = body.part8()?;
    let _ciphers = body.part16()?;
    let _compression = body.part8()?;
    let mut hello = ClientHello::default();
    if body.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = body.part16()?;
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let mut data = extensions.part16()?;
        match kind {
            SERVER_NAME => hello.server_name = server_name(data.part16()?)?,
            ALPN => hello.application_protocols = protocols(data.part16()?)?,
            _ => {}
        }
    }
    Some(hello)
}

/// The host of a list of names; `None` when the list makes no sense.
fn server_name(mut names: Scan<'_>) -> Option<Option<Box<str>>> {
    const HOST: u8 = 0;
    let mut host = None;
    while !names.0.is_empty() {
        let kind = names.u8()?;
        let name = names.part16()?;
        if kind != HOST {
            continue;
        }
        let text = std::str::from_utf8(name.0).ok().filter(|text| is_host(text))?;
        if host.replace(text.to_ascii_lowercase().into_boxed_str()).is_some() {
            return None;
        }
    }
    Some(host)
}

/// Text that could be a host, and that can be shown and compared without harm.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn protocols(mut list: Scan<'_>) -> Option<Vec<Box<str>>> {
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let name = list.part8()?;
        if name.0.is_empty() {
            return None;
        }
        protocols.extend(std::str::from_utf8(name.0).ok().map(Box::from));
    }
    Some(protocols)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part16(bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(bytes.len()).unwrap();
        [&length.to_be_bytes()[..], bytes].concat()
    }

    fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &part16(data)].concat()
    }

    fn message(name: Option<&str>, protocols: &[&str]) -> Vec<u8> {
        let mut extensions = extension(0x0a0a, &[]);
        if let Some(name) = name {
            let entry = [&[0][..], &part16(name.as_bytes())].concat();
            extensions.extend(extension(SERVER_NAME, &part16(&entry)));
        }
        if !protocols.is_empty() {
            let list: Vec<u8> = protocols
                .iter()
                .flat_map(|p| [&[u8::try_from(p.len()).unwrap()], p.as_bytes()].concat())
                .collect();
            extensions.extend(extension(ALPN, &part16(&list)));
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend(part16(&extensions));
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[CLIENT_HELLO][..], &length[1..], &body].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |piece| [&[HANDSHAKE, MAJOR, 1][..], &part16(piece)].concat();
        message.chunks(size).flat_map(record).collect()
    }

    #[test]
    fn name_and_protocols_are_found_however_the_hello_is_cut() {
        let hello = message(Some("WWW.Example.com"), &["h2", "http/1.1"]);
        let expected = Hello::Complete(ClientHello {
            server_name: Some("www.example.com".into()),
            application_protocols: vec!["h2".into(), "http/1.1".into()],
        });
        for size in [hello.len(), 60, 20] {
            let mut wire = records(&hello, size);
            wire.extend(b"whatever follows");
            assert_eq!(inspect_client_hello(&wire), expected, "records of {size}");
        }
        let crumbs = records(&hello, 2);
        assert_eq!(inspect_client_hello(&crumbs), Hello::Malformed, "too many records");
        let bare = records(&message(None, &[]), 1000);
        assert_eq!(inspect_client_hello(&bare), Hello::Complete(ClientHello::default()));
    }

    #[test]
    fn asking_again_at_the_number_told_comes_to_an_end() {
        let wire = records(&message(Some("a.test"), &["h2"]), 25);
        let mut have = 0;
        let mut asked = 0;
        while let Hello::Incomplete(need) = inspect_client_hello(&wire[..have]) {
            assert!(need > have && need <= wire.len(), "{need} after {have}");
            have = need;
            asked += 1;
        }
        assert!(matches!(inspect_client_hello(&wire[..have]), Hello::Complete(_)));
        assert!(asked <= 2 * MAX_RECORDS, "asked {asked} times");
    }

    #[test]
    fn what_is_not_a_hello_is_told_at_once() {
        for bytes in [&b"G"[..], b"SSH-2.0-x", &[HANDSHAKE, 2], &[0x80, 0x2e, 1, 3, 1]] {
            assert_eq!(inspect_client_hello(bytes), Hello::NotTls, "{bytes:?}");
        }
        for bytes in [
            // A server's hello, an empty record, one too long.
            &[HANDSHAKE, 3, 3, 0, 80, 2][..],
            &[HANDSHAKE, 3, 1, 0, 0],
            &[HANDSHAKE, 3, 1, 0x40, 1],
        ] {
            assert_eq!(inspect_client_hello(bytes), Hello::Malformed, "{bytes:?}");
        }
        let twice =
            [extension(SERVER_NAME, &part16(&[&[0][..], &part16(b"a")].concat().repeat(2)))]
                .concat();
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend(part16(&twice));
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let two_names = [&[CLIENT_HELLO][..], &length[1..], &body].concat();
        assert_eq!(inspect_client_hello(&records(&two_names, 1000)), Hello::Malformed);
        let odd = records(&message(Some("bad name"), &[]), 1000);
        assert_eq!(inspect_client_hello(&odd), Hello::Malformed);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_bytes_make_it_panic_or_wait_for_what_is_there(
            at in 0usize..200, value: u8, cut in 0usize..300, noise in proptest::collection::vec(any::<u8>(), 0..64)
        ) {
            let mut wire = records(&message(Some("a.test"), &["h2"]), 40);
            if let Some(byte) = wire.get_mut(at) {
                *byte = value;
            }
            wire.truncate(cut);
            for bytes in [&wire[..], &noise[..], &[&wire[..], &noise].concat()] {
                if let Hello::Incomplete(need) = inspect_client_hello(bytes) {
                    prop_assert!(need > bytes.len());
                    prop_assert!(need <= bytes.len() + RECORD_HEAD + MAX_RECORD);
                }
            }
        }
    }
}
