//! What configuration says about sockets, in the words of the system.

use std::net::IpAddr;

use weft_compile::{
    ConnectionSettings, FamilyOrder, SocketOption, SocketSettings, SocketState, SocketValue,
    TcpKeepalive,
};
use weft_net::{AddressOrder, Keepalive, ListenOptions, TcpOptions, When};

/// How a socket of a listener is bound; `ip` is its address, which a Unix socket has none of.
pub fn listen_options(settings: &SocketSettings, ip: Option<IpAddr>) -> ListenOptions {
    let default = ListenOptions::default();
    let backlog = settings.backlog.map(|size| i32::try_from(size).unwrap_or(i32::MAX));
    let is_meant = |option: &&SocketOption| {
        option.only_for.is_none_or(|only| ip.is_some_and(|ip| only == version(ip)))
    };
    ListenOptions {
        backlog: backlog.unwrap_or(default.backlog),
        freebind: settings.freebind,
        transparent: settings.transparent,
        reuse_port: settings.reuse_port,
        over_v4_too: settings.ipv4_compat,
        fast_open: settings.fast_open,
        keepalive: settings.keepalive.map(keepalive),
        mode: settings.mode,
        options: settings.options.iter().filter(is_meant).map(option).collect(),
    }
}

/// What a connection to an endpoint at `peer` is to be like.
pub(crate) fn tcp_options(settings: &ConnectionSettings, peer: IpAddr) -> TcpOptions {
    let sources = &settings.sources;
    TcpOptions {
        source: sources.towards(peer).map(|source| source.address),
        freebind: sources.freebind,
        keepalive: settings.tcp_keepalive.map(keepalive),
        options: sources.options_towards(peer).map(option).collect(),
    }
}

/// In which order an endpoint's addresses are tried, where it has several.
pub(crate) fn address_order(settings: &ConnectionSettings) -> AddressOrder {
    let FamilyOrder { leads_v4, count } = settings.family_order;
    AddressOrder { leads_v4, count: usize::try_from(count).unwrap_or(usize::MAX) }
}

fn version(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 4 } else { 6 }
}

fn keepalive(settings: TcpKeepalive) -> Keepalive {
    let TcpKeepalive { probes, time, interval } = settings;
    Keepalive { probes, time, interval }
}

fn option(option: &SocketOption) -> weft_net::SocketOption {
    weft_net::SocketOption {
        level: option.level,
        name: option.name,
        value: match &option.value {
            SocketValue::Int(number) => number.to_ne_bytes().into(),
            SocketValue::Bytes(bytes) => bytes.clone(),
        },
        when: match option.state {
            SocketState::Prebind => When::Prebind,
            SocketState::Bound => When::Bound,
            SocketState::Listening => When::Listening,
        },
    }
}
