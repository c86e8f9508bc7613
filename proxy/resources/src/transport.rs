//! Transport sockets: what stands between a connection and its bytes.

use weft_format::Format;
use weft_proto::pb::envoy::{
    config::core::v3 as core,
    extensions::transport_sockets::{
        proxy_protocol::v3::ProxyProtocolUpstreamTransport, raw_buffer::v3::RawBuffer,
    },
};

use crate::{
    extension,
    listener_filter::{self, KeptTlvs},
    local_reply::{self, BodyTemplate},
    path::At,
    problem::{Notes, Problem},
};

/// Extensions of the PROXY protocol: types and values.
pub type Tlvs = Box<[(u8, TlvValue)]>;

/// `core.v3.TlvEntry`: the value of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlvValue {
    /// `value`.
    Bytes(Box<[u8]>),
    /// `format_string`: made for each connection.
    Format(Format),
}

/// `upstream_proxy_protocol`: each connection begins by telling who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamProxyProtocol {
    /// `config.version`: whether the header is text (1) or binary (2).
    pub binary: bool,
    /// `config.pass_through_tlvs`: extensions that the client's own header told and that are passed on.
    pub pass: KeptTlvs,
    /// `config.added_tlvs`: extensions by type, in place of any of their types that would pass.
    pub added: Tlvs,
}

/// Accepts the one transport socket that changes nothing: bytes as they are.
pub(crate) fn plaintext(message: &core::TransportSocket, at: &At<'_>, notes: &mut Notes) {
    if !is_plaintext(message) {
        notes.unsupported::<()>(at, kind_of(message), "raw_buffer is");
    }
}

/// Reads the transport socket of a cluster.
pub(crate) fn of_cluster(
    message: &core::TransportSocket,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<UpstreamProxyProtocol>> {
    use core::transport_socket::ConfigType;
    if is_plaintext(message) {
        return Some(None);
    }
    match &message.config_type {
        Some(ConfigType::TypedConfig(any))
            if extension::holds::<ProxyProtocolUpstreamTransport>(any) =>
        {
            let at = at.field("typed_config");
            let message = extension::unpack::<ProxyProtocolUpstreamTransport>(any, &at, notes)?;
            proxy_protocol(&message, &at, notes).map(Some)
        }
        _ => notes.unsupported(at, kind_of(message), "raw_buffer and upstream_proxy_protocol are"),
    }
}

fn proxy_protocol(
    message: &ProxyProtocolUpstreamTransport,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<UpstreamProxyProtocol> {
    use core::proxy_protocol_config::Version;
    match &message.transport_socket {
        Some(inner) => plaintext(inner, &at.field("transport_socket"), notes),
        None => {
            notes.refuse::<()>(&at.field("transport_socket"), Problem::Missing);
        }
    }
    let config = message.config.clone().unwrap_or_default();
    let at = at.field("config");
    let binary = match Version::try_from(config.version) {
        Ok(Version::V1) => false,
        Ok(Version::V2) => true,
        Err(_) => {
            return notes.refuse(&at.field("version"), Problem::UnknownEnum(config.version));
        }
    };
    let pass = match &config.pass_through_tlvs {
        None => KeptTlvs::None,
        Some(tlvs) => listener_filter::kept_tlvs(tlvs, &at.field("pass_through_tlvs"), notes)?,
    };
    let added = tlvs(&config.added_tlvs, "added_tlvs", &at, notes)?;
    Some(UpstreamProxyProtocol { binary, pass, added })
}

/// Reads extensions of the PROXY protocol, by type.
pub(crate) fn tlvs(
    messages: &[core::TlvEntry],
    field: &'static str,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Tlvs> {
    let mut tlvs = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let at = at.item(field, index);
        let value = tlv_value(message, &at, notes)?;
        match u8::try_from(message.r#type) {
            Ok(kind) => tlvs.push((kind, value)),
            Err(_) => {
                return notes.refuse(&at.field("type"), Problem::Number(message.r#type.into()));
            }
        }
    }
    Some(tlvs.into())
}

fn tlv_value(message: &core::TlvEntry, at: &At<'_>, notes: &mut Notes) -> Option<TlvValue> {
    let value_at = at.field("value");
    match &message.format_string {
        None if message.value.is_empty() => notes.refuse(&value_at, Problem::Missing),
        None => Some(TlvValue::Bytes(message.value.as_slice().into())),
        Some(_) if !message.value.is_empty() => {
            notes.refuse(&value_at, Problem::Conflict("format_string"))
        }
        Some(format) => {
            let at = at.field("format_string");
            match local_reply::body_format(format, &at, notes)?.template {
                BodyTemplate::Text(format) => Some(TlvValue::Format(format)),
                BodyTemplate::Json(_) => {
                    let at = at.field("json_format");
                    notes.unsupported(&at, "JSON as an extension", "text_format_source is")
                }
            }
        }
    }
}

fn is_plaintext(message: &core::TransportSocket) -> bool {
    use core::transport_socket::ConfigType;
    match &message.config_type {
        Some(ConfigType::TypedConfig(any)) => extension::holds::<RawBuffer>(any),
        None => message.name == "envoy.transport_sockets.raw_buffer",
    }
}

fn kind_of(message: &core::TransportSocket) -> &str {
    use core::transport_socket::ConfigType;
    match &message.config_type {
        Some(ConfigType::TypedConfig(any)) => extension::type_name(any),
        None => &message.name,
    }
}
