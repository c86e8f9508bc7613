//! A request looked up in the tables.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use weft_compile::{
    Action, BindAddress, Chain, FilterChain, HttpChain, Listener, RouteConfig, RouteEntry, Routes,
    Tables,
};
use weft_route::{HeaderKey, Outcome, RequestView, Route};

use crate::{
    Destination, Limit, conditions,
    destination::{carried, picked},
    limits, policy,
    tried::{Tried, tried},
};

/// A request that might come.
#[derive(Clone, Debug)]
pub struct Question {
    /// `GET` and the like.
    pub method: String,
    /// The host that is called, with its port if it has one.
    pub authority: String,
    /// The path with the query.
    pub path: String,
    /// `http` or `https`: what the first client spoke.
    pub scheme: &'static str,
    /// All other header fields.
    pub headers: HeaderMap,
    /// Whose it is, where that is known.
    pub client: Option<IpAddr>,
    /// The listener that it comes by; all of them unless set.
    pub listener: Option<String>,
}

/// What becomes of a request in one filter chain of a listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The listener.
    pub listener: String,
    /// Where it is bound.
    pub addresses: Vec<String>,
    /// The filter chain, which the connection decides.
    pub filter_chain: String,
    /// What becomes of the request, in a sentence.
    pub verdict: String,
    /// Whether it is sent somewhere.
    pub forwarded: bool,
    /// The virtual host that its host belongs to.
    pub virtual_host: Option<String>,
    /// The route that takes it.
    pub route: Option<Rule>,
    /// The filters that it passes, in order.
    pub filters: Vec<String>,
    /// What holds for it besides time limits.
    pub policies: Vec<String>,
    /// The time limits that hold.
    pub timeouts: Vec<Limit>,
    /// Where it may go.
    pub destinations: Vec<Destination>,
    /// The routes of the same host that do not take it, in the order in which they are tried.
    pub others: Vec<Other>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its name; where it stands among those of its host, if it has none.
    pub name: String,
    /// What it asks of requests.
    pub conditions: Vec<String>,
}

/// A route that does not take the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Other {
    /// Which.
    pub rule: Rule,
    /// Why not.
    pub why: Vec<String>,
}

/// What becomes of a request, for each filter chain that it may come by.
pub fn explain(tables: &Tables, question: &Question) -> Vec<Explanation> {
    let is_meant = |listener: &&Arc<Listener>| {
        question.listener.as_ref().is_none_or(|name| *listener.name == **name)
    };
    let listeners = tables.listeners.iter().filter(is_meant);
    let chains =
        listeners.flat_map(|listener| listener.chains.iter().map(move |it| (listener, it)));
    chains.map(|(listener, chain)| in_chain(tables, listener, chain, question)).collect()
}

fn in_chain(
    tables: &Tables,
    listener: &Listener,
    chain: &FilterChain,
    question: &Question,
) -> Explanation {
    let mut explanation = Explanation {
        listener: listener.name.to_string(),
        addresses: listener.addresses.iter().map(|it| bound(&it.address)).collect(),
        filter_chain: chain.name.to_string(),
        verdict: String::new(),
        forwarded: false,
        virtual_host: None,
        route: None,
        filters: Vec::new(),
        policies: Vec::new(),
        timeouts: Vec::new(),
        destinations: Vec::new(),
        others: Vec::new(),
    };
    match &chain.chain {
        Chain::Http(http) => match tables.routes_of(http, |name| said(question, name)) {
            Some(routes) => look_up(&mut explanation, tables, http, routes, question),
            None if matches!(http.routes, Routes::Scoped(_)) => {
                "answered with 404: its headers name none of the listener's scopes"
                    .clone_into(&mut explanation.verdict);
            }
            None => {
                "answered with 404: its route configuration has not come yet"
                    .clone_into(&mut explanation.verdict);
            }
        },
        Chain::Tcp(tcp) => {
            explanation.forwarded = true;
            explanation.destinations = carried(tables, &tcp.target);
            explanation.verdict = sent("not looked into: its bytes are sent", &explanation);
        }
        Chain::Direct(_) => {
            "not looked into: every connection is answered with fixed bytes"
                .clone_into(&mut explanation.verdict);
        }
        Chain::Echo => {
            "not looked into: every byte is sent back".clone_into(&mut explanation.verdict);
        }
    }
    explanation
}

/// What the request says under a name.
fn said<'q>(question: &'q Question, name: &HeaderKey) -> Option<&'q [u8]> {
    match name {
        HeaderKey::Method => Some(question.method.as_bytes()),
        HeaderKey::Path => Some(question.path.as_bytes()),
        HeaderKey::Authority => Some(question.authority.as_bytes()),
        HeaderKey::Scheme => Some(question.scheme.as_bytes()),
        HeaderKey::Field(name) => question.headers.get(name).map(HeaderValue::as_bytes),
    }
}

fn bound(address: &BindAddress) -> String {
    match address {
        BindAddress::Ip(address) => address.to_string(),
        BindAddress::Pipe(path) => path.display().to_string(),
    }
}

fn look_up(
    explanation: &mut Explanation,
    tables: &Tables,
    chain: &HttpChain,
    routes: &RouteConfig,
    question: &Question,
) {
    let request = RequestView {
        authority: &question.authority,
        path_and_query: &question.path,
        method: &question.method,
        scheme: question.scheme,
        is_internal: true,
        headers: &question.headers,
        random: 0,
    };
    let (host, matched) = match routes.table.find(&request) {
        Outcome::NoHost => {
            explanation.verdict = nobody(routes, &question.authority);
            return;
        }
        Outcome::NeedsTls(host) => {
            explanation.virtual_host = Some(host.to_owned());
            "answered with a redirect: this host is for https only"
                .clone_into(&mut explanation.verdict);
            return;
        }
        Outcome::NoRoute(host) => (host, None),
        Outcome::Matched { vhost, route } => (vhost, Some(route)),
    };
    explanation.virtual_host = Some(host.to_owned());
    for (index, (route, tried)) in tried(routes, host, matched, &request).enumerate() {
        let rule = rule(route, index);
        match tried {
            Tried::Takes => explanation.route = Some(rule),
            Tried::Passes(why) => explanation.others.push(Other { rule, why }),
        }
    }
    let entry = matched.map(|route| &*route.action);
    explanation.filters = policy::filters(chain, entry);
    match entry {
        None => {
            "answered with 404: no route of this host matches".clone_into(&mut explanation.verdict);
        }
        Some(entry) => act(explanation, tables, entry, question),
    }
}

fn rule(route: &Route<Arc<RouteEntry>>, index: usize) -> Rule {
    let name = route.name.as_deref().filter(|name| !name.is_empty());
    Rule {
        name: name.map_or_else(|| format!("routes[{index}]"), str::to_owned),
        conditions: conditions::texts(&route.rule),
    }
}

/// Fills in what a route does.
fn act(explanation: &mut Explanation, tables: &Tables, entry: &RouteEntry, question: &Question) {
    explanation.verdict = match &entry.action {
        Action::Forward(forward) => {
            explanation.forwarded = true;
            explanation.destinations = picked(tables, forward, question);
            explanation.timeouts = limits(tables, forward);
            explanation.policies = policy::policies(tables, forward);
            sent("sent", explanation)
        }
        Action::Redirect(to) => format!("answered with {}: a redirect", to.status.as_u16()),
        Action::Direct(answer) => format!("answered with {}", answer.status.as_u16()),
        Action::Nowhere => "answered with 503: the route sends it nowhere".to_owned(),
    };
}

fn sent(how: &str, explanation: &Explanation) -> String {
    let able = explanation.destinations.iter().any(|each| each.trouble.is_none());
    let names: Vec<_> = explanation.destinations.iter().map(|each| each.cluster.as_str()).collect();
    if able {
        format!("{how} to {}", names.join(" or "))
    } else {
        format!("refused: nobody takes requests behind {}", names.join(" or "))
    }
}

/// Hosts that are named where one is not found.
const NAMED: usize = 20;

fn nobody(routes: &RouteConfig, authority: &str) -> String {
    let mut names: Vec<&str> = routes.table.routes().map(|(host, _)| host).collect();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "answered with 404: {authority:?} belongs to no virtual host of {:?} (there are: {}{more})",
        routes.name,
        names.join(", ")
    )
}
