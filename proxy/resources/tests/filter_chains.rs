//! Filter chains: which connections they take, and what handles them.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use prost::{Message, Name};
use weft_proto::pb::{
    envoy::{
        config::{
            core::v3::{
                Address, CidrRange, DataSource, SocketAddress, TransportSocket, address,
                data_source, socket_address::PortSpecifier, transport_socket,
            },
            listener::v3::{
                Filter, FilterChain as WireChain, FilterChainMatch, Listener as Wire, filter,
                filter_chain_match::ConnectionSourceType,
            },
        },
        extensions::{
            filters::network::{
                direct_response::v3::Config as DirectResponse, echo::v3::Echo,
                redis_proxy::v3::RedisProxy,
            },
            transport_sockets::{raw_buffer::v3::RawBuffer, tls::v3::DownstreamTlsContext as Tls},
        },
    },
    google::protobuf::{self, UInt32Value},
};
use weft_resources::{FilterChain, Listener, ListenerKind, Terminal, decode};

fn filter<M: Name>(message: &M) -> Filter {
    let any = protobuf::Any { type_url: M::type_url(), value: message.encode_to_vec() };
    Filter { name: "f".to_owned(), config_type: Some(filter::ConfigType::TypedConfig(any)) }
}

fn chain(conditions: FilterChainMatch) -> WireChain {
    WireChain {
        filters: vec![filter(&Echo {})],
        filter_chain_match: Some(conditions),
        ..WireChain::default()
    }
}

fn listener(filter_chains: Vec<WireChain>) -> Wire {
    let socket = SocketAddress {
        address: "127.0.0.1".to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(8080)),
        ..SocketAddress::default()
    };
    let address = Some(Address { address: Some(address::Address::SocketAddress(socket)) });
    Wire { name: "in".to_owned(), address, filter_chains, ..Wire::default() }
}

fn refusals(message: &Wire) -> String {
    let reasons = decode::<Listener>(&message.encode_to_vec()).unwrap_err();
    reasons.iter().map(|reason| format!("{reason}\n")).collect()
}

fn read(message: &Wire) -> (Vec<FilterChain>, Option<FilterChain>) {
    match decode::<Listener>(&message.encode_to_vec()).unwrap().resource.kind {
        ListenerKind::Sockets(sockets) => (sockets.chains, sockets.default_chain),
        other => panic!("no sockets: {other:?}"),
    }
}

fn range(address_prefix: &str, length: u32) -> CidrRange {
    let prefix_len = Some(UInt32Value { value: length });
    CidrRange { address_prefix: address_prefix.to_owned(), prefix_len }
}

#[test]
fn all_nine_conditions_are_read() {
    let conditions = FilterChainMatch {
        destination_port: Some(UInt32Value { value: 443 }),
        prefix_ranges: vec![range("10.1.2.3", 8)],
        server_names: vec!["*.Example.com".to_owned(), "a.test".to_owned()],
        transport_protocol: "tls".to_owned(),
        application_protocols: vec!["h2".to_owned()],
        direct_source_prefix_ranges: vec![range("fd00::1", 16)],
        source_type: ConnectionSourceType::External.into(),
        source_prefix_ranges: vec![range("192.168.0.0", 16)],
        source_ports: vec![1, 65535],
        ..FilterChainMatch::default()
    };
    let (chains, _) = read(&listener(vec![chain(conditions)]));
    assert_eq!(
        format!("{:?}", chains[0].conditions),
        "ChainMatch { destination_port: Some(443), \
         prefix_ranges: [Prefix { network: 10.0.0.0, length: 8 }], \
         server_names: [Below(\".example.com\"), Exact(\"a.test\")], \
         transport_protocol: Some(\"tls\"), application_protocols: [\"h2\"], \
         direct_source_prefix_ranges: [Prefix { network: fd00::, length: 16 }], \
         source_type: External, \
         source_prefix_ranges: [Prefix { network: 192.168.0.0, length: 16 }], \
         source_ports: [1, 65535] }"
    );
}

#[test]
fn conditions_that_nothing_can_meet_are_refused_by_name() {
    let conditions = FilterChainMatch {
        prefix_ranges: vec![range("10.0.0.0", 33), range("host", 8)],
        server_names: vec!["w*.test".to_owned()],
        source_ports: vec![65536],
        ..FilterChainMatch::default()
    };
    let text = refusals(&listener(vec![chain(conditions)]));
    for part in ["prefix_ranges[0].prefix_len", "source_ports"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let conditions = FilterChainMatch {
        prefix_ranges: vec![range("host", 8)],
        server_names: vec!["w*.test".to_owned()],
        ..FilterChainMatch::default()
    };
    let text = refusals(&listener(vec![chain(conditions)]));
    for part in ["prefix_ranges[0].address_prefix", "server_names[0]", "*.example.com"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_chain_ends_in_one_filter_that_handles_the_connection() {
    let ends = |filters| {
        let chain = WireChain { filters, ..WireChain::default() };
        refusals(&listener(vec![chain]))
    };
    assert!(ends(Vec::new()).contains("filter_chains[0].filters"));
    assert!(ends(vec![filter(&Echo {}), filter(&Echo {})]).contains("filters[0]"));
    let other = ends(vec![filter(&RedisProxy::default())]);
    assert!(other.contains("RedisProxy"), "{other}");
    let text = data_source::Specifier::InlineString("no".to_owned());
    let response = DataSource { specifier: Some(text), ..DataSource::default() };
    let direct = DirectResponse { response: Some(response) };
    let chain = WireChain { filters: vec![filter(&direct)], ..WireChain::default() };
    let (chains, _) = read(&listener(vec![chain]));
    assert!(matches!(&chains[0].terminal, Terminal::Direct(bytes) if &bytes[..] == b"no"));
}

#[test]
fn chains_may_be_many_or_only_the_default() {
    let ports = (1..=1000).map(|port| {
        chain(FilterChainMatch {
            destination_port: Some(UInt32Value { value: port }),
            ..FilterChainMatch::default()
        })
    });
    let many = Wire {
        default_filter_chain: Some(WireChain {
            name: "rest".to_owned(),
            ..chain(FilterChainMatch::default())
        }),
        ..listener(ports.collect())
    };
    let (chains, default) = read(&many);
    assert_eq!((chains.len(), chains[7].title()), (1000, "filter_chains[7]"));
    assert_eq!(default.unwrap().title(), "rest");
    let only = Wire { filter_chains: Vec::new(), ..many };
    assert!(read(&only).0.is_empty());
    assert!(refusals(&listener(Vec::new())).contains("filter_chains: is required"));
}

#[test]
fn a_chain_takes_bytes_as_they_are() {
    fn socket<M: Name>(message: &M) -> Wire {
        let any = protobuf::Any { type_url: M::type_url(), value: message.encode_to_vec() };
        let config_type = Some(transport_socket::ConfigType::TypedConfig(any));
        let socket = TransportSocket { name: "socket".to_owned(), config_type };
        let mut chain = chain(FilterChainMatch::default());
        chain.transport_socket = Some(socket);
        listener(vec![chain])
    }
    read(&socket(&RawBuffer {}));
    let text = refusals(&socket(&Tls::default()));
    assert!(text.contains("filter_chains[0].transport_socket"), "{text}");
}

#[test]
fn chains_of_the_same_text_are_the_same() {
    let one = || chain(FilterChainMatch { source_ports: vec![1], ..FilterChainMatch::default() });
    let other = chain(FilterChainMatch { source_ports: vec![2], ..FilterChainMatch::default() });
    let described = WireChain { metadata: Some(Default::default()), ..one() };
    let (chains, _) = read(&listener(vec![one(), described, other]));
    assert_eq!(chains[0].identity, chains[1].identity);
    assert_ne!(chains[0].identity, chains[2].identity);
}
