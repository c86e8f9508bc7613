//! Transport sockets: what stands between a connection and its bytes.

use weft_proto::pb::envoy::{
    config::core::v3 as core,
    extensions::transport_sockets::{
        proxy_protocol::v3::ProxyProtocolUpstreamTransport, raw_buffer::v3::RawBuffer,
    },
};

use crate::{
    extension,
    listener_filter::{self, KeptTlvs},
    path::At,
    problem::{Notes, Problem},
};

/// Extensions of the PROXY protocol: types and values.
pub type Tlvs = Box<[(u8, Box<[u8]>)]>;

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
        if message.format_string.is_some() {
            return notes.unsupported(&at.field("format_string"), "a format", "value is");
        }
        if message.value.is_empty() {
            return notes.refuse(&at.field("value"), Problem::Missing);
        }
        match u8::try_from(message.r#type) {
            Ok(kind) => tlvs.push((kind, message.value.as_slice().into())),
            Err(_) => {
                return notes.refuse(&at.field("type"), Problem::Number(message.r#type.into()));
            }
        }
    }
    Some(tlvs.into())
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
