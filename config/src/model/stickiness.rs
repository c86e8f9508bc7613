//! Requests that keep to where the ones before them went.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::balancing::HashCookie;

/// The requests of one client go to one endpoint, as long as that is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stickiness {
    /// Who remembers which one.
    pub by: SessionKeeper,
    /// No other endpoint will do.
    pub strict: bool,
}

/// Where the endpoint of a session is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionKeeper {
    /// In a cookie that clients are given.
    Cookie(HashCookie),
    /// In this header of responses, which clients send back with their requests.
    Header(String),
}

impl Serialize for Stickiness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.by {
            SessionKeeper::Cookie(cookie) => map.serialize_entry("cookie", cookie)?,
            SessionKeeper::Header(name) => map.serialize_entry("header", name)?,
        }
        if self.strict {
            map.serialize_entry("strict", &true)?;
        }
        map.end()
    }
}
