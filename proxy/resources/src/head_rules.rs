//! What the connection manager makes of the head of each request, and of each response.

use http::HeaderValue;
use weft_proto::pb::envoy::{
    config::core::v3 as core, extensions::filters::network::http_connection_manager::v3 as wire,
};
use weft_route::{EscapedSlashes, PathRules, Prefix};

use crate::{
    chain_match, headers,
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// The header rules of a connection manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadRules {
    /// `add_user_agent`: upstreams are told which proxy this is.
    pub adds_user_agent: bool,
    /// `use_remote_address`: this is the edge, and clients are who they connect as.
    pub use_remote_address: bool,
    /// `xff_num_trusted_hops`: addresses at the end of `x-forwarded-for` that trusted proxies wrote.
    pub trusted_hops: usize,
    /// `skip_xff_append`: `x-forwarded-for` stays as it came.
    pub skip_xff_append: bool,
    /// `internal_address_config`; without it nobody is internal.
    pub internal: InternalAddresses,
    /// `append_x_forwarded_port`.
    pub append_x_forwarded_port: bool,
    /// `generate_request_id` (true by default).
    pub generate_request_id: bool,
    /// `preserve_external_request_id`.
    pub preserve_external_request_id: bool,
    /// `always_set_request_id_in_response`.
    pub return_request_id: bool,
    /// `via`.
    pub via: Option<HeaderValue>,
    /// `server_header_transformation`.
    pub server_header: ServerHeader,
    /// `strip_matching_host_port` or `strip_any_host_port`.
    pub strip_port: StripPort,
    /// `strip_trailing_host_dot`.
    pub strip_trailing_host_dot: bool,
    /// `path_with_escaped_slashes_action`, `normalize_path` and `merge_slashes`.
    pub path: PathRules,
    /// `common_http_protocol_options.headers_with_underscores_action`.
    pub underscores: Underscores,
    /// `scheme_header_transformation.scheme_to_overwrite`.
    pub scheme: Option<&'static str>,
}

/// `InternalAddressConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InternalAddresses {
    /// `cidr_ranges`.
    pub ranges: Box<[Prefix]>,
    /// `unix_sockets`.
    pub unix_sockets: bool,
}

/// What becomes of names with underscores, which some servers take for dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Underscores {
    /// `ALLOW`: they go on.
    Allow,
    /// `REJECT_REQUEST`: nobody gets a request with one.
    Reject,
    /// `DROP_HEADER`: they do not go on.
    Drop,
}

/// `server_header_transformation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerHeader {
    /// Always the proxy's name.
    Overwrite,
    /// The proxy's name where the upstream says none.
    AppendIfAbsent,
    /// What the upstream says.
    PassThrough,
}

/// Which port of the host is taken off before hosts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripPort {
    /// None.
    Never,
    /// That of the connection.
    Matching,
    /// Every port.
    Any,
}

/// Reads the rules.
pub(crate) fn read(
    message: &wire::HttpConnectionManager,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<HeadRules> {
    let internal = message.internal_address_config.as_ref().map(|internal| InternalAddresses {
        ranges: chain_match::prefixes(
            &internal.cidr_ranges,
            "cidr_ranges",
            &at.field("internal_address_config"),
            notes,
        )
        .into(),
        unix_sockets: internal.unix_sockets,
    });
    let via = match message.via.as_str() {
        "" => None,
        via => Some(headers::header_value(via.as_bytes(), &at.field("via"), notes)?),
    };
    let escaped_slashes = escaped_slashes(message.path_with_escaped_slashes_action, at, notes);
    let server_header = server_header(message.server_header_transformation, at, notes);
    let strip_port = strip_port(message, at, notes);
    let underscores = underscores(message, at, notes);
    let scheme = scheme(message, at, notes);
    Some(HeadRules {
        adds_user_agent: scalar::bool_or(message.add_user_agent.as_ref(), false),
        use_remote_address: scalar::bool_or(message.use_remote_address.as_ref(), false),
        trusted_hops: usize::try_from(message.xff_num_trusted_hops).unwrap_or(usize::MAX),
        skip_xff_append: message.skip_xff_append,
        internal: internal.unwrap_or_default(),
        append_x_forwarded_port: message.append_x_forwarded_port,
        generate_request_id: scalar::bool_or(message.generate_request_id.as_ref(), true),
        preserve_external_request_id: message.preserve_external_request_id,
        return_request_id: message.always_set_request_id_in_response,
        via,
        server_header: server_header?,
        strip_port: strip_port?,
        strip_trailing_host_dot: message.strip_trailing_host_dot,
        path: PathRules {
            escaped_slashes: escaped_slashes?,
            normalize: scalar::bool_or(message.normalize_path.as_ref(), false),
            merge_slashes: message.merge_slashes,
        },
        underscores: underscores?,
        scheme: scheme?,
    })
}

fn underscores(
    message: &wire::HttpConnectionManager,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Underscores> {
    use core::http_protocol_options::HeadersWithUnderscoresAction as Wire;
    let Some(options) = &message.common_http_protocol_options else {
        return Some(Underscores::Allow);
    };
    match Wire::try_from(options.headers_with_underscores_action) {
        Ok(Wire::Allow) => Some(Underscores::Allow),
        Ok(Wire::RejectRequest) => Some(Underscores::Reject),
        Ok(Wire::DropHeader) => Some(Underscores::Drop),
        Err(_) => {
            let at = at.field("common_http_protocol_options");
            let unknown = Problem::UnknownEnum(options.headers_with_underscores_action);
            notes.refuse(&at.field("headers_with_underscores_action"), unknown)
        }
    }
}

#[expect(clippy::option_option, reason = "refused, or not there, or there")]
fn scheme(
    message: &wire::HttpConnectionManager,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<&'static str>> {
    use core::scheme_header_transformation::Transformation as Kind;
    let rule = message.scheme_header_transformation.as_ref();
    match rule.and_then(|rule| rule.transformation.as_ref()) {
        None => Some(None),
        Some(Kind::SchemeToOverwrite(scheme)) => match scheme.as_str() {
            "http" => Some(Some("http")),
            "https" => Some(Some("https")),
            other => notes.unsupported(
                &at.field("scheme_header_transformation"),
                format!("the scheme {other:?}"),
                "http and https are",
            ),
        },
    }
}

fn escaped_slashes(number: i32, at: &At<'_>, notes: &mut Notes) -> Option<EscapedSlashes> {
    use wire::http_connection_manager::PathWithEscapedSlashesAction as Wire;
    match Wire::try_from(number) {
        Ok(Wire::ImplementationSpecificDefault | Wire::KeepUnchanged) => Some(EscapedSlashes::Keep),
        Ok(Wire::RejectRequest) => Some(EscapedSlashes::Reject),
        Ok(Wire::UnescapeAndRedirect) => Some(EscapedSlashes::Redirect),
        Ok(Wire::UnescapeAndForward) => Some(EscapedSlashes::Unescape),
        Err(_) => {
            let at = at.field("path_with_escaped_slashes_action");
            notes.refuse(&at, Problem::UnknownEnum(number))
        }
    }
}

fn server_header(number: i32, at: &At<'_>, notes: &mut Notes) -> Option<ServerHeader> {
    use wire::http_connection_manager::ServerHeaderTransformation as Wire;
    match Wire::try_from(number) {
        Ok(Wire::Overwrite) => Some(ServerHeader::Overwrite),
        Ok(Wire::AppendIfAbsent) => Some(ServerHeader::AppendIfAbsent),
        Ok(Wire::PassThrough) => Some(ServerHeader::PassThrough),
        Err(_) => {
            let at = at.field("server_header_transformation");
            notes.refuse(&at, Problem::UnknownEnum(number))
        }
    }
}

fn strip_port(
    message: &wire::HttpConnectionManager,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<StripPort> {
    use wire::http_connection_manager::StripPortMode as Wire;
    match (&message.strip_port_mode, message.strip_matching_host_port) {
        (Some(Wire::StripAnyHostPort(true)), true) => notes.refuse(
            &at.field("strip_any_host_port"),
            Problem::Conflict("strip_matching_host_port"),
        ),
        (Some(Wire::StripAnyHostPort(true)), false) => Some(StripPort::Any),
        (_, true) => Some(StripPort::Matching),
        (_, false) => Some(StripPort::Never),
    }
}
