//! Which route a request takes: host, path, header and query matching with Envoy's semantics.
//!
//! The vocabulary ([`RouteMatch`] and its parts) is what a configuration is parsed into; every
//! value of it can be matched. [`RouteTable::compile`] turns virtual hosts into tables that are
//! read through `&self` without a lock and without allocating: a hash of exact domains, tries for
//! wildcard domains and paths, and one automaton for the path expressions of a virtual host.
//!
//! [`ChainTable`] does the same for the filter chains of a listener.
//!
//! The crate is pure. The random number that runtime fractions need comes with the request.

mod candidates;
mod chains;
mod cookie;
mod error;
mod fraction;
mod header;
mod hosts;
mod path;
mod path_index;
mod path_rules;
mod pattern;
mod query;
mod request;
mod rule;
mod string;
mod table;
mod trie;

pub use chains::{
    ChainError, ChainMatch, ChainTable, ConnectionView, Prefix, PrefixError, ServerName, SourceType,
};
pub use cookie::CookieMatch;
pub use error::RouteError;
pub use fraction::{Denominator, Fraction};
pub use header::{HeaderKey, HeaderKeyError, HeaderMatch, HeaderValueMatch};
pub use path::PathMatch;
pub use path_rules::{EscapedSlashes, PathRules, PathVerdict};
pub use pattern::{Pattern, PatternError, Substitution};
pub use query::{QueryMatch, QueryValueMatch, first_query_value};
pub use request::RequestView;
pub use rule::RouteMatch;
pub use string::{StringMatch, StringRule};
pub use table::{
    MatchOptions, Outcome, Route, RouteSpec, RouteTable, TlsRequirement, VirtualHostSpec,
};
