//! Whether a resource is one that we can take at its word.
//!
//! Two things are asked of every resource before anything is made of it. Is it sound:
//! does it obey the rules that Envoy's API states of itself (protoc-gen-validate)? And
//! is everything it asks for something we do? `fields.toml` says of each field that it
//! is honoured, harmless to leave out (`noop`), left out with a warning, or a reason to
//! refuse the resource. Nothing is ever ignored in silence.
//!
//! Both are answered in one walk over the encoded bytes: what a decoder drops because
//! it was compiled without it, is seen here. A resource without findings costs no
//! allocation.

mod leaf;
mod path;
mod reason;
mod rule;
mod table;
mod walk;

use crate::schema::Message;
use crate::type_url::message_name;

pub use crate::schema::Verdict;
pub use table::{Row, markdown, table};

/// What is wrong with, or missing from, what a resource gets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// Names the field, through any `Any`:
    /// `filter_chains[0].filters[0].typed_config.http_filters[1].name`.
    /// Empty for the resource as a whole.
    pub path: String,
    /// [`Verdict::Warn`] or [`Verdict::Nack`].
    pub verdict: Verdict,
    /// What is wrong, and what is supported.
    pub reason: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            return out.write_str(&self.reason);
        }
        write!(out, "{}: {}", self.path, self.reason)
    }
}

/// Checks an encoded resource of a type that `fields.toml` names as a root.
///
/// The findings come in the order of the fields on the wire and are cut off after
/// [`MAX_FINDINGS`]. No bytes, however hostile, make this panic.
///
/// ```
/// use prost::Message;
/// use weft_proto::check::{Verdict, check};
/// use weft_proto::pb::envoy::config::cluster::v3::Cluster;
///
/// let findings = check(weft_proto::type_url::CLUSTER, &Cluster::default().encode_to_vec());
/// assert_eq!(findings[0].verdict, Verdict::Nack);
/// assert_eq!(findings[0].to_string(), "name: must not be empty");
/// ```
#[must_use]
pub fn check(type_url: &str, bytes: &[u8]) -> Vec<Finding> {
    let name = message_name(type_url);
    match Message::root(name) {
        Some(message) => walk::findings(message, bytes),
        None => vec![Finding {
            path: String::new(),
            verdict: Verdict::Nack,
            reason: format!("`{name}` is not a type of resource that is supported"),
        }],
    }
}

/// The most findings that one resource gets.
pub const MAX_FINDINGS: usize = 100;

#[cfg(test)]
mod tests;
