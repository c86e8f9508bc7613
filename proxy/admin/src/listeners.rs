//! `/listeners`.

use std::fmt::Write as _;

use serde_json::{Value, json};
use weft_compile::BindAddress;

use crate::{
    reply::{self, Reply},
    source::BoundListener,
};

/// One `name::address` line for each address.
pub(crate) fn text(listeners: &[BoundListener]) -> Reply {
    let mut out = String::new();
    for listener in listeners {
        for address in &listener.addresses {
            let _ = match address {
                BindAddress::Ip(address) => writeln!(out, "{}::{address}", listener.name),
                BindAddress::Pipe(path) => writeln!(out, "{}::{}", listener.name, path.display()),
            };
        }
    }
    reply::ok(out)
}

/// `admin.v3.Listeners`.
pub(crate) fn as_json(listeners: &[BoundListener]) -> Reply {
    let statuses: Vec<Value> = listeners
        .iter()
        .map(|listener| {
            let mut addresses = listener.addresses.iter().map(address);
            let mut status = json!({
                "name": *listener.name,
                "local_address": addresses.next(),
            });
            let others: Vec<Value> = addresses.collect();
            if !others.is_empty() {
                status["additional_local_addresses"] = others.into();
            }
            status
        })
        .collect();
    reply::json(&json!({ "listener_statuses": statuses }))
}

/// `core.v3.Address`.
fn address(address: &BindAddress) -> Value {
    match address {
        BindAddress::Ip(address) => json!({
            "socket_address": { "address": address.ip(), "port_value": address.port() }
        }),
        BindAddress::Pipe(path) => json!({ "pipe": { "path": path } }),
    }
}
