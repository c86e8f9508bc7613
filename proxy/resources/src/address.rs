//! Socket addresses.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use weft_proto::pb::envoy::config::core::v3 as core;

use crate::{
    path::At,
    problem::{Notes, Problem},
};

/// An address to listen on or to connect to (`core.v3.Address`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// TCP with a literal IP address. For a listener port 0 lets the kernel choose.
    Ip(SocketAddr),
    /// A Unix stream socket. As in Envoy, one whose path begins with `@` is abstract: it has the name
    /// that follows, and no file.
    Pipe(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Pipe(path) => path.display().fmt(f),
        }
    }
}

/// Reads an address that must be there.
pub(crate) fn address(
    message: Option<&core::Address>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Address> {
    use core::address::Address as Kind;
    match message.and_then(|message| message.address.as_ref()) {
        None => notes.refuse(at, Problem::Missing),
        Some(Kind::SocketAddress(socket)) => {
            socket_address(socket, &at.field("socket_address"), notes)
        }
        Some(Kind::Pipe(pipe)) => self::pipe(pipe, &at.field("pipe"), notes),
        Some(Kind::EnvoyInternalAddress(_)) => notes.unsupported(
            &at.field("envoy_internal_address"),
            "an internal listener",
            "socket_address and pipe are",
        ),
    }
}

/// The name and port of a socket address that is no literal; `None` leaves it to [`address`].
pub(crate) fn named<'m>(
    message: Option<&'m core::Address>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<(&'m str, u16)> {
    let Some(core::address::Address::SocketAddress(socket)) = message?.address.as_ref() else {
        return None;
    };
    let host = socket.address.as_str();
    let is_name = host.parse::<IpAddr>().is_err()
        && !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if !is_name || socket.protocol != core::socket_address::Protocol::Tcp as i32 {
        return None;
    }
    if !socket.resolver_name.is_empty() {
        let at = at.field("socket_address");
        notes.unsupported::<()>(&at.field("resolver_name"), "a resolver", "leave it out");
    }
    match socket.port_specifier {
        Some(core::socket_address::PortSpecifier::PortValue(port)) => {
            Some((host, u16::try_from(port).ok()?))
        }
        _ => None,
    }
}

/// Reads a literal TCP address.
pub(crate) fn socket_address(
    message: &core::SocketAddress,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Address> {
    use core::socket_address::{PortSpecifier, Protocol};
    let protocol = match Protocol::try_from(message.protocol) {
        Ok(Protocol::Tcp) => Some(()),
        Ok(Protocol::Udp) => notes.unsupported(&at.field("protocol"), "UDP", "TCP is"),
        Err(_) => notes.refuse(&at.field("protocol"), Problem::UnknownEnum(message.protocol)),
    };
    if !message.resolver_name.is_empty() {
        notes.unsupported::<()>(&at.field("resolver_name"), "a resolver", "give an IP address");
    }
    let ip = match message.address.parse::<IpAddr>() {
        Ok(ip) => Some(ip),
        Err(_) => notes.refuse(&at.field("address"), Problem::Address(message.address.clone())),
    };
    let port = match message.port_specifier {
        None => notes.refuse(&at.field("port_value"), Problem::Missing),
        Some(PortSpecifier::PortValue(port)) => match u16::try_from(port) {
            Ok(port) => Some(port),
            Err(_) => notes.refuse(&at.field("port_value"), Problem::Port(port)),
        },
        Some(PortSpecifier::NamedPort(_)) => {
            notes.unsupported(&at.field("named_port"), "a named port", "port_value is")
        }
    };
    protocol?;
    Some(Address::Ip(SocketAddr::new(ip?, port?)))
}

fn pipe(message: &core::Pipe, at: &At<'_>, notes: &mut Notes) -> Option<Address> {
    // `sun_path` of sockaddr_un, with its last zero.
    const LONGEST: usize = 107;
    match message.path.len() {
        0 => notes.refuse(&at.field("path"), Problem::Missing),
        bytes if bytes > LONGEST => {
            notes.refuse(&at.field("path"), Problem::TooLarge { bytes, limit: LONGEST })
        }
        _ if message.path.contains('\0') => {
            notes.unsupported(&at.field("path"), "a zero byte", "@ begins an abstract name")
        }
        _ => Some(Address::Pipe(PathBuf::from(&message.path))),
    }
}
