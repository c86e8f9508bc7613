//! `Workload`: a program that `weft up` starts on this machine, with a sidecar beside it.

use serde::Serialize;

use super::{Metadata, Resource};
use crate::document::Kind;
use crate::reader::StringMap;

/// Instances of a program behind a Service. Only `weft up` acts on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// The Service it belongs to, in the same namespace.
    pub service: String,
    /// Labels its sidecars register with.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub labels: StringMap,
    /// How many to start.
    #[serde(skip_serializing_if = "is_one")]
    pub instances: u16,
    /// What to start.
    pub run: Run,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_one(instances: &u16) -> bool {
    *instances == 1
}

/// What to start. The variable `PORT` tells it where to listen, and `WEFT_OUTBOUND` where
/// its sidecar takes its calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The program.
    #[serde(flatten)]
    pub program: Program,
    /// Variables added to its environment.
    #[serde(skip_serializing_if = "StringMap::is_empty")]
    pub env: StringMap,
    /// Where it listens on loopback; a free port, told in `PORT`, without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// One of the samples that `weft` has in it.
    Sample(Sample),
    /// A command and its arguments, at least one.
    Command(Vec<String>),
}

/// The sample services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sample {
    /// HTTP; calls the other two.
    Storefront,
    /// gRPC.
    Catalog,
    /// HTTP, in versions.
    Inventory,
}

impl Sample {
    /// The name as documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Storefront => "storefront",
            Self::Catalog => "catalog",
            Self::Inventory => "inventory",
        }
    }
}

impl Resource for Workload {
    const KIND: Kind = Kind::Workload;

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}
