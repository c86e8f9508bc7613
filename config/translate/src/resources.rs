//! What a node is sent: resources by name, each with a version that is its content.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use weft_config::DocumentId;

/// An encoded resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// A hash of `value`: equal in every process that translates the same, so that a client may
    /// keep what it has when the control plane restarts.
    pub version: Arc<str>,
    /// The message, without the `Any` around it.
    pub value: Bytes,
}

impl Resource {
    pub(crate) fn new(message: &impl prost::Message) -> Self {
        Self::encoded(message.encode_to_vec())
    }

    /// That of a message that is encoded already.
    pub(crate) fn encoded(value: Vec<u8>) -> Self {
        /// Half of a hash makes an accident between two versions of one name impossible.
        const HASH_BYTES: usize = 16;
        let mut version = String::with_capacity(2 * HASH_BYTES);
        for byte in Sha256::digest(&value).iter().take(HASH_BYTES) {
            // Writing to a String cannot fail.
            _ = write!(version, "{byte:02x}");
        }
        Self { version: version.into(), value: value.into() }
    }
}

pub(crate) type ResourceMap = BTreeMap<Arc<str>, Resource>;

/// The resources of one type for one node: those that many nodes share, and its own.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    shared: Arc<ResourceMap>,
    own: ResourceMap,
}

impl Collection {
    pub(crate) fn shared(shared: Arc<ResourceMap>) -> Self {
        Self { shared, own: ResourceMap::new() }
    }

    pub(crate) fn insert(&mut self, name: impl Into<Arc<str>>, message: &impl prost::Message) {
        self.own.insert(name.into(), Resource::new(message));
    }

    /// The resource of that name.
    pub fn get(&self, name: &str) -> Option<&Resource> {
        self.own.get(name).or_else(|| self.shared.get(name))
    }

    /// All resources by name, in an order that is always the same.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Resource)> {
        self.own.iter().chain(self.shared.iter())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.own.len() + self.shared.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.shared.is_empty()
    }

    /// Whether both certainly hold the same. Cheap; `false` may be wrong.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared) && self.own == other.own
    }
}

impl PartialEq for Collection {
    fn eq(&self, other: &Self) -> bool {
        self.own == other.own
            && (Arc::ptr_eq(&self.shared, &other.shared) || self.shared == other.shared)
    }
}

/// Everything one node is sent.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// `envoy.config.listener.v3.Listener`.
    pub listeners: Collection,
    /// `envoy.config.route.v3.RouteConfiguration`.
    pub routes: Collection,
    /// `envoy.config.cluster.v3.Cluster`.
    pub clusters: Collection,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
    pub endpoints: Collection,
    /// What this node cannot do of what the mesh asks for.
    pub notes: Arc<[Note]>,
    /// Which mesh they were made of, for [`crate::Translator::refresh`].
    pub(crate) generation: u64,
}

/// By content alone.
impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.listeners == other.listeners
            && self.routes == other.routes
            && self.clusters == other.clusters
            && self.endpoints == other.endpoints
            && self.notes == other.notes
    }
}

/// Something the mesh asks for and this node cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// A proxyless gRPC client cannot apply the filters of a rule, so calls that match it fail.
    #[error(
        "{route} spec.rules[{rule}]: proxyless gRPC clients cannot apply filters, so calls that match fail in them"
    )]
    FiltersInGrpcClient {
        /// The route.
        route: DocumentId,
        /// Index of the rule.
        rule: usize,
    },
    /// A proxyless gRPC client chooses among the backends of a rule by chance.
    #[error(
        "{route} spec.rules[{rule}].splitOn: proxyless gRPC clients choose among its backends by chance"
    )]
    SplitInGrpcClient {
        /// The route.
        route: DocumentId,
        /// Index of the rule.
        rule: usize,
    },
    /// A proxyless gRPC client cannot do some of what a policy asks for.
    #[error(
        "{target}: proxyless gRPC clients do not apply {} of its TrafficPolicy or the MeshConfig's defaults",
        .ignored.join(", ")
    )]
    SettingsInGrpcClient {
        /// The Service or Subset.
        target: DocumentId,
        /// The settings, as paths within the policy.
        ignored: Vec<&'static str>,
    },
    /// A proxyless gRPC client or server cannot count how often calls come.
    #[error("{policy}: proxyless gRPC applies no rate limits, so calls of this node go unlimited")]
    LimitInGrpc {
        /// The policy.
        policy: DocumentId,
    },
    /// The node says it serves a Service that the mesh has not got.
    #[error("there is no {service}: requests to this node are served, but nobody is sent here")]
    UnknownService {
        /// The Service.
        service: DocumentId,
    },
    /// The node says it is a Gateway that the mesh has not got.
    #[error("there is no {gateway}: this node listens for nothing")]
    UnknownGateway {
        /// The Gateway.
        gateway: DocumentId,
    },
    /// A Service with both TCP and HTTP ports: the one inbound listener takes HTTP.
    #[error("{service} has tcp and HTTP ports: this node's inbound listener takes HTTP only")]
    MixedInbound {
        /// The Service.
        service: DocumentId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_proto::pb::envoy::config::cluster::v3::Cluster;

    #[test]
    fn a_version_is_its_content() {
        let of =
            |name: &str| Resource::new(&Cluster { name: name.to_owned(), ..Default::default() });
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a").version, of("b").version);
        assert_eq!(of("a").version.len(), 32);
    }
}
