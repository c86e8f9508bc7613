//! `stateful_session`: the requests of a session go to the endpoint that the first of them went to,
//! as long as that one may take requests.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, header::SET_COOKIE};
use weft_balance::{EndpointAddress, EndpointState};
use weft_compile::{Cookie, FilterSettings, RouteFilter, SessionRules, SessionState, cookie};
use weft_telemetry::HttpStats;

use super::{Coming, most_specific};
use crate::wish::Wish;

/// What the most specific level says: the filter, or its route.
pub(super) fn rules<'a>(
    always: &'a Option<Arc<SessionRules>>,
    own: Option<&'a RouteFilter>,
) -> Option<&'a Arc<SessionRules>> {
    let most_specific = most_specific(own, |settings| match settings {
        FilterSettings::StatefulSession(rules) => Some(rules),
        _ => None,
    });
    most_specific.unwrap_or(always).as_ref()
}

/// The session of one request.
#[derive(Debug)]
pub(super) struct Session {
    rules: Arc<SessionRules>,
    /// The endpoint that it had before.
    known: Option<EndpointAddress>,
    /// The endpoint that has answered.
    reached: Option<Arc<EndpointState>>,
}

impl Session {
    /// Reads the session of a request, which asks for its endpoint from now on; `None` where its
    /// path is not that of the cookie.
    pub(super) fn begin(rules: &Arc<SessionRules>, coming: &mut Coming) -> Option<Self> {
        let path = coming.parts.uri.path_and_query().map_or("/", |it| it.as_str());
        let fields = &coming.parts.headers;
        let text = match &rules.state {
            SessionState::Cookie(rule) if !is_below(path, &rule.path) => return None,
            SessionState::Cookie(rule) => {
                cookie::find(fields, &rule.name).and_then(|value| kept(value, now()))
            }
            SessionState::Header(name) => fields.get(name).and_then(|value| {
                let text = BASE64_STANDARD.decode(value.as_bytes()).ok()?;
                String::from_utf8(text).ok()
            }),
        };
        let known = text.filter(|text| !text.is_empty()).map(|text| EndpointAddress::read(&text));
        if let Some(address) = &known {
            coming.wish = Some(Box::new(Wish {
                address: address.clone(),
                is_strict: rules.strict,
                when_missing: rules.when_missing,
            }));
        }
        Some(Self { rules: Arc::clone(rules), known, reached: None })
    }

    /// Notes which endpoint has answered.
    pub(super) fn reached(&mut self, endpoint: &Arc<EndpointState>) {
        self.reached = Some(Arc::clone(endpoint));
    }

    /// Counts how it went, and tells the client where its session is if that is news to it.
    pub(super) fn back(&self, headers: &mut HeaderMap, stats: &HttpStats) {
        let reached = self.reached.as_ref().map(|endpoint| endpoint.address());
        match (&self.known, reached) {
            (None, _) => stats.session_none.inc(),
            (Some(known), Some(reached)) if known == reached => stats.session_routed.inc(),
            (Some(_), _) if self.rules.strict => stats.session_failed_closed.inc(),
            (Some(_), _) => stats.session_failed_open.inc(),
        }
        let Some(reached) = reached.filter(|reached| self.known.as_ref() != Some(reached)) else {
            return;
        };
        let text = reached.to_string();
        match &self.rules.state {
            SessionState::Cookie(rule) => {
                let value = BASE64_STANDARD.encode(written(&text, expiry(rule, now())));
                if let Some(value) = cookie::given(rule, &value) {
                    headers.append(SET_COOKIE, value);
                }
            }
            SessionState::Header(name) => {
                if let Ok(value) = HeaderValue::try_from(BASE64_STANDARD.encode(text)) {
                    headers.insert(name, value);
                }
            }
        }
    }
}

/// Whether a cookie with this path belongs to a request with that one.
fn is_below(path: &str, of_cookie: &str) -> bool {
    match of_cookie {
        "" | "/" => true,
        prefix if prefix.ends_with('/') => path.starts_with(prefix),
        whole => path
            .strip_prefix(whole)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#'])),
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Until when a cookie holds that is given now; 0 for ever.
fn expiry(cookie: &Cookie, now: u64) -> u64 {
    let lasts = cookie.ttl.map_or(0, |ttl| ttl.as_secs());
    if lasts == 0 { 0 } else { now.saturating_add(lasts) }
}

/// The tags of the two fields of Envoy's `Cookie` message: an address, and when it expires.
const ADDRESS: u8 = 0x0a;
const EXPIRES: u8 = 0x10;

/// What a cookie says: the same bytes as Envoy writes, so that both can stand behind one name.
fn written(address: &str, expires: u64) -> Vec<u8> {
    let mut bytes = vec![ADDRESS];
    put_number(&mut bytes, address.len() as u64);
    bytes.extend_from_slice(address.as_bytes());
    if expires > 0 {
        bytes.push(EXPIRES);
        put_number(&mut bytes, expires);
    }
    bytes
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// The address that a cookie says, unless it has expired. What is no such message is the address
/// itself, as older proxies wrote it.
fn kept(value: &[u8], now: u64) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(value).ok()?;
    match read(&bytes) {
        Some((_, expires)) if expires != 0 && expires < now => None,
        Some((address, _)) => Some(address.to_owned()),
        None => String::from_utf8(bytes).ok(),
    }
}

/// The address and the expiry of such a message; `None` for anything else.
fn read(mut bytes: &[u8]) -> Option<(&str, u64)> {
    let (mut address, mut expires) = ("", 0);
    while let Some((tag, rest)) = bytes.split_first() {
        let (number, rest) = take_number(rest)?;
        bytes = rest;
        match *tag {
            ADDRESS => {
                let (text, rest) = rest.split_at_checked(usize::try_from(number).ok()?)?;
                (address, bytes) = (std::str::from_utf8(text).ok()?, rest);
            }
            EXPIRES => expires = number,
            _ => return None,
        }
    }
    Some((address, expires))
}

fn take_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f).checked_shl(u32::try_from(at * 7).ok()?)?;
        number |= part;
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn rule(ttl: Option<u64>) -> Cookie {
        let (name, path) = ("s".into(), "/".into());
        Cookie { name, ttl: ttl.map(Duration::from_secs), path, attributes: Box::new([]) }
    }

    #[test]
    fn cookies_say_what_envoys_do() {
        // Field 1 of the length 9; field 2 with 1,000 as a number of two bytes.
        assert_eq!(written("1.2.3.4:5", 0), b"\x0a\x091.2.3.4:5");
        assert_eq!(written("1.2.3.4:5", 1_000), b"\x0a\x091.2.3.4:5\x10\xe8\x07");
        let value = BASE64_STANDARD.encode(written("1.2.3.4:5", 1_000));
        assert_eq!(kept(value.as_bytes(), 1_000).as_deref(), Some("1.2.3.4:5"));
        assert_eq!(kept(value.as_bytes(), 1_001), None, "it has expired");
        let plain = BASE64_STANDARD.encode("127.0.0.1:80");
        assert_eq!(kept(plain.as_bytes(), 0).as_deref(), Some("127.0.0.1:80"));
        assert_eq!(kept(b"not base64!", 0), None);
    }

    #[test]
    fn cookies_last_as_long_as_is_said() {
        assert_eq!(expiry(&rule(Some(60)), 1_000), 1_060);
        assert_eq!(expiry(&rule(Some(0)), 1_000), 0);
        assert_eq!(expiry(&rule(None), 1_000), 0);
    }

    #[test]
    fn cookies_belong_to_the_requests_below_their_path() {
        assert!(is_below("/a/b?c", "/") && is_below("/", ""));
        assert!(is_below("/a/b", "/a/") && !is_below("/a", "/a/"));
        assert!(is_below("/a", "/a") && is_below("/a/b", "/a") && is_below("/a?b", "/a"));
        assert!(!is_below("/ab", "/a"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(address in "[0-9a-z.:/\\[\\]]{0,300}", expires in any::<u64>()) {
            let bytes = written(&address, expires);
            prop_assert_eq!(read(&bytes), Some((address.as_str(), expires)));
        }

        #[test]
        fn any_bytes_are_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&bytes);
            let _ = kept(&bytes, 0);
        }
    }
}
