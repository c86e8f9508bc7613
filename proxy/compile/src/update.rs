//! What a compiler is told.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use weft_resources::ResourceType;

/// One delivery of resources of one type.
#[derive(Clone, Debug)]
pub struct Update {
    /// Their type.
    pub resource_type: ResourceType,
    /// The version of the whole delivery (`DiscoveryResponse.version_info`, or the delta
    /// response's `system_version_info`).
    pub version: Arc<str>,
    /// New and changed resources.
    pub upserts: Vec<Upsert>,
    /// Names that are gone.
    pub removals: Vec<Arc<str>>,
    /// Whether `upserts` is everything there is, so that what is absent is gone
    /// (state-of-the-world LDS and CDS).
    pub full_state: bool,
    /// Where it comes from.
    pub source: Source,
}

impl Update {
    /// Resources of the bootstrap.
    pub fn fixed(resource_type: ResourceType, upserts: Vec<Upsert>) -> Self {
        Self {
            resource_type,
            version: Arc::from(""),
            upserts,
            removals: Vec::new(),
            full_state: false,
            source: Source::Static,
        }
    }
}

/// One resource as it arrived.
#[derive(Clone, Debug)]
pub struct Upsert {
    /// Its name; of assignments and route configurations their key ([`weft_resources::Origin::key`]).
    pub name: Arc<str>,
    /// Its own version; in state-of-the-world xDS that of the delivery.
    pub version: Arc<str>,
    /// The encoded resource.
    pub value: Bytes,
}

/// Where a resource comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The bootstrap. It stays for the life of the process, and wins over a dynamic resource of
    /// the same name.
    Static,
    /// A management server.
    Dynamic,
}

/// When something happened; given by the caller.
pub(crate) type Moment = SystemTime;
