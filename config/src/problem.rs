//! What can be wrong with what a user wrote: where it is, why, and what to do about it.

use std::fmt;
use std::sync::Arc;

use crate::document::{DocumentId, Kind};
use crate::tree::Position;

/// Everything that is wrong with a set of documents, in the order of the sources.
///
/// Displays as one line per problem, each followed by its hint:
///
/// ```text
/// inventory.yaml:11:52: HTTPRoute/inventory spec.rules[0].backendRefs[1].name: no Subset "inventory-v2" (there are: inventory-v1)
///   hint: add a Subset of that name, or fix the reference
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems found, or `Ok` when there are none.
    pub(crate) fn check(mut found: Vec<Problem>) -> Result<(), Self> {
        if found.is_empty() {
            return Ok(());
        }
        // Stable: what has no position keeps the order in which it was found.
        found.sort_by(|a, b| a.order().cmp(&b.order()));
        Err(Self(found))
    }

    /// The problems, at least one.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file or request body, when the document came from one.
    pub source: Option<Arc<str>>,
    /// Where in the source, when it is known.
    pub position: Option<Position>,
    /// The document, when it says what it is.
    pub document: Option<DocumentId>,
    /// The field path, such as `spec.rules[0].backendRefs[1].name`; may be empty.
    pub field: String,
    /// Why it cannot be accepted.
    pub reason: Reason,
}

impl Problem {
    fn order(&self) -> (Option<&str>, Option<Position>) {
        (self.source.as_deref(), self.position)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.position) {
            (Some(source), Some(position)) => write!(f, "{source}:{position}: ")?,
            (Some(source), None) => write!(f, "{source}: ")?,
            (None, _) => {}
        }
        match (&self.document, self.field.as_str()) {
            (Some(document), "") => write!(f, "{document}: ")?,
            (Some(document), field) => write!(f, "{document} {field}: ")?,
            (None, "") => {}
            (None, field) => write!(f, "{field}: ")?,
        }
        write!(f, "{}\n  hint: {}", self.reason, self.reason.hint())
    }
}

/// Why a document, or one value in it, cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The text is not YAML (or JSON).
    #[error("not valid YAML: {0}")]
    Syntax(String),
    /// An alias without an anchor before it.
    #[error("the alias names no earlier anchor of its document")]
    UnknownAlias,
    /// Something that is no regular expression for every proxy.
    #[error("{pattern:?} is not a regular expression: {why}")]
    Regex {
        /// What is there.
        pattern: String,
        /// Why it does not compile.
        why: String,
    },
    /// Something that the vocabulary has a place for, and this version does not do.
    #[error("{what} is not supported yet by this version")]
    NotYet {
        /// What was asked for.
        what: &'static str,
    },
    /// The source is longer than any reasonable configuration.
    #[error("the source has {found} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Bytes in the source.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Values are nested too deeply.
    #[error("values are nested more than {limit} levels deep")]
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// The source expands to too many values.
    #[error("the source has more than {limit} values, each use of an alias counted")]
    TooMany {
        /// Values allowed.
        limit: usize,
    },
    /// A key that the schema does not have.
    #[error("unknown field{}", suggestion(.did_you_mean.as_deref()))]
    UnknownField {
        /// The known field it resembles.
        did_you_mean: Option<String>,
        /// Every field known at this place.
        known: Vec<&'static str>,
    },
    /// The same key twice in one object.
    #[error("the key is given twice{}", first_at(.first))]
    RepeatedKey {
        /// Where it was first given.
        first: Option<Position>,
    },
    /// A value of another shape than the schema asks for.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// The shape asked for.
        expected: &'static str,
        /// What is there.
        found: String,
        /// Whether quotes would make it a string.
        quote: bool,
    },
    /// A required field that is not there.
    #[error("the field {field:?} is missing")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// None or several of fields that exclude each other.
    #[error("exactly one of the fields {} must be given", .fields.join(", "))]
    ExactlyOne {
        /// The fields.
        fields: &'static [&'static str],
    },
    /// A value of the right shape that the rules of its field refuse.
    #[error("{found:?} is not {expected}")]
    Invalid {
        /// What is there.
        found: String,
        /// What the field takes.
        expected: String,
    },
    /// A word that is not one of the choices.
    #[error("{found:?} is not one of {}{}", .allowed.join(", "), suggestion(.did_you_mean.as_deref()))]
    UnknownChoice {
        /// What is there.
        found: String,
        /// The choices.
        allowed: &'static [&'static str],
        /// The choice it resembles.
        did_you_mean: Option<String>,
    },
    /// None of several fields is there.
    #[error("none of these is given: {}", .fields.join(", "))]
    AtLeastOne {
        /// The fields.
        fields: &'static [&'static str],
    },
    /// A reference to something that does not exist.
    #[error("no {kind} {name:?}{}", there_are(.existing))]
    Dangling {
        /// What kind of thing is referred to.
        kind: &'static str,
        /// The name given.
        name: String,
        /// The names that exist.
        existing: Vec<String>,
    },
    /// Two documents of the same kind, namespace and name in one set.
    #[error("{document} is defined twice; it is first defined at {first}")]
    DuplicateDocument {
        /// Which document.
        document: DocumentId,
        /// `file:line:column` of the first.
        first: String,
    },
    /// The same thing twice in a list that must not repeat it.
    #[error("{what} is given twice")]
    Repeated {
        /// What is repeated.
        what: String,
    },
    /// Two statements that cannot both hold.
    #[error("{0}")]
    Conflict(#[from] Conflict),
    /// Something the vocabulary has and Weft does not honour.
    #[error("{what} is not supported")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What to write in its place.
        instead: &'static str,
    },
}

/// Two statements of the mesh that cannot both hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// A Service with registered endpoints has both TCP and HTTP ports.
    #[error("a Service with registered endpoints cannot have both tcp and HTTP ports")]
    MixedTransports,
    /// One host name would belong to two Services.
    #[error("the host name {hostname:?} already belongs to {owner}")]
    Hostname {
        /// The name.
        hostname: String,
        /// What has it: a Service, or the MeshConfig for hosts outside of the mesh.
        owner: Box<DocumentId>,
    },
    /// Two ports ask for the same listening address.
    #[error("the address {address} is already the listener of {owner}")]
    ListenAddress {
        /// The address.
        address: String,
        /// The port that has it, as `namespace/name:port`.
        owner: String,
    },
    /// A reference must say which of several ports it means.
    #[error("Service {service:?} has several ports ({}): which one?", .ports.join(", "))]
    AmbiguousPort {
        /// The Service.
        service: String,
        /// Its ports.
        ports: Vec<String>,
    },
    /// HTTP rules cannot apply to a TCP port.
    #[error("port {port} of Service {service:?} is a tcp port")]
    TcpPort {
        /// The Service.
        service: String,
        /// The port.
        port: u16,
    },
    /// A route is attached to a Service without any HTTP port.
    #[error("Service {service:?} has no http, http2 or grpc port")]
    NoHttpPort {
        /// The Service.
        service: String,
    },
    /// The number of retries is bounded in two ways.
    #[error("circuitBreaker.maxRetries and retries.budget cannot be given both")]
    RetriesTwice,
    /// Faults are chosen before it is known where a request goes.
    #[error("fault is about a Service as a whole, not about a Subset of it")]
    FaultOfSubset,
    /// Nobody stands in front of the endpoints of a Service who could count.
    #[error("Service {service:?} has no registered endpoints, so no sidecars that could limit")]
    LimitWithoutSidecars {
        /// The Service.
        service: String,
    },
    /// The health service of gRPC cannot be asked where nothing speaks gRPC.
    #[error("healthCheck.grpc is for ports with grpc or http2, and Service {service:?} has none")]
    GrpcCheck {
        /// The Service.
        service: String,
    },
    /// A share is said in two ways.
    #[error("percent and fraction cannot be given both")]
    TwoShares,
    /// One try would be given more time than all of them.
    #[error("backendRequest is longer than request")]
    TryLongerThanRequest,
    /// Nothing would be done with what requests are told apart by.
    #[error("hashOn is used by the policies RingHash and Maglev only")]
    HashWithoutUse,
    /// Connections have no headers.
    #[error("backends of a route for connections cannot have filters")]
    StreamWithFilters,
    /// A rule both answers by itself and forwards.
    #[error("a rule that redirects cannot have backendRefs")]
    RedirectWithBackends,
    /// A rule both redirects and rewrites.
    #[error("a rule cannot have both RequestRedirect and URLRewrite")]
    RedirectWithRewrite,
    /// A prefix can only be replaced where a prefix was matched.
    #[error("ReplacePrefixMatch needs every match of the rule to be a PathPrefix")]
    PrefixWithoutPrefix,
    /// A rewrite of the whole path needs to know the whole path.
    #[error("URLRewrite with ReplaceFullPath needs every match of the rule to have an Exact path")]
    FullPathWithoutExact,
    /// Endpoints found by name cannot be merged with others in one cluster.
    #[error("endpoints by dns cannot be merged with other sources")]
    DnsWithOthers,
    /// Endpoints found by name have no labels to select them by.
    #[error("Service {service:?} has its endpoints from DNS, where they have no labels")]
    SubsetOfDns {
        /// The Service.
        service: String,
    },
    /// No backend of a rule would ever be chosen.
    #[error("every backend has the weight 0")]
    NoWeight,
    /// HTTP rules and tcp ports, or the reverse.
    #[error("port {port} of Service {service:?} does not take plain connections")]
    HttpPort {
        /// The Service.
        service: String,
        /// The port.
        port: u16,
    },
    /// A route for connections is attached to a Service without any tcp port.
    #[error("Service {service:?} has no such {protocol} port")]
    NoStreamPort {
        /// The Service.
        service: String,
        /// `tcp` or `tls`.
        protocol: &'static str,
    },
    /// A route for calls is attached where no HTTP/2 is spoken.
    #[error("Service {service:?} has no such port that speaks http2 or grpc")]
    NoGrpcPort {
        /// The Service.
        service: String,
    },
    /// Two policies for the same target.
    #[error("{target} already has a policy, {owner}")]
    SecondPolicy {
        /// The target.
        target: String,
        /// The policy it has.
        owner: String,
    },
    /// Two routes at a port ask for the same server name.
    #[error("the server name {hostname:?} is already routed by {owner}")]
    ServerName {
        /// The name.
        hostname: String,
        /// The route that has it.
        owner: Box<DocumentId>,
    },
    /// Listeners of a Gateway share a port and speak differently.
    #[error("listeners {listener:?} and {other:?} share port {port} and have different protocols")]
    ListenerProtocol {
        /// One listener.
        listener: String,
        /// The one before it.
        other: String,
        /// The port.
        port: u16,
    },
    /// Listeners of a Gateway share a port and nothing tells them apart.
    #[error("nothing tells listeners {listener:?} and {other:?} of port {port} apart")]
    ListenerHostname {
        /// One listener.
        listener: String,
        /// The one before it.
        other: String,
        /// The port.
        port: u16,
    },
    /// A parent without a kind is a Gateway, and only a Service has the name.
    #[error("no Gateway {service:?}, but there is a Service of that name")]
    ParentIsService {
        /// The Service.
        service: String,
    },
    /// No listener of a Gateway takes this kind of route.
    #[error("no such listener of Gateway {gateway:?} takes a {kind}")]
    NoListenerForKind {
        /// The Gateway.
        gateway: String,
        /// The kind of the route.
        kind: Kind,
    },
    /// A Gateway does not take routes of this namespace.
    #[error("Gateway {gateway:?} takes no routes of the namespace {namespace:?} here")]
    RouteNotAllowed {
        /// The Gateway.
        gateway: String,
        /// The namespace of the route.
        namespace: String,
    },
    /// A route and the listeners of its Gateway have no host name in common.
    #[error("no such listener of Gateway {gateway:?} has a host name in common with the route")]
    NoListenerHostname {
        /// The Gateway.
        gateway: String,
    },
    /// There is one MeshConfig.
    #[error("a MeshConfig is named default, in the namespace default")]
    OtherMeshConfig,
    /// Several instances cannot listen on one port.
    #[error("{instances} instances cannot all listen on port {port}")]
    SharedPort {
        /// How many.
        instances: u16,
        /// The port.
        port: u16,
    },
}

impl Reason {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Syntax(what) if what.contains("tabs") => "indent with spaces".to_owned(),
            Self::Syntax(_) => {
                "check indentation, quotes and brackets around this place".to_owned()
            }
            Self::UnknownAlias => {
                "put &NAME before a value earlier in the same document, or write the value out"
                    .to_owned()
            }
            Self::Regex { .. } => "the syntax is RE2's, which has no look-around and no \
                back-references; the whole value must match"
                .to_owned(),
            Self::NotYet { .. } => "remove it; a later version will take it".to_owned(),
            Self::TooLarge { .. } => "split the source into several files".to_owned(),
            Self::TooDeep { .. } | Self::TooMany { .. } => {
                "no document of the mesh needs this; write values out instead of nesting aliases"
                    .to_owned()
            }
            Self::UnknownField { known, .. } if known.is_empty() => {
                "remove it: this object has no fields".to_owned()
            }
            Self::UnknownField { known, .. } => {
                format!("the fields here are: {}", known.join(", "))
            }
            Self::RepeatedKey { .. } => "keep one of them".to_owned(),
            Self::WrongType { quote: true, .. } => {
                "put it in quotes to make it a string".to_owned()
            }
            Self::WrongType { expected, found, .. } if found == "nothing" => {
                format!("write {expected} here, or indent what follows deeper if it belongs here")
            }
            Self::WrongType { expected: "a number", found, .. } if is_quoted_number(found) => {
                "remove the quotes".to_owned()
            }
            Self::WrongType { expected, .. } => format!("write {expected} here"),
            Self::Missing { field } => format!("add {field}"),
            Self::AtLeastOne { fields } => format!("write at least one of: {}", fields.join(", ")),
            Self::ExactlyOne { fields } => format!("write one of: {}", fields.join(", ")),
            Self::Invalid { expected, .. } => format!("write {expected}"),
            Self::UnknownChoice { allowed, .. } => format!("write one of: {}", allowed.join(", ")),
            Self::Dangling { kind, .. } => {
                format!("add a {kind} of that name, or fix the reference")
            }
            Self::DuplicateDocument { .. } => "rename or remove one of them".to_owned(),
            Self::Repeated { .. } => "keep one of them".to_owned(),
            Self::Conflict(conflict) => conflict.hint().to_owned(),
            Self::Unsupported { instead, .. } => (*instead).to_owned(),
        }
    }
}

impl Conflict {
    fn hint(&self) -> &'static str {
        match self {
            Self::MixedTransports => {
                "a sidecar has one inbound port, so split the tcp ports off into a Service of their own"
            }
            Self::Hostname { .. } => "use another host name, or attach the route to that Service",
            Self::ListenAddress { .. } => "give each port a listen address of its own",
            Self::AmbiguousPort { .. } => "add the field port",
            Self::TcpPort { .. } | Self::NoHttpPort { .. } => {
                "requests come to a port with protocol http, http2 or grpc"
            }
            Self::TryLongerThanRequest => "give request at least as much time, or none (0s)",
            Self::RetriesTwice => "keep the budget: it grows with what is under way",
            Self::FaultOfSubset => "put it into the policy of the Service, with a match",
            Self::LimitWithoutSidecars { .. } => {
                "target an HTTPRoute of the Service: callers limit then; or register its endpoints"
            }
            Self::GrpcCheck { .. } => "use http or tcp, or give the port its protocol",
            Self::TwoShares => "remove one of the two",
            Self::HashWithoutUse => "write policy: RingHash or policy: Maglev beside it",
            Self::StreamWithFilters => "remove the filters: connections have no headers to change",
            Self::RedirectWithBackends => "remove the backendRefs or the RequestRedirect filter",
            Self::RedirectWithRewrite => "remove one of the two filters",
            Self::PrefixWithoutPrefix => "match by PathPrefix, or use ReplaceFullPath",
            Self::FullPathWithoutExact => "match by Exact, or use ReplacePrefixMatch",
            Self::DnsWithOthers => {
                "make two Services and share requests among them by an HTTPRoute"
            }
            Self::SubsetOfDns { .. } => "use static endpoints, which have labels",
            Self::NoWeight => "give one of them a weight",
            Self::HttpPort { .. } | Self::NoStreamPort { .. } => {
                "a TCPRoute needs a port with protocol tcp, a TLSRoute one with protocol tls"
            }
            Self::NoGrpcPort { .. } => "a GRPCRoute needs a port with protocol grpc or http2",
            Self::SecondPolicy { .. } => "put everything about a target into one policy",
            Self::ServerName { .. } => "keep the name in one of the two routes",
            Self::ListenerProtocol { .. } => "give each protocol a port of its own",
            Self::ListenerHostname { .. } => {
                "give them different host names (HTTP, TLS) or ports of their own"
            }
            Self::ParentIsService { .. } => {
                "write kind: Service: a parent without a kind is a Gateway"
            }
            Self::NoListenerForKind { .. } => {
                "HTTP listeners take HTTPRoute, GRPCRoute and RateLimitPolicy, TCP ones TCPRoute, \
                 TLS ones TLSRoute"
            }
            Self::RouteNotAllowed { .. } => {
                "set allowedRoutes.namespaces.from: All on the listener, or move the route"
            }
            Self::NoListenerHostname { .. } => {
                "a listener with a hostname takes routes for that name only; change one of the two"
            }
            Self::OtherMeshConfig => "give it that name, or remove it",
            Self::SharedPort { .. } => "leave port out and listen on the port in the variable PORT",
        }
    }
}

/// Whether a value is described as a string with nothing but digits in it.
fn is_quoted_number(found: &str) -> bool {
    let text = found.strip_prefix("the string \"").and_then(|rest| rest.strip_suffix('"'));
    text.is_some_and(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}

fn suggestion(did_you_mean: Option<&str>) -> String {
    did_you_mean.map(|name| format!(", did you mean {name:?}?")).unwrap_or_default()
}

fn first_at(first: &Option<Position>) -> String {
    first.map(|position| format!(", first at {position}")).unwrap_or_default()
}

fn there_are(existing: &[String]) -> String {
    /// More names than this do not help anyone to find the right one.
    const SHOWN: usize = 8;
    match existing.len() {
        0 => " (there are none)".to_owned(),
        count if count > SHOWN => {
            format!(" (there are: {}, and {} more)", existing[..SHOWN].join(", "), count - SHOWN)
        }
        _ => format!(" (there are: {})", existing.join(", ")),
    }
}
