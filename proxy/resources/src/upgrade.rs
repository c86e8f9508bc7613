//! `upgrade_configs`, of routes and of connection managers: which protocols a connection may be switched to.

use weft_proto::pb::envoy::{
    config::route::v3::route_action as wire,
    extensions::filters::network::http_connection_manager::v3::http_connection_manager as manager,
};

use crate::{
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// `UpgradeConfig`: whether a route lets an upgrade happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// `upgrade_type` in lower case: `websocket`, or `connect` for the method CONNECT.
    pub protocol: Box<str>,
    /// `enabled` (true by default).
    pub is_enabled: bool,
    /// `connect_config`: CONNECT ends here, and its bytes go to the upstream as they are.
    pub connect: Option<ConnectTermination>,
}

/// `UpgradeConfig.ConnectConfig`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectTermination {
    /// `allow_post`: the payload of a POST is treated in the same way.
    pub allow_post: bool,
}

/// Reads `upgrade_configs` of a connection manager.
pub(crate) fn of_connections(
    message: &[manager::UpgradeConfig],
    at: &At<'_>,
    notes: &mut Notes,
) -> Box<[Upgrade]> {
    let mut upgrades: Vec<Upgrade> = Vec::with_capacity(message.len());
    for (index, upgrade) in message.iter().enumerate() {
        let at = at.item("upgrade_configs", index);
        let protocol = upgrade.upgrade_type.to_ascii_lowercase();
        if upgrades.iter().any(|known| *known.protocol == *protocol) {
            notes.refuse::<()>(&at.field("upgrade_type"), Problem::Duplicate(protocol.clone()));
        }
        upgrades.push(Upgrade {
            protocol: protocol.into(),
            is_enabled: scalar::bool_or(upgrade.enabled.as_ref(), true),
            connect: None,
        });
    }
    upgrades.into()
}

/// Reads the upgrades of a route; each protocol may be named once.
pub(crate) fn read(
    message: &[wire::UpgradeConfig],
    at: &At<'_>,
    notes: &mut Notes,
) -> Box<[Upgrade]> {
    let mut upgrades: Vec<Upgrade> = Vec::with_capacity(message.len());
    for (index, upgrade) in message.iter().enumerate() {
        let at = at.item("upgrade_configs", index);
        let protocol = upgrade.upgrade_type.to_ascii_lowercase();
        if upgrades.iter().any(|known| *known.protocol == *protocol) {
            notes.refuse::<()>(&at.field("upgrade_type"), Problem::Duplicate(protocol.clone()));
        }
        let connect = upgrade.connect_config.as_ref();
        if connect.is_some() && protocol != "connect" {
            notes.refuse::<()>(&at.field("connect_config"), Problem::Conflict("upgrade_type"));
        }
        if connect.is_some_and(|connect| connect.proxy_protocol_config.is_some()) {
            notes.unsupported::<()>(
                &at.field("connect_config").field("proxy_protocol_config"),
                "the PROXY protocol before the bytes of a tunnel",
                "leave it out",
            );
        }
        upgrades.push(Upgrade {
            protocol: protocol.into(),
            is_enabled: scalar::bool_or(upgrade.enabled.as_ref(), true),
            connect: connect.map(|it| ConnectTermination { allow_post: it.allow_post }),
        });
    }
    upgrades.into()
}
