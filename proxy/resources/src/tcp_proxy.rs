//! `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`.

use std::time::Duration;

use http::uri::PathAndQuery;
use weft_format::Format;
use weft_proto::pb::envoy::{
    config::core::v3 as core, extensions::filters::network::tcp_proxy::v3 as wire,
};

use crate::{
    cluster::optional,
    destination::{self, Destination},
    headers::{self, HeaderMutations, HeaderProgram},
    name::ClusterName,
    path::At,
    problem::{Notes, Problem},
    scalar,
    transport::{self, Tlvs},
};

/// Envoy's default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// Forwards the bytes of a connection.
#[derive(Debug)]
pub struct TcpProxy {
    /// `stat_prefix`.
    pub stat_prefix: Box<str>,
    /// Where connections go.
    pub destination: Destination,
    /// `idle_timeout`: closes a connection when no byte moved either way for this long (1 h by
    /// default; `None` when 0).
    pub idle_timeout: Option<Duration>,
    /// `max_connect_attempts`: endpoints tried before giving up (1 by default).
    pub max_connect_attempts: u32,
    /// `backoff_options`: how long to rest between attempts; `None` not at all.
    pub backoff: Option<Backoff>,
    /// `max_downstream_connection_duration`: a connection ends after this long.
    pub max_duration: Option<Duration>,
    /// `max_downstream_connection_duration_jitter_percentage`: how much longer it may be by chance,
    /// as a share of 1.
    pub max_duration_jitter: f64,
    /// `proxy_protocol_tlvs`: what an upstream is told of the connection besides, by type.
    pub tlvs: Tlvs,
    /// `proxy_protocol_tlv_merge_policy`.
    pub tlv_merge: TlvMerge,
    /// `upstream_connect_mode`: whether nothing is connected to before the client has said something
    /// (`ON_DOWNSTREAM_DATA`).
    pub waits_for_data: bool,
    /// `tunneling_config`: an upstream gets the bytes over HTTP.
    pub tunneling: Option<Tunneling>,
    /// `hash_policy.source_ip`: clients with the same address go to the same endpoint, where hashes
    /// decide.
    pub hashes_source: bool,
}

/// `TunnelingConfig`: how an upstream is asked to take a connection's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunneling {
    /// `hostname`: whom the tunnel is to lead to.
    pub host: Format,
    /// `post_path` (`/` by default) where `use_post` asks for POST in place of CONNECT.
    pub post: Option<PathAndQuery>,
    /// `headers_to_add`.
    pub headers: HeaderProgram,
}

/// `ProxyProtocolTlvMergePolicy`: what becomes of configured extensions of the PROXY protocol where
/// the client's own header told some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlvMerge {
    /// Only a connection without a header gets them.
    #[default]
    AddIfAbsent,
    /// They take the place of those of their types.
    OverwriteByType,
    /// They come after all others.
    Append,
}

/// `core.v3.BackoffStrategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// `base_interval`: the longest first rest. Doubled each time.
    pub base: Duration,
    /// `max_interval` (ten times the base by default).
    pub max: Duration,
}

/// Reads the filter.
pub(crate) fn read(message: &wire::TcpProxy, at: &At<'_>, notes: &mut Notes) -> Option<TcpProxy> {
    if message.stat_prefix.is_empty() {
        notes.refuse::<()>(&at.field("stat_prefix"), Problem::Missing);
    }
    if message.on_demand.is_some() {
        notes.unsupported::<()>(&at.field("on_demand"), "discovery on demand", "leave it out");
    }
    let tunneling = match &message.tunneling_config {
        None => None,
        Some(config) => Some(tunneling(config, &at.field("tunneling_config"), notes)?),
    };
    let destination = destination(message, at, notes);
    let idle_at = at.field("idle_timeout");
    let idle = message.idle_timeout.as_ref();
    let idle_timeout = scalar::timeout_or(idle, Some(IDLE_TIMEOUT), &idle_at, notes);
    let max_connect_attempts = optional(message.max_connect_attempts.as_ref()).unwrap_or(1);
    Some(TcpProxy {
        stat_prefix: message.stat_prefix.as_str().into(),
        destination: destination?,
        idle_timeout,
        max_connect_attempts: max_connect_attempts.max(1),
        backoff: backoff(message.backoff_options.as_ref(), &at.field("backoff_options"), notes),
        max_duration: scalar::timeout_or(
            message.max_downstream_connection_duration.as_ref(),
            None,
            &at.field("max_downstream_connection_duration"),
            notes,
        ),
        max_duration_jitter: message
            .max_downstream_connection_duration_jitter_percentage
            .map_or(0.0, |percent| percent.value / 100.0),
        tlvs: transport::tlvs(&message.proxy_protocol_tlvs, "proxy_protocol_tlvs", at, notes)?,
        tlv_merge: tlv_merge(message.proxy_protocol_tlv_merge_policy, at, notes)?,
        waits_for_data: waits_for_data(message, at, notes)?,
        tunneling,
        hashes_source: hashes_source(message, at, notes),
    })
}

fn tunneling(
    message: &wire::tcp_proxy::TunnelingConfig,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Tunneling> {
    let host = headers::format(&message.hostname, &at.field("hostname"), notes);
    let path_at = at.field("post_path");
    let post = match (message.use_post, message.post_path.as_str()) {
        (false, "") => None,
        (false, _) => return notes.refuse(&path_at, Problem::Conflict("use_post that is not set")),
        (true, "") => Some(PathAndQuery::from_static("/")),
        (true, path) => match path.parse() {
            Ok(parsed) if path.starts_with('/') => Some(parsed),
            _ => return notes.refuse(&path_at, Problem::PathText(path.to_owned())),
        },
    };
    let set = headers::sets(&message.headers_to_add, "headers_to_add", at, notes);
    let headers = HeaderProgram::new(&[HeaderMutations { remove: Box::default(), set }]);
    Some(Tunneling { host: host?, post, headers })
}

fn hashes_source(message: &wire::TcpProxy, at: &At<'_>, notes: &mut Notes) -> bool {
    use weft_proto::pb::envoy::r#type::v3::hash_policy::PolicySpecifier as Kind;
    match message.hash_policy.first().and_then(|policy| policy.policy_specifier.as_ref()) {
        Some(Kind::SourceIp(_)) => true,
        Some(Kind::FilterState(_)) => {
            let at = at.item("hash_policy", 0);
            notes.warn(&at.field("filter_state"), "nothing is hashed: no filter keeps a state");
            false
        }
        None => false,
    }
}

fn waits_for_data(message: &wire::TcpProxy, at: &At<'_>, notes: &mut Notes) -> Option<bool> {
    use wire::UpstreamConnectMode as Mode;
    let waits = match Mode::try_from(message.upstream_connect_mode) {
        Ok(Mode::Immediate) => return Some(false),
        Ok(Mode::OnDownstreamData) => true,
        // Without TLS there is no handshake to wait for.
        Ok(Mode::OnDownstreamTlsHandshake) => false,
        Err(_) => {
            let unknown = Problem::UnknownEnum(message.upstream_connect_mode);
            return notes.refuse(&at.field("upstream_connect_mode"), unknown);
        }
    };
    match message.max_early_data_bytes {
        Some(_) => Some(waits),
        None => notes.refuse(&at.field("max_early_data_bytes"), Problem::Missing),
    }
}

fn tlv_merge(number: i32, at: &At<'_>, notes: &mut Notes) -> Option<TlvMerge> {
    use wire::ProxyProtocolTlvMergePolicy as Policy;
    match Policy::try_from(number) {
        Ok(Policy::AddIfAbsent) => Some(TlvMerge::AddIfAbsent),
        Ok(Policy::OverwriteByTypeIfExistsOrAdd) => Some(TlvMerge::OverwriteByType),
        Ok(Policy::AppendIfExistsOrAdd) => Some(TlvMerge::Append),
        Err(_) => {
            let at = at.field("proxy_protocol_tlv_merge_policy");
            notes.refuse(&at, Problem::UnknownEnum(number))
        }
    }
}

fn backoff(
    message: Option<&core::BackoffStrategy>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Backoff> {
    let message = message?;
    let base = message.base_interval.as_ref()?;
    let base = scalar::duration(base, &at.field("base_interval"), notes)?;
    let ten = base.saturating_mul(10);
    let max = message.max_interval.as_ref();
    let max = scalar::duration_or(max, ten, &at.field("max_interval"), notes);
    if max < base {
        return notes
            .refuse(&at.field("max_interval"), Problem::Conflict("a longer base_interval"));
    }
    Some(Backoff { base, max })
}

fn destination(message: &wire::TcpProxy, at: &At<'_>, notes: &mut Notes) -> Option<Destination> {
    use wire::tcp_proxy::ClusterSpecifier as Kind;
    match &message.cluster_specifier {
        None => notes.refuse(&at.field("cluster_specifier"), Problem::Missing),
        Some(Kind::Cluster(name)) if name.is_empty() => {
            notes.refuse(&at.field("cluster"), Problem::Missing)
        }
        Some(Kind::Cluster(name)) => Some(Destination::one(name)),
        Some(Kind::WeightedClusters(weighted)) => {
            let at = at.field("weighted_clusters");
            let clusters = weighted
                .clusters
                .iter()
                .map(|cluster| (ClusterName::from(cluster.name.as_str()), cluster.weight))
                .collect();
            destination::weights(clusters, &at.field("clusters"), notes)
        }
    }
}
