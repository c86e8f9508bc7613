//! From a view to text.

use std::io::Write;

use http::HeaderMap;

use crate::{
    json,
    operator::{Field, MetadataKey, Name, Operator, Plain},
    parse::{Format, Part},
    view::{Address, View},
};

/// Stands for no flags and for a variable that is not set, also where nothing else stands for what
/// is missing.
const NONE: &str = "-";

impl Format {
    /// Writes the text for a request; `missing` stands for what is not known.
    pub fn render(&self, view: &View<'_>, missing: &str, out: &mut Vec<u8>) {
        for part in &self.parts {
            let known = match part {
                Part::Literal(text) => {
                    out.extend_from_slice(text.as_bytes());
                    true
                }
                Part::Operator(operator) => operator.render(view, out),
            };
            if !known {
                out.extend_from_slice(missing.as_bytes());
            }
        }
    }
}

impl Operator {
    /// Says whether the value is known.
    pub(crate) fn render(&self, view: &View<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Request(field) => field.render(|name| name.of_request(view), out),
            Self::Response(field) => {
                let status = view.status.map(|status| status.to_string());
                field.render(|name| name.of_message(view.response?, status.as_deref()), out)
            }
            Self::Trailer(field) => field.render(|name| name.of_message(view.trailers?, None), out),
            Self::StartTime(format) => view.began.is_some_and(|began| format.render(began, out)),
            Self::Environment(name) => {
                let value = view.host.and_then(|host| host.variables.get(&**name));
                text(Some(value.map_or(NONE, String::as_str)), out)
            }
            Self::Metadata(key) => key.render(view, out),
            Self::Plain(plain) => plain.render(view, out),
        }
    }
}

impl MetadataKey {
    /// A value as it is; a namespace as JSON.
    fn render(&self, view: &View<'_>, out: &mut Vec<u8>) -> bool {
        let found = view.metadata.and_then(|metadata| metadata.get(&self.namespace));
        let from = out.len();
        match (&self.key, found) {
            (_, None) => return false,
            (Some(key), Some(values)) => match values.get(key) {
                Some(value) => out.extend_from_slice(value.as_bytes()),
                None => return false,
            },
            (None, Some(values)) => json::object_of(values, out),
        }
        out.truncate(from.saturating_add(self.at_most.unwrap_or(usize::MAX)).min(out.len()));
        true
    }
}

impl Field {
    fn render<'a>(&self, value: impl Fn(&Name) -> Option<&'a [u8]>, out: &mut Vec<u8>) -> bool {
        let value = value(&self.main).or_else(|| self.alternative.as_ref().and_then(&value));
        let Some(value) = value else { return false };
        let length = self.at_most.unwrap_or(usize::MAX).min(value.len());
        out.extend_from_slice(value.get(..length).unwrap_or(value));
        true
    }
}

impl Name {
    fn of_request<'a>(&self, view: &View<'a>) -> Option<&'a [u8]> {
        let request = view.request?;
        match self {
            Self::Method => Some(request.method.as_bytes()),
            // A CONNECT has no path.
            Self::Path => Some(request.path.as_bytes()).filter(|path| !path.is_empty()),
            Self::Authority => Some(request.authority),
            Self::Scheme => Some(request.scheme.as_bytes()),
            Self::Status => None,
            Self::Header(name) => request.headers.get(name).map(|value| value.as_bytes()),
        }
    }
}

impl Name {
    fn of_message<'a>(&self, fields: &'a HeaderMap, status: Option<&'a str>) -> Option<&'a [u8]> {
        match self {
            Self::Status => status.map(str::as_bytes),
            Self::Header(name) => fields.get(name).map(|value| value.as_bytes()),
            Self::Method | Self::Path | Self::Authority | Self::Scheme => None,
        }
    }
}

impl Plain {
    fn render(self, view: &View<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::BytesReceived => number(Some(view.received), out),
            Self::BytesSent => number(Some(view.sent), out),
            Self::Duration => {
                number(view.duration.and_then(|it| u64::try_from(it.as_millis()).ok()), out)
            }
            Self::ResponseCode => number(Some(u64::from(view.status.unwrap_or(0))), out),
            Self::RequestHeadersBytes => number(view.request.map(|it| bytes(it.headers)), out),
            Self::ResponseHeadersBytes => number(view.response.map(bytes), out),
            Self::ResponseCodeDetails => text(view.details, out),
            Self::ResponseFlags => {
                text(Some(if view.flags.is_empty() { NONE } else { view.flags }), out)
            }
            Self::Protocol => text(view.protocol, out),
            Self::RequestedServerName => text(view.server_name, out),
            Self::UpstreamProtocol => text(view.upstream.protocol, out),
            Self::UpstreamCluster => text(view.upstream.cluster, out),
            Self::RouteName => text(view.route, out),
            Self::VirtualHostName => text(view.virtual_host, out),
            Self::Hostname => text(view.host.map(|host| &*host.name), out),
            Self::StreamId => {
                let id = view.request.and_then(|request| request.headers.get("x-request-id"));
                raw(id.map(|id| id.as_bytes()), out)
            }
            Self::LocalReplyBody => raw(view.local_reply, out),
            Self::RemoteAddress => whole(view.remote, out),
            Self::RemoteAddressWithoutPort => without_port(view.remote, out),
            Self::RemotePort => port(view.remote, out),
            Self::DirectRemoteAddress => whole(view.direct_remote, out),
            Self::DirectRemoteAddressWithoutPort => without_port(view.direct_remote, out),
            Self::DirectRemotePort => port(view.direct_remote, out),
            Self::LocalAddress => whole(view.local, out),
            Self::LocalAddressWithoutPort => without_port(view.local, out),
            Self::LocalPort => port(view.local, out),
            Self::UpstreamAddress => whole(view.upstream.address, out),
            Self::UpstreamAddressWithoutPort => without_port(view.upstream.address, out),
            Self::UpstreamPort => port(view.upstream.address, out),
        }
    }
}

/// Bytes of all names and values.
fn bytes(headers: &HeaderMap) -> u64 {
    let sizes = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    sizes.sum::<usize>() as u64
}

fn raw(value: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(value.unwrap_or_default());
    value.is_some()
}

fn text(value: Option<&str>, out: &mut Vec<u8>) -> bool {
    raw(value.map(str::as_bytes), out)
}

fn number(value: Option<u64>, out: &mut Vec<u8>) -> bool {
    let Some(value) = value else { return false };
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    true
}

fn whole(address: Option<Address<'_>>, out: &mut Vec<u8>) -> bool {
    match address {
        None => false,
        Some(Address::Ip(address)) => write!(out, "{address}").is_ok(),
        Some(Address::Pipe(path)) => text(Some(path), out),
    }
}

fn without_port(address: Option<Address<'_>>, out: &mut Vec<u8>) -> bool {
    match address {
        None => false,
        Some(Address::Ip(address)) => write!(out, "{}", address.ip()).is_ok(),
        Some(Address::Pipe(path)) => text(Some(path), out),
    }
}

fn port(address: Option<Address<'_>>, out: &mut Vec<u8>) -> bool {
    match address {
        Some(Address::Ip(address)) => number(Some(u64::from(address.port())), out),
        Some(Address::Pipe(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::HeaderValue;

    use super::*;
    use crate::view::{Host, Request, Upstream};

    fn shown(format: &str, view: &View<'_>) -> String {
        let mut out = Vec::new();
        format.parse::<Format>().unwrap().render(view, "-", &mut out);
        String::from_utf8(out).unwrap()
    }

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append("x-user", HeaderValue::from_static("ann"));
        headers.append("x-user", HeaderValue::from_static("bob"));
        headers.insert("x-request-id", HeaderValue::from_static("id-1"));
        headers
    }

    #[test]
    fn headers_have_alternatives_and_lengths() {
        let headers = headers();
        let request = Request {
            method: "GET",
            path: "/a?b",
            authority: b"shop",
            scheme: "http",
            headers: &headers,
        };
        let view = View { request: Some(request), ..View::default() };
        assert_eq!(shown("%REQ(X-USER)% %REQ(x-none)%", &view), "ann -");
        assert_eq!(shown("%REQ(x-none?x-user):2% %REQ(x-user?:path):99%", &view), "an ann");
        let pseudo = "%REQ(:METHOD)% %REQ(:path)% %REQ(:authority)% %REQ(host)% %REQ(:scheme)%";
        assert_eq!(shown(pseudo, &view), "GET /a?b shop shop http");
        assert_eq!(shown("%STREAM_ID% %REQUEST_HEADERS_BYTES%", &view), "id-1 34");
        assert_eq!(shown("%RESP(x-user)% %TRAILER(x-user)%", &view), "- -");
        let view = View { response: Some(&headers), status: Some(404), ..view };
        assert_eq!(shown("%RESP(x-user)% %RESP(:status)% %RESPONSE_CODE%", &view), "ann 404 404");
        assert_eq!(shown("%TRAILER(x-user):1%", &View { trailers: Some(&headers), ..view }), "a");
    }

    #[test]
    fn times_are_shown_in_utc() {
        let began = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let view = View {
            began: Some(began),
            duration: Some(Duration::from_micros(2_900)),
            ..View::default()
        };
        assert_eq!(shown("%START_TIME%", &view), "2023-11-14T22:13:20.123Z");
        assert_eq!(
            shown("%START_TIME(%Y/%m/%d (%s) %6f)%", &view),
            "2023/11/14 (1700000000) 123000"
        );
        assert_eq!(shown("%DURATION%", &view), "2");
        assert_eq!(shown("%START_TIME%", &View::default()), "-");
    }

    #[test]
    fn addresses_are_shown_whole_and_in_parts() {
        let ip = |text: &str| Some(Address::Ip(text.parse().unwrap()));
        let view = View {
            remote: ip("10.0.0.1:0"),
            direct_remote: ip("[::1]:99"),
            local: Some(Address::Pipe("/run/x")),
            upstream: Upstream { cluster: Some("c"), address: ip("10.0.0.2:80"), protocol: None },
            ..View::default()
        };
        let remote = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%";
        assert_eq!(shown(remote, &view), "10.0.0.1:0 10.0.0.1 0");
        let direct = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_PORT%";
        assert_eq!(shown(direct, &view), "[::1]:99 ::1 99");
        let local = "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%";
        assert_eq!(shown(local, &view), "/run/x /run/x -");
        let upstream = "%UPSTREAM_CLUSTER% %UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%";
        assert_eq!(shown(upstream, &view), "c 10.0.0.2:80 10.0.0.2 80");
    }

    #[test]
    fn metadata_is_shown_by_namespace_and_key() {
        let values = [("b".into(), "two \"2\"".into()), ("a".into(), "one".into())].into();
        let metadata = [("ns".into(), values)].into();
        let view =
            View { metadata: Some(&metadata), server_name: Some("a.test"), ..View::default() };
        assert_eq!(
            shown("%DYNAMIC_METADATA(ns:a)%,%DYNAMIC_METADATA(ns:b):5%", &view),
            "one,two \""
        );
        assert_eq!(shown("%DYNAMIC_METADATA(ns)%", &view), r#"{"a":"one","b":"two \"2\""}"#);
        let none = "%DYNAMIC_METADATA(ns:c)%,%DYNAMIC_METADATA(ns:a:x)%,%DYNAMIC_METADATA(x)%";
        assert_eq!(shown(none, &view), "-,-,-");
        assert_eq!(shown("%REQUESTED_SERVER_NAME%", &view), "a.test");
        assert_eq!(shown("%REQUESTED_SERVER_NAME%", &View::default()), "-");
    }

    #[test]
    fn what_is_not_known_is_said_so() {
        let nothing = "%PROTOCOL%,%ROUTE_NAME%,%VIRTUAL_HOST_NAME%,%RESPONSE_FLAGS%,%HOSTNAME%,%UPSTREAM_HOST%";
        assert_eq!(shown(nothing, &View::default()), "-,-,-,-,-,-");
        assert_eq!(
            shown("%RESPONSE_CODE% %BYTES_SENT% %BYTES_RECEIVED%", &View::default()),
            "0 0 0"
        );
        let variables = [("HOME".to_owned(), "/root".to_owned())].into();
        let host = Host { name: "box".into(), variables };
        let view = View { host: Some(&host), details: Some("via_upstream"), ..View::default() };
        assert_eq!(
            shown("%HOSTNAME% %ENVIRONMENT(HOME)% %ENVIRONMENT(NONE)%", &view),
            "box /root -"
        );
        assert_eq!(shown("%RESPONSE_CODE_DETAILS%", &view), "via_upstream");
        assert!(!format!("{host:?}").contains("root"));
    }
}
