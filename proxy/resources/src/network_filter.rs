//! Network filters that stand before the one that handles the connection.

use std::time::Duration;

use weft_proto::pb::envoy::{
    config::core::v3 as core,
    extensions::filters::{
        listener::local_ratelimit::v3 as of_listener,
        network::{connection_limit::v3 as wire, local_ratelimit::v3 as of_network},
    },
    r#type::v3::TokenBucket,
};

use crate::{
    cluster::optional,
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

/// `local_ratelimit` of raw connections: how often new ones come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRate {
    /// `stat_prefix`.
    pub stat_prefix: Box<str>,
    /// `token_bucket`.
    pub tokens: TokenRate,
    /// `share_key`: filters with the same key and the same bucket take from one.
    pub share_key: Option<Box<str>>,
}

/// `envoy.type.v3.TokenBucket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenRate {
    /// `max_tokens`.
    pub most: u32,
    /// `tokens_per_fill` (1 by default).
    pub tokens: u32,
    /// `fill_interval`, at least 50 ms.
    pub interval: Duration,
}

/// The shortest `fill_interval` that Envoy takes.
const SHORTEST: Duration = Duration::from_millis(50);

/// Reads a token bucket.
pub(crate) fn token_rate(
    message: Option<&TokenBucket>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<TokenRate> {
    let Some(message) = message else { return notes.refuse(at, Problem::Missing) };
    let at = at.field("fill_interval");
    let Some(interval) = &message.fill_interval else {
        return notes.refuse(&at, Problem::Missing);
    };
    let interval = scalar::duration(interval, &at, notes)?;
    if interval < SHORTEST {
        return notes.refuse(&at, Problem::TooShort { least: SHORTEST });
    }
    let tokens = optional(message.tokens_per_fill.as_ref()).unwrap_or(1);
    Some(TokenRate { most: message.max_tokens, tokens, interval })
}

/// Reads `local_ratelimit` of a chain. `None` within where it is turned off.
pub(crate) fn network_rate(
    message: &of_network::LocalRateLimit,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<ConnectionRate>> {
    let tokens = token_rate(message.token_bucket.as_ref(), &at.field("token_bucket"), notes)?;
    Some(is_on(message.runtime_enabled.as_ref()).then(|| ConnectionRate {
        stat_prefix: message.stat_prefix.as_str().into(),
        tokens,
        share_key: Some(message.share_key.as_str()).filter(|key| !key.is_empty()).map(Box::from),
    }))
}

/// Reads `local_ratelimit` of a listener. `None` within where it is turned off.
pub(crate) fn listener_rate(
    message: &of_listener::LocalRateLimit,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<ConnectionRate>> {
    let tokens = token_rate(message.token_bucket.as_ref(), &at.field("token_bucket"), notes)?;
    let stat_prefix = message.stat_prefix.as_str().into();
    Some(is_on(message.runtime_enabled.as_ref()).then_some(ConnectionRate {
        stat_prefix,
        tokens,
        share_key: None,
    }))
}

/// There is no runtime layer, so the default holds.
fn is_on(flag: Option<&core::RuntimeFeatureFlag>) -> bool {
    flag.is_none_or(|flag| scalar::bool_or(flag.default_value.as_ref(), true))
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
    let on = is_on(message.runtime_enabled.as_ref());
    let delay = scalar::timeout_or(message.delay.as_ref(), None, &at.field("delay"), notes);
    let stat_prefix = message.stat_prefix.as_str().into();
    Some(on.then_some(ConnectionLimit { stat_prefix, max: max.value, delay }))
}
