//! Listener filters: what is found out of a connection before its chain is chosen.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use prost::{Message, Name};
use weft_proto::pb::{
    envoy::{
        config::{
            core::v3::{
                Address, ProxyProtocolPassThroughTlVs, SocketAddress, address,
                proxy_protocol_config::Version,
                proxy_protocol_pass_through_tl_vs::PassTlVsMatchType,
                socket_address::PortSpecifier,
            },
            listener::v3::{
                Filter, FilterChain, FilterChainMatch, Listener as Wire,
                ListenerFilter as WireFilter, ListenerFilterChainMatchPredicate as Predicate,
                filter, listener_filter,
                listener_filter_chain_match_predicate::{MatchSet, Rule},
            },
        },
        extensions::filters::{
            listener::{
                http_inspector::v3::HttpInspector, original_dst::v3::OriginalDst,
                original_src::v3::OriginalSrc, proxy_protocol::v3::ProxyProtocol,
                tls_inspector::v3::TlsInspector,
            },
            network::echo::v3::Echo,
        },
        r#type::v3::Int32Range,
    },
    google::protobuf::{self, UInt32Value},
};
use weft_resources::{
    Decoded, KeptTlvs, Listener, ListenerFilter, ListenerFilterKind, ListenerKind, PortRule,
    Sockets, decode,
};

fn any<M: Name>(message: &M) -> protobuf::Any {
    protobuf::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

fn filter<M: Name>(message: &M) -> WireFilter {
    let config_type = Some(listener_filter::ConfigType::TypedConfig(any(message)));
    WireFilter { name: "f".to_owned(), config_type, ..WireFilter::default() }
}

fn listener(listener_filters: Vec<WireFilter>) -> Wire {
    let config_type = Some(filter::ConfigType::TypedConfig(any(&Echo {})));
    let filters = vec![Filter { name: "echo".to_owned(), config_type }];
    let socket = SocketAddress {
        address: "127.0.0.1".to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(8080)),
        ..SocketAddress::default()
    };
    Wire {
        name: "in".to_owned(),
        address: Some(Address { address: Some(address::Address::SocketAddress(socket)) }),
        filter_chains: vec![FilterChain { filters, ..FilterChain::default() }],
        listener_filters,
        ..Wire::default()
    }
}

fn read(message: &Wire) -> Sockets {
    let Decoded { resource, .. } = decode::<Listener>(&message.encode_to_vec()).unwrap();
    match resource.kind {
        ListenerKind::Sockets(sockets) => *sockets,
        other => panic!("no sockets: {other:?}"),
    }
}

#[test]
fn every_filter_is_read() {
    let tls = TlsInspector {
        max_client_hello_size: Some(UInt32Value { value: 1000 }),
        close_connection_on_client_hello_parsing_errors: true,
        ..TlsInspector::default()
    };
    let proxy = ProxyProtocol {
        disallowed_versions: vec![Version::V1.into()],
        pass_through_tlvs: Some(ProxyProtocolPassThroughTlVs {
            match_type: PassTlVsMatchType::Include.into(),
            tlv_type: vec![1, 0xea],
        }),
        ..ProxyProtocol::default()
    };
    let filters = vec![
        filter(&OriginalDst {}),
        filter(&proxy),
        filter(&tls),
        filter(&TlsInspector::default()),
        filter(&HttpInspector {}),
    ];
    let kinds: Vec<_> = read(&listener(filters)).filters.into_iter().map(|f| f.kind).collect();
    let hello =
        |max_hello, close_on_error| ListenerFilterKind::TlsInspector { max_hello, close_on_error };
    let ListenerFilterKind::ProxyProtocol(proxy) = &kinds[1] else { panic!("{kinds:?}") };
    assert!(proxy.required && !proxy.version_1 && proxy.version_2);
    assert_eq!(proxy.keep, KeptTlvs::Only([1, 0xea].into()));
    assert_eq!(
        [&kinds[0], &kinds[2], &kinds[3], &kinds[4]],
        [
            &ListenerFilterKind::OriginalDst,
            &hello(1000, true),
            &hello(65536, false),
            &ListenerFilterKind::HttpInspector
        ]
    );
    let missed = listener(vec![filter(&OriginalSrc::default())]);
    let reasons = decode::<Listener>(&missed.encode_to_vec()).unwrap_err();
    assert!(reasons[0].to_string().contains("OriginalSrc"), "{reasons:?}");
}

#[test]
fn filters_may_be_left_out_by_port() {
    let rule = |rule| Predicate { rule: Some(rule) };
    let ports = |start, end| rule(Rule::DestinationPortRange(Int32Range { start, end }));
    let set = |rules| MatchSet { rules };
    let not = rule(Rule::NotMatch(Box::new(ports(82, 83))));
    let both = rule(Rule::AndMatch(set(vec![ports(80, 90), not])));
    let either = rule(Rule::OrMatch(set(vec![both, ports(443, 444)])));
    let disabled = WireFilter { filter_disabled: Some(either), ..filter(&HttpInspector {}) };
    let filters = read(&listener(vec![disabled])).filters;
    let [ListenerFilter { disabled: Some(rule), .. }] = &filters[..] else { panic!("{filters:?}") };
    let held: Vec<u16> = (0..=500).filter(|port| rule.holds(Some(*port))).collect();
    assert_eq!(held, [80, 81, 83, 84, 85, 86, 87, 88, 89, 443]);
    assert!(!rule.holds(None) && PortRule::Always.holds(None));
}

#[test]
fn conditions_that_nothing_looks_for_are_warned_of() {
    let conditions = FilterChainMatch {
        server_names: vec!["a.test".to_owned()],
        application_protocols: vec!["h2".to_owned()],
        transport_protocol: "tls".to_owned(),
        ..FilterChainMatch::default()
    };
    let warnings = |filters| {
        let mut message = listener(filters);
        message.filter_chains[0].filter_chain_match = Some(conditions.clone());
        decode::<Listener>(&message.encode_to_vec()).unwrap().warnings.len()
    };
    assert_eq!(warnings(Vec::new()), 3);
    assert_eq!(warnings(vec![filter(&HttpInspector {})]), 2);
    assert_eq!(warnings(vec![filter(&TlsInspector::default())]), 0);
}
