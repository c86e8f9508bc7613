//! Network filters that stand before the one that handles the connection.

use std::time::Duration;

use weft_proto::pb::envoy::extensions::filters::network::connection_limit::v3 as wire;

use crate::{
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// `connection_limit`: how many connections a chain has at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimit {
    /// `stat_prefix`.
    pub stat_prefix: Box<str>,
    /// `max_connections`.
    pub max: u64,
    /// `delay`: how long one too many is held before it is closed.
    pub delay: Option<Duration>,
}

/// Reads the filter. `None` where it is turned off: there is no runtime layer, so its default holds.
pub(crate) fn connection_limit(
    message: &wire::ConnectionLimit,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<ConnectionLimit>> {
    let Some(max) = &message.max_connections else {
        return notes.refuse(&at.field("max_connections"), Problem::Missing);
    };
    let on = message.runtime_enabled.as_ref();
    let on = on.is_none_or(|flag| scalar::bool_or(flag.default_value.as_ref(), true));
    let delay = scalar::timeout_or(message.delay.as_ref(), None, &at.field("delay"), notes);
    let stat_prefix = message.stat_prefix.as_str().into();
    Some(on.then_some(ConnectionLimit { stat_prefix, max: max.value, delay }))
}
