//! Who asks: what a node says of itself in `node` of its first request.

use std::net::SocketAddr;

use weft_config::{DEFAULT_NAMESPACE, Key};
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::google::protobuf::{Struct, Value, value::Kind};

/// How resources are shaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// For proxies with sockets of their own: weft-proxy and Envoy.
    Envoy,
    /// For proxyless gRPC clients.
    Grpc,
}

/// A node that is to be configured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// How it wants its resources.
    pub dialect: Dialect,
    /// From where it dials: Services of this namespace have bare names.
    pub namespace: String,
    /// The Service it serves, if any.
    pub service: Option<String>,
    /// Where requests to that Service arrive and where the application takes them.
    pub inbound: Option<Inbound>,
    /// The Gateway it is, if any; then nothing else.
    pub gateway: Option<String>,
    /// Where the application's own requests arrive.
    pub outbound: Option<SocketAddr>,
}

/// Both ends of a sidecar's way to its application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inbound {
    /// Where the sidecar listens.
    pub listen: SocketAddr,
    /// Where the application listens.
    pub app: SocketAddr,
}

/// Why a node cannot be configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// A value of another type than its key asks for.
    #[error(
        "node metadata {key}: expected {expected}\n  hint: see the sidecar's bootstrap: {EXAMPLE}"
    )]
    WrongType {
        /// The key, from `weft` down.
        key: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// An address that is none.
    #[error(
        "node metadata {key}: {value:?} is not an address such as 127.0.0.1:15001\n  hint: give an IP address and a port"
    )]
    NotAnAddress {
        /// The key.
        key: String,
        /// What is there.
        value: String,
    },
    /// A key that means nothing.
    #[error("node metadata {key}: unknown\n  hint: the keys are: {}", KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A gateway that is something else, too.
    #[error(
        "node metadata weft.{key} is set along with weft.gateway\n  hint: a gateway has no application beside it: start a sidecar of its own for that"
    )]
    NotAGateway {
        /// What is set.
        key: &'static str,
    },
    /// One of two things that only make sense together.
    #[error(
        "node metadata weft.{present} is set without weft.{missing}\n  hint: a sidecar of a service needs service, app and inbound"
    )]
    Incomplete {
        /// What is there.
        present: &'static str,
        /// What is not.
        missing: &'static str,
    },
}

const KEYS: [&str; 6] = ["service", "namespace", "app", "inbound", "outbound", "gateway"];
const EXAMPLE: &str = r#"{"weft": {"service": "storefront", "app": "127.0.0.1:8080", "inbound": "127.0.0.1:15006", "outbound": "127.0.0.1:15001"}}"#;

impl Node {
    /// Reads what a node says of itself: the dialect from `user_agent_name`, all else from the key
    /// `weft` of `metadata`, where everything is optional.
    ///
    /// # Errors
    /// The first thing under `weft` that cannot be understood.
    pub fn from_xds(node: &core::Node) -> Result<Self, NodeError> {
        let mut metadata = Metadata::default();
        if let Some(value) = node.metadata.as_ref().and_then(|metadata| metadata.fields.get("weft"))
        {
            let Some(Kind::StructValue(fields)) = &value.kind else {
                return Err(NodeError::WrongType { key: "weft".to_owned(), expected: "an object" });
            };
            metadata.read(fields)?;
        }
        Ok(Self {
            dialect: if node.user_agent_name.starts_with("gRPC") {
                Dialect::Grpc
            } else {
                Dialect::Envoy
            },
            inbound: metadata.inbound()?,
            gateway: metadata.gateway()?,
            namespace: metadata.namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            service: metadata.service,
            outbound: metadata.outbound,
        })
    }

    /// Namespace and name of the Service it serves.
    pub fn service_key(&self) -> Option<Key> {
        self.service.as_ref().map(|service| Key::new(&self.namespace, service))
    }

    /// Namespace and name of the Gateway it is.
    pub fn gateway_key(&self) -> Option<Key> {
        self.gateway.as_ref().map(|gateway| Key::new(&self.namespace, gateway))
    }
}

#[derive(Default)]
struct Metadata {
    service: Option<String>,
    namespace: Option<String>,
    app: Option<SocketAddr>,
    inbound: Option<SocketAddr>,
    outbound: Option<SocketAddr>,
    gateway: Option<String>,
}

impl Metadata {
    fn read(&mut self, fields: &Struct) -> Result<(), NodeError> {
        // Sorted, so that of several mistakes the same one is always named.
        let mut keys: Vec<(&String, &Value)> = fields.fields.iter().collect();
        keys.sort_by_key(|(key, _)| *key);
        for (key, value) in keys {
            match key.as_str() {
                "service" => self.service = Some(name(key, value)?),
                "namespace" => self.namespace = Some(name(key, value)?),
                "app" => self.app = Some(address(key, value)?),
                "inbound" => self.inbound = Some(address(key, value)?),
                "outbound" => self.outbound = Some(address(key, value)?),
                "gateway" => self.gateway = Some(name(key, value)?),
                _ => return Err(NodeError::UnknownKey { key: format!("weft.{key}") }),
            }
        }
        Ok(())
    }

    fn gateway(&self) -> Result<Option<String>, NodeError> {
        let others = [
            ("service", self.service.is_some()),
            ("app", self.app.is_some()),
            ("inbound", self.inbound.is_some()),
            ("outbound", self.outbound.is_some()),
        ];
        match others.iter().find(|(_, is_set)| *is_set && self.gateway.is_some()) {
            Some((key, _)) => Err(NodeError::NotAGateway { key }),
            None => Ok(self.gateway.clone()),
        }
    }

    fn inbound(&self) -> Result<Option<Inbound>, NodeError> {
        let incomplete = |present, missing| Err(NodeError::Incomplete { present, missing });
        match (self.service.is_some(), self.app, self.inbound) {
            (true, Some(app), Some(listen)) => Ok(Some(Inbound { listen, app })),
            (_, None, None) => Ok(None),
            (_, Some(_), None) => incomplete("app", "inbound"),
            (_, None, Some(_)) => incomplete("inbound", "app"),
            (false, Some(_), Some(_)) => incomplete("app", "service"),
        }
    }
}

fn text<'v>(key: &str, value: &'v Value) -> Result<&'v str, NodeError> {
    match &value.kind {
        Some(Kind::StringValue(text)) => Ok(text),
        _ => Err(NodeError::WrongType { key: format!("weft.{key}"), expected: "a string" }),
    }
}

fn name(key: &str, value: &Value) -> Result<String, NodeError> {
    match text(key, value)? {
        "" => Err(NodeError::WrongType { key: format!("weft.{key}"), expected: "a name" }),
        name => Ok(name.to_owned()),
    }
}

fn address(key: &str, value: &Value) -> Result<SocketAddr, NodeError> {
    let text = text(key, value)?;
    text.parse()
        .map_err(|_| NodeError::NotAnAddress { key: format!("weft.{key}"), value: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    fn object(fields: &[(&str, Value)]) -> Struct {
        Struct {
            fields: fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        }
    }

    fn string(text: &str) -> Value {
        value(Kind::StringValue(text.to_owned()))
    }

    fn node(user_agent: &str, fields: &[(&str, Value)]) -> Result<Node, NodeError> {
        Node::from_xds(&core::Node {
            user_agent_name: user_agent.to_owned(),
            metadata: Some(object(&[
                ("weft", value(Kind::StructValue(object(fields)))),
                ("other", string("x")),
            ])),
            ..Default::default()
        })
    }

    #[test]
    fn a_sidecar() {
        let fields = [
            ("service", string("shop")),
            ("namespace", string("prod")),
            ("app", string("127.0.0.1:8080")),
            ("inbound", string("[::1]:15006")),
            ("outbound", string("127.0.0.1:0")),
        ];
        let node = node("weft", &fields).expect("complete");
        assert_eq!(node.dialect, Dialect::Envoy);
        assert_eq!(node.service_key(), Some(Key::new("prod", "shop")));
        assert_eq!(node.inbound.map(|inbound| inbound.app.port()), Some(8080));
        assert_eq!(node.outbound, "127.0.0.1:0".parse().ok());
    }

    #[test]
    fn everything_is_optional() {
        let bare = Node::from_xds(&core::Node::default()).expect("empty");
        assert_eq!((bare.dialect, bare.namespace.as_str()), (Dialect::Envoy, "default"));
        assert_eq!((bare.service, bare.inbound, bare.outbound), (None, None, None));
        assert_eq!(node("gRPC C-core linux Python", &[]).expect("empty").dialect, Dialect::Grpc);
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            (
                vec![("outbound", string("localhost:1"))],
                "weft.outbound: \"localhost:1\" is not an address",
            ),
            (vec![("outbund", string("127.0.0.1:1"))], "weft.outbund: unknown"),
            (vec![("service", value(Kind::NumberValue(1.0)))], "weft.service: expected a string"),
            (vec![("service", string(""))], "weft.service: expected a name"),
            (
                vec![("gateway", string("g")), ("outbound", string("127.0.0.1:1"))],
                "weft.outbound is set along with weft.gateway",
            ),
            (vec![("app", string("127.0.0.1:1"))], "weft.app is set without weft.inbound"),
            (vec![("inbound", string("127.0.0.1:1"))], "weft.inbound is set without weft.app"),
            (
                vec![("app", string("127.0.0.1:1")), ("inbound", string("127.0.0.1:2"))],
                "weft.app is set without weft.service",
            ),
        ];
        for (fields, expected) in cases {
            let error = node("weft", &fields).expect_err(expected).to_string();
            assert!(error.starts_with(&format!("node metadata {expected}")), "{error}");
            assert!(error.contains("\n  hint: "), "{error}");
        }
        let not_an_object =
            core::Node { metadata: Some(object(&[("weft", string("x"))])), ..Default::default() };
        assert!(Node::from_xds(&not_an_object).is_err());
    }
}
