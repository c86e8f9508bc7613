//! `/server_info`.

use serde_json::json;

use crate::{
    reply::{self, Reply},
    source::{ServerInfo, ServerState},
};

/// `admin.v3.ServerInfo`.
pub(crate) fn as_json(state: ServerState, info: &ServerInfo) -> Reply {
    let uptime = format!("{}s", info.uptime.as_secs());
    reply::json(&json!({
        "version": info.version,
        "state": state.name(),
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
        "hot_restart_version": "disabled",
        "command_line_options": info.command_line_options,
        "node": info.node,
    }))
}
