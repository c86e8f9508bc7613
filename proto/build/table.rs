//! `fields.toml`, parsed.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Result;

/// What becomes of a field that is set. The order is that of severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Honour,
    Noop,
    #[default]
    Warn,
    Nack,
}

/// The whole of `fields.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// Full names of the messages that may be checked by name.
    pub(crate) roots: Vec<String>,
    /// Full-name prefix to the row that its messages' unlisted fields have.
    pub(crate) places: BTreeMap<String, Row>,
    /// Full name, then field name (or `*`).
    #[serde(rename = "message")]
    pub(crate) messages: BTreeMap<String, BTreeMap<String, Row>>,
}

/// One row: a verdict with its test or reason, and what narrows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "RawRow")]
pub(crate) struct Row {
    pub(crate) verdict: Verdict,
    /// The test's name for `honour`, else the reason.
    pub(crate) note: String,
    /// The enum values honoured; empty for all.
    pub(crate) values: Vec<String>,
    /// The types honoured in an `Any`.
    pub(crate) types: Vec<String>,
    /// The most elements honoured.
    pub(crate) at_most: Option<u32>,
    /// What becomes of other types in an `Any`.
    pub(crate) others: Verdict,
    /// The bool next to the field that turns a refusal of its type into a warning.
    pub(crate) optional_by: Option<String>,
    /// A value that means what happens anyway.
    pub(crate) unless: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    honour: Option<String>,
    noop: Option<String>,
    warn: Option<String>,
    nack: Option<String>,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    types: Vec<String>,
    at_most: Option<u32>,
    others: Option<Verdict>,
    optional_by: Option<String>,
    unless: Option<Literal>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Literal {
    Bool(bool),
    Number(u64),
}

impl TryFrom<RawRow> for Row {
    type Error = String;

    fn try_from(raw: RawRow) -> Result<Self, String> {
        let (verdict, note) = match (raw.honour, raw.noop, raw.warn, raw.nack) {
            (Some(test), None, None, None) => (Verdict::Honour, test),
            (None, Some(reason), None, None) => (Verdict::Noop, reason),
            (None, None, Some(reason), None) => (Verdict::Warn, reason),
            (None, None, None, Some(reason)) => (Verdict::Nack, reason),
            _ => return Err("a row has exactly one of honour, noop, warn and nack".into()),
        };
        if note.is_empty() {
            return Err("a row says why, or which test shows it".into());
        }
        let narrowed = !raw.values.is_empty() || !raw.types.is_empty() || raw.at_most.is_some();
        if narrowed && verdict != Verdict::Honour {
            return Err("values, types and at_most narrow what is honoured".into());
        }
        if raw.unless.is_some() && matches!(verdict, Verdict::Honour | Verdict::Noop) {
            return Err("`unless` excepts a value from warn or nack".into());
        }
        Ok(Self {
            verdict,
            note,
            values: raw.values,
            types: raw.types,
            at_most: raw.at_most,
            others: raw.others.unwrap_or(Verdict::Nack),
            optional_by: raw.optional_by,
            unless: raw.unless.map(|literal| match literal {
                Literal::Bool(value) => u64::from(value),
                Literal::Number(value) => value,
            }),
        })
    }
}

impl Table {
    pub(crate) fn read(path: &str) -> Result<Self> {
        let text = std::fs::read_to_string(path)?;
        toml::from_str(&text).map_err(|error| format!("{path}: {error}").into())
    }
}
