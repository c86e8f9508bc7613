//! Which protocol a cluster is spoken to in.

use std::{sync::Arc, time::Duration};

use weft_proto::pb::envoy::{
    config::{cluster::v3 as wire, core::v3 as core},
    extensions::upstreams::http::v3::{HttpProtocolOptions, http_protocol_options as options},
};

use crate::{
    cluster::optional,
    extension,
    http2_options::{self, Http2Options},
    key_format::{self, KeyFormat},
    path::At,
    problem::{Notes, Problem},
    retry_policy::{self, RetryPolicy},
    scalar,
};

/// The key of `typed_extension_protocol_options` that Envoy's HTTP upstreams read.
const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const FIELD: &str = "typed_extension_protocol_options";

/// Envoy's default for idle upstream HTTP connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// Envoy's default for the head of a response, in KiB.
const MAX_RESPONSE_HEADERS_KB: u32 = 60;
/// Envoy's default for the number of its fields.
const MAX_HEADERS_COUNT: u32 = 100;

/// `HttpProtocolOptions.upstream_protocol_options`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// `explicit_http_config.http_protocol_options` (the default).
    Http1,
    /// `explicit_http_config.http2_protocol_options`.
    Http2,
    /// `use_downstream_protocol_config`.
    SameAsDownstream,
}

/// What the HTTP options of a cluster come to.
pub(crate) struct HttpOptions {
    pub(crate) protocol: UpstreamProtocol,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_requests_per_connection: Option<u32>,
    pub(crate) max_connection_duration: Option<Duration>,
    pub(crate) max_stream_duration: Option<Duration>,
    pub(crate) max_head_bytes: u32,
    pub(crate) max_headers_count: u32,
    pub(crate) key_format: KeyFormat,
    pub(crate) http2: Http2Options,
    pub(crate) retry: Option<Arc<RetryPolicy>>,
}

/// Reads `typed_extension_protocol_options`, or the deprecated fields that came before it.
pub(crate) fn of_cluster(
    message: &wire::Cluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HttpOptions> {
    let mut found = None;
    for (key, any) in &message.typed_extension_protocol_options {
        let at = at.key(FIELD, key);
        if key != KEY || !extension::holds::<HttpProtocolOptions>(any) {
            let held = extension::type_name(any).to_owned();
            notes.refuse::<()>(&at, Problem::UnknownType(held));
            continue;
        }
        let Some(message) = extension::unpack::<HttpProtocolOptions>(any, &at, notes) else {
            continue;
        };
        found = typed(&message, &at, notes);
    }
    let deprecated = deprecated(message, at, notes);
    if message.typed_extension_protocol_options.is_empty() {
        return Some(deprecated);
    }
    found.map(|found| HttpOptions {
        // Envoy keeps reading this one beside the typed options.
        max_requests_per_connection: found
            .max_requests_per_connection
            .or(deprecated.max_requests_per_connection),
        ..found
    })
}

fn typed(message: &HttpProtocolOptions, at: &At<'_>, notes: &mut Notes) -> Option<HttpOptions> {
    use options::UpstreamProtocolOptions as Chosen;
    let (protocol, key_format, http2) = match &message.upstream_protocol_options {
        None => notes.refuse(&at.field("upstream_protocol_options"), Problem::Missing)?,
        Some(Chosen::ExplicitHttpConfig(config)) => {
            explicit(config, &at.field("explicit_http_config"), notes)?
        }
        Some(Chosen::UseDownstreamProtocolConfig(config)) => {
            let at = at.field("use_downstream_protocol_config");
            let http1 = config.http_protocol_options.as_ref();
            let key_format = http1_options(http1, &at.field("http_protocol_options"), notes);
            let http2 = config.http2_protocol_options.as_ref();
            let http2 = http2_options::read(http2, &at.field("http2_protocol_options"), notes);
            (UpstreamProtocol::SameAsDownstream, key_format, http2)
        }
        Some(Chosen::AutoConfig(_)) => notes.unsupported(
            &at.field("auto_config"),
            "choosing by ALPN",
            "explicit_http_config and use_downstream_protocol_config are",
        )?,
    };
    let retry = match &message.retry_policy {
        None => None,
        Some(policy) => {
            Some(Arc::new(retry_policy::read(policy, &at.field("retry_policy"), notes)?))
        }
    };
    let at = at.field("common_http_protocol_options");
    let common = common(message.common_http_protocol_options.as_ref(), &at, notes);
    Some(HttpOptions { protocol, key_format, http2, retry, ..common })
}

fn explicit(
    message: &options::ExplicitHttpConfig,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<(UpstreamProtocol, KeyFormat, Http2Options)> {
    use options::explicit_http_config::ProtocolConfig;
    match &message.protocol_config {
        None => notes.refuse(at, Problem::Missing),
        Some(ProtocolConfig::HttpProtocolOptions(http1)) => {
            let at = at.field("http_protocol_options");
            let key_format = http1_options(Some(http1), &at, notes);
            Some((UpstreamProtocol::Http1, key_format, Http2Options::default()))
        }
        Some(ProtocolConfig::Http2ProtocolOptions(http2)) => {
            let at = at.field("http2_protocol_options");
            let http2 = http2_options::read(Some(http2), &at, notes);
            Some((UpstreamProtocol::Http2, KeyFormat::default(), http2))
        }
        Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
            notes.unsupported(&at.field("http3_protocol_options"), "HTTP/3", "HTTP/1.1 and h2 are")
        }
    }
}

fn http1_options(
    message: Option<&core::Http1ProtocolOptions>,
    at: &At<'_>,
    notes: &mut Notes,
) -> KeyFormat {
    // Responses with chunks beside a length are refused, whatever this says.
    if message.is_some_and(|message| message.allow_chunked_length) {
        notes.warn(&at.field("allow_chunked_length"), "not supported for responses of a cluster");
    }
    key_format::read(message, at, notes)
}

#[expect(deprecated, reason = "Envoy still honours them, and hand-written clusters use them")]
fn deprecated(message: &wire::Cluster, at: &At<'_>, notes: &mut Notes) -> HttpOptions {
    use wire::cluster::ClusterProtocolSelection as Selection;
    let http2 = message.http2_protocol_options.as_ref();
    let selection_at = at.field("protocol_selection");
    let protocol = match Selection::try_from(message.protocol_selection) {
        Ok(Selection::UseDownstreamProtocol) => UpstreamProtocol::SameAsDownstream,
        Ok(Selection::UseConfiguredProtocol) if http2.is_some() => UpstreamProtocol::Http2,
        Ok(Selection::UseConfiguredProtocol) => UpstreamProtocol::Http1,
        Err(_) => {
            let unknown = Problem::UnknownEnum(message.protocol_selection);
            notes.refuse::<()>(&selection_at, unknown);
            UpstreamProtocol::Http1
        }
    };
    let common_at = at.field("common_http_protocol_options");
    let common = common(message.common_http_protocol_options.as_ref(), &common_at, notes);
    let http1 = message.http_protocol_options.as_ref();
    HttpOptions {
        protocol,
        key_format: http1_options(http1, &at.field("http_protocol_options"), notes),
        http2: http2_options::read(http2, &at.field("http2_protocol_options"), notes),
        max_requests_per_connection: common
            .max_requests_per_connection
            .or_else(|| optional(message.max_requests_per_connection.as_ref()))
            .filter(|max| *max > 0),
        ..common
    }
}

/// What does not depend on the protocol; zero means no limit for each.
fn common(
    message: Option<&core::HttpProtocolOptions>,
    at: &At<'_>,
    notes: &mut Notes,
) -> HttpOptions {
    let mut options = HttpOptions {
        protocol: UpstreamProtocol::Http1,
        idle_timeout: Some(IDLE_TIMEOUT),
        max_requests_per_connection: None,
        max_connection_duration: None,
        max_stream_duration: None,
        max_head_bytes: MAX_RESPONSE_HEADERS_KB * 1024,
        max_headers_count: MAX_HEADERS_COUNT,
        key_format: KeyFormat::default(),
        http2: Http2Options::default(),
        retry: None,
    };
    let Some(message) = message else { return options };
    let idle = message.idle_timeout.as_ref();
    options.idle_timeout =
        scalar::timeout_or(idle, Some(IDLE_TIMEOUT), &at.field("idle_timeout"), notes);
    let longest = message.max_connection_duration.as_ref();
    options.max_connection_duration =
        scalar::timeout_or(longest, None, &at.field("max_connection_duration"), notes);
    options.max_requests_per_connection =
        optional(message.max_requests_per_connection.as_ref()).filter(|max| *max > 0);
    let duration = message.max_stream_duration.as_ref();
    options.max_stream_duration =
        scalar::timeout_or(duration, None, &at.field("max_stream_duration"), notes);
    let kb = optional(message.max_response_headers_kb.as_ref()).unwrap_or(MAX_RESPONSE_HEADERS_KB);
    options.max_head_bytes = kb.saturating_mul(1024);
    options.max_headers_count =
        optional(message.max_headers_count.as_ref()).unwrap_or(MAX_HEADERS_COUNT);
    options
}
