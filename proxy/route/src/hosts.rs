//! Finding the virtual host of an authority.

use std::collections::{HashMap, hash_map};

use foldhash::fast::FixedState;

use crate::{
    error::RouteError,
    trie::{Anchor, Entry, Lowercase, LowercaseReversed, Trie},
};

/// Bytes a domain may have: more than any DNS name with a port.
const DOMAIN_LIMIT: usize = 512;

/// Domains of all virtual hosts, by the way they match.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    /// Keys only ever come from the configuration, so a fixed seed is safe.
    exact: HashMap<Box<[u8]>, u32, FixedState>,
    /// `*-api.shop.example`, backwards.
    suffixes: Trie,
    /// `shop.*`.
    prefixes: Trie,
    /// `*`.
    any: Option<u32>,
}

impl HostTable {
    /// The virtual host of an authority: of the exact domain, else of the longest suffix, else of
    /// the longest prefix, else of `*`. A wildcard stands for at least one character.
    #[inline]
    pub(crate) fn find(&self, authority: &[u8]) -> Option<u32> {
        self.find_exact(authority)
            .or_else(|| {
                let mut longest = None;
                self.suffixes.walk(&LowercaseReversed(authority), |at, list| {
                    longest = proper(at, authority, list).or(longest);
                });
                longest
            })
            .or_else(|| {
                let mut longest = None;
                self.prefixes.walk(&Lowercase(authority), |at, list| {
                    longest = proper(at, authority, list).or(longest);
                });
                longest
            })
            .or(self.any)
    }

    /// The virtual host of all requests, if there is no other.
    pub(crate) fn only_any(&self) -> Option<u32> {
        let others = !self.exact.is_empty() || !self.suffixes.is_empty();
        self.any.filter(|_| !others && self.prefixes.is_empty())
    }

    #[inline]
    fn find_exact(&self, authority: &[u8]) -> Option<u32> {
        if !authority.iter().any(u8::is_ascii_uppercase) {
            return self.exact.get(authority).copied();
        }
        let mut buffer = [0; DOMAIN_LIMIT];
        // What does not fit is longer than every domain.
        let lower = buffer.get_mut(..authority.len())?;
        lower.copy_from_slice(authority);
        lower.make_ascii_lowercase();
        self.exact.get(&*lower).copied()
    }
}

fn proper(at: usize, authority: &[u8], list: &[u32]) -> Option<u32> {
    list.first().copied().filter(|_| at < authority.len())
}

/// Collects domains and refuses those that are taken.
pub(crate) struct HostTableBuilder<'a> {
    /// Name of each virtual host, for messages.
    names: Vec<&'a str>,
    taken: HashMap<Box<str>, u32, FixedState>,
    table: HostTable,
    suffixes: Vec<Entry>,
    prefixes: Vec<Entry>,
}

impl<'a> HostTableBuilder<'a> {
    pub(crate) fn new() -> Self {
        Self {
            names: Vec::new(),
            taken: HashMap::default(),
            table: HostTable::default(),
            suffixes: Vec::new(),
            prefixes: Vec::new(),
        }
    }

    /// Adds the next virtual host with its domains.
    pub(crate) fn add(&mut self, name: &'a str, domains: &[String]) -> Result<(), RouteError> {
        if domains.is_empty() {
            return Err(RouteError::NoDomains { vhost: name.into() });
        }
        let vhost = u32::try_from(self.names.len())
            .map_err(|_| RouteError::TooMany { what: "virtual hosts", count: self.names.len() })?;
        self.names.push(name);
        for domain in domains {
            self.claim(vhost, domain)?;
        }
        Ok(())
    }

    fn claim(&mut self, vhost: u32, domain: &str) -> Result<(), RouteError> {
        let name = |of: u32| self.names.get(of as usize).copied().unwrap_or_default().into();
        if domain.len() > DOMAIN_LIMIT {
            return Err(RouteError::DomainTooLong {
                vhost: name(vhost),
                length: domain.len(),
                limit: DOMAIN_LIMIT,
            });
        }
        let lower = domain.to_ascii_lowercase();
        match self.taken.entry(lower.as_str().into()) {
            hash_map::Entry::Occupied(taken) => {
                return Err(RouteError::DuplicateDomain {
                    domain: domain.into(),
                    first: name(*taken.get()),
                    second: name(vhost),
                });
            }
            hash_map::Entry::Vacant(free) => free.insert(vhost),
        };
        let entry = |key| Entry { key, anchor: Anchor::Prefix, index: vhost };
        // The order of these tests is Envoy's: a leading `*` wins over a trailing one.
        if lower == "*" {
            self.table.any = Some(vhost);
        } else if let Some(suffix) = lower.strip_prefix('*') {
            self.suffixes.push(entry(suffix.bytes().rev().collect()));
        } else if let Some(prefix) = lower.strip_suffix('*') {
            self.prefixes.push(entry(prefix.as_bytes().to_vec()));
        } else {
            self.table.exact.insert(lower.into_bytes().into_boxed_slice(), vhost);
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> HostTable {
        self.table.suffixes = Trie::build(self.suffixes);
        self.table.prefixes = Trie::build(self.prefixes);
        self.table.exact.shrink_to_fit();
        self.table
    }
}

/// The authority without its port, where `ignore_port_in_host_matching` asks for that. A colon
/// inside an IPv6 literal is none of a port.
#[inline]
pub(crate) fn without_port(authority: &[u8]) -> &[u8] {
    let Some(colon) = memchr::memrchr(b':', authority) else { return authority };
    match (authority.get(..colon), authority.get(colon + 1..)) {
        (Some(host), Some(port)) if !port.is_empty() && !port.contains(&b']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(domains: &[&str]) -> HostTable {
        let mut builder = HostTableBuilder::new();
        for domain in domains {
            builder.add(domain, &[(*domain).to_owned()]).unwrap();
        }
        builder.finish()
    }

    #[test]
    fn precedence() {
        let domains =
            ["*", "shop.example", "*.example", "*-a.example", "shop.*", "shop.e*", "api.shop"];
        let table = table(&domains);
        let found =
            |authority: &str| table.find(authority.as_bytes()).map(|at| domains[at as usize]);
        assert_eq!(found("shop.example"), Some("shop.example"));
        assert_eq!(found("SHOP.Example"), Some("shop.example"));
        assert_eq!(found("b.example"), Some("*.example"));
        assert_eq!(found("B-A.EXAMPLE"), Some("*-a.example"));
        assert_eq!(found("-a.example"), Some("*.example"), "a wildcard is at least one character");
        assert_eq!(found(".example"), Some("*"));
        assert_eq!(found("shop.example:80"), Some("shop.e*"));
        assert_eq!(found("shop.org"), Some("shop.*"));
        assert_eq!(found("shop."), Some("*"));
        assert_eq!(found(""), Some("*"));
        assert_eq!(found(&"x".repeat(5_000)), Some("*"));
        assert_eq!(found(&"X".repeat(5_000)), Some("*"));
    }

    #[test]
    fn no_host() {
        assert_eq!(table(&["shop"]).find(b"shop:80"), None);
        assert_eq!(table(&["shop"]).find(b""), None);
    }

    #[test]
    fn claims() {
        let mut builder = HostTableBuilder::new();
        builder.add("a", &["Shop".to_owned(), "*".to_owned()]).unwrap();
        assert_eq!(
            builder.add("b", &["sHOP".to_owned()]),
            Err(RouteError::DuplicateDomain {
                domain: "sHOP".into(),
                first: "a".into(),
                second: "b".into()
            })
        );
        assert!(matches!(
            builder.add("c", &["*".to_owned()]),
            Err(RouteError::DuplicateDomain { .. })
        ));
        assert!(matches!(builder.add("d", &[]), Err(RouteError::NoDomains { .. })));
        assert!(matches!(
            builder.add("e", &["x".repeat(513)]),
            Err(RouteError::DomainTooLong { .. })
        ));
    }

    #[test]
    fn ports() {
        for (authority, host) in [
            ("shop:80", "shop"),
            ("shop", "shop"),
            ("shop:", "shop:"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("::1", ":"),
        ] {
            assert_eq!(without_port(authority.as_bytes()), host.as_bytes(), "{authority}");
        }
    }
}
