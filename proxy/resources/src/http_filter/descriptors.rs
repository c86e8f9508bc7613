//! `rate_limits`: by what requests are told apart where limits are not the same for all.

use std::sync::Arc;

use weft_proto::pb::envoy::config::route::v3 as wire;
use weft_route::{HeaderKey, HeaderMatch};

use crate::{
    cluster::optional,
    matching,
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// One way in which requests are described (`route.v3.RateLimit`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorRule {
    /// `stage`: limits ask for those of theirs.
    pub stage: u32,
    /// `actions`: what a description consists of. A request that lacks one is not described.
    pub parts: Box<[DescriptorPart]>,
}

/// What one entry of a description is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DescriptorPart {
    /// `generic_key`: always the same.
    Generic {
        /// `descriptor_key` (`generic_key` by default).
        key: Box<str>,
        /// `descriptor_value`.
        value: Box<str>,
    },
    /// `source_cluster`: the cluster of this proxy.
    SourceCluster,
    /// `destination_cluster`: the cluster that the request goes to.
    DestinationCluster,
    /// `remote_address`: the address of the client.
    RemoteAddress,
    /// `masked_remote_address`: the network of the client.
    MaskedRemoteAddress {
        /// `v4_prefix_mask_len`.
        v4: u8,
        /// `v6_prefix_mask_len`.
        v6: u8,
    },
    /// `request_headers`: a header's value.
    Header {
        /// `header_name`.
        name: HeaderKey,
        /// `descriptor_key`.
        key: Box<str>,
        /// `skip_if_absent`: without the header the rest still describes the request.
        skip_if_absent: bool,
    },
    /// `query_parameters`: a parameter's value.
    Query {
        /// `query_parameter_name`.
        name: Box<str>,
        /// `descriptor_key`.
        key: Box<str>,
        /// `skip_if_absent`.
        skip_if_absent: bool,
    },
    /// `header_value_match`: a value for requests whose headers match, or do not.
    HeadersMatch {
        /// `descriptor_key` (`header_match` by default).
        key: Box<str>,
        /// `descriptor_value`.
        value: Box<str>,
        /// `headers`.
        headers: Box<[HeaderMatch]>,
        /// `expect_match`.
        expected: bool,
    },
}

/// How the requests of a route are described.
#[derive(Clone, Debug, Default)]
pub struct RouteDescriptors {
    /// `rate_limits` of the virtual host.
    pub of_host: Arc<[DescriptorRule]>,
    /// `rate_limits` of the route.
    pub of_route: Arc<[DescriptorRule]>,
    /// `include_vh_rate_limits`.
    pub include_host: bool,
}

/// Reads `rate_limits`.
pub(crate) fn read(
    messages: &[wire::RateLimit],
    at: &At<'_>,
    notes: &mut Notes,
) -> Arc<[DescriptorRule]> {
    let messages = messages.iter().enumerate();
    messages.filter_map(|(index, it)| rule(it, &at.item("rate_limits", index), notes)).collect()
}

fn rule(message: &wire::RateLimit, at: &At<'_>, notes: &mut Notes) -> Option<DescriptorRule> {
    let read = |(index, it)| part(it, &at.item("actions", index), notes);
    let parts: Option<Box<[_]>> = message.actions.iter().enumerate().map(read).collect();
    Some(DescriptorRule { stage: optional(message.stage.as_ref()).unwrap_or(0), parts: parts? })
}

fn part(
    message: &wire::rate_limit::Action,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<DescriptorPart> {
    use wire::rate_limit::action::ActionSpecifier as Kind;
    let named = |key: &str, default: &str| Box::from(if key.is_empty() { default } else { key });
    Some(match message.action_specifier.as_ref() {
        None => return notes.refuse(at, Problem::Missing),
        Some(Kind::GenericKey(it)) => DescriptorPart::Generic {
            key: named(&it.descriptor_key, "generic_key"),
            value: it.descriptor_value.as_str().into(),
        },
        Some(Kind::SourceCluster(_)) => DescriptorPart::SourceCluster,
        Some(Kind::DestinationCluster(_)) => DescriptorPart::DestinationCluster,
        Some(Kind::RemoteAddress(_)) => DescriptorPart::RemoteAddress,
        Some(Kind::MaskedRemoteAddress(it)) => {
            // The schema bounds both.
            let length = |value, most| {
                optional(value).and_then(|value| u8::try_from(value).ok()).unwrap_or(most)
            };
            DescriptorPart::MaskedRemoteAddress {
                v4: length(it.v4_prefix_mask_len.as_ref(), 32),
                v6: length(it.v6_prefix_mask_len.as_ref(), 128),
            }
        }
        Some(Kind::RequestHeaders(it)) => {
            let at = at.field("request_headers");
            let name = match it.header_name.parse() {
                Ok(name) => name,
                Err(error) => {
                    return notes.refuse(&at.field("header_name"), Problem::HeaderKey(error));
                }
            };
            let key = it.descriptor_key.as_str().into();
            DescriptorPart::Header { name, key, skip_if_absent: it.skip_if_absent }
        }
        Some(Kind::QueryParameters(it)) => DescriptorPart::Query {
            name: it.query_parameter_name.as_str().into(),
            key: it.descriptor_key.as_str().into(),
            skip_if_absent: it.skip_if_absent,
        },
        Some(Kind::HeaderValueMatch(it)) => {
            let at = at.field("header_value_match");
            DescriptorPart::HeadersMatch {
                key: named(&it.descriptor_key, "header_match"),
                value: it.descriptor_value.as_str().into(),
                headers: matching::headers(&it.headers, "headers", &at, notes)?,
                expected: scalar::bool_or(it.expect_match.as_ref(), true),
            }
        }
        Some(_) => {
            let supported = "generic_key, request_headers, query_parameters, remote_address, \
                             masked_remote_address, header_value_match, source_cluster and \
                             destination_cluster are";
            return notes.unsupported(at, "this action", supported);
        }
    })
}
