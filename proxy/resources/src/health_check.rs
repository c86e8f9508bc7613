//! `envoy.config.core.v3.HealthCheck`: how endpoints are asked whether they are well.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, header::HeaderName};
use prost::Name as _;
use weft_proto::pb::envoy::{
    config::{cluster::v3 as cluster, core::v3 as wire},
    extensions::health_check::event_sinks::file::v3::HealthCheckEventFileSink,
    r#type::v3::{CodecClientType, Int64Range},
};
use weft_route::StringMatch;

use crate::{
    cluster::optional,
    extension,
    headers::{self, HeaderSet, HeaderText},
    matching,
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// Intervals are counted in whole milliseconds, as in Envoy.
const SHORTEST: Duration = Duration::from_millis(1);
/// Envoy's default `no_traffic_interval`.
const NO_TRAFFIC: Duration = Duration::from_mins(1);
/// Envoy's default `response_buffer_size`.
const RESPONSE_BUFFER: u64 = 1024;

/// How the endpoints of a cluster are asked, and what follows from what they answer.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// `timeout`.
    pub timeout: Duration,
    /// When they are asked.
    pub intervals: CheckIntervals,
    /// `unhealthy_threshold`: so many failures in a row.
    pub unhealthy_threshold: u32,
    /// `healthy_threshold`: so many good answers in a row; the very first one is enough.
    pub healthy_threshold: u32,
    /// `reuse_connection` (true by default).
    pub reuse_connection: bool,
    /// `always_log_health_check_failures`.
    pub log_failures: bool,
    /// `always_log_health_check_success`.
    pub log_successes: bool,
    /// Files that events are written to (`event_log_path` and the file sinks of `event_logger`).
    pub event_logs: Box<[Arc<str>]>,
    /// What they are asked.
    pub question: CheckQuestion,
}

/// How long to wait before a check, by what the one before has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckIntervals {
    /// `interval`: a healthy endpoint.
    pub healthy: Duration,
    /// `healthy_edge_interval`: one that is about to become healthy.
    pub healthy_edge: Duration,
    /// `unhealthy_interval`.
    pub unhealthy: Duration,
    /// `unhealthy_edge_interval`: one that is about to become unhealthy.
    pub unhealthy_edge: Duration,
    /// `no_traffic_interval`, while the cluster has never had a connection (1 minute by default).
    pub no_traffic: Duration,
    /// `no_traffic_healthy_interval`: the same of a healthy endpoint.
    pub no_traffic_healthy: Duration,
    /// `initial_jitter`: the first check is late by up to this.
    pub initial_jitter: Duration,
    /// `interval_jitter`: all others are late by up to this,
    pub jitter: Duration,
    /// and by up to this share of the interval, in percent (`interval_jitter_percent`).
    pub jitter_percent: u32,
}

/// What an endpoint is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckQuestion {
    /// `http_health_check`.
    Http(Box<HttpCheck>),
    /// `grpc_health_check`.
    Grpc(GrpcCheck),
    /// `tcp_health_check`.
    Tcp(TcpCheck),
}

/// A request, and which answers are good.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpCheck {
    /// `codec_client_type`.
    pub http2: bool,
    /// `method` (GET by default).
    pub method: Method,
    /// `host`; empty for the cluster's name.
    pub host: Box<str>,
    /// `path`.
    pub path: Box<str>,
    /// `request_headers_to_remove`.
    pub remove: Box<[HeaderName]>,
    /// `request_headers_to_add`, whose values are literal.
    pub add: Box<[HeaderSet]>,
    /// `send`: the body.
    pub send: Bytes,
    /// `expected_statuses` (200 by default).
    pub expected: StatusRanges,
    /// `retriable_statuses`: failures of which it takes as many as the threshold says.
    pub retriable: StatusRanges,
    /// `receive`: what the body must hold, in this order.
    pub receive: Box<[Bytes]>,
    /// `response_buffer_size`: how much of the body is looked at.
    pub response_buffer: u64,
    /// `service_name_matcher`: what `x-envoy-upstream-healthchecked-cluster` must be.
    pub service_name: Option<StringMatch>,
}

/// `grpc.health.v1.Health.Check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcCheck {
    /// `service_name`.
    pub service: Box<str>,
    /// `authority`; empty for the cluster's name.
    pub authority: Box<str>,
    /// `initial_metadata`, whose values are literal.
    pub metadata: Box<[HeaderSet]>,
}

/// Bytes sent, and bytes that must come. Without either it is enough to be connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpCheck {
    /// `send`.
    pub send: Bytes,
    /// `receive`: in this order, with anything between them.
    pub receive: Box<[Bytes]>,
}

/// Statuses, as ranges that do not hold their ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusRanges(Box<[Range<u16>]>);

impl StatusRanges {
    /// Whether a status is in one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// Reads the check of a cluster, if it has one. Envoy refuses a second one as well.
pub(crate) fn of_cluster(
    message: &cluster::Cluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HealthCheck> {
    let first = message.health_checks.first()?;
    if message.health_checks.len() > 1 {
        let at = at.item("health_checks", 1);
        notes.unsupported::<()>(&at, "a second health check", "one for each cluster is");
    }
    read(first, &at.item("health_checks", 0), notes)
}

fn read(message: &wire::HealthCheck, at: &At<'_>, notes: &mut Notes) -> Option<HealthCheck> {
    use wire::health_check::HealthChecker;
    let question = match &message.health_checker {
        None => return notes.refuse(&at.field("health_checker"), Problem::Missing),
        Some(HealthChecker::HttpHealthCheck(check)) => {
            let check = http(check, &at.field("http_health_check"), notes)?;
            CheckQuestion::Http(Box::new(check))
        }
        Some(HealthChecker::GrpcHealthCheck(check)) => {
            let at = at.field("grpc_health_check");
            CheckQuestion::Grpc(GrpcCheck {
                service: check.service_name.as_str().into(),
                authority: check.authority.as_str().into(),
                metadata: literals(&check.initial_metadata, "initial_metadata", &at, notes),
            })
        }
        Some(HealthChecker::TcpHealthCheck(check)) => {
            let at = at.field("tcp_health_check");
            CheckQuestion::Tcp(TcpCheck {
                send: sent(check.send.as_ref(), &at.field("send"), notes),
                receive: received(&check.receive, &at, notes),
            })
        }
        Some(HealthChecker::CustomHealthCheck(check)) => {
            let at = at.field("custom_health_check");
            return notes.unsupported(&at, check.name.clone(), "HTTP, gRPC and TCP checks are");
        }
    };
    let threshold = |value, name, notes: &mut Notes| match optional(value) {
        None => notes.refuse(&at.field(name), Problem::Missing),
        Some(0) => notes.unsupported(&at.field(name), "0", "1 or more is"),
        threshold => threshold,
    };
    let unhealthy_threshold =
        threshold(message.unhealthy_threshold.as_ref(), "unhealthy_threshold", notes);
    let healthy_threshold =
        threshold(message.healthy_threshold.as_ref(), "healthy_threshold", notes);
    let timeout = match &message.timeout {
        Some(timeout) => scalar::duration_from(timeout, SHORTEST, &at.field("timeout"), notes),
        None => notes.refuse(&at.field("timeout"), Problem::Missing),
    };
    let intervals = intervals(message, at, notes);
    Some(HealthCheck {
        timeout: timeout?,
        intervals: intervals?,
        unhealthy_threshold: unhealthy_threshold?,
        healthy_threshold: healthy_threshold?,
        reuse_connection: scalar::bool_or(message.reuse_connection.as_ref(), true),
        log_failures: message.always_log_health_check_failures,
        log_successes: message.always_log_health_check_success,
        event_logs: event_logs(message, at, notes),
        question,
    })
}

fn intervals(
    message: &wire::HealthCheck,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<CheckIntervals> {
    let Some(interval) = &message.interval else {
        return notes.refuse(&at.field("interval"), Problem::Missing);
    };
    let healthy = scalar::duration_from(interval, SHORTEST, &at.field("interval"), notes)?;
    let jitter = |field: &Option<_>, name, notes: &mut Notes| {
        scalar::duration_or(field.as_ref(), Duration::ZERO, &at.field(name), notes)
    };
    let initial_jitter = jitter(&message.initial_jitter, "initial_jitter", notes);
    let interval_jitter = jitter(&message.interval_jitter, "interval_jitter", notes);
    let mut or = |field: &Option<_>, default, name| match field {
        Some(time) => scalar::duration_from(time, SHORTEST, &at.field(name), notes),
        None => Some(default),
    };
    let unhealthy = or(&message.unhealthy_interval, healthy, "unhealthy_interval")?;
    let no_traffic = or(&message.no_traffic_interval, NO_TRAFFIC, "no_traffic_interval")?;
    Some(CheckIntervals {
        healthy,
        healthy_edge: or(&message.healthy_edge_interval, healthy, "healthy_edge_interval")?,
        unhealthy,
        unhealthy_edge: or(&message.unhealthy_edge_interval, unhealthy, "unhealthy_edge_interval")?,
        no_traffic,
        no_traffic_healthy: or(
            &message.no_traffic_healthy_interval,
            no_traffic,
            "no_traffic_healthy_interval",
        )?,
        initial_jitter,
        jitter: interval_jitter,
        jitter_percent: message.interval_jitter_percent,
    })
}

fn event_logs(message: &wire::HealthCheck, at: &At<'_>, notes: &mut Notes) -> Box<[Arc<str>]> {
    let mut paths = Vec::new();
    #[expect(deprecated, reason = "it still counts")]
    let path = message.event_log_path.as_str();
    if !path.is_empty() {
        paths.push(Arc::from(path));
    }
    for (index, logger) in message.event_logger.iter().enumerate() {
        let at = at.item("event_logger", index);
        let at = at.field("typed_config");
        let Some(any) = &logger.typed_config else {
            notes.refuse::<()>(&at, Problem::Missing);
            continue;
        };
        if extension::type_name(any) != HealthCheckEventFileSink::full_name() {
            let name = extension::type_name(any).to_owned();
            notes.refuse::<()>(&at, Problem::UnknownType(name));
        } else if let Some(sink) = extension::unpack::<HealthCheckEventFileSink>(any, &at, notes) {
            paths.push(Arc::from(sink.event_log_path));
        }
    }
    paths.into()
}

fn http(
    message: &wire::health_check::HttpHealthCheck,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HttpCheck> {
    let http2 = match CodecClientType::try_from(message.codec_client_type) {
        Ok(CodecClientType::Http1) => false,
        Ok(CodecClientType::Http2) => true,
        Ok(CodecClientType::Http3) => {
            return notes.unsupported(
                &at.field("codec_client_type"),
                "HTTP/3",
                "HTTP1 and HTTP2 are",
            );
        }
        Err(_) => {
            let problem = Problem::UnknownEnum(message.codec_client_type);
            return notes.refuse(&at.field("codec_client_type"), problem);
        }
    };
    let method = method(message.method, &at.field("method"), notes)?;
    let send = sent(message.send.as_ref(), &at.field("send"), notes);
    if !send.is_empty()
        && !matches!(method, Method::POST | Method::PUT | Method::PATCH | Method::OPTIONS)
    {
        let what = format!("a body with {method}");
        notes.unsupported::<()>(&at.field("send"), what, "POST, PUT, PATCH and OPTIONS are");
    }
    if message.path.parse::<http::uri::PathAndQuery>().is_err() || !message.path.starts_with('/') {
        notes.refuse::<()>(&at.field("path"), Problem::PathText(message.path.clone()));
    }
    let expected = ranges(&message.expected_statuses, "expected_statuses", at, notes);
    let service_name = match &message.service_name_matcher {
        None => None,
        Some(matcher) => Some(matching::string(matcher, &at.field("service_name_matcher"), notes)?),
    };
    Some(HttpCheck {
        http2,
        method,
        host: message.host.as_str().into(),
        path: message.path.as_str().into(),
        remove: headers::plain_names(
            &message.request_headers_to_remove,
            "request_headers_to_remove",
            at,
            notes,
        ),
        add: literals(&message.request_headers_to_add, "request_headers_to_add", at, notes),
        send,
        expected: if expected.is_empty() {
            StatusRanges(std::iter::once(200..201).collect())
        } else {
            StatusRanges(expected)
        },
        retriable: StatusRanges(ranges(
            &message.retriable_statuses,
            "retriable_statuses",
            at,
            notes,
        )),
        receive: received(&message.receive, at, notes),
        response_buffer: message
            .response_buffer_size
            .as_ref()
            .map_or(RESPONSE_BUFFER, |size| size.value),
        service_name,
    })
}

fn method(number: i32, at: &At<'_>, notes: &mut Notes) -> Option<Method> {
    use wire::RequestMethod as Wire;
    Some(match Wire::try_from(number) {
        Ok(Wire::MethodUnspecified | Wire::Get) => Method::GET,
        Ok(Wire::Head) => Method::HEAD,
        Ok(Wire::Post) => Method::POST,
        Ok(Wire::Put) => Method::PUT,
        Ok(Wire::Delete) => Method::DELETE,
        Ok(Wire::Options) => Method::OPTIONS,
        Ok(Wire::Trace) => Method::TRACE,
        Ok(Wire::Patch) => Method::PATCH,
        Ok(Wire::Connect) => {
            return notes.unsupported(at, "CONNECT", "all other methods are");
        }
        Err(_) => return notes.refuse(at, Problem::UnknownEnum(number)),
    })
}

fn ranges(
    message: &[Int64Range],
    field: &'static str,
    at: &At<'_>,
    notes: &mut Notes,
) -> Box<[Range<u16>]> {
    at.each(field, message, notes, |&Int64Range { start, end }, at, notes| {
        match (u16::try_from(start), u16::try_from(end)) {
            _ if start >= end => notes.refuse(at, Problem::EmptyRange { start, end }),
            (Ok(first @ 100..), Ok(last @ ..=600)) => Some(first..last),
            _ => {
                let what = format!("[{start}, {end})");
                notes.unsupported(at, what, "statuses from 100 to 599 are")
            }
        }
    })
}

fn literals(
    list: &[wire::HeaderValueOption],
    field: &'static str,
    at: &At<'_>,
    notes: &mut Notes,
) -> Box<[HeaderSet]> {
    let sets = headers::sets(list, field, at, notes);
    for (index, set) in sets.iter().enumerate() {
        if matches!(set.value, HeaderText::Format(_)) {
            let value = list.get(index).and_then(|option| option.header.as_ref());
            let text = value.map(|header| header.value.clone()).unwrap_or_default();
            notes.refuse::<()>(&at.item(field, index), Problem::Substitution(text));
        }
    }
    sets
}

fn sent(message: Option<&wire::health_check::Payload>, at: &At<'_>, notes: &mut Notes) -> Bytes {
    message.and_then(|payload| self::payload(payload, at, notes)).unwrap_or_default()
}

fn received(list: &[wire::health_check::Payload], at: &At<'_>, notes: &mut Notes) -> Box<[Bytes]> {
    at.each("receive", list, notes, payload)
}

/// `text` is in hexadecimal.
fn payload(message: &wire::health_check::Payload, at: &At<'_>, notes: &mut Notes) -> Option<Bytes> {
    use wire::health_check::payload::Payload;
    match &message.payload {
        None => notes.refuse(&at.field("payload"), Problem::Missing),
        Some(Payload::Binary(bytes)) => Some(Bytes::copy_from_slice(bytes)),
        Some(Payload::Text(text)) => match unhex(text) {
            Some(bytes) if !bytes.is_empty() => Some(bytes.into()),
            _ => {
                notes.unsupported(&at.field("text"), format!("{text:?}"), "hexadecimal digits are")
            }
        },
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    let is_whole = pairs.remainder().is_empty();
    is_whole.then(|| pairs.filter_map(|pair| Some(pair.first()? << 4 | pair.last()?)).collect())
}

/// `Endpoint.health_check_config`: how one endpoint is asked otherwise than the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointCheck {
    /// `port_value`.
    pub port: Option<u16>,
    /// `address`, in place of the endpoint's own.
    pub address: Option<crate::address::Address>,
    /// `hostname`; empty for that of the check.
    pub hostname: Box<str>,
    /// `disable_active_health_check`.
    pub is_disabled: bool,
}

/// Reads what one endpoint says, if it says anything.
pub(crate) fn of_endpoint(
    message: &weft_proto::pb::envoy::config::endpoint::v3::Endpoint,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Box<EndpointCheck>> {
    let config = message.health_check_config.as_ref()?;
    let at = at.field("health_check_config");
    let address = match &config.address {
        None => None,
        Some(_) => crate::address::address(config.address.as_ref(), &at.field("address"), notes),
    };
    let port = match u16::try_from(config.port_value) {
        Ok(port) => Some(port).filter(|port| *port != 0),
        Err(_) => notes.refuse(&at.field("port_value"), Problem::Port(config.port_value)),
    };
    Some(Box::new(EndpointCheck {
        port,
        address,
        hostname: config.hostname.as_str().into(),
        is_disabled: config.disable_active_health_check,
    }))
}
