//! The compiled chains against the plainest reading of the rules: every combination of every chain
//! tried in turn, one condition after the other.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::{IpAddr, SocketAddr};

use proptest::{collection::vec, option, prelude::*, sample::select};
use weft_route::{
    ChainError, ChainMatch, ChainTable, ConnectionView, Prefix, ServerName, SourceType,
};

/// One value of each condition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Combination {
    chain: usize,
    destination_port: Option<u16>,
    destination: Option<Prefix>,
    server_name: Option<ServerName>,
    transport: Option<Box<str>>,
    application: Option<Box<str>>,
    direct: Option<Prefix>,
    source_type: SourceType,
    source: Option<Prefix>,
    source_port: Option<u16>,
}

fn each<T: Clone>(values: &[T]) -> Vec<Option<T>> {
    if values.is_empty() { vec![None] } else { values.iter().cloned().map(Some).collect() }
}

fn combinations(chains: &[ChainMatch]) -> Vec<Combination> {
    let mut all = Vec::new();
    for (chain, conditions) in chains.iter().enumerate() {
        for destination in each(&conditions.prefix_ranges) {
            for server_name in each(&conditions.server_names) {
                for application in each(&conditions.application_protocols) {
                    for direct in each(&conditions.direct_source_prefix_ranges) {
                        for source in each(&conditions.source_prefix_ranges) {
                            for source_port in each(&conditions.source_ports) {
                                all.push(Combination {
                                    chain,
                                    destination_port: conditions.destination_port,
                                    destination,
                                    server_name: server_name.clone(),
                                    transport: conditions.transport_protocol.clone(),
                                    application: application.clone(),
                                    direct,
                                    source_type: conditions.source_type,
                                    source,
                                    source_port,
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

/// Keeps those whose value is the most specific one that holds. `rank` is `None` where it does not.
fn narrow(left: &mut Vec<Combination>, rank: impl Fn(&Combination) -> Option<usize>) {
    let best = left.iter().filter_map(&rank).max();
    left.retain(|combination| best.is_some() && rank(combination) == best);
}

fn rank_of_value<T: PartialEq>(asked: Option<&T>, is: Option<&T>) -> Option<usize> {
    match asked {
        None => Some(0),
        asked => (asked == is).then_some(1),
    }
}

fn rank_of_prefix(asked: Option<Prefix>, is: Option<SocketAddr>) -> Option<usize> {
    match asked {
        None => Some(0),
        Some(prefix) => {
            is.filter(|is| prefix.contains(is.ip())).map(|_| usize::from(prefix.length()) + 1)
        }
    }
}

fn rank_of_name(asked: Option<&ServerName>, is: &str) -> Option<usize> {
    match asked {
        None => Some(0),
        Some(ServerName::Exact(name)) => (**name == *is).then_some(1000),
        Some(ServerName::Below(domain)) => {
            (is.ends_with(&**domain) && is.len() > domain.len()).then_some(domain.len())
        }
    }
}

fn oracle(chains: &[ChainMatch], is: &ConnectionView<'_>) -> Option<usize> {
    let mut left = combinations(chains);
    let port = is.destination.map(|at| at.port());
    let source_port = is.source.map(|at| at.port());
    narrow(&mut left, |c| rank_of_value(c.destination_port.as_ref(), port.as_ref()));
    narrow(&mut left, |c| rank_of_prefix(c.destination, is.destination));
    narrow(&mut left, |c| rank_of_name(c.server_name.as_ref(), is.server_name));
    narrow(&mut left, |c| {
        rank_of_value(c.transport.as_deref().as_ref(), Some(&is.transport_protocol))
    });
    narrow(&mut left, |c| match &c.application {
        None => Some(0),
        Some(asked) => {
            let offered = is.application_protocols;
            offered.iter().position(|offer| offer == asked).map(|at| 1000 - at)
        }
    });
    narrow(&mut left, |c| rank_of_prefix(c.direct, is.direct_source));
    let local = is.source.is_none_or(|source| {
        source.ip() == "127.0.0.1".parse::<IpAddr>().unwrap()
            || source.ip() == "::1".parse::<IpAddr>().unwrap()
            || is.destination.is_some_and(|destination| destination.ip() == source.ip())
    });
    narrow(&mut left, |c| match c.source_type {
        SourceType::Any => Some(0),
        SourceType::SameIpOrLoopback => local.then_some(1),
        SourceType::External => (!local).then_some(1),
    });
    narrow(&mut left, |c| rank_of_prefix(c.source, is.source));
    narrow(&mut left, |c| rank_of_value(c.source_port.as_ref(), source_port.as_ref()));
    left.first().map(|combination| combination.chain)
}

/// Two combinations of different chains that are equal in everything else.
fn overlap(chains: &[ChainMatch]) -> bool {
    let all = combinations(chains);
    all.iter().enumerate().any(|(at, one)| {
        all.iter().skip(at + 1).any(|other| {
            one.chain != other.chain && Combination { chain: one.chain, ..other.clone() } == *one
        })
    })
}

const ADDRESSES: [&str; 7] =
    ["10.0.0.1", "10.0.1.1", "10.1.0.1", "127.0.0.1", "127.0.0.2", "::1", "fd00::1:1"];
const NAMES: [&str; 7] = ["a.test", "b.a.test", "c.b.a.test", "test", "", ".a.test", "a.test."];

fn prefix() -> impl Strategy<Value = Prefix> {
    (select(&ADDRESSES[..]), select(&[0u32, 8, 16, 24, 31, 32][..])).prop_map(
        |(address, length)| {
            let address: IpAddr = address.parse().unwrap();
            Prefix::new(address, if address.is_ipv6() { length * 4 } else { length }).unwrap()
        },
    )
}

fn server_name() -> impl Strategy<Value = ServerName> {
    select(&["a.test", "b.a.test", "*.a.test", "*.test", "*.b.a.test", "TEST"][..])
        .prop_map(|text| ServerName::parse(text).unwrap())
}

fn text(of: &'static [&'static str]) -> impl Strategy<Value = Box<str>> {
    select(of).prop_map(Box::from)
}

fn few<S: Strategy>(strategy: S) -> impl Strategy<Value = Vec<S::Value>>
where
    S::Value: Clone,
{
    vec(strategy, 0..3)
}

fn conditions() -> impl Strategy<Value = ChainMatch> {
    let first = (
        option::of(select(&[80u16, 443][..])),
        few(prefix()),
        few(server_name()),
        option::of(text(&["tls", "raw_buffer"])),
        few(text(&["h2", "http/1.1", "h2c"])),
    );
    let second = (
        few(prefix()),
        select(&[SourceType::Any, SourceType::SameIpOrLoopback, SourceType::External][..]),
        few(prefix()),
        few(select(&[1000u16, 2000][..])),
    );
    (first, second).prop_map(|(first, second)| ChainMatch {
        destination_port: first.0,
        prefix_ranges: first.1,
        server_names: first.2,
        transport_protocol: first.3,
        application_protocols: first.4,
        direct_source_prefix_ranges: second.0,
        source_type: second.1,
        source_prefix_ranges: second.2,
        source_ports: second.3,
    })
}

fn socket(ports: &'static [u16]) -> impl Strategy<Value = Option<SocketAddr>> {
    option::weighted(
        0.9,
        (select(&ADDRESSES[..]), select(ports))
            .prop_map(|(address, port)| SocketAddr::new(address.parse().unwrap(), port)),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_table_chooses_as_the_rules_say(
        chains in vec(conditions(), 1..6),
        destination in socket(&[80, 443, 8080]),
        source in socket(&[1000, 2000, 3000]),
        direct_source in socket(&[1000]),
        server_name in select(&NAMES[..]),
        transport_protocol in select(&["tls", "raw_buffer"][..]),
        application_protocols in few(text(&["h2", "http/1.1", "h2c", "x"])),
    ) {
        let connection = ConnectionView {
            destination,
            source,
            direct_source,
            server_name,
            transport_protocol,
            application_protocols: &application_protocols,
        };
        match ChainTable::compile(&chains) {
            Ok(table) => {
                prop_assert!(!overlap(&chains));
                prop_assert_eq!(table.find(&connection), oracle(&chains, &connection));
            }
            Err(ChainError::Overlap { first, second }) => {
                prop_assert!(first < second);
                let both = [chains[first].clone(), chains[second].clone()];
                prop_assert!(overlap(&both));
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

#[test]
fn a_product_that_would_fill_memory_is_refused() {
    let ports: Vec<u16> = (1..=2000).collect();
    let address: IpAddr = "10.0.0.0".parse().unwrap();
    let prefixes = (0..=32).map(|length| Prefix::new(address, length).unwrap()).collect();
    let chain = ChainMatch {
        source_ports: ports,
        source_prefix_ranges: prefixes,
        server_names: ["a", "b", "c"].map(|name| ServerName::parse(name).unwrap()).into(),
        ..ChainMatch::default()
    };
    assert!(matches!(
        ChainTable::compile([&ChainMatch::default(), &chain]),
        Err(ChainError::TooMany { chain: 1 })
    ));
}

#[test]
fn networks_are_told_by_their_bits_alone() {
    let of = |text: &str, length| Prefix::new(text.parse().unwrap(), length);
    assert_eq!(of("10.1.2.3", 8), of("10.255.0.0", 8));
    assert_eq!(of("10.1.2.3", 8).unwrap().to_string(), "10.0.0.0/8");
    assert_eq!(of("fd00:1:2::3", 17).unwrap().to_string(), "fd00::/17");
    assert_eq!(of("::ffff", 0).unwrap().to_string(), "::/0");
    assert!(of("10.0.0.0", 33).is_err());
    assert!(of("::", 129).is_err());
}

#[test]
fn stars_stand_for_whole_labels_at_the_front() {
    for text in ["*", "", "*.", "a.*.test", "www*.test", "*www.test", "*.*.test"] {
        assert_eq!(ServerName::parse(text), None, "{text}");
    }
    assert_eq!(ServerName::parse("*.A.Test"), Some(ServerName::Below(".a.test".into())));
}
