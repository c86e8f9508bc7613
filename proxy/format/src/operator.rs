//! The operators, and what each takes.

use http::HeaderName;

use crate::{error::Fault, time::TimeFormat};

/// An operator with its arguments ready to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Request(Field),
    Response(Field),
    Trailer(Field),
    StartTime(TimeFormat),
    Environment(Box<str>),
    Metadata(MetadataKey),
    Plain(Plain),
}

/// What is asked of metadata: a namespace or one value of it, and how many bytes are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetadataKey {
    pub(crate) namespace: Box<str>,
    pub(crate) key: Option<Box<str>>,
    pub(crate) at_most: Option<usize>,
}

/// A header, another one for where it is not there, and how many bytes are shown of either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) main: Name,
    pub(crate) alternative: Option<Name>,
    pub(crate) at_most: Option<usize>,
}

/// A header or a pseudo-header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Method,
    Path,
    Authority,
    Scheme,
    Status,
    Header(HeaderName),
}

/// Operators without arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    BytesReceived,
    BytesSent,
    DirectRemoteAddress,
    DirectRemoteAddressWithoutPort,
    DirectRemotePort,
    Duration,
    Hostname,
    LocalAddress,
    LocalAddressWithoutPort,
    LocalPort,
    LocalReplyBody,
    Protocol,
    RemoteAddress,
    RemoteAddressWithoutPort,
    RemotePort,
    RequestHeadersBytes,
    RequestedServerName,
    ResponseCode,
    ResponseCodeDetails,
    ResponseFlags,
    ResponseHeadersBytes,
    RouteName,
    StreamId,
    UpstreamAddress,
    UpstreamAddressWithoutPort,
    UpstreamCluster,
    UpstreamPort,
    UpstreamProtocol,
    VirtualHostName,
}

/// Names of operators without arguments.
const PLAIN: &[(&str, Plain)] = &[
    ("BYTES_RECEIVED", Plain::BytesReceived),
    ("BYTES_SENT", Plain::BytesSent),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", Plain::DirectRemoteAddress),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", Plain::DirectRemoteAddressWithoutPort),
    ("DOWNSTREAM_DIRECT_REMOTE_PORT", Plain::DirectRemotePort),
    ("DOWNSTREAM_LOCAL_ADDRESS", Plain::LocalAddress),
    ("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Plain::LocalAddressWithoutPort),
    ("DOWNSTREAM_LOCAL_PORT", Plain::LocalPort),
    ("DOWNSTREAM_REMOTE_ADDRESS", Plain::RemoteAddress),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Plain::RemoteAddressWithoutPort),
    ("DOWNSTREAM_REMOTE_PORT", Plain::RemotePort),
    ("DURATION", Plain::Duration),
    ("HOSTNAME", Plain::Hostname),
    ("LOCAL_REPLY_BODY", Plain::LocalReplyBody),
    ("PROTOCOL", Plain::Protocol),
    ("REQUESTED_SERVER_NAME", Plain::RequestedServerName),
    ("REQUEST_HEADERS_BYTES", Plain::RequestHeadersBytes),
    ("RESPONSE_CODE", Plain::ResponseCode),
    ("RESPONSE_CODE_DETAILS", Plain::ResponseCodeDetails),
    ("RESPONSE_FLAGS", Plain::ResponseFlags),
    ("RESPONSE_HEADERS_BYTES", Plain::ResponseHeadersBytes),
    ("ROUTE_NAME", Plain::RouteName),
    ("STREAM_ID", Plain::StreamId),
    ("UPSTREAM_CLUSTER", Plain::UpstreamCluster),
    ("UPSTREAM_HOST", Plain::UpstreamAddress),
    ("UPSTREAM_PROTOCOL", Plain::UpstreamProtocol),
    ("UPSTREAM_REMOTE_ADDRESS", Plain::UpstreamAddress),
    ("UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Plain::UpstreamAddressWithoutPort),
    ("UPSTREAM_REMOTE_PORT", Plain::UpstreamPort),
    ("VIRTUAL_HOST_NAME", Plain::VirtualHostName),
];

impl Operator {
    /// The operator of this name with these arguments.
    pub(crate) fn new(
        name: &str,
        argument: Option<&str>,
        length: Option<usize>,
    ) -> Result<Self, Fault> {
        let field = |kind: fn(Field) -> Self| {
            let argument = argument.ok_or(Fault::NoArgument(name.into(), "a header's name"))?;
            Field::new(argument, length).map(kind)
        };
        match name {
            "REQ" => return field(Self::Request),
            "RESP" => return field(Self::Response),
            "TRAILER" => return field(Self::Trailer),
            "DYNAMIC_METADATA" => {
                return MetadataKey::new(name, argument, length).map(Self::Metadata);
            }
            _ => {}
        }
        if length.is_some() {
            return Err(Fault::Length(name.into()));
        }
        match (name, argument) {
            ("START_TIME", format) => TimeFormat::new(format.unwrap_or_default())
                .map(Self::StartTime)
                .ok_or_else(|| Fault::Time(format.unwrap_or_default().into())),
            ("ENVIRONMENT", Some(variable)) if !variable.is_empty() => {
                Ok(Self::Environment(variable.into()))
            }
            ("ENVIRONMENT", _) => Err(Fault::NoArgument(name.into(), "a variable's name")),
            (_, argument) => match PLAIN.iter().find(|(known, _)| *known == name) {
                None => Err(Fault::Unknown(name.into())),
                Some(_) if argument.is_some_and(|argument| !argument.is_empty()) => {
                    Err(Fault::Argument(name.into()))
                }
                Some((_, plain)) => Ok(Self::Plain(*plain)),
            },
        }
    }
}

impl MetadataKey {
    /// Reads `NAMESPACE:KEY`. What lies deeper than that is never there.
    fn new(name: &str, argument: Option<&str>, at_most: Option<usize>) -> Result<Self, Fault> {
        let path = argument.filter(|argument| !argument.is_empty());
        let path = path.ok_or(Fault::NoArgument(name.into(), "a namespace"))?;
        let (namespace, key) = match path.split_once(':') {
            Some((namespace, key)) => (namespace, Some(key.into())),
            None => (path, None),
        };
        Ok(Self { namespace: namespace.into(), key, at_most })
    }
}

impl Field {
    fn new(argument: &str, at_most: Option<usize>) -> Result<Self, Fault> {
        let (main, alternative) = match argument.split_once('?') {
            Some((main, alternative)) => (main, Some(alternative)),
            None => (argument, None),
        };
        let alternative = alternative.map(Name::new).transpose()?;
        Ok(Self { main: Name::new(main)?, alternative, at_most })
    }
}

impl Name {
    fn new(text: &str) -> Result<Self, Fault> {
        match text.to_ascii_lowercase().as_str() {
            ":method" => Ok(Self::Method),
            ":path" => Ok(Self::Path),
            ":authority" | "host" => Ok(Self::Authority),
            ":scheme" => Ok(Self::Scheme),
            ":status" => Ok(Self::Status),
            name => HeaderName::from_bytes(name.as_bytes())
                .map(Self::Header)
                .map_err(|_| Fault::Header(text.into())),
        }
    }
}
