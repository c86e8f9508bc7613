//! `weft.mirroring.v1.Mirroring`: what a route says of copies of its requests beyond Envoy's words.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderName,
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE, WWW_AUTHENTICATE},
};
use weft_limit::{Fill, TokenBucket};
use weft_proto::mirroring as wire;

use super::Mirror;
use crate::{
    cluster::optional,
    destination::ClusterChoice,
    headers,
    http_filter::{FilterRule, FilterSettings},
    path::At,
    problem::{Notes, Problem},
};

/// Bytes of bodies that are hashed where nothing else is said.
const HASHED: u32 = 1 << 20;
/// Differences that are logged each minute where nothing else is said.
const LOGGED: u32 = 60;
/// Fields whose values let whoever reads them act for somebody else.
const SECRET: [HeaderName; 5] =
    [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE, WWW_AUTHENTICATE];

/// What a route says of its copies, by their clusters.
#[derive(Debug)]
pub struct Mirroring(Box<[(Box<str>, Arc<Copies>)]>);

/// What is said of the copies that go to one cluster.
#[derive(Debug)]
pub struct Copies {
    /// `max_active`: so many may be under way at once.
    pub max_active: Option<u32>,
    /// `compare`.
    pub comparison: Option<AnswerComparison>,
}

/// What is compared of the answers besides status, status of gRPC and latency; with the differences
/// that may be logged now, in all workers.
#[derive(Debug)]
pub struct AnswerComparison {
    /// `headers` and `shown_headers`.
    pub headers: Box<[ComparedHeader]>,
    /// `max_body_bytes`: so many bytes of each body are hashed.
    pub max_body_bytes: u64,
    /// `max_logs_per_minute`; `None` where nothing is logged.
    pub logs: Option<TokenBucket>,
}

/// A field of answers that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedHeader {
    /// Its name.
    pub name: HeaderName,
    /// Whether its values may be logged.
    pub is_shown: bool,
}

/// Reads what an entry of `typed_per_filter_config` says.
pub(crate) fn read(message: &wire::Mirroring, at: &At<'_>, notes: &mut Notes) -> Option<Mirroring> {
    let mut all: Vec<(Box<str>, Arc<Copies>)> = Vec::with_capacity(message.copies.len());
    let mut is_good = true;
    for (index, said) in message.copies.iter().enumerate() {
        let at = at.item("copies", index);
        if all.iter().any(|(cluster, _)| **cluster == *said.cluster) {
            let again = Problem::Duplicate(said.cluster.clone());
            notes.refuse::<()>(&at.field("cluster"), again);
            is_good = false;
            continue;
        }
        match copies(said, &at, notes) {
            Some(copies) => all.push((said.cluster.as_str().into(), Arc::new(copies))),
            None => is_good = false,
        }
    }
    is_good.then(|| Mirroring(all.into()))
}

fn copies(message: &wire::Copies, at: &At<'_>, notes: &mut Notes) -> Option<Copies> {
    let comparison = match &message.compare {
        None => None,
        Some(compare) => Some(comparison(compare, &at.field("compare"), notes)?),
    };
    Some(Copies { max_active: optional(message.max_active.as_ref()), comparison })
}

fn comparison(
    message: &wire::Comparison,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<AnswerComparison> {
    let mut compared: Vec<ComparedHeader> = Vec::with_capacity(message.headers.len());
    for (index, name) in message.headers.iter().enumerate() {
        let at = at.item("headers", index);
        let name = headers::header_name(name, &at, notes)?;
        if compared.iter().any(|known| known.name == name) {
            return notes.refuse(&at, Problem::Duplicate(name.as_str().to_owned()));
        }
        compared.push(ComparedHeader { name, is_shown: false });
    }
    for (index, name) in message.shown_headers.iter().enumerate() {
        let at = at.item("shown_headers", index);
        let name = headers::header_name(name, &at, notes)?;
        if SECRET.contains(&name) {
            let what = format!("logging values of {name}");
            return notes.unsupported(&at, what, "naming it among headers is");
        }
        match compared.iter_mut().find(|known| known.name == name) {
            Some(known) => known.is_shown = true,
            None => return notes.unsupported(&at, "a header that is not compared", "headers are"),
        }
    }
    let logged = optional(message.max_logs_per_minute.as_ref()).unwrap_or(LOGGED);
    let fill = Fill { most: logged, tokens: logged, interval: Duration::from_secs(60) };
    Some(AnswerComparison {
        headers: compared.into(),
        max_body_bytes: optional(message.max_body_bytes.as_ref()).unwrap_or(HASHED).into(),
        logs: (logged > 0).then(|| TokenBucket::new(fill)),
    })
}

/// What is among the rules of one level, with where it stands there.
fn among(rules: &[FilterRule]) -> impl Iterator<Item = (&str, &Arc<Mirroring>)> {
    rules.iter().filter_map(|rule| match rule.settings() {
        Some(FilterSettings::Mirroring(said)) => Some((rule.name(), said)),
        _ => None,
    })
}

/// Refuses it where there are no copies to speak of.
pub(crate) fn refuse(rules: &[FilterRule], at: &At<'_>, notes: &mut Notes) {
    for (name, _) in among(rules) {
        let at = at.key("typed_per_filter_config", name);
        notes.unsupported::<()>(&at, "Mirroring here", "that of a route with copies is");
    }
}

/// The mirrors of a route with what it says of their copies.
pub(crate) fn apply(
    mirrors: Arc<[Mirror<ClusterChoice>]>,
    rules: &[FilterRule],
    at: &At<'_>,
    notes: &mut Notes,
) -> Arc<[Mirror<ClusterChoice>]> {
    let mut result = mirrors;
    for (name, said) in among(rules) {
        let is_of = |mirror: &Mirror<ClusterChoice>, cluster: &str| matches!(&mirror.cluster, ClusterChoice::Name(name) if name.as_str() == cluster);
        let at = at.key("typed_per_filter_config", name);
        for (index, (cluster, _)) in said.0.iter().enumerate() {
            if !result.iter().any(|mirror| is_of(mirror, cluster)) {
                let at = at.item("copies", index);
                let what = format!("copies for {cluster:?}, which gets none");
                let supported = "a cluster of the route's request_mirror_policies is";
                notes.unsupported::<()>(&at.field("cluster"), what, supported);
            }
        }
        let each = result.iter().map(|mirror| {
            let own = said.0.iter().find(|(cluster, _)| is_of(mirror, cluster));
            let copies = own.map(|(_, copies)| Arc::clone(copies)).or(mirror.copies.clone());
            Mirror { copies, ..mirror.clone() }
        });
        result = each.collect();
    }
    result
}
