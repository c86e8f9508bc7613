//! Messages from and to JSON and YAML, as the protobuf JSON mapping has it.
//!
//! Reading is strict: a name that the message does not have is an error that says
//! where. Both spellings of a name are taken, `connect_timeout` and `connectTimeout`.
//! Writing uses the names of the `.proto`, as Envoy's `/config_dump` does.
//!
//! Nothing is loaded for it: the crate's static schema is all there is.

mod document;
mod encode;
mod places;
mod print;
mod scalar;
mod text;
pub(crate) mod time;
mod yaml;

use std::fmt;

use prost::Name;
use serde_json::Value;

pub use places::Places;
pub use print::any_to_json;

/// Why text is not the message asked for, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Line of the offending value, counted from 1.
    pub line: usize,
    /// Column of the offending value, counted from 1.
    pub column: usize,
    /// Names the field, e.g. `static_resources.clusters[0].lb_policy`; empty at the top.
    pub path: String,
    /// What is wrong, and what would be right.
    pub reason: String,
    /// What else is wrong, as far as it was looked for.
    pub more: Vec<Error>,
}

impl Error {
    /// All that is wrong, in the order of the text.
    pub fn all(&self) -> Vec<&Self> {
        let mut all: Vec<&Self> =
            std::iter::once(self).chain(self.more.iter().flat_map(Self::all)).collect();
        all.sort_by_key(|error| (error.line, error.column));
        all
    }

    fn write(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        out.write_str(&self.reason)
    }
}

/// One line each.
impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.all().into_iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            error.write(out)?;
        }
        Ok(())
    }
}

/// Reads a message from one YAML document.
///
/// ```
/// use weft_proto::pb::envoy::config::cluster::v3::Cluster;
///
/// let cluster: Cluster = weft_proto::json::from_yaml("{name: a, connect_timeout: 0.25s}")?;
/// assert_eq!(cluster.connect_timeout.map(|timeout| timeout.nanos), Some(250_000_000));
/// let error = weft_proto::json::from_yaml::<Cluster>("nmae: a").unwrap_err();
/// assert_eq!(error.to_string(), "line 1, column 1: nmae: unknown field; did you mean `name`?");
/// # Ok::<(), weft_proto::json::Error>(())
/// ```
///
/// # Errors
///
/// When the text is no YAML, has more than one document, or is not an `M`.
pub fn from_yaml<M: Name + Default>(text: &str) -> Result<M, Error> {
    decode(&document::from_yaml(text)?)
}

/// Reads a message from JSON.
///
/// # Errors
///
/// When the text is no JSON, or is not an `M`.
pub fn from_json<M: Name + Default>(text: &str) -> Result<M, Error> {
    decode(&text::from_json(text)?)
}

fn decode<M: Name + Default>(document: &document::Node) -> Result<M, Error> {
    let bytes = encode::message(document, &M::full_name())?;
    M::decode(bytes.as_slice()).map_err(|error| Error {
        line: document.at.line,
        column: document.at.column,
        path: String::new(),
        reason: error.to_string(),
        more: Vec::new(),
    })
}

/// Writes a message as JSON, leaving out fields that are absent or default.
///
/// An `Any` of a type that is not known is written with its bytes in base64:
/// `{"@type": "...", "value": "..."}`.
#[must_use]
pub fn to_json<M: Name>(message: &M) -> Value {
    print::message(&M::full_name(), &message.encode_to_vec())
}

/// Writes a message as a YAML document, see [`to_json`].
#[must_use]
pub fn to_yaml<M: Name>(message: &M) -> String {
    yaml::write(&to_json(message))
}

#[cfg(test)]
mod tests;
