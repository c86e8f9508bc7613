//! What became of routes and Gateways, in the words of Gateway API: `status` with its conditions.
//!
//! Documents that refer to what is not there, or that nothing would take, never get into a mesh, so
//! conditions about them are always good; they are written all the same, because tools wait for them.

use serde::Serialize;

use crate::binding::Attachment;
use crate::document::{DocumentId, GATEWAY_API, Kind};
use crate::mesh::Mesh;
use crate::model::gateway::{Gateway, GatewayListener};
use crate::model::route::{ParentKind, ParentRef};

/// Who says all this.
const CONTROLLER: &str = "weft.dev/control-plane";

/// `status` of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Status {
    /// That of an HTTPRoute, GRPCRoute, TCPRoute or TLSRoute.
    Route {
        /// For each of its `parentRefs`.
        parents: Vec<ParentStatus>,
    },
    /// That of a Gateway.
    Gateway {
        /// Where it listens.
        addresses: Vec<Address>,
        /// Of the whole.
        conditions: Vec<Condition>,
        /// Of each listener.
        listeners: Vec<ListenerStatus>,
    },
}

/// An address of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// Always `IPAddress`.
    pub r#type: &'static str,
    /// The address.
    pub value: String,
}

/// What a parent makes of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// The parent, as the route names it.
    pub parent_ref: ParentRef,
    /// Who says so.
    pub controller_name: &'static str,
    /// What it says.
    pub conditions: Vec<Condition>,
}

/// How a listener of a Gateway is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// The routes it can take.
    pub supported_kinds: Vec<RouteKind>,
    /// How many it has taken.
    pub attached_routes: usize,
    /// More about it.
    pub conditions: Vec<Condition>,
}

/// A kind of route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteKind {
    /// The part of `apiVersion` before the slash.
    pub group: &'static str,
    /// The kind.
    pub kind: &'static str,
}

/// One thing that does or does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// What.
    pub r#type: &'static str,
    /// Whether it does.
    pub status: Truth,
    /// Why, in a word for programs.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

/// `True`, `False` or `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "they are what they are")]
pub enum Truth {
    True,
    False,
    Unknown,
}

/// How far the proxies have come that were started as a Gateway. The mesh alone does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many are connected.
    pub connected: usize,
    /// How many of them have acknowledged all they were sent.
    pub acknowledged: usize,
    /// Why one refuses some of it.
    pub refused: Option<String>,
}

impl Condition {
    fn holds(r#type: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { r#type, status: Truth::True, reason, message: message.into() }
    }

    fn fails(r#type: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { r#type, status: Truth::False, reason, message: message.into() }
    }

    /// `Programmed`: whether the proxies do what the document says.
    fn programmed(progress: &Progress) -> Self {
        const PROGRAMMED: &str = "Programmed";
        let Progress { connected, acknowledged, refused } = progress;
        if let Some(why) = refused {
            Self::fails(PROGRAMMED, "Invalid", format!("a proxy refuses it: {why}"))
        } else if *connected == 0 {
            let message = "no proxy was started as this Gateway: weft-proxy --gateway NAME";
            Self { status: Truth::Unknown, ..Self::fails(PROGRAMMED, "Pending", message) }
        } else if acknowledged < connected {
            let message = format!("{acknowledged} of {connected} proxies have acknowledged it");
            Self::fails(PROGRAMMED, "Pending", message)
        } else {
            let message = format!("{connected} proxies have acknowledged it");
            Self::holds(PROGRAMMED, PROGRAMMED, message)
        }
    }
}

impl Mesh {
    /// The status of a document; `None` when there is no such document, or its kind has none.
    /// `progress` is that of the proxies of a Gateway.
    pub fn status(&self, id: &DocumentId, progress: &Progress) -> Option<Status> {
        let parents = match id.kind {
            Kind::HttpRoute => &self.routes.get(&id.key)?.parent_refs,
            Kind::GrpcRoute => &self.grpc_routes.get(&id.key)?.parent_refs,
            Kind::TcpRoute => &self.tcp_routes.get(&id.key)?.parent_refs,
            Kind::TlsRoute => &self.tls_routes.get(&id.key)?.parent_refs,
            Kind::Gateway => {
                let gateway = self.gateways.get(&id.key)?;
                return Some(self.gateway_status(id, gateway, progress));
            }
            Kind::Service
            | Kind::Subset
            | Kind::TrafficPolicy
            | Kind::MeshConfig
            | Kind::RateLimitPolicy
            | Kind::Workload => return None,
        };
        let attachments = self.attachments(id);
        let parents = parents.iter().enumerate().map(|(index, parent)| ParentStatus {
            parent_ref: parent.clone(),
            controller_name: CONTROLLER,
            conditions: vec![
                accepted(parent, &of_parent(id, attachments, index, parent)),
                Condition::holds("ResolvedRefs", "ResolvedRefs", "every backend exists"),
            ],
        });
        Some(Status::Route { parents: parents.collect() })
    }

    fn gateway_status(&self, id: &DocumentId, gateway: &Gateway, progress: &Progress) -> Status {
        let listener = |listener: &GatewayListener| {
            let bound = self.bound_listener(&id.key, &listener.name);
            let kinds = listener.protocol.route_kinds().iter();
            ListenerStatus {
                name: listener.name.clone(),
                supported_kinds: kinds
                    .map(|kind| RouteKind { group: group(*kind), kind: kind.as_str() })
                    .collect(),
                attached_routes: bound.requests.len()
                    + usize::from(bound.connections.is_some())
                    + bound.server_names.len(),
                conditions: vec![
                    Condition::holds("Accepted", "Accepted", "it can be listened for"),
                    Condition::holds("ResolvedRefs", "ResolvedRefs", "it refers to nothing else"),
                    Condition::fails("Conflicted", "NoConflicts", "no other listener is like it"),
                    Condition::programmed(progress),
                ],
            }
        };
        let addresses = gateway
            .sockets(0)
            .map(|socket| Address { r#type: "IPAddress", value: socket.ip().to_string() });
        Status::Gateway {
            addresses: addresses.collect(),
            conditions: vec![
                Condition::holds("Accepted", "Accepted", "all of its listeners are valid"),
                Condition::programmed(progress),
            ],
            listeners: gateway.listeners.iter().map(listener).collect(),
        }
    }
}

fn group(kind: Kind) -> &'static str {
    let version = kind.api_version();
    version.split_once('/').unwrap_or((GATEWAY_API, "")).0
}

/// Where a route is attached by one of its `parentRefs`. Two may lead to the same place; then it is
/// the first that did, but both are right about it.
fn of_parent<'a>(
    id: &DocumentId,
    attachments: &'a [Attachment],
    index: usize,
    parent: &ParentRef,
) -> Vec<&'a Attachment> {
    let own = attachments.iter().filter(|it| it.parent_ref == index);
    let own: Vec<_> = own.collect();
    if !own.is_empty() {
        return own;
    }
    let kind = match parent.kind {
        ParentKind::Service => Kind::Service,
        ParentKind::Gateway => Kind::Gateway,
    };
    let namespace = parent.namespace.as_ref().unwrap_or(&id.key.namespace);
    let same = attachments.iter().filter(|it| {
        it.parent.kind == kind
            && it.parent.key.name == parent.name
            && it.parent.key.namespace == *namespace
            && parent.port.is_none_or(|port| port == it.port)
    });
    same.collect()
}

/// `Accepted`: whether the route decides about anything at a parent.
fn accepted(parent: &ParentRef, attachments: &[&Attachment]) -> Condition {
    const ACCEPTED: &str = "Accepted";
    let place = |it: &&&Attachment| match &it.listener {
        Some(listener) => format!("listener {listener}"),
        None => format!("port {}", it.port),
    };
    let overruled: Vec<String> = attachments
        .iter()
        .filter_map(|it| Some(format!("{} belongs to {}", place(&it), it.overruled_by.as_ref()?)))
        .collect();
    let places: Vec<String> =
        attachments.iter().filter(|it| it.overruled_by.is_none()).map(|it| place(&it)).collect();
    if places.is_empty() {
        // Gateway API has no word for it.
        return Condition::fails(ACCEPTED, "Conflicted", overruled.join(", "));
    }
    let mut message = format!("it decides at {} of {}", places.join(", "), parent.name);
    if !overruled.is_empty() {
        message.push_str(&format!("; {}", overruled.join(", ")));
    }
    Condition::holds(ACCEPTED, ACCEPTED, message)
}
