//! From header blocks to heads, with the rules of RFC 9113 §8 on what a head may be.

use std::ops::ControlFlow;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, Parts, PathAndQuery, Scheme, Uri},
};
use weft_hpack::{Field, Malformed};

use crate::{
    connection::Connection,
    error::Violation,
    event::Protocol,
    frame::{FrameHeader, flag, kind},
    send::RequestHead,
    settings::Settings,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Fields that a map has room for before it grows: what most heads have.
const FIELDS: usize = 12;

/// A head, and the length of the body that it announces.
pub(crate) struct Head<T> {
    pub(crate) head: T,
    pub(crate) length: Option<u64>,
}

/// A field section in the making. After the first rule broken nothing more is kept, but the block is
/// still decoded to its end.
#[derive(Default)]
struct Section {
    method: Option<Method>,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
    path: Option<PathAndQuery>,
    protocol: Option<HeaderValue>,
    status: Option<StatusCode>,
    fields: HeaderMap,
    length: Option<u64>,
    size: usize,
    /// Fields of either kind so far.
    count: usize,
    broken: Option<Violation>,
}

/// Which pseudo-header fields there may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
    Trailers,
}

impl Section {
    fn take(&mut self, field: Field, kind: Kind) -> Result<(), Violation> {
        match field {
            Field::Header(name, value) => self.header(name, value, kind),
            Field::Malformed(Malformed::Name) => Err(Violation::FieldName),
            Field::Malformed(Malformed::Value(_)) => Err(Violation::FieldValue),
            Field::Malformed(Malformed::Pseudo(_)) => Err(Violation::PseudoValue),
            Field::UnknownPseudo => Err(Violation::PseudoField),
            // RFC 9113 §8.3: before all other fields.
            _ if !self.fields.is_empty() => Err(Violation::PseudoField),
            Field::Status(status) => once(&mut self.status, status, kind == Kind::Response),
            Field::Method(method) => once(&mut self.method, method, kind == Kind::Request),
            Field::Scheme(scheme) => once(&mut self.scheme, scheme, kind == Kind::Request),
            Field::Authority(it) => once(&mut self.authority, it, kind == Kind::Request),
            Field::Path(path) => once(&mut self.path, path, kind == Kind::Request),
            Field::Protocol(it) => once(&mut self.protocol, it, kind == Kind::Request),
        }
    }

    fn header(
        &mut self,
        name: HeaderName,
        value: HeaderValue,
        kind: Kind,
    ) -> Result<(), Violation> {
        // RFC 9113 §8.2.1 forbids blanks around a value. They are let through, as Envoy does: they
        // mean nothing in any version of HTTP.
        let bytes = value.as_bytes();
        if name == CONTENT_LENGTH && kind != Kind::Trailers {
            let length = parse_length(bytes).ok_or(Violation::ContentLength)?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Violation::ContentLength);
            }
            if self.length.replace(length).is_some() {
                return Ok(());
            }
        }
        if is_of_connections(&name, bytes) {
            return Err(Violation::ConnectionField);
        }
        self.fields.try_append(name, value).map_err(|_| Violation::HeadTooLarge)?;
        Ok(())
    }

    fn into_request(self, settings: &Settings) -> Result<Head<Request<()>>, Violation> {
        let method = self.method.ok_or(Violation::PseudoField)?;
        let is_connect = method == Method::CONNECT;
        let is_tunnel = is_connect && self.protocol.is_none();
        if self.protocol.is_some() && !(is_connect && settings.allow_connect) {
            return Err(Violation::PseudoField);
        }
        if is_tunnel {
            // RFC 9113 §8.5.
            if self.scheme.is_some() || self.path.is_some() || self.authority.is_none() {
                return Err(Violation::PseudoField);
            }
        } else if self.scheme.is_none() || self.path.is_none() {
            return Err(Violation::PseudoField);
        }
        if let Some(path) = &self.path {
            let path = path.as_str();
            if !(path.starts_with('/') || (path == "*" && method == Method::OPTIONS)) {
                return Err(Violation::PseudoValue);
            }
        }
        let mut parts = Parts::default();
        // A URI has no scheme without an authority.
        parts.scheme = self.scheme.filter(|_| self.authority.is_some());
        parts.authority = self.authority;
        parts.path_and_query = self.path;
        let mut head = Request::new(());
        *head.uri_mut() = Uri::from_parts(parts).map_err(|_| Violation::PseudoValue)?;
        *head.method_mut() = method;
        *head.version_mut() = Version::HTTP_2;
        *head.headers_mut() = self.fields;
        if let Some(protocol) = self.protocol {
            head.extensions_mut().insert(Protocol(protocol));
        }
        let length = self.length.filter(|_| !is_connect);
        Ok(Head { head, length })
    }

    fn into_response(self) -> Result<Head<Response<()>>, Violation> {
        let mut head = Response::new(());
        *head.status_mut() = self.status.ok_or(Violation::PseudoField)?;
        *head.version_mut() = Version::HTTP_2;
        *head.headers_mut() = self.fields;
        Ok(Head { head, length: self.length })
    }
}

fn once<T>(place: &mut Option<T>, value: T, allowed: bool) -> Result<(), Violation> {
    if !allowed || place.is_some() {
        return Err(Violation::PseudoField);
    }
    *place = Some(value);
    Ok(())
}

/// RFC 9113 §8.2.2: fields of HTTP/1.1 connections, which are neither taken nor sent.
#[inline]
fn is_of_connections(name: &HeaderName, value: &[u8]) -> bool {
    match name.as_str().len() {
        2 => *name == TE && !value.eq_ignore_ascii_case(b"trailers"),
        7 => *name == UPGRADE,
        10 => *name == CONNECTION || *name == KEEP_ALIVE,
        16 => *name == PROXY_CONNECTION,
        17 => *name == TRANSFER_ENCODING,
        _ => false,
    }
}

/// RFC 9110 §8.6: digits alone.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// The outer error ends the connection, the inner one the stream.
type Decoded<T> = Result<Result<T, Violation>, Violation>;

impl Connection {
    pub(crate) fn decode_request(&mut self, block: &[u8]) -> Decoded<Head<Request<()>>> {
        let section = self.decode(block, Kind::Request)?;
        Ok(section.and_then(|section| section.into_request(&self.settings)))
    }

    pub(crate) fn decode_response(&mut self, block: &[u8]) -> Decoded<Head<Response<()>>> {
        Ok(self.decode(block, Kind::Response)?.and_then(Section::into_response))
    }

    pub(crate) fn decode_trailers(&mut self, block: &[u8]) -> Decoded<HeaderMap> {
        Ok(self.decode(block, Kind::Trailers)?.map(|section| section.fields))
    }

    /// Decodes a block of which only the table's changes matter.
    pub(crate) fn skip_block(&mut self, block: &[u8]) -> Result<(), Violation> {
        let skip = self.decoder.decode(block, |_, _| ControlFlow::Break(()));
        skip.map_err(|_| Violation::Compression)
    }

    fn decode(&mut self, block: &[u8], kind: Kind) -> Decoded<Section> {
        let most = self.settings.max_header_list_size as usize;
        let count = self.settings.max_header_count as usize;
        let mut section =
            Section { fields: HeaderMap::with_capacity(FIELDS), ..Section::default() };
        let decoded = self.decoder.decode(block, |field, size| {
            section.size += size;
            section.count += 1;
            if section.size > most || section.count > count {
                section.broken = Some(Violation::HeadTooLarge);
            } else if let Err(violation) = section.take(field, kind) {
                section.broken = Some(violation);
            }
            if section.broken.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        decoded.map_err(|_| Violation::Compression)?;
        Ok(section.broken.map_or(Ok(section), Err))
    }

    pub(crate) fn put_request(&mut self, id: u32, head: RequestHead<'_>, end: bool) {
        let (encoder, max_frame) = (&mut self.encoder, self.peer.max_frame_size as usize);
        self.output.put_block(headers_frame(id, end), max_frame, |out| {
            let mut block = encoder.block(out);
            block.method(head.method);
            if *head.method != Method::CONNECT || head.protocol.is_some() {
                block.scheme(head.scheme.as_bytes());
                block.path(head.path.as_bytes());
            }
            block.authority(head.authority);
            if let Some(protocol) = head.protocol {
                block.protocol(protocol);
            }
            for (name, value) in head.headers {
                if name != http::header::HOST && !is_of_connections(name, value.as_bytes()) {
                    block.field(name, value);
                }
            }
        });
    }

    pub(crate) fn put_response(
        &mut self,
        id: u32,
        status: StatusCode,
        headers: &HeaderMap,
        end: bool,
    ) {
        let (encoder, max_frame) = (&mut self.encoder, self.peer.max_frame_size as usize);
        self.output.put_block(headers_frame(id, end), max_frame, |out| {
            let mut block = encoder.block(out);
            block.status(status);
            for (name, value) in headers {
                if !is_of_connections(name, value.as_bytes()) {
                    block.field(name, value);
                }
            }
        });
    }

    pub(crate) fn put_trailers(&mut self, id: u32, fields: &HeaderMap) {
        let (encoder, max_frame) = (&mut self.encoder, self.peer.max_frame_size as usize);
        self.output.put_block(headers_frame(id, true), max_frame, |out| {
            let mut block = encoder.block(out);
            for (name, value) in fields {
                block.field(name, value);
            }
        });
    }

    pub(crate) fn put_head_too_large(&mut self, id: u32) {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        self.put_response(id, status, &HeaderMap::new(), true);
    }
}

fn headers_frame(stream: u32, end: bool) -> FrameHeader {
    let flags = if end { flag::END_STREAM } else { 0 };
    FrameHeader { length: 0, kind: kind::HEADERS, flags, stream }
}
