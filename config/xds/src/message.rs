//! What travels on a stream, in either mode.

use weft_proto::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Node,
};

/// How a stream tells of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// State of the world: every request repeats all names; listeners and clusters always come as
    /// the full set.
    StateOfTheWorld,
    /// Incremental: only what changed, both ways.
    Delta,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// On a state-of-the-world stream.
    Sotw(DiscoveryRequest),
    /// On a delta stream.
    Delta(DeltaDiscoveryRequest),
}

impl Request {
    /// The client, if this message says who it is. The first of a stream must.
    pub fn node(&self) -> Option<&Node> {
        match self {
            Self::Sotw(request) => request.node.as_ref(),
            Self::Delta(request) => request.node.as_ref(),
        }
    }

    /// The type asked for.
    pub fn type_url(&self) -> &str {
        match self {
            Self::Sotw(request) => &request.type_url,
            Self::Delta(request) => &request.type_url,
        }
    }
}

/// What a server says.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// On a state-of-the-world stream.
    Sotw(DiscoveryResponse),
    /// On a delta stream.
    Delta(DeltaDiscoveryResponse),
}

impl Response {
    /// The type of the resources within.
    pub fn type_url(&self) -> &str {
        match self {
            Self::Sotw(response) => &response.type_url,
            Self::Delta(response) => &response.type_url,
        }
    }
}
