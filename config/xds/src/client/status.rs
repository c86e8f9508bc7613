//! What is known of each resource, for whoever asks (`/config_dump`, CSDS).

use std::time::Instant;

/// The state of a resource, in the words of CSDS (`ClientResourceStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Asked for, nothing heard.
    Requested,
    /// The server says there is none.
    DoesNotExist,
    /// Asked for in vain for too long.
    Timeout,
    /// The newest version was accepted.
    Acked,
    /// The newest version was refused.
    Nacked,
    /// The server says why it cannot serve it.
    ReceivedError,
}

/// What is known of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// The version in use; empty if there is none.
    pub version: String,
    /// When that version was accepted.
    pub updated: Option<Instant>,
    /// The last refusal, until something newer is accepted.
    pub refusal: Option<Refusal>,
}

/// Why a version is not in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The version; empty for an error that the server reports.
    pub version: String,
    /// What is wrong with it.
    pub reason: String,
    /// When it was found.
    pub at: Instant,
}

impl Status {
    pub(super) fn requested() -> Self {
        Self { state: State::Requested, version: String::new(), updated: None, refusal: None }
    }
}
