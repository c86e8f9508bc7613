//! The PROXY protocol: who the client is, told by a proxy in front (haproxy.org, proxy-protocol.txt).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::scan::Scan;

/// What a header of version 1 begins with.
const V1: &[u8] = b"PROXY ";
/// Bytes of a header of version 1 at most, with its line end (§2.1).
const V1_MAX: usize = 107;
/// What a header of version 2 begins with (§2.2).
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of a header of version 2 before its addresses.
const V2_HEAD: usize = 16;

/// Which of the two forms a header has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What the first bytes of a connection are, as far as the PROXY protocol goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// It cannot be said before there are this many bytes.
    Incomplete(usize),
    /// No header.
    Absent,
    /// A header that makes no sense: nothing that follows can be trusted.
    Malformed(ProxyVersion, ProxyError),
    /// A header.
    Complete(Told),
}

/// What a header tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its form.
    pub version: ProxyVersion,
    /// Its bytes, which are no part of what the client sent.
    pub length: usize,
    /// The client, and where it connected to. `None` when the proxy speaks for itself or does not
    /// know: the connection's own addresses hold then.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// What else it tells, as far as it was asked for.
    pub tlvs: Vec<Tlv>,
}

/// An extension of a header of version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlv {
    /// Its type (§2.2.1).
    pub kind: u8,
    /// Its value.
    pub value: Box<[u8]>,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The line does not end where it must.
    #[error("the line of a version 1 header is too long")]
    Endless,
    /// Not the fields that §2.1 asks for.
    #[error("the line of a version 1 header is malformed")]
    Line,
    /// A version or command that is not defined.
    #[error("a version 2 header has an unknown version or command")]
    Command,
    /// Addresses of a kind that no stream has.
    #[error("a version 2 header has addresses of an unknown family or protocol")]
    Family,
    /// The parts do not fit into the length.
    #[error("a version 2 header is shorter than its parts")]
    Length,
}

/// Reads a header. `keep` says which extensions are wanted.
pub fn inspect_proxy_header(bytes: &[u8], keep: impl Fn(u8) -> bool) -> ProxyHeader {
    if bytes.starts_with(V1) {
        return version_1(bytes);
    }
    if bytes.starts_with(V2) {
        return version_2(bytes, keep);
    }
    if V1.starts_with(bytes) || V2.starts_with(bytes) {
        return ProxyHeader::Incomplete(bytes.len() + 1);
    }
    ProxyHeader::Absent
}

fn version_1(bytes: &[u8]) -> ProxyHeader {
    let window = bytes.get(..V1_MAX).unwrap_or(bytes);
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() {
            ..V1_MAX => ProxyHeader::Incomplete(bytes.len() + 1),
            _ => ProxyHeader::Malformed(ProxyVersion::V1, ProxyError::Endless),
        };
    };
    let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    match line.and_then(|line| std::str::from_utf8(line).ok()).and_then(line_addresses) {
        Some(addresses) => ProxyHeader::Complete(Told {
            version: ProxyVersion::V1,
            length: end + 1,
            addresses,
            tlvs: Vec::new(),
        }),
        None => ProxyHeader::Malformed(ProxyVersion::V1, ProxyError::Line),
    }
}

fn line_addresses(line: &str) -> Option<Option<(SocketAddr, SocketAddr)>> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever follows up to the line's end is to be ignored.
        return Some(None);
    }
    let fields: [&str; 4] = [words.next()?, words.next()?, words.next()?, words.next()?];
    if words.next().is_some() {
        return None;
    }
    let [source, destination, source_port, destination_port] = fields;
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let source = SocketAddr::new(address(source)?, port(source_port)?);
    let destination = SocketAddr::new(address(destination)?, port(destination_port)?);
    Some(Some((source, destination)))
}

/// A decimal number in its one form: no sign, no zeros in front.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let short = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| plain && short)
}

fn version_2(bytes: &[u8], keep: impl Fn(u8) -> bool) -> ProxyHeader {
    let malformed = |error| ProxyHeader::Malformed(ProxyVersion::V2, error);
    let Some((head, rest)) = bytes.split_first_chunk::<V2_HEAD>() else {
        return ProxyHeader::Incomplete(V2_HEAD);
    };
    let [.., command, family, high, low] = *head;
    if !matches!(command, 0x20 | 0x21) {
        return malformed(ProxyError::Command);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    let Some(body) = rest.get(..length) else {
        return ProxyHeader::Incomplete(V2_HEAD + length);
    };
    let mut told = Told {
        version: ProxyVersion::V2,
        length: V2_HEAD + length,
        addresses: None,
        tlvs: Vec::new(),
    };
    if command == 0x20 {
        // The proxy itself, such as its health check.
        return ProxyHeader::Complete(told);
    }
    let mut body = Scan(body);
    let addresses = match family {
        0x00 => return ProxyHeader::Complete(told),
        0x11 => inet(&mut body),
        0x21 => inet6(&mut body),
        // Names of Unix sockets, which say nothing here.
        0x31 => body.take(216).map(|_| None),
        _ => return malformed(ProxyError::Family),
    };
    let Some(addresses) = addresses else { return malformed(ProxyError::Length) };
    told.addresses = addresses;
    match tlvs(body, keep) {
        Some(tlvs) => told.tlvs = tlvs,
        None => return malformed(ProxyError::Length),
    }
    ProxyHeader::Complete(told)
}

type Addresses = Option<(SocketAddr, SocketAddr)>;

fn inet(body: &mut Scan<'_>) -> Option<Addresses> {
    let mut address = || body.take(4)?.first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes));
    let (source, destination) = (address()?, address()?);
    ports(body, source.into(), destination.into())
}

fn inet6(body: &mut Scan<'_>) -> Option<Addresses> {
    let mut address = || body.take(16)?.first_chunk::<16>().map(|bytes| Ipv6Addr::from(*bytes));
    let (source, destination) = (address()?, address()?);
    ports(body, source.into(), destination.into())
}

fn ports(body: &mut Scan<'_>, source: IpAddr, destination: IpAddr) -> Option<Addresses> {
    let source = SocketAddr::new(source, body.u16()?);
    let destination = SocketAddr::new(destination, body.u16()?);
    Some(Some((source, destination)))
}

fn tlvs(mut body: Scan<'_>, keep: impl Fn(u8) -> bool) -> Option<Vec<Tlv>> {
    let mut tlvs = Vec::new();
    while !body.0.is_empty() {
        let kind = body.u8()?;
        let value = body.part16()?;
        if keep(kind) {
            tlvs.push(Tlv { kind, value: value.0.into() });
        }
    }
    Some(tlvs)
}

/// A header of version 1. Without addresses it says that they are unknown.
pub fn encode_proxy_v1(addresses: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let Some((source, destination)) = addresses.map(same_family) else {
        return b"PROXY UNKNOWN\r\n".to_vec();
    };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

/// A header of version 2. Without addresses it says that the proxy speaks for itself. Extensions
/// that do not fit into what the length can say are left out.
pub fn encode_proxy_v2(addresses: Option<(SocketAddr, SocketAddr)>, tlvs: &[Tlv]) -> Vec<u8> {
    let mut body = Vec::new();
    let (command, family) = match addresses.map(same_family) {
        None => (0x20, 0x00),
        Some((source, destination)) => {
            for address in [source, destination] {
                match address.ip() {
                    IpAddr::V4(ip) => body.extend(ip.octets()),
                    IpAddr::V6(ip) => body.extend(ip.octets()),
                }
            }
            body.extend(source.port().to_be_bytes());
            body.extend(destination.port().to_be_bytes());
            (0x21, if source.is_ipv4() { 0x11 } else { 0x21 })
        }
    };
    for tlv in tlvs.iter().filter(|_| command == 0x21) {
        let fits = body.len() + 3 + tlv.value.len() <= usize::from(u16::MAX);
        if let (Ok(length), true) = (u16::try_from(tlv.value.len()), fits) {
            body.push(tlv.kind);
            body.extend(length.to_be_bytes());
            body.extend(&tlv.value);
        }
    }
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    [V2, &[command, family], &length, &body].concat()
}

/// Both addresses as IPv6 when only one of them is.
fn same_family((source, destination): (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (mapped(source), mapped(destination))
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
