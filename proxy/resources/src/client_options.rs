//! Limits and manners of the connections of clients: `common_http_protocol_options`,
//! `http_protocol_options`, and what stands beside them in the HTTP connection manager.

use std::time::Duration;

use http::HeaderValue;
use weft_proto::pb::{
    envoy::{
        config::core::v3 as core,
        extensions::filters::network::http_connection_manager::v3::HttpConnectionManager,
    },
    google::protobuf,
};

use crate::{
    cluster::optional,
    headers,
    key_format::{self, KeyFormat},
    path::At,
    problem::Notes,
    scalar,
};

/// Envoy's defaults.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const DELAYED_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_REQUEST_HEADERS_KB: u32 = 60;
const MAX_HEADERS_COUNT: u32 = 100;

/// How connections of clients are held, whichever protocol they speak.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `common_http_protocol_options.idle_timeout` (1 h by default).
    pub idle_timeout: Option<Duration>,
    /// `common_http_protocol_options.max_connection_duration` (none by default).
    pub max_connection_duration: Option<Duration>,
    /// `common_http_protocol_options.max_stream_duration` (none by default).
    pub max_stream_duration: Option<Duration>,
    /// `common_http_protocol_options.max_requests_per_connection` (no limit by default).
    pub max_requests_per_connection: Option<u32>,
    /// `request_headers_timeout`: a head must have come within it (none by default).
    pub request_headers_timeout: Option<Duration>,
    /// `request_timeout`: a request must have come within it (none by default).
    pub request_timeout: Option<Duration>,
    /// `stream_idle_timeout` (5 min by default).
    pub stream_idle_timeout: Option<Duration>,
    /// `drain_timeout`: between the announcement and the end of a connection (5 s by default).
    pub drain_timeout: Duration,
    /// `delayed_close_timeout`: how long a client may take to close after us (1 s by default).
    pub delayed_close_timeout: Duration,
    /// `proxy_100_continue`: the upstream says whether a client is to send its body.
    pub proxies_continue: bool,
    /// What concerns HTTP/1.
    pub http1: Http1Settings,
}

/// Settings of HTTP/1 towards clients.
#[derive(Clone, Debug)]
pub struct Http1Settings {
    /// `max_request_headers_kb`, in bytes, which HTTP/2 is held to as well (60 KiB by default).
    pub max_head_bytes: usize,
    /// `common_http_protocol_options.max_headers_count` (100 by default).
    pub max_headers_count: u32,
    /// `accept_http_10`.
    pub accept_http_10: bool,
    /// `default_host_for_http_10`.
    pub default_host_for_http_10: Option<HeaderValue>,
    /// `allow_chunked_length`: chunks beside a length are taken, and the length is dropped.
    pub allow_chunked_length: bool,
    /// `header_key_format`.
    pub key_format: KeyFormat,
}

impl Default for Http1Settings {
    fn default() -> Self {
        Self {
            max_head_bytes: 1024 * MAX_REQUEST_HEADERS_KB as usize,
            max_headers_count: MAX_HEADERS_COUNT,
            accept_http_10: false,
            default_host_for_http_10: None,
            allow_chunked_length: false,
            key_format: KeyFormat::AsReceived,
        }
    }
}

/// Reads the options.
pub(crate) fn read(
    message: &HttpConnectionManager,
    at: &At<'_>,
    notes: &mut Notes,
) -> ClientOptions {
    let none = core::HttpProtocolOptions::default();
    let common = message.common_http_protocol_options.as_ref().unwrap_or(&none);
    let common_at = at.field("common_http_protocol_options");
    let mut timeout = |set: Option<&protobuf::Duration>, default, at: &At<'_>| {
        scalar::timeout_or(set, default, at, notes)
    };
    let idle_at = common_at.field("idle_timeout");
    let idle_timeout = timeout(common.idle_timeout.as_ref(), Some(IDLE_TIMEOUT), &idle_at);
    let longest = common.max_connection_duration.as_ref();
    let max_connection_duration =
        timeout(longest, None, &common_at.field("max_connection_duration"));
    let longest = common.max_stream_duration.as_ref();
    let max_stream_duration = timeout(longest, None, &common_at.field("max_stream_duration"));
    let head = message.request_headers_timeout.as_ref();
    let request_headers_timeout = timeout(head, None, &at.field("request_headers_timeout"));
    let whole = message.request_timeout.as_ref();
    let request_timeout = timeout(whole, None, &at.field("request_timeout"));
    let stream_idle = message.stream_idle_timeout.as_ref();
    let stream_idle_timeout =
        timeout(stream_idle, Some(STREAM_IDLE_TIMEOUT), &at.field("stream_idle_timeout"));
    let drain = message.drain_timeout.as_ref();
    let drain_timeout = timeout(drain, Some(DRAIN_TIMEOUT), &at.field("drain_timeout"));
    let close = message.delayed_close_timeout.as_ref();
    let close_at = at.field("delayed_close_timeout");
    let delayed_close_timeout = timeout(close, Some(DELAYED_CLOSE_TIMEOUT), &close_at);
    ClientOptions {
        idle_timeout,
        max_connection_duration,
        max_stream_duration,
        max_requests_per_connection: optional(common.max_requests_per_connection.as_ref())
            .filter(|most| *most > 0),
        request_headers_timeout,
        request_timeout,
        stream_idle_timeout,
        drain_timeout: drain_timeout.unwrap_or(Duration::ZERO),
        delayed_close_timeout: delayed_close_timeout.unwrap_or(Duration::ZERO),
        proxies_continue: message.proxy_100_continue,
        http1: http1(message, common, at, notes),
    }
}

fn http1(
    message: &HttpConnectionManager,
    common: &core::HttpProtocolOptions,
    at: &At<'_>,
    notes: &mut Notes,
) -> Http1Settings {
    let kb = optional(message.max_request_headers_kb.as_ref()).unwrap_or(MAX_REQUEST_HEADERS_KB);
    let count = optional(common.max_headers_count.as_ref()).unwrap_or(MAX_HEADERS_COUNT);
    let bounds = Http1Settings {
        max_head_bytes: usize::try_from(kb).unwrap_or(usize::MAX).saturating_mul(1024),
        max_headers_count: count,
        ..Http1Settings::default()
    };
    let Some(options) = &message.http_protocol_options else { return bounds };
    let at = at.field("http_protocol_options");
    let default_host = match options.default_host_for_http_10.as_str() {
        "" => None,
        host => {
            headers::header_value(host.as_bytes(), &at.field("default_host_for_http_10"), notes)
        }
    };
    Http1Settings {
        accept_http_10: options.accept_http_10,
        default_host_for_http_10: default_host,
        allow_chunked_length: options.allow_chunked_length,
        key_format: key_format::read(Some(options), &at, notes),
        ..bounds
    }
}
