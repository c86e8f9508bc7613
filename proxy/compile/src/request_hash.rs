//! The hash of a request, by the policy of its route, for clusters that place requests by it.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;
use weft_balance::RequestHash;
use weft_resources::{HashInput, HashPolicy};
use weft_route::{HeaderKey, first_query_value};

use crate::cookie;

/// What a request is hashed by.
#[derive(Clone, Copy, Debug)]
pub struct Hashed<'a> {
    /// The method.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host that is called.
    pub authority: &'a [u8],
    /// With the query.
    pub path: &'a str,
    /// All other header fields.
    pub fields: &'a HeaderMap,
    /// The client, if it came by IP.
    pub remote: Option<SocketAddr>,
    /// Where it connected to.
    pub local: Option<SocketAddr>,
}

/// The hash of a request, if its policy finds anything, and the cookie that its client is given so
/// that the next request has the same.
pub fn request_hash(
    policies: &[HashPolicy],
    request: Hashed<'_>,
) -> (Option<u64>, Option<HeaderValue>) {
    let mut hash = RequestHash::default();
    let mut given = None;
    for policy in policies {
        match &policy.input {
            HashInput::Header { name, rewrite: None } => add_header(&mut hash, name, request),
            HashInput::Header { name, rewrite: Some(rewrite) } => {
                let rewritten: Vec<String> = lines(name, request)
                    .iter()
                    .map(|line| rewrite.replace_all(&String::from_utf8_lossy(line)))
                    .collect();
                add_sorted(&mut hash, rewritten.iter().map(String::as_bytes).collect());
            }
            HashInput::Cookie(cookie) => match cookie::find(request.fields, &cookie.name) {
                Some(value) => hash.add([value]),
                None if cookie.ttl.is_some() => {
                    let value = generate(request);
                    hash.add([value.as_bytes()]);
                    given = cookie::given(cookie, &value).or(given);
                }
                None => {}
            },
            HashInput::SourceIp => {
                if let Some(address) = request.remote {
                    hash.add([address.ip().to_string().as_bytes()]);
                }
            }
            HashInput::Query(name) => {
                let query = request.path.split_once('?').map_or("", |(_, query)| query);
                if let Some(value) = first_query_value(query, name) {
                    hash.add([value.as_bytes()]);
                }
            }
        }
        if policy.is_terminal && hash.get().is_some() {
            break;
        }
    }
    (hash.get(), given)
}

type Lines<'a> = SmallVec<[&'a [u8]; 4]>;

fn lines<'a>(name: &HeaderKey, request: Hashed<'a>) -> Lines<'a> {
    let one = |text: &'a [u8]| std::iter::once(text).collect();
    match name {
        HeaderKey::Method => one(request.method.as_bytes()),
        HeaderKey::Path => one(request.path.as_bytes()),
        HeaderKey::Authority => one(request.authority),
        HeaderKey::Scheme => one(request.scheme.as_bytes()),
        HeaderKey::Field(name) => {
            request.fields.get_all(name).iter().map(HeaderValue::as_bytes).collect()
        }
    }
}

fn add_header(hash: &mut RequestHash, name: &HeaderKey, request: Hashed<'_>) {
    add_sorted(hash, lines(name, request));
}

/// Lines are sorted, so that their order makes no difference. None are no part.
fn add_sorted(hash: &mut RequestHash, mut lines: Lines<'_>) {
    if !lines.is_empty() {
        lines.sort_unstable();
        hash.add(lines);
    }
}

/// The value of a cookie for a client that has none: the same for all requests of a connection.
fn generate(request: Hashed<'_>) -> String {
    let mut ends = String::new();
    if let Some(address) = request.remote {
        ends.push_str(&address.to_string());
    }
    if let Some(address) = request.local {
        ends.push_str(&address.to_string());
    }
    let mut hash = RequestHash::default();
    hash.add([ends.as_bytes()]);
    format!("{:016x}", hash.get().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderName;
    use weft_resources::Cookie;
    use weft_route::Substitution;

    use super::*;

    fn policy(input: HashInput) -> HashPolicy {
        HashPolicy { input, is_terminal: false }
    }

    fn header(name: &str) -> HashInput {
        HashInput::Header { name: name.parse().unwrap(), rewrite: None }
    }

    fn cookie(ttl: Option<u64>) -> HashInput {
        HashInput::Cookie(Cookie {
            name: "who".into(),
            ttl: ttl.map(Duration::from_secs),
            path: "/p".into(),
            attributes: Box::new([("Secure".into(), "".into()), ("SameSite".into(), "Lax".into())]),
        })
    }

    fn hash(policies: &[HashPolicy], fields: &[(&str, &str)], path: &str) -> Option<u64> {
        run(policies, fields, path).0
    }

    fn run(
        policies: &[HashPolicy],
        fields: &[(&str, &str)],
        path: &str,
    ) -> (Option<u64>, Option<HeaderValue>) {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::try_from(*value).unwrap(),
            );
        }
        let request = Hashed {
            method: "GET",
            scheme: "http",
            authority: b"shop",
            path,
            fields: &map,
            remote: "10.0.0.1:4000".parse().ok(),
            local: "10.0.0.2:80".parse().ok(),
        };
        request_hash(policies, request)
    }

    fn xx(parts: &[&str]) -> Option<u64> {
        let mut hash = RequestHash::default();
        parts.iter().for_each(|part| hash.add([part.as_bytes()]));
        hash.get()
    }

    #[test]
    fn each_kind_of_input_counts() {
        let by_header = [policy(header("x-user"))];
        assert_eq!(hash(&by_header, &[("x-user", "ann")], "/"), xx(&["ann"]));
        assert_eq!(hash(&by_header, &[], "/"), None);
        assert_eq!(hash(&[policy(header(":path"))], &[], "/a?b"), xx(&["/a?b"]));
        assert_eq!(hash(&[policy(header("host"))], &[], "/"), xx(&["shop"]));
        assert_eq!(hash(&[policy(HashInput::SourceIp)], &[], "/"), xx(&["10.0.0.1"]));
        let by_query = [policy(HashInput::Query("q".into()))];
        assert_eq!(hash(&by_query, &[], "/a?x=1&q=2&q=3"), xx(&["2"]));
        assert_eq!(hash(&by_query, &[], "/a"), None);
        let both = [policy(HashInput::SourceIp), policy(header("x-user"))];
        assert_eq!(hash(&both, &[("x-user", "ann")], "/"), xx(&["10.0.0.1", "ann"]));
    }

    #[test]
    fn lines_of_a_header_count_in_any_order() {
        let by_header = [policy(header("x-user"))];
        let one = hash(&by_header, &[("x-user", "ann"), ("x-user", "bob")], "/");
        assert_eq!(one, hash(&by_header, &[("x-user", "bob"), ("x-user", "ann")], "/"));
        assert_eq!(one, xx(&["annbob"]));
    }

    #[test]
    fn a_header_may_be_rewritten_first() {
        let rewrite = Substitution::new("@.*", "").unwrap();
        let name = "x-user".parse().unwrap();
        let policies = [policy(HashInput::Header { name, rewrite: Some(rewrite) })];
        assert_eq!(hash(&policies, &[("x-user", "ann@a.test")], "/"), xx(&["ann"]));
    }

    #[test]
    fn a_terminal_part_ends_it() {
        let first = HashPolicy { is_terminal: true, ..policy(header("x-user")) };
        let policies = [first, policy(HashInput::SourceIp)];
        assert_eq!(hash(&policies, &[("x-user", "ann")], "/"), xx(&["ann"]));
        assert_eq!(hash(&policies, &[], "/"), xx(&["10.0.0.1"]));
    }

    #[test]
    fn cookies_are_read_or_given() {
        let policies = [policy(cookie(Some(60)))];
        let sent = [("cookie", "a=b; who=\"ann\"")];
        assert_eq!(run(&policies, &sent, "/"), (xx(&["ann"]), None));
        let (hash, given) = run(&policies, &[], "/");
        let value = format!("{:016x}", xx(&["10.0.0.1:400010.0.0.2:80"]).unwrap());
        assert_eq!(hash, xx(&[&value]));
        let expected =
            format!("who=\"{value}\"; Max-Age=60; Path=/p; Secure; SameSite=Lax; HttpOnly");
        assert_eq!(given.unwrap(), expected);
        // Without a time to live none is given.
        assert_eq!(run(&[policy(cookie(None))], &[], "/"), (None, None));
        assert_eq!(run(&[policy(cookie(None))], &[("cookie", "who=")], "/"), (None, None));
    }
}
