//! A proxy that does nothing but follow the control plane.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;
use prost::Message;
use serde::Serialize;
use weft_proto::discovery::{DeltaDiscoveryRequest, DiscoveryRequest, Node};
use weft_proto::pb::google::protobuf::{Struct, Value, value::Kind};
use weft_proto::type_url::{CLUSTER, CLUSTER_LOAD_ASSIGNMENT, LISTENER, ROUTE_CONFIGURATION};

use super::call::{Calls, begin, open, say};

const STREAM: u32 = 1;
/// What the listener of a sidecar asks for.
const ROUTES: &str = "outbound";
/// The cluster of its application, whose endpoint is part of it.
const INBOUND: &str = "inbound";

/// The variant of ADS that proxies speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// Only what changed, as weft-proxy does.
    Delta,
    /// State of the world, as Envoy does unless told otherwise.
    Sotw,
}

/// What a proxy must know of a response, of either variant. Contents are passed over.
#[derive(Clone, PartialEq, Message)]
struct DeltaHeard {
    #[prost(message, repeated, tag = "2")]
    resources: Vec<NameOf>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

/// A `discovery.v3.Resource`, up to its name.
#[derive(Clone, PartialEq, Message)]
struct NameOf {
    #[prost(string, tag = "3")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct SotwHeard {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, repeated, tag = "2")]
    resources: Vec<Content>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

/// An `Any` around a resource.
#[derive(Clone, PartialEq, Message)]
struct Content {
    #[prost(message, optional, tag = "2")]
    value: Option<Named>,
}

/// All resources have their name in the first field.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// One simulated proxy.
pub(crate) struct Proxy {
    calls: Calls,
    variant: Variant,
    /// Clusters heard of, which it subscribes to the endpoints of.
    clusters: Vec<String>,
    /// Assignments received.
    assignments: usize,
    has_routes: bool,
    /// When it last acknowledged endpoints, and how many times it has.
    pub(crate) endpoints_at: Option<Instant>,
    pub(crate) endpoint_updates: u64,
}

impl Proxy {
    /// A proxy of this number; what it says first goes to `out`.
    pub(crate) fn start(
        number: usize,
        service: &str,
        variant: Variant,
        out: &mut Vec<u8>,
    ) -> Result<Self> {
        let proxy = Self {
            calls: Calls::default(),
            variant,
            clusters: Vec::new(),
            assignments: 0,
            has_routes: false,
            endpoints_at: None,
            endpoint_updates: 0,
        };
        begin(out);
        let method = match variant {
            Variant::Delta => "DeltaAggregatedResources",
            Variant::Sotw => "StreamAggregatedResources",
        };
        let path = format!("/envoy.service.discovery.v3.AggregatedDiscoveryService/{method}");
        open(out, STREAM, &path)?;
        proxy.ask(out, CLUSTER, Some(node(number, service)), None, &[])?;
        proxy.ask(out, LISTENER, None, None, &[])?;
        Ok(proxy)
    }

    /// Whether it has everything of a mesh with this many Services.
    pub(crate) fn is_complete(&self, services: usize) -> bool {
        self.has_routes && self.clusters.len() == services && self.assignments >= services
    }

    /// Takes bytes from the control plane and acknowledges what they say.
    pub(crate) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut calls = std::mem::take(&mut self.calls);
        let mut answers = Vec::new();
        calls.take(bytes, out, |_, message| self.hear(message, &mut answers))?;
        out.append(&mut answers);
        self.calls = calls;
        Ok(())
    }

    fn hear(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (type_url, version, nonce, names) = match self.variant {
            Variant::Delta => {
                let heard = DeltaHeard::decode(message)?;
                let names: Vec<_> = heard.resources.into_iter().map(|each| each.name).collect();
                (heard.type_url, String::new(), heard.nonce, names)
            }
            Variant::Sotw => {
                let heard = SotwHeard::decode(message)?;
                let names = heard.resources.into_iter().filter_map(|each| Some(each.value?.name));
                (heard.type_url, heard.version, heard.nonce, names.collect())
            }
        };
        let ack = Some((version.as_str(), nonce.as_str()));
        match type_url.as_str() {
            CLUSTER => {
                self.ask(out, CLUSTER, None, ack, &[])?;
                // All come at once, and but for the way to the application all have endpoints.
                let dynamic: Vec<_> = names.into_iter().filter(|name| name != INBOUND).collect();
                if self.clusters.is_empty() && !dynamic.is_empty() {
                    self.ask(out, CLUSTER_LOAD_ASSIGNMENT, None, None, &dynamic)?;
                    self.clusters = dynamic;
                }
            }
            CLUSTER_LOAD_ASSIGNMENT => {
                self.assignments += names.len();
                let subscribed = match self.variant {
                    Variant::Delta => &[][..],
                    Variant::Sotw => &self.clusters,
                };
                self.ask(out, CLUSTER_LOAD_ASSIGNMENT, None, ack, subscribed)?;
                self.endpoints_at = Some(Instant::now());
                self.endpoint_updates += 1;
            }
            LISTENER => {
                self.ask(out, LISTENER, None, ack, &[])?;
                self.ask(out, ROUTE_CONFIGURATION, None, None, &[ROUTES.to_owned()])?;
            }
            ROUTE_CONFIGURATION => {
                self.has_routes |= !names.is_empty();
                let subscribed = match self.variant {
                    Variant::Delta => Vec::new(),
                    Variant::Sotw => vec![ROUTES.to_owned()],
                };
                self.ask(out, ROUTE_CONFIGURATION, None, ack, &subscribed)?;
            }
            other => bail!("a response of type {other}, which nobody asked for"),
        }
        Ok(())
    }

    /// Appends a request; `ack` is the version and nonce that it answers.
    fn ask(
        &self,
        out: &mut Vec<u8>,
        type_url: &str,
        node: Option<Node>,
        ack: Option<(&str, &str)>,
        names: &[String],
    ) -> Result<()> {
        let (version, nonce) = ack.unwrap_or_default();
        match self.variant {
            Variant::Delta => {
                let request = DeltaDiscoveryRequest {
                    node,
                    type_url: type_url.to_owned(),
                    resource_names_subscribe: names.to_vec(),
                    response_nonce: nonce.to_owned(),
                    ..DeltaDiscoveryRequest::default()
                };
                say(out, STREAM, &request)
            }
            Variant::Sotw => {
                let request = DiscoveryRequest {
                    node,
                    type_url: type_url.to_owned(),
                    resource_names: names.to_vec(),
                    version_info: version.to_owned(),
                    response_nonce: nonce.to_owned(),
                    ..DiscoveryRequest::default()
                };
                say(out, STREAM, &request)
            }
        }
    }
}

/// A sidecar of a Service, with the addresses that it has in a container.
fn node(number: usize, service: &str) -> Node {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let facts = BTreeMap::from([
        ("namespace", "default"),
        ("service", service),
        ("app", "127.0.0.1:8080"),
        ("inbound", "0.0.0.0:15006"),
        ("outbound", "127.0.0.1:15001"),
    ]);
    let fields = facts.into_iter().map(|(key, value)| (key.to_owned(), text(value))).collect();
    let facts = Value { kind: Some(Kind::StructValue(Struct { fields })) };
    Node {
        id: format!("proxy-{number}"),
        user_agent_name: "weft".to_owned(),
        metadata: Some(Struct { fields: HashMap::from([("weft".to_owned(), facts)]) }),
        ..Node::default()
    }
}
