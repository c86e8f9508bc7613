//! A gRPC stream to a management server (`core.v3.ApiConfigSource`).

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use weft_proto::pb::envoy::config::core::v3 as core;

use crate::{
    path::At,
    problem::{Notes, Problem, Reason},
};

/// `core.v3.ApiConfigSource`: how to ask, and whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiSource {
    /// `api_type`: whether only differences travel (`DELTA_GRPC`).
    pub incremental: bool,
    /// `grpc_services`, at least one, in the order of preference.
    pub services: Vec<GrpcService>,
    /// `set_node_on_first_message_only`.
    pub node_once: bool,
    /// `rate_limit_settings`.
    pub rate_limit: Option<RateLimit>,
}

/// `core.v3.GrpcService` with `envoy_grpc`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcService {
    /// `cluster_name`.
    pub cluster: Arc<str>,
    /// `authority`, if set.
    pub authority: Option<Arc<str>>,
    /// `initial_metadata`: names in lower case, and values.
    pub metadata: Vec<(String, Vec<u8>)>,
}

/// `core.v3.RateLimitSettings`: how fast requests may follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RateLimit {
    /// `max_tokens` (100 by default): so many at once.
    pub burst: u32,
    /// The inverse of `fill_rate` (10 a second by default): then one each time this has passed.
    pub interval: Duration,
}

impl fmt::Display for ApiSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.incremental { "DELTA_GRPC" } else { "GRPC" };
        let names: Vec<&str> = self.services.iter().map(|service| &*service.cluster).collect();
        write!(f, "{kind} {}", names.join(", "))
    }
}

impl ApiSource {
    /// Reads the one of a bootstrap that stands at `path` there.
    ///
    /// # Errors
    /// All reasons why it is refused, at least one.
    pub fn read(message: &core::ApiConfigSource, path: &'static str) -> Result<Self, Vec<Reason>> {
        let root = At::root();
        let mut notes = Notes::default();
        match read(message, &root.field(path), &mut notes) {
            Some(source) if notes.reasons.is_empty() => Ok(source),
            _ => Err(notes.reasons),
        }
    }
}

/// Refuses every version of the API but V3.
pub(crate) fn version(number: i32, at: &At<'_>, notes: &mut Notes) {
    match core::ApiVersion::try_from(number) {
        Ok(core::ApiVersion::Auto | core::ApiVersion::V3) => {}
        Ok(_) => {
            notes.unsupported::<()>(at, "the v2 API", "V3 is");
        }
        Err(_) => {
            notes.refuse::<()>(at, Problem::UnknownEnum(number));
        }
    }
}

pub(crate) fn read(
    message: &core::ApiConfigSource,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ApiSource> {
    use core::api_config_source::ApiType;
    version(message.transport_api_version, &at.field("transport_api_version"), notes);
    let at_type = at.field("api_type");
    let incremental = match ApiType::try_from(message.api_type) {
        Ok(ApiType::Grpc) => false,
        Ok(ApiType::DeltaGrpc) => true,
        Ok(other) => {
            return notes.unsupported(&at_type, other.as_str_name(), "GRPC and DELTA_GRPC are");
        }
        Err(_) => return notes.refuse(&at_type, Problem::UnknownEnum(message.api_type)),
    };
    if message.grpc_services.is_empty() {
        return notes.refuse(&at.field("grpc_services"), Problem::Missing);
    }
    let services: Vec<_> = message
        .grpc_services
        .iter()
        .enumerate()
        .filter_map(|(nth, each)| service(each, &at.item("grpc_services", nth), notes))
        .collect();
    let rate_limit = match &message.rate_limit_settings {
        None => None,
        Some(limit) => Some(rate(limit, &at.field("rate_limit_settings"), notes)?),
    };
    let node_once = message.set_node_on_first_message_only;
    (services.len() == message.grpc_services.len()).then_some(ApiSource {
        incremental,
        services,
        node_once,
        rate_limit,
    })
}

/// Reads whom to ask.
pub(crate) fn service(
    message: &core::GrpcService,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<GrpcService> {
    use core::grpc_service::TargetSpecifier;
    let grpc = match &message.target_specifier {
        Some(TargetSpecifier::EnvoyGrpc(grpc)) => grpc,
        Some(TargetSpecifier::GoogleGrpc(_)) => {
            return notes.unsupported(&at.field("google_grpc"), "this client", "envoy_grpc is");
        }
        None => return notes.refuse(&at.field("envoy_grpc"), Problem::Missing),
    };
    if grpc.cluster_name.is_empty() {
        let at = at.field("envoy_grpc");
        return notes.refuse(&at.field("cluster_name"), Problem::Missing);
    }
    let mut metadata = Vec::new();
    for (nth, header) in message.initial_metadata.iter().enumerate() {
        metadata.push(header_of(header, &at.item("initial_metadata", nth), notes)?);
    }
    let authority = Some(&grpc.authority).filter(|authority| !authority.is_empty());
    Some(GrpcService {
        cluster: Arc::from(grpc.cluster_name.as_str()),
        authority: authority.map(|authority| Arc::from(authority.as_str())),
        metadata,
    })
}

fn header_of(
    message: &core::HeaderValue,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<(String, Vec<u8>)> {
    let Ok(name) = HeaderName::try_from(message.key.as_str()) else {
        return notes.refuse(&at.field("key"), Problem::HeaderName(message.key.clone()));
    };
    let value =
        if message.raw_value.is_empty() { message.value.as_bytes() } else { &message.raw_value };
    if HeaderValue::from_bytes(value).is_err() {
        return notes.refuse(&at.field("value"), Problem::HeaderValue);
    }
    if let Some(start) = message.value.find('%') {
        let text = message.value.get(start..).unwrap_or_default().to_owned();
        return notes.refuse(&at.field("value"), Problem::Substitution(text));
    }
    Some((name.as_str().to_owned(), value.to_vec()))
}

fn rate(message: &core::RateLimitSettings, at: &At<'_>, notes: &mut Notes) -> Option<RateLimit> {
    let per_second = message.fill_rate.map_or(10.0, |rate| rate.value);
    // Slower than one in 1,000 s is as good as never, and would look like a proxy that hangs.
    if !(0.001..=1_000_000.0).contains(&per_second) {
        let what = format!("{per_second} a second");
        return notes.unsupported(&at.field("fill_rate"), what, "0.001 to 1000000 is");
    }
    let burst = message.max_tokens.map_or(100, |tokens| tokens.value);
    if burst == 0 {
        return notes.unsupported(
            &at.field("max_tokens"),
            "0, which lets nothing through,",
            "1 or more is",
        );
    }
    Some(RateLimit { burst, interval: Duration::from_secs_f64(per_second.recip()) })
}

#[cfg(test)]
mod tests {
    use weft_proto::json::from_yaml;

    use super::*;

    fn api(text: &str) -> Result<ApiSource, Vec<String>> {
        ApiSource::read(&from_yaml(text).unwrap(), "ads_config")
            .map_err(|reasons| reasons.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn everything_that_is_said_about_a_stream_is_kept() {
        let read = api(
            "{api_type: DELTA_GRPC, transport_api_version: V3, set_node_on_first_message_only: true,
              rate_limit_settings: {max_tokens: 5, fill_rate: 2},
              grpc_services: [
                {envoy_grpc: {cluster_name: near, authority: cp.mesh},
                 initial_metadata: [{key: X-Token, value: secret}]},
                {envoy_grpc: {cluster_name: far}}]}",
        )
        .unwrap();
        assert!(read.incremental && read.node_once);
        let limit = RateLimit { burst: 5, interval: Duration::from_millis(500) };
        assert_eq!(read.rate_limit, Some(limit));
        assert_eq!(read.to_string(), "DELTA_GRPC near, far");
        assert_eq!(read.services[0].authority.as_deref(), Some("cp.mesh"));
        assert_eq!(read.services[0].metadata, [("x-token".to_owned(), b"secret".to_vec())]);
    }

    #[test]
    fn other_ways_to_ask_are_refused_by_name() {
        let stream = |service: &str| format!("{{api_type: GRPC, grpc_services: [{service}]}}");
        for (text, reason) in [
            ("{api_type: REST}".to_owned(), "ads_config.api_type: REST is not supported"),
            ("{api_type: AGGREGATED_GRPC}".to_owned(), "ads_config.api_type: AGGREGATED_GRPC"),
            ("{api_type: GRPC}".to_owned(), "ads_config.grpc_services: is required"),
            (
                stream("{google_grpc: {target_uri: x, stat_prefix: x}}"),
                "ads_config.grpc_services[0].google_grpc: this client is not supported",
            ),
            (stream("{}"), "ads_config.grpc_services[0].envoy_grpc: is required"),
            (
                stream(
                    "{envoy_grpc: {cluster_name: c}, initial_metadata: [{key: k, value: '%REQ(a)%'}]}",
                ),
                "ads_config.grpc_services[0].initial_metadata[0].value: the substitution",
            ),
        ] {
            let reasons = api(&text).unwrap_err();
            assert!(reasons[0].starts_with(reason), "{text}: {reasons:?}");
        }
    }
}
