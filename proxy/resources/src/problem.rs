//! What can be wrong with a resource, in words for the person who wrote it.

use std::{fmt, time::Duration};

use thiserror::Error;
use weft_format::FormatError;
use weft_route::{HeaderKeyError, PatternError, PrefixError, RouteError};

/// One reason why a resource is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The field, as in `virtual_hosts[0].routes[2].route.timeout`; empty for the whole resource.
    pub path: String,
    /// What is wrong with it.
    pub problem: Problem,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}", self.problem)?;
        } else {
            write!(f, "{}: {}", self.path, self.problem)?;
        }
        match self.problem.hint() {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Reason {}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The bytes are not this message.
    #[error("cannot be decoded: {0}")]
    Undecodable(String),
    /// The field table or a rule of the schema refuses it; the text says which.
    #[error("{0}")]
    Refused(String),
    /// A field that is needed is not set.
    #[error("is required")]
    Missing,
    /// A choice that is not honoured here.
    #[error("{what} is not supported")]
    Unsupported {
        /// The choice that was made.
        what: String,
        /// The choices there are.
        supported: &'static str,
    },
    /// A number that the enum does not define.
    #[error("{0} is not a value of this enum")]
    UnknownEnum(i32),
    /// A message packed in an `Any` of a type that nothing here understands.
    #[error("no extension handles {0:?}")]
    UnknownType(String),
    /// Negative, or not normalised.
    #[error("{seconds}s {nanos}ns is not a duration that can be waited for")]
    Duration {
        /// `seconds` of the message.
        seconds: i64,
        /// `nanos` of the message.
        nanos: i32,
    },
    /// Not an IP address.
    #[error("{0:?} is not an IP address")]
    Address(String),
    /// Not of 32 bits.
    #[error("{0} does not fit into 32 bits")]
    Number(i64),
    /// Above 65535.
    #[error("{0} is not a port")]
    Port(u32),
    /// Not a regular expression of RE2's syntax.
    #[error(transparent)]
    Regex(PatternError),
    /// Not a header name.
    #[error("{0:?} is not a header name")]
    HeaderName(String),
    /// Not a header value.
    #[error("holds bytes that a header value must not have")]
    HeaderValue,
    /// A header that routes must not touch.
    #[error("{0:?} must not be modified")]
    ForbiddenHeader(String),
    /// `%…%` where only literal text is taken.
    #[error("the substitution {0:?} is not supported")]
    Substitution(String),
    /// Not a format string.
    #[error(transparent)]
    Format(FormatError),
    /// Two fields that contradict each other.
    #[error("must not be set together with {0}")]
    Conflict(&'static str),
    /// A status outside 200 to 599.
    #[error("{0} is not a status that can be answered with")]
    Status(u32),
    /// Not a path a redirect can use.
    #[error("{0:?} is not a path")]
    PathText(String),
    /// A range whose end is not after its start.
    #[error("the range [{start}, {end}) is empty")]
    EmptyRange {
        /// First value in it.
        start: i64,
        /// First value behind it.
        end: i64,
    },
    /// All weights are zero, or their sum does not fit.
    #[error("the weights sum to {0}")]
    Weights(u64),
    /// Twice the same where only one can be.
    #[error("{0:?} is there twice")]
    Duplicate(String),
    /// The filter chain does not end in the filter that must be last, or goes on after it.
    #[error("{0}")]
    FilterOrder(&'static str),
    /// Virtual hosts that have no unambiguous meaning together.
    #[error(transparent)]
    Routes(#[from] RouteError),
    /// More than may be sent.
    #[error("has {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Bytes there are.
        bytes: usize,
        /// Bytes there may be.
        limit: usize,
    },
    /// Not a pseudo-header that exists, nor a header name.
    #[error(transparent)]
    HeaderKey(#[from] HeaderKeyError),
    /// A route names a cluster that is not there, and `validate_clusters` asks for that to matter.
    #[error("unknown cluster {0:?}")]
    UnknownCluster(String),
    /// A stream to a management server that cannot be reached.
    #[error("asks {0:?}, which is no cluster of the bootstrap")]
    UnknownServer(String),
    /// The name inside the resource is not the one it was delivered under.
    #[error("was delivered under the name {0:?}")]
    OtherName(String),
    /// A file that cannot be read.
    #[error("the file {name:?} cannot be read: {reason}")]
    File {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Another listener has this address.
    #[error("{address} is the address of listener {other:?} already")]
    AddressTaken {
        /// The address both want.
        address: String,
        /// The listener that has it.
        other: String,
    },
    /// A time that is shorter than it may be.
    #[error("must be at least {least:?}")]
    TooShort {
        /// The shortest that there may be.
        least: Duration,
    },
    /// More bits than an address has.
    #[error(transparent)]
    Prefix(PrefixError),
    /// Not a name that a TLS client could ask for, nor all names below a domain.
    #[error("{0:?} is not a server name")]
    ServerName(String),
    /// Two filter chains take the same connections.
    #[error("{chain} takes connections that {other} takes too")]
    ChainOverlap {
        /// The name of the chain that comes too late, or where it stands.
        chain: String,
        /// The name of the other chain, or where it stands.
        other: String,
    },
    /// The filter chains of a listener cannot be held.
    #[error("{0}")]
    Chains(String),
}

impl Problem {
    /// What to do about it, where that is not obvious.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unsupported { supported, .. } => Some(supported),
            Self::UnknownType(_) => {
                Some("remove the filter, or mark it is_optional where that is allowed")
            }
            Self::Address(_) => Some(
                "give an IP address; clusters of type STRICT_DNS and LOGICAL_DNS look names up",
            ),
            Self::Substitution(_) => Some("only literal text; write %% for a percent sign"),
            Self::ForbiddenHeader(_) => {
                Some("use host_rewrite_literal or prefix_rewrite for what they can do")
            }
            Self::UnknownCluster(_) => {
                Some("send the cluster first, or set validate_clusters to false")
            }
            Self::ServerName(_) => {
                Some("a star may only stand for the first labels, as *.example.com")
            }
            Self::ChainOverlap { .. } => {
                Some("give each chain a condition that the other does not have")
            }
            Self::UnknownServer(_) => {
                Some("management servers are reached by clusters of static_resources")
            }
            Self::Undecodable(_)
            | Self::Refused(_)
            | Self::Missing
            | Self::UnknownEnum(_)
            | Self::Duration { .. }
            | Self::Port(_)
            | Self::Number(_)
            | Self::Regex(_)
            | Self::HeaderName(_)
            | Self::HeaderValue
            | Self::Conflict(_)
            | Self::Status(_)
            | Self::PathText(_)
            | Self::EmptyRange { .. }
            | Self::Weights(_)
            | Self::Duplicate(_)
            | Self::FilterOrder(_)
            | Self::Routes(_)
            | Self::TooLarge { .. }
            | Self::HeaderKey(_)
            | Self::OtherName(_)
            | Self::Format(_)
            | Self::File { .. }
            | Self::AddressTaken { .. }
            | Self::Prefix(_)
            | Self::TooShort { .. }
            | Self::Chains(_) => None,
        }
    }
}

/// Something set that is accepted but not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The field; empty for the whole resource.
    pub path: String,
    /// What is not followed, and why that is acceptable.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.text)
        } else {
            write!(f, "{}: {}", self.path, self.text)
        }
    }
}

/// Everything found while reading one resource.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) reasons: Vec<Reason>,
    pub(crate) warnings: Vec<Warning>,
}

impl Notes {
    /// Refuses the resource. Returns `None` so that a reader can end with it.
    pub(crate) fn refuse<T>(&mut self, at: &crate::path::At<'_>, problem: Problem) -> Option<T> {
        self.reasons.push(Reason { path: at.to_string(), problem });
        None
    }

    /// Refuses a choice that is not honoured.
    pub(crate) fn unsupported<T>(
        &mut self,
        at: &crate::path::At<'_>,
        what: impl Into<String>,
        supported: &'static str,
    ) -> Option<T> {
        self.refuse(at, Problem::Unsupported { what: what.into(), supported })
    }

    /// Accepts with a remark.
    pub(crate) fn warn(&mut self, at: &crate::path::At<'_>, text: impl Into<String>) {
        self.warnings.push(Warning { path: at.to_string(), text: text.into() });
    }
}
