//! `envoy.config.listener.v3.FilterChainMatch`.

use weft_proto::pb::envoy::config::{core::v3 as core, listener::v3 as wire};
use weft_route::{ChainMatch, Prefix, ServerName, SourceType};

use crate::{
    path::At,
    problem::{Notes, Problem},
};

/// Reads the conditions of a chain; a chain without any takes every connection.
pub(crate) fn read(
    message: Option<&wire::FilterChainMatch>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ChainMatch> {
    let Some(message) = message else { return Some(ChainMatch::default()) };
    let destination_port = match &message.destination_port {
        None => None,
        Some(number) => Some(port(number.value, &at.field("destination_port"), notes)?),
    };
    let transport_protocol = match message.transport_protocol.as_str() {
        "" => None,
        protocol => Some(Box::from(protocol)),
    };
    let before = notes.reasons.len();
    let conditions = ChainMatch {
        destination_port,
        prefix_ranges: prefixes(&message.prefix_ranges, "prefix_ranges", at, notes),
        server_names: server_names(&message.server_names, at, notes),
        transport_protocol,
        application_protocols: message
            .application_protocols
            .iter()
            .map(|protocol| Box::from(protocol.as_str()))
            .collect(),
        direct_source_prefix_ranges: prefixes(
            &message.direct_source_prefix_ranges,
            "direct_source_prefix_ranges",
            at,
            notes,
        ),
        source_type: source_type(message.source_type, at, notes),
        source_prefix_ranges: prefixes(
            &message.source_prefix_ranges,
            "source_prefix_ranges",
            at,
            notes,
        ),
        source_ports: source_ports(&message.source_ports, at, notes),
    };
    (notes.reasons.len() == before).then_some(conditions)
}

pub(crate) fn prefixes(
    ranges: &[core::CidrRange],
    field: &'static str,
    at: &At<'_>,
    notes: &mut Notes,
) -> Vec<Prefix> {
    at.each(field, ranges, notes, |range, at, notes| {
        let Ok(address) = range.address_prefix.parse() else {
            let problem = Problem::Address(range.address_prefix.clone());
            return notes.refuse(&at.field("address_prefix"), problem);
        };
        match Prefix::new(address, range.prefix_len.map_or(0, |length| length.value)) {
            Ok(prefix) => Some(prefix),
            Err(error) => notes.refuse(&at.field("prefix_len"), Problem::Prefix(error)),
        }
    })
}

fn server_names(names: &[String], at: &At<'_>, notes: &mut Notes) -> Vec<ServerName> {
    at.each("server_names", names, notes, |name, at, notes| match ServerName::parse(name) {
        Some(name) => Some(name),
        None => notes.refuse(at, Problem::ServerName(name.clone())),
    })
}

fn source_type(number: i32, at: &At<'_>, notes: &mut Notes) -> SourceType {
    use wire::filter_chain_match::ConnectionSourceType as Wire;
    match Wire::try_from(number) {
        Ok(Wire::Any) => SourceType::Any,
        Ok(Wire::SameIpOrLoopback) => SourceType::SameIpOrLoopback,
        Ok(Wire::External) => SourceType::External,
        Err(_) => {
            notes.refuse::<()>(&at.field("source_type"), Problem::UnknownEnum(number));
            SourceType::Any
        }
    }
}

fn source_ports(ports: &[u32], at: &At<'_>, notes: &mut Notes) -> Vec<u16> {
    at.each("source_ports", ports, notes, |number, at, notes| port(*number, at, notes))
}

fn port(number: u32, at: &At<'_>, notes: &mut Notes) -> Option<u16> {
    match u16::try_from(number) {
        Ok(port) => Some(port),
        Err(_) => notes.refuse(at, Problem::Port(number)),
    }
}
