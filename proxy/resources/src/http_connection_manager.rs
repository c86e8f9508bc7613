//! `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`.

use http::HeaderValue;
use weft_proto::pb::envoy::extensions::filters::network::http_connection_manager::v3 as wire;

use crate::{
    client_options::{self, ClientOptions},
    config_source::{self, ConfigSource, FetchTimeout, Origin},
    head_rules::{self, HeadRules},
    headers,
    http_filter::{self, HttpFilter},
    http2_options::{self, Http2Options},
    local_reply::{self, LocalReplies},
    name::RouteConfigName,
    path::At,
    problem::{Notes, Problem},
    route_config::{self, RouteConfiguration},
    scalar::DataSource,
    scoped_routes::{self, ScopedRoutes},
    upgrade::{self, Upgrade},
};

/// What the `server` header says unless it is configured.
const SERVER_NAME: HeaderValue = HeaderValue::from_static("weft");

/// Speaks HTTP to clients.
#[derive(Debug)]
pub struct HttpConnectionManager {
    /// `stat_prefix`.
    pub stat_prefix: Box<str>,
    /// `codec_type`.
    pub codec: Codec,
    /// Where routes come from.
    pub routes: RouteSource,
    /// `server_name` (`weft` unless set).
    pub server_name: HeaderValue,
    /// How connections of clients are held.
    pub client: ClientOptions,
    /// `upgrade_configs`.
    pub upgrades: Box<[Upgrade]>,
    /// What becomes of the heads of requests and responses.
    pub heads: HeadRules,
    /// `local_reply_config`.
    pub local_replies: Option<LocalReplies<DataSource>>,
    /// `http_filters` before the router.
    pub filters: Box<[HttpFilter]>,
    /// The router's `suppress_envoy_headers`.
    pub suppress_envoy_headers: bool,
    /// The router's `respect_expected_rq_timeout`.
    pub respect_expected_timeout: bool,
    /// `http2_protocol_options`.
    pub http2: Http2Options,
}

/// `codec_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Told apart by the first bytes.
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// h2 by prior knowledge only.
    Http2,
}

/// `route_specifier`.
#[derive(Debug)]
pub enum RouteSource {
    /// `route_config`.
    Inline(RouteConfiguration),
    /// `rds`.
    Rds {
        /// The key, by [`Origin::key`], of `route_config_name`.
        name: RouteConfigName,
        /// Where it comes from.
        origin: Origin,
        /// How long to wait for it before answering 404.
        fetch_timeout: FetchTimeout,
    },
    /// `scoped_routes`.
    Scoped(ScopedRoutes),
}

/// Reads the filter.
pub(crate) fn read(
    message: &wire::HttpConnectionManager,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HttpConnectionManager> {
    let codec = codec(message.codec_type, &at.field("codec_type"), notes);
    let routes = routes(message, at, notes);
    let filters = http_filter::read(&message.http_filters, at, notes);
    let server_name = match message.server_name.as_str() {
        "" => Some(SERVER_NAME),
        name => headers::header_value(name.as_bytes(), &at.field("server_name"), notes),
    };
    let client = client_options::read(message, at, notes);
    let heads = head_rules::read(message, at, notes);
    let replies_at = at.field("local_reply_config");
    let local_replies = message.local_reply_config.as_ref();
    let local_replies = local_replies.map(|it| local_reply::read(it, &replies_at, notes));
    let http2 = http2(message, at, notes);
    let (router, filters) = filters?;
    Some(HttpConnectionManager {
        stat_prefix: message.stat_prefix.as_str().into(),
        codec: codec?,
        routes: routes?,
        server_name: server_name?,
        client,
        upgrades: upgrade::of_connections(&message.upgrade_configs, at, notes),
        heads: heads?,
        local_replies: local_replies.map_or(Some(None), |read| read.map(Some))?,
        suppress_envoy_headers: router.suppress_envoy_headers,
        respect_expected_timeout: router.respect_expected_rq_timeout,
        filters,
        http2,
    })
}

fn http2(message: &wire::HttpConnectionManager, at: &At<'_>, notes: &mut Notes) -> Http2Options {
    let said = message.http2_protocol_options.as_ref();
    let mut options = http2_options::read(said, &at.field("http2_protocol_options"), notes);
    // The narrower one wins where both are set, as in Envoy.
    let own = said.and_then(|it| it.override_stream_error_on_invalid_http_message.as_ref());
    if let (None, Some(only_streams)) = (own, &message.stream_error_on_invalid_http_message) {
        options.invalid_messages_end_connections = !only_streams.value;
    }
    options
}

fn codec(number: i32, at: &At<'_>, notes: &mut Notes) -> Option<Codec> {
    use wire::http_connection_manager::CodecType;
    match CodecType::try_from(number) {
        Ok(CodecType::Auto) => Some(Codec::Auto),
        Ok(CodecType::Http1) => Some(Codec::Http1),
        Ok(CodecType::Http2) => Some(Codec::Http2),
        Ok(CodecType::Http3) => notes.unsupported(at, "HTTP3", "AUTO, HTTP1 and HTTP2 are"),
        Err(_) => notes.refuse(at, Problem::UnknownEnum(number)),
    }
}

fn routes(
    message: &wire::HttpConnectionManager,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<RouteSource> {
    use wire::http_connection_manager::RouteSpecifier as Kind;
    match &message.route_specifier {
        None => notes.refuse(&at.field("route_specifier"), Problem::Missing),
        Some(Kind::RouteConfig(config)) => {
            route_config::read(config, &at.field("route_config"), notes).map(RouteSource::Inline)
        }
        Some(Kind::Rds(rds)) => {
            let at = at.field("rds");
            if rds.route_config_name.is_empty() {
                notes.refuse::<()>(&at.field("route_config_name"), Problem::Missing);
            }
            let source = rds.config_source.as_ref();
            let ConfigSource { origin, fetch_timeout } =
                config_source::read(source, &at.field("config_source"), notes)?;
            let name = RouteConfigName::from(origin.key(&rds.route_config_name));
            Some(RouteSource::Rds { name, origin, fetch_timeout })
        }
        Some(Kind::ScopedRoutes(scoped)) => {
            scoped_routes::read(scoped, &at.field("scoped_routes"), notes).map(RouteSource::Scoped)
        }
    }
}
