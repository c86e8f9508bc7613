//! How listening sockets are bound, and what is set on sockets.

use std::net::SocketAddr;

use weft_proto::pb::envoy::config::{bootstrap::v3::Admin, core::v3 as core, listener::v3 as wire};

use crate::{
    address::{self, Address},
    cluster::optional,
    path::At,
    problem::{Notes, Problem, Reason},
    scalar,
    upstream_connection::{self, TcpKeepalive},
};

/// An address of a listener, and how it is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// Where.
    pub address: Address,
    /// How.
    pub socket: SocketSettings,
}

/// How a socket of a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSettings {
    /// `tcp_backlog_size`: connections that the kernel holds before they are accepted.
    pub backlog: Option<u32>,
    /// `freebind`: the address need not be one of this host.
    pub freebind: bool,
    /// `transparent`: connections to any address are taken.
    pub transparent: bool,
    /// `enable_reuse_port` (true by default): each worker has a socket of its own.
    pub reuse_port: bool,
    /// `tcp_fast_open_queue_length`: how many connections may begin with data; 0 for none.
    pub fast_open: Option<u32>,
    /// `tcp_keepalive`; `None` leaves keep-alive off.
    pub keepalive: Option<TcpKeepalive>,
    /// `address.socket_address.ipv4_compat`: `::` takes connections over IPv4 too.
    pub ipv4_compat: bool,
    /// `address.pipe.mode`: of the file of a Unix socket; 0 leaves it to the process.
    pub mode: u32,
    /// `socket_options`, in order.
    pub options: Box<[SocketOption]>,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            backlog: None,
            freebind: false,
            transparent: false,
            reuse_port: true,
            fast_open: None,
            keepalive: None,
            ipv4_compat: false,
            mode: 0,
            options: Box::default(),
        }
    }
}

/// `core.v3.SocketOption`: something that is set by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOption {
    /// `level`, such as 6 for TCP.
    pub level: i32,
    /// `name`: the number of the option.
    pub name: i32,
    /// `int_value` or `buf_value`.
    pub value: SocketValue,
    /// `state`: when it is set.
    pub state: SocketState,
    /// `ip_version`: whether it is for sockets of IPv4 (4) or IPv6 (6) alone.
    pub only_for: Option<u8>,
}

/// What a socket option is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketValue {
    /// A number.
    Int(i32),
    /// Bytes as the option wants them.
    Bytes(Box<[u8]>),
}

/// When a socket option is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// Before the socket has an address.
    Prebind,
    /// Once it has one.
    Bound,
    /// Once it listens.
    Listening,
}

/// Reads all addresses of a listener, the main one first.
pub(crate) fn addresses(
    message: &wire::Listener,
    at: &At<'_>,
    notes: &mut Notes,
) -> Vec<ListenAddress> {
    let of_all = SocketSettings {
        backlog: optional(message.tcp_backlog_size.as_ref()),
        freebind: scalar::bool_or(message.freebind.as_ref(), false),
        transparent: scalar::bool_or(message.transparent.as_ref(), false),
        reuse_port: scalar::bool_or(message.enable_reuse_port.as_ref(), true),
        fast_open: optional(message.tcp_fast_open_queue_length.as_ref()),
        keepalive: upstream_connection::tcp_keepalive(message.tcp_keepalive.as_ref()),
        options: options(&message.socket_options, at, notes),
        ..SocketSettings::default()
    };
    let mut addresses = Vec::with_capacity(1 + message.additional_addresses.len());
    addresses.extend(one(message.address.as_ref(), of_all.clone(), &at.field("address"), notes));
    for (index, additional) in message.additional_addresses.iter().enumerate() {
        let at = at.item("additional_addresses", index);
        let mut settings = of_all.clone();
        if let Some(own) = &additional.socket_options {
            let at = at.field("socket_options");
            settings.options = options(&own.socket_options, &at, notes);
        }
        if additional.tcp_keepalive.is_some() {
            settings.keepalive =
                upstream_connection::tcp_keepalive(additional.tcp_keepalive.as_ref());
        }
        let address = additional.address.as_ref();
        addresses.extend(one(address, settings, &at.field("address"), notes));
    }
    addresses
}

impl From<SocketAddr> for ListenAddress {
    /// For one who listens alone: nobody else is to have the address too.
    fn from(address: SocketAddr) -> Self {
        let socket = SocketSettings { reuse_port: false, ..SocketSettings::default() };
        Self { address: Address::Ip(address), socket }
    }
}

impl ListenAddress {
    /// Reads the address of the admin interface; `None` when it has none.
    ///
    /// # Errors
    /// All reasons why it is refused, at least one.
    pub fn of_admin(message: &Admin) -> Result<Option<Self>, Vec<Reason>> {
        let Some(address) = &message.address else { return Ok(None) };
        let mut notes = Notes::default();
        let root = At::root();
        let at = root.field("admin");
        // Nobody else is to have the address too.
        let settings = SocketSettings {
            options: options(&message.socket_options, &at, &mut notes),
            reuse_port: false,
            ..SocketSettings::default()
        };
        let read = one(Some(address), settings, &at.field("address"), &mut notes);
        if notes.reasons.is_empty() { Ok(read) } else { Err(notes.reasons) }
    }
}

fn one(
    message: Option<&core::Address>,
    mut socket: SocketSettings,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ListenAddress> {
    use core::address::Address as Kind;
    let address = address::address(message, at, notes)?;
    match message.and_then(|message| message.address.as_ref()) {
        Some(Kind::SocketAddress(message)) => socket.ipv4_compat = message.ipv4_compat,
        Some(Kind::Pipe(message)) => socket.mode = message.mode,
        _ => {}
    }
    Some(ListenAddress { address, socket })
}

/// Reads the `socket_options` of the message here. Those for datagrams are for sockets that there are none of.
pub(crate) fn options(
    messages: &[core::SocketOption],
    at: &At<'_>,
    notes: &mut Notes,
) -> Box<[SocketOption]> {
    at.each("socket_options", messages, notes, |message, at, notes| {
        let is_for_datagrams =
            message.r#type.is_some_and(|kind| kind.stream.is_none() && kind.datagram.is_some());
        option(message, at, notes).filter(|_| !is_for_datagrams)
    })
}

fn option(message: &core::SocketOption, at: &At<'_>, notes: &mut Notes) -> Option<SocketOption> {
    use core::socket_option::{SocketIpVersion, SocketState as State, Value};
    let mut number = |value: i64, field| match i32::try_from(value) {
        Ok(number) => Some(number),
        Err(_) => notes.refuse(&at.field(field), Problem::Number(value)),
    };
    let (level, name) = (number(message.level, "level"), number(message.name, "name"));
    let value = match &message.value {
        Some(Value::IntValue(value)) => number(*value, "int_value").map(SocketValue::Int),
        Some(Value::BufValue(bytes)) => Some(SocketValue::Bytes(bytes.as_slice().into())),
        None => notes.refuse(&at.field("int_value"), Problem::Missing),
    };
    let state = match State::try_from(message.state) {
        Ok(State::StatePrebind) => Some(SocketState::Prebind),
        Ok(State::StateBound) => Some(SocketState::Bound),
        Ok(State::StateListening) => Some(SocketState::Listening),
        Err(_) => notes.refuse(&at.field("state"), Problem::UnknownEnum(message.state)),
    };
    let only_for = match SocketIpVersion::try_from(message.ip_version) {
        Ok(SocketIpVersion::Unspecified) => None,
        Ok(SocketIpVersion::Ipv4) => Some(4),
        Ok(SocketIpVersion::Ipv6) => Some(6),
        Err(_) => {
            let unknown = Problem::UnknownEnum(message.ip_version);
            return notes.refuse(&at.field("ip_version"), unknown);
        }
    };
    Some(SocketOption { level: level?, name: name?, value: value?, state: state?, only_for })
}
