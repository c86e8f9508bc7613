//! Hedging: requests that are slow go to a second endpoint as well.

use std::time::Duration;

use serde::Serialize;

use super::policy::{duration, is_default};
use super::retry::RetryBudget;
use super::route::Method;

/// A request that is not answered in time is sent to a second endpoint as well, while the first
/// one goes on. Whoever answers first has won, and the other is broken off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hedging {
    /// What is slow.
    #[serde(flatten)]
    pub slow: Slow,
    /// How often one request is sent as well, from 1 to 5; once without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<u32>,
    /// Which requests may be done twice, at least one method; those that change nothing twice (RFC
    /// 9110 section 9.2.2) without it. What carries an `Idempotency-Key` may be in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<Method>>,
    /// How many of the requests under way may be sent as well at once, from one proxy; 10 percent
    /// of them without it, and one in any case.
    #[serde(skip_serializing_if = "is_default")]
    pub budget: RetryBudget,
}

/// What is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Slow {
    /// What takes longer than so many percent of the answers that came lately: from 1 to 99.
    Percentile(u32),
    /// What takes longer than this; more than zero.
    #[serde(serialize_with = "of_some")]
    After(Duration),
}

fn of_some<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    duration(&Some(*time), serializer)
}
