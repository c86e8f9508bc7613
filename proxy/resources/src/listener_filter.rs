//! `listener_filters`: what is found out of a connection before its chain is chosen.

use std::ops::Range;

use weft_proto::pb::envoy::{
    config::{core::v3 as core, listener::v3 as wire},
    extensions::filters::listener::{
        http_inspector::v3::HttpInspector, local_ratelimit::v3::LocalRateLimit,
        original_dst::v3::OriginalDst, proxy_protocol::v3::ProxyProtocol as ProxyProtocolMessage,
        tls_inspector::v3::TlsInspector,
    },
};

use crate::{
    cluster::optional,
    extension,
    network_filter::{self, ConnectionRate},
    path::At,
    problem::{Notes, Problem},
};

/// Bytes of a TLS hello at most, unless the inspector says otherwise (Envoy's limit).
const MAX_HELLO: usize = 64 * 1024;

/// A listener filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerFilter {
    /// What it finds out.
    pub kind: ListenerFilterKind,
    /// `filter_disabled`: connections that it leaves alone.
    pub disabled: Option<PortRule>,
}

/// What a listener filter finds out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerFilterKind {
    /// `original_dst`: where the client connected to before the kernel redirected it.
    OriginalDst,
    /// `tls_inspector`: the server name and protocols of a TLS hello.
    TlsInspector {
        /// `max_client_hello_size`, in bytes (64 KiB by default).
        max_hello: usize,
        /// `close_connection_on_client_hello_parsing_errors`.
        close_on_error: bool,
    },
    /// `http_inspector`: which HTTP the client begins with.
    HttpInspector,
    /// `proxy_protocol`: who the client is, as a proxy in front tells.
    ProxyProtocol(ProxyProtocol),
    /// `local_ratelimit`: finds nothing out, and lets so many connections through within a time.
    Rate(ConnectionRate),
}

/// What is asked of PROXY protocol headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Whether a connection without a header is closed (unless
    /// `allow_requests_without_proxy_protocol`).
    pub required: bool,
    /// Whether headers of version 1 are taken (`disallowed_versions`).
    pub version_1: bool,
    /// Whether headers of version 2 are taken.
    pub version_2: bool,
    /// `pass_through_tlvs`: extensions that are kept for upstreams.
    pub keep: KeptTlvs,
    /// `rules`: extensions that become metadata.
    pub rules: Box<[TlvRule]>,
}

impl ProxyProtocol {
    /// Whether anybody wants an extension of this type.
    pub fn wants(&self, kind: u8) -> bool {
        self.keep.keeps(kind) || self.rules.iter().any(|rule| rule.kind == kind)
    }
}

/// `Rule`: where the value of an extension is kept as metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvRule {
    /// `tlv_type`.
    pub kind: u8,
    /// `on_tlv_present.metadata_namespace` (`envoy.filters.listener.proxy_protocol` by default).
    pub namespace: Box<str>,
    /// `on_tlv_present.key`.
    pub key: Box<str>,
}

/// Extensions of a PROXY protocol header that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeptTlvs {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those of these types.
    Only(Box<[u8]>),
}

impl KeptTlvs {
    /// Whether an extension of this type is kept.
    pub fn keeps(&self, kind: u8) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(kinds) => kinds.contains(&kind),
        }
    }
}

/// `ListenerFilterChainMatchPredicate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRule {
    /// `any_match`.
    Always,
    /// `destination_port_range`; a connection of a Unix socket has no port.
    Port(Range<i32>),
    /// `not_match`.
    Not(Box<Self>),
    /// `and_match`.
    All(Box<[Self]>),
    /// `or_match`.
    Any(Box<[Self]>),
}

impl PortRule {
    /// Whether it holds for a connection to this port.
    pub fn holds(&self, port: Option<u16>) -> bool {
        match self {
            Self::Always => true,
            Self::Port(range) => port.is_some_and(|port| range.contains(&port.into())),
            Self::Not(rule) => !rule.holds(port),
            Self::All(rules) => rules.iter().all(|rule| rule.holds(port)),
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(port)),
        }
    }
}

/// Reads all filters of a listener.
pub(crate) fn read(
    message: &wire::Listener,
    at: &At<'_>,
    notes: &mut Notes,
) -> Vec<ListenerFilter> {
    let filters = message.listener_filters.iter().enumerate();
    filters
        .filter_map(|(index, filter)| one(filter, &at.item("listener_filters", index), notes))
        .collect()
}

fn one(message: &wire::ListenerFilter, at: &At<'_>, notes: &mut Notes) -> Option<ListenerFilter> {
    let disabled = match &message.filter_disabled {
        None => None,
        Some(rule) => Some(port_rule(rule, &at.field("filter_disabled"), notes)?),
    };
    let kind = kind(message, at, notes)??;
    Some(ListenerFilter { kind, disabled })
}

/// `None` within for a filter that is turned off.
fn kind(
    message: &wire::ListenerFilter,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<ListenerFilterKind>> {
    use wire::listener_filter::ConfigType;
    let any = match &message.config_type {
        None => return notes.refuse(&at.field("typed_config"), Problem::Missing),
        Some(ConfigType::ConfigDiscovery(_)) => {
            return notes.unsupported(&at.field("config_discovery"), "ECDS", "typed_config is");
        }
        Some(ConfigType::TypedConfig(any)) => any,
    };
    let at = at.field("typed_config");
    let kind = if extension::holds::<OriginalDst>(any) {
        ListenerFilterKind::OriginalDst
    } else if extension::holds::<HttpInspector>(any) {
        ListenerFilterKind::HttpInspector
    } else if extension::holds::<TlsInspector>(any) {
        let message = extension::unpack::<TlsInspector>(any, &at, notes)?;
        // The schema bounds it.
        let max_hello = optional(message.max_client_hello_size.as_ref())
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(MAX_HELLO);
        let close_on_error = message.close_connection_on_client_hello_parsing_errors;
        ListenerFilterKind::TlsInspector { max_hello, close_on_error }
    } else if extension::holds::<ProxyProtocolMessage>(any) {
        let message = extension::unpack::<ProxyProtocolMessage>(any, &at, notes)?;
        ListenerFilterKind::ProxyProtocol(proxy_protocol(&message, &at, notes)?)
    } else if extension::holds::<LocalRateLimit>(any) {
        let message = extension::unpack::<LocalRateLimit>(any, &at, notes)?;
        return network_filter::listener_rate(&message, &at, notes)
            .map(|rate| rate.map(ListenerFilterKind::Rate));
    } else {
        return notes.refuse(&at, Problem::UnknownType(extension::type_name(any).to_owned()));
    };
    Some(Some(kind))
}

fn proxy_protocol(
    message: &ProxyProtocolMessage,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ProxyProtocol> {
    use core::proxy_protocol_config::Version;
    let refused = |version: Version| message.disallowed_versions.contains(&version.into());
    let keep = match &message.pass_through_tlvs {
        None => KeptTlvs::None,
        Some(tlvs) => kept_tlvs(tlvs, &at.field("pass_through_tlvs"), notes)?,
    };
    Some(ProxyProtocol {
        required: !message.allow_requests_without_proxy_protocol,
        version_1: !refused(Version::V1),
        version_2: !refused(Version::V2),
        keep,
        rules: rules(message, at, notes),
    })
}

fn rules(message: &ProxyProtocolMessage, at: &At<'_>, notes: &mut Notes) -> Box<[TlvRule]> {
    use weft_proto::pb::envoy::extensions::filters::listener::proxy_protocol::v3::proxy_protocol::TlvLocation;
    const NAMESPACE: &str = "envoy.filters.listener.proxy_protocol";
    if !message.rules.is_empty() && message.tlv_location != TlvLocation::DynamicMetadata as i32 {
        let text = "extensions become metadata, no state of filters";
        notes.warn(&at.field("tlv_location"), text);
    }
    let rules = message.rules.iter().filter_map(|rule| {
        let to = rule.on_tlv_present.as_ref()?;
        let namespace = match to.metadata_namespace.as_str() {
            "" => NAMESPACE,
            namespace => namespace,
        };
        // The schema keeps types below 256.
        let kind = u8::try_from(rule.tlv_type).ok()?;
        Some(TlvRule { kind, namespace: namespace.into(), key: to.key.as_str().into() })
    });
    rules.collect()
}

/// Reads which extensions pass.
pub(crate) fn kept_tlvs(
    message: &core::ProxyProtocolPassThroughTlVs,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<KeptTlvs> {
    use core::proxy_protocol_pass_through_tl_vs::PassTlVsMatchType as Which;
    match Which::try_from(message.match_type) {
        Ok(Which::IncludeAll) => Some(KeptTlvs::All),
        // The schema keeps them below 256.
        Ok(Which::Include) => Some(KeptTlvs::Only(
            message.tlv_type.iter().filter_map(|kind| u8::try_from(*kind).ok()).collect(),
        )),
        Err(_) => notes.refuse(&at.field("match_type"), Problem::UnknownEnum(message.match_type)),
    }
}

fn port_rule(
    message: &wire::ListenerFilterChainMatchPredicate,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<PortRule> {
    use wire::listener_filter_chain_match_predicate::{MatchSet, Rule};
    let mut set = |set: &MatchSet, field| -> Option<Box<[PortRule]>> {
        let at = at.field(field);
        let rules = set.rules.iter().enumerate();
        rules.map(|(index, rule)| port_rule(rule, &at.item("rules", index), notes)).collect()
    };
    match &message.rule {
        None => notes.refuse(at, Problem::Missing),
        Some(Rule::OrMatch(rules)) => set(rules, "or_match").map(PortRule::Any),
        Some(Rule::AndMatch(rules)) => set(rules, "and_match").map(PortRule::All),
        Some(Rule::NotMatch(rule)) => {
            let rule = port_rule(rule, &at.field("not_match"), notes)?;
            Some(PortRule::Not(Box::new(rule)))
        }
        Some(Rule::AnyMatch(_)) => Some(PortRule::Always),
        Some(Rule::DestinationPortRange(range)) => Some(PortRule::Port(range.start..range.end)),
    }
}

/// Says which conditions can never be met because nothing finds out what they ask for.
pub(crate) fn warn_of_blindness(
    message: &wire::Listener,
    filters: &[ListenerFilter],
    at: &At<'_>,
    notes: &mut Notes,
) {
    let any = |wanted: fn(&ListenerFilterKind) -> bool| filters.iter().any(|f| wanted(&f.kind));
    let tls = any(|kind| matches!(kind, ListenerFilterKind::TlsInspector { .. }));
    let http = any(|kind| matches!(kind, ListenerFilterKind::HttpInspector));
    for (index, chain) in message.filter_chains.iter().enumerate() {
        let Some(conditions) = &chain.filter_chain_match else { continue };
        let at = at.item("filter_chains", index);
        let at = at.field("filter_chain_match");
        let asks_tls = conditions.transport_protocol == "tls";
        for (asks, field, filter) in [
            (!tls && !conditions.server_names.is_empty(), "server_names", "tls_inspector"),
            (!tls && asks_tls, "transport_protocol", "tls_inspector"),
            (
                !tls && !http && !conditions.application_protocols.is_empty(),
                "application_protocols",
                "tls_inspector or http_inspector",
            ),
        ] {
            if asks {
                let text = format!("no connection meets it: listener_filters have no {filter}");
                notes.warn(&at.field(field), text);
            }
        }
    }
}
