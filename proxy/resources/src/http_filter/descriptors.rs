//! `rate_limits`: by what requests are told apart where limits are not the same for all.

use std::sync::Arc;

use weft_format::Format;
use weft_proto::pb::{
    envoy::{
        config::{core::v3 as core, route::v3 as wire},
        r#type::v3::RateLimitUnit,
    },
    xds::core::v3 as xds,
};
use weft_rls::{Override, Unit};
use weft_route::{HeaderKey, HeaderMatch, Prefix, QueryMatch};

use crate::{
    chain_match,
    cluster::optional,
    headers, matching,
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
    /// `limit`: what a service is told to go by in place of what it knows.
    pub limit: Option<Override>,
    /// `hits_addend`: how much a request counts; once where nothing is said.
    pub hits: Option<HitsRule>,
    /// `x_ratelimit_option`: whether what is left is told, where the filter does not decide.
    pub tells_what_is_left: Option<bool>,
}

/// How much a request counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HitsRule {
    /// So much.
    pub times: HitsSource,
    /// `is_negative_hits`: as if so much had not come.
    pub are_given_back: bool,
}

/// Where a number of hits comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HitsSource {
    /// `number`.
    Number(u64),
    /// `format`; a request for which it is no number is not described.
    Format(Format),
}

/// More hits than these are none that anybody counts.
pub const MOST_HITS: u64 = 1_000_000_000;

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
    /// `query_parameter_value_match`: a value for requests whose parameters match, or do not.
    QueryMatch {
        /// `descriptor_key` (`query_match` by default).
        key: Box<str>,
        /// `descriptor_value`.
        value: Box<str>,
        /// `query_parameters`.
        parameters: Box<[QueryMatch]>,
        /// `expect_match`.
        expected: bool,
    },
    /// `remote_address_match`: a value for clients of some networks, or of all others.
    RemoteMatch {
        /// `descriptor_key` (`remote_address_match` by default).
        key: Box<str>,
        /// `descriptor_value`.
        value: Box<str>,
        /// `address_matcher.ranges`.
        networks: Box<[Prefix]>,
        /// Whether those are meant, and not all others (`invert_match`).
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

/// Reads `rate_limits` of a route or of a virtual host. There every request counts once, as in Envoy.
pub(crate) fn of_route(
    messages: &[wire::RateLimit],
    at: &At<'_>,
    notes: &mut Notes,
) -> Arc<[DescriptorRule]> {
    for (index, message) in messages.iter().enumerate() {
        if message.hits_addend.is_some() {
            let at = at.item("rate_limits", index);
            notes.warn(
                &at.field("hits_addend"),
                "ignored: it holds where the filter, or typed_per_filter_config, says it",
            );
        }
    }
    let rules = read(messages, at, notes);
    rules.iter().map(|rule| DescriptorRule { hits: None, ..rule.clone() }).collect()
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
    use wire::rate_limit::XRateLimitOption as Option_;
    if message.apply_on_stream_done {
        let at = at.field("apply_on_stream_done");
        return notes.unsupported(&at, "counting requests at their end", "false is");
    }
    let read = |(index, it)| part(it, &at.item("actions", index), notes);
    let parts: Option<Box<[_]>> = message.actions.iter().enumerate().map(read).collect();
    let limit = match &message.limit {
        None => None,
        Some(limit) => Some(self::limit(limit, &at.field("limit"), notes)?),
    };
    let hits = match &message.hits_addend {
        None => None,
        Some(hits) => Some(self::hits(hits, &at.field("hits_addend"), notes)?),
    };
    Some(DescriptorRule {
        stage: optional(message.stage.as_ref()).unwrap_or(0),
        parts: parts?,
        limit,
        hits,
        tells_what_is_left: match Option_::try_from(message.x_ratelimit_option) {
            Ok(Option_::Off) => Some(false),
            Ok(Option_::DraftVersion03) => Some(true),
            // Any other number was refused before.
            Ok(Option_::Unspecified) | Err(_) => None,
        },
    })
}

fn limit(message: &wire::rate_limit::Override, at: &At<'_>, notes: &mut Notes) -> Option<Override> {
    use wire::rate_limit::r#override::OverrideSpecifier as Kind;
    match &message.override_specifier {
        Some(Kind::RateLimit(limit)) => {
            let unit = match RateLimitUnit::try_from(limit.unit) {
                Ok(unit) => Unit::named(unit.as_str_name()),
                Err(_) => None,
            };
            let Some(unit) = unit else {
                let at = at.field("rate_limit");
                return notes.refuse(&at.field("unit"), Problem::UnknownEnum(limit.unit));
            };
            Some(Override { requests: limit.requests_per_unit, unit })
        }
        Some(Kind::DynamicMetadata(_)) => {
            notes.unsupported(&at.field("dynamic_metadata"), "a limit by metadata", "rate_limit is")
        }
        None => notes.refuse(at, Problem::Missing),
    }
}

fn hits(
    message: &wire::rate_limit::HitsAddend,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HitsRule> {
    let times = match (&message.number, &*message.format) {
        (Some(_), text) if !text.is_empty() => {
            return notes.unsupported(at, "a number and a format at once", "one of them is");
        }
        (Some(number), _) => HitsSource::Number(number.value),
        (None, "") => HitsSource::Number(1),
        (None, text) => HitsSource::Format(headers::format(text, &at.field("format"), notes)?),
    };
    Some(HitsRule { times, are_given_back: message.is_negative_hits })
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
        Some(Kind::QueryParameterValueMatch(it)) => {
            let at = at.field("query_parameter_value_match");
            DescriptorPart::QueryMatch {
                key: named(&it.descriptor_key, "query_match"),
                value: it.descriptor_value.as_str().into(),
                parameters: at.each(
                    "query_parameters",
                    &it.query_parameters,
                    notes,
                    matching::query_parameter,
                ),
                expected: scalar::bool_or(it.expect_match.as_ref(), true),
            }
        }
        Some(Kind::RemoteAddressMatch(it)) => {
            return of_networks(it, &at.field("remote_address_match"), notes);
        }
        Some(_) => {
            let supported = "generic_key, request_headers, query_parameters, remote_address, \
                             masked_remote_address, remote_address_match, header_value_match, \
                             query_parameter_value_match, source_cluster and destination_cluster \
                             are";
            return notes.unsupported(at, "this action", supported);
        }
    })
}

fn of_networks(
    message: &wire::rate_limit::action::RemoteAddressMatch,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<DescriptorPart> {
    let Some(matcher) = &message.address_matcher else {
        return notes.refuse(&at.field("address_matcher"), Problem::Missing);
    };
    let range = |range: &xds::CidrRange| core::CidrRange {
        address_prefix: range.address_prefix.clone(),
        prefix_len: range.prefix_len,
    };
    let ranges: Vec<_> = matcher.ranges.iter().map(range).collect();
    let at_value = at.field("descriptor_value");
    let Some(value) =
        headers::format(&message.descriptor_value, &at_value, notes)?.as_literal().map(Box::from)
    else {
        return notes.unsupported(&at_value, "a format", "text that is always the same is");
    };
    let key = if message.descriptor_key.is_empty() {
        "remote_address_match"
    } else {
        &message.descriptor_key
    };
    Some(DescriptorPart::RemoteMatch {
        key: key.into(),
        value,
        networks: chain_match::prefixes(&ranges, "ranges", &at.field("address_matcher"), notes)
            .into(),
        expected: !matcher.invert_match,
    })
}
