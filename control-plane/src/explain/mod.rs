//! What becomes of a request or of a connection, and why: asked of the very code that decides it.
//!
//! The mesh is translated as for a sidecar, compiled as a proxy compiles it, and what is asked about
//! is looked up in the tables that would serve it. So the answer cannot differ from what happens.

mod connection;
mod node;
mod table;

pub use connection::{Dial, explain_connection};
pub use node::{Names, meant, workloads};

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::HeaderMap;
use serde::Serialize;
use weft_compile::{Action, Tables};
use weft_config::{DocumentId, Key, Kind, Mesh, Places};
pub use weft_explain::{Destination, Endpoint, Limit};
use weft_explain::{Tried, destinations, limits, tried};
use weft_route::{Outcome, RequestView};
use weft_translate::Workloads;

/// Where a sidecar takes what its application calls, unless it is told otherwise.
const OUTBOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15001);

/// Where a request comes from, and what it is.
#[derive(Clone, Debug)]
pub struct Question {
    /// The Service that calls.
    pub from: Key,
    /// `GET` and the like.
    pub method: String,
    /// The host that is called, with its port if it has one.
    pub authority: String,
    /// The path with the query.
    pub path: String,
    /// All other header fields.
    pub headers: HeaderMap,
}

/// What becomes of a request, or of a connection that is not looked into.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The request or the connection in a line.
    pub request: String,
    /// What becomes of it, in a sentence.
    pub verdict: String,
    /// Whether it is sent somewhere.
    pub forwarded: bool,
    /// The listener that takes it.
    pub listener: Option<String>,
    /// The virtual host that its host belongs to.
    pub virtual_host: Option<String>,
    /// The rule that matches.
    pub route: Option<RuleName>,
    /// The time limits that hold.
    pub timeouts: Vec<Limit>,
    /// Where it may go.
    pub destinations: Vec<Destination>,
    /// The rules of the same host that do not take it, in the order in which they are tried.
    pub others: Vec<Other>,
}

/// A rule of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleName {
    /// As the proxy calls it.
    pub name: String,
    /// `kind/name field`, when it comes from a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// `file:line:column` of that, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What it asks of requests.
    pub conditions: Vec<String>,
}

/// A rule that does not take the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Other {
    /// Which.
    pub rule: RuleName,
    /// Why not.
    pub why: Vec<String>,
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The caller cannot be one.
    #[error("{0}")]
    Caller(String),
    /// The mesh means something that proxies would refuse.
    #[error("a proxy would refuse what the mesh means:\n{0}")]
    Refused(String),
}

/// What becomes of a request in this mesh, with these workloads.
///
/// # Errors
/// When the mesh cannot be brought into force.
pub fn explain(
    mesh: &Mesh,
    places: &Places,
    workloads: &Workloads,
    question: &Question,
) -> Result<Explanation, ExplainError> {
    let tables = table::tables(mesh, workloads, &question.from, OUTBOUND)?;
    let Question { method, authority, path, .. } = question;
    let asked = format!("{method} http://{authority}{path} from {}", question.from);
    let mut explanation = Explanation::of(asked);
    let Some((listener, routes)) = table::outbound_routes(&tables, OUTBOUND) else {
        "refused: the sidecar has no listener for what its application calls"
            .clone_into(&mut explanation.verdict);
        return Ok(explanation);
    };
    explanation.listener = Some(listener);
    let request = RequestView {
        authority,
        path_and_query: path,
        method,
        scheme: "http",
        is_internal: true,
        headers: &question.headers,
        random: 0,
    };
    let outcome = routes.table.find(&request);
    let matched = match &outcome {
        Outcome::NoHost => {
            explanation.verdict = nobody(mesh, question);
            return Ok(explanation);
        }
        Outcome::NeedsTls(host) => {
            explanation.virtual_host = Some((*host).to_owned());
            "answered with a redirect: this host is for https only"
                .clone_into(&mut explanation.verdict);
            return Ok(explanation);
        }
        Outcome::NoRoute(host) => {
            explanation.virtual_host = Some((*host).to_owned());
            "answered with 404: no rule of this host matches".clone_into(&mut explanation.verdict);
            None
        }
        Outcome::Matched { vhost, route } => {
            explanation.virtual_host = Some((*vhost).to_owned());
            Some(*route)
        }
    };
    let host = explanation.virtual_host.clone().unwrap_or_default();
    for (route, tried) in tried(routes, &host, matched, &request) {
        let rule = rule_name(mesh, places, route.name.as_deref().unwrap_or_default(), &route.rule);
        match tried {
            Tried::Takes => explanation.route = Some(rule),
            Tried::Passes(why) => explanation.others.push(Other { rule, why }),
        }
    }
    if let Some(route) = matched {
        act(&mut explanation, &tables, &route.action.action);
    }
    Ok(explanation)
}

impl Explanation {
    fn of(request: String) -> Self {
        Self {
            request,
            verdict: String::new(),
            forwarded: false,
            listener: None,
            virtual_host: None,
            route: None,
            timeouts: Vec::new(),
            destinations: Vec::new(),
            others: Vec::new(),
        }
    }

    /// It goes to one of these; `refused` says what happens where none of them takes anything.
    fn send(&mut self, destinations: Vec<Destination>, refused: &str) {
        let able = destinations.iter().any(|each| each.trouble.is_none());
        let names: Vec<_> = destinations.iter().map(|each| each.cluster.as_str()).collect();
        let names = names.join(" or ");
        self.forwarded = true;
        self.verdict = if able {
            format!("sent to {names}")
        } else {
            format!("{refused}: nobody takes requests behind {names}")
        };
        self.destinations = destinations;
    }
}

/// Fills in what a matching rule does.
fn act(explanation: &mut Explanation, tables: &Tables, action: &Action) {
    explanation.verdict = match action {
        Action::Forward(forward) => {
            explanation.timeouts = limits(tables, forward);
            return explanation.send(destinations(tables, forward), "answered with 503");
        }
        Action::Redirect(_) => "answered with a redirect".to_owned(),
        Action::Direct(answer) => format!("answered with {}", answer.status.as_u16()),
        Action::Nowhere => "answered with 500: the rule sends it nowhere".to_owned(),
    };
}

/// Why no host is found, and which there are.
fn nobody(mesh: &Mesh, question: &Question) -> String {
    let mut names: BTreeMap<String, ()> = BTreeMap::new();
    for (key, service) in mesh.services() {
        let own = key.namespace == question.from.namespace;
        let name = if own { key.name.clone() } else { format!("{}.{}", key.name, key.namespace) };
        names.insert(name, ());
        names.extend(service.hostnames.iter().map(|name| (name.clone(), ())));
    }
    let names: Vec<_> = names.into_keys().collect();
    let known = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
    format!(
        "answered with 404: nothing is called {:?} as dialled from {} (there are: {known})",
        question.authority, question.from.namespace
    )
}

/// The document of a rule, by the name that translation gives it: `route/rule`.
fn rule_name(
    mesh: &Mesh,
    places: &Places,
    name: &str,
    conditions: &weft_route::RouteMatch,
) -> RuleName {
    let found = name.rsplit_once('/').and_then(|(route, rule)| {
        let rule: usize = rule.parse().ok()?;
        let is_route = |id: &DocumentId| {
            matches!(id.kind, Kind::HttpRoute | Kind::GrpcRoute) && id.key.to_string() == route
        };
        Some((mesh.ids().find(is_route)?, rule))
    });
    let conditions = weft_explain::texts(conditions);
    match found {
        Some((id, rule)) => RuleName::written(name, &id, rule, places, conditions),
        None => RuleName { name: name.to_owned(), document: None, place: None, conditions },
    }
}

impl RuleName {
    /// A rule of a document.
    fn written(
        name: &str,
        id: &DocumentId,
        rule: usize,
        places: &Places,
        conditions: Vec<String>,
    ) -> Self {
        let field = format!("spec.rules[{rule}]");
        Self {
            name: name.to_owned(),
            document: Some(format!("{id} {field}")),
            place: places.place(id, &field),
            conditions,
        }
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.document.as_deref().unwrap_or(&self.name))?;
        self.place.as_ref().map_or(Ok(()), |place| write!(f, " ({place})"))
    }
}
