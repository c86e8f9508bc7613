//! Where the configuration of a node comes from.

use std::sync::Arc;

use tokio::sync::watch;
use weft_proto::discovery::Node;
use weft_xds::{ResourceType, Snapshot};

use crate::vetted::{Vetted, Withheld};

/// Knows what each node is to have.
pub trait Source: Send + Sync + 'static {
    /// What a node is to have from now on; `None` as long as that is unknown. The node is of
    /// interest until the receiver is dropped.
    ///
    /// # Errors
    /// When nothing can be said to a node like this; it is told why.
    fn open(&self, node: &Node) -> Result<watch::Receiver<Option<Arc<Offer>>>, Refused>;
}

/// Why a node is turned away, in words for its operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// What one node is to have. All of it is vetted.
#[derive(Debug, Default)]
pub struct Offer {
    snapshot: Arc<Snapshot>,
    withheld: Vec<Withheld>,
}

impl Offer {
    /// An offer of these types.
    pub fn new<'a>(types: impl IntoIterator<Item = (ResourceType, &'a Vetted)>) -> Self {
        let mut snapshot = Snapshot::default();
        let mut withheld = Vec::new();
        for (of, vetted) in types {
            snapshot = snapshot.with(of, Arc::clone(vetted.resources()));
            withheld.extend_from_slice(vetted.withheld());
        }
        Self { snapshot: Arc::new(snapshot), withheld }
    }

    /// What is sent.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// What is not, and why.
    pub fn withheld(&self) -> &[Withheld] {
        &self.withheld
    }
}
