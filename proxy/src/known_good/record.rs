//! What is written down.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Everything that was in force at one time.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    /// Whose it is.
    #[prost(string, tag = "1")]
    pub(super) identity: String,
    /// When, in seconds of Unix time.
    #[prost(uint64, tag = "2")]
    pub(super) written: u64,
    #[prost(message, repeated, tag = "3")]
    pub(super) entries: Vec<Entry>,
}

/// One resource.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    /// What it is held under.
    #[prost(string, tag = "2")]
    pub(super) key: String,
    #[prost(string, tag = "3")]
    pub(super) version: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) value: Vec<u8>,
}

impl Record {
    pub(super) fn now(identity: &str, entries: Vec<Entry>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { identity: identity.to_owned(), written: now.as_secs(), entries }
    }

    pub(super) fn written(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.written)).unwrap_or(UNIX_EPOCH)
    }
}
