//! Nodes as others see them.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;
use weft_xds::{ResourceType, Version};

use crate::{
    ledger::{Entry, Record, Stamps},
    vetted::Withheld,
};

/// One node. While a node reconnects it may have two streams; the newer one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its id.
    pub node: String,
    /// What it says it is, for example `weft 0.1.0`.
    pub agent: String,
    /// Since when its newest stream is open, as in RFC 3339.
    pub connected_since: String,
    /// Whether it has accepted everything that it is offered, of all it asked for.
    pub converged: bool,
    /// The types that it asked for, in the order of the protocol.
    pub types: Vec<TypeView>,
    /// What it refused. It is not sent that again until it changes; all else flows.
    pub quarantined: Vec<Quarantined>,
    /// What it is not sent, because it would refuse it.
    pub withheld: Vec<Withheld>,
}

/// How far a node is with one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeView {
    /// The type's abbreviation, for example `CDS`.
    pub r#type: &'static str,
    /// Whether it has accepted everything of it that it is offered.
    pub converged: bool,
    /// The last response sent.
    pub sent: Option<Stamp>,
    /// The last response accepted.
    pub acknowledged: Option<Stamp>,
    /// The last response refused, until one is accepted after it and nothing remains refused.
    pub refused: Option<RefusedView>,
}

/// A version, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stamp {
    /// The version.
    pub version: String,
    /// When, as in RFC 3339.
    pub at: String,
}

/// What was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedView {
    /// The version.
    pub version: String,
    /// When, as in RFC 3339.
    pub at: String,
    /// The resources to blame, as far as known.
    pub resources: Vec<String>,
    /// The node's words.
    pub reason: String,
}

/// A resource whose newest version a node refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// The type's abbreviation, for example `CDS`.
    pub r#type: &'static str,
    /// The resource's name.
    pub name: String,
    /// The version that was refused.
    pub version: String,
    /// The node's words.
    pub reason: String,
    /// The version that it is given instead; `None` when it is left with what it has.
    pub sent: Option<String>,
}

impl NodeView {
    pub(crate) fn of(entry: &Entry, record: &Record) -> Self {
        let types: Vec<_> = record
            .types
            .iter()
            .map(|(of, stamps)| TypeView::of(*of, stamps, record.machine.is_converged(*of)))
            .collect();
        let quarantined =
            record.machine.quarantined().map(|(of, name, refusal, sent)| Quarantined {
                r#type: of.abbreviation(),
                name: name.to_string(),
                version: refusal.version.to_string(),
                reason: refusal.reason.to_string(),
                sent: sent.map(|version| version.to_string()),
            });
        let withheld = record.offer.as_ref().map(|offer| offer.withheld().to_vec());
        let mut view = Self {
            node: entry.node.clone(),
            agent: entry.agent.clone(),
            connected_since: time(entry.since),
            converged: false,
            types,
            quarantined: quarantined.collect(),
            withheld: withheld.unwrap_or_default(),
        };
        view.conclude();
        view
    }

    /// Takes what a newer stream of the same node knows, where it knows it.
    pub(crate) fn replace_by(&mut self, newer: Self) {
        let of_newer = |abbreviation| newer.types.iter().any(|view| view.r#type == abbreviation);
        self.types.retain(|view| !of_newer(view.r#type));
        self.quarantined.retain(|each| !of_newer(each.r#type));
        self.types.extend(newer.types);
        let place = |view: &TypeView| {
            ResourceType::ALL.iter().position(|of| of.abbreviation() == view.r#type)
        };
        self.types.sort_by_key(place);
        self.quarantined.extend(newer.quarantined);
        self.agent = newer.agent;
        self.connected_since = newer.connected_since;
        self.withheld = newer.withheld;
        self.conclude();
    }

    fn conclude(&mut self) {
        self.converged = self.types.iter().all(|view| view.converged) && self.withheld.is_empty();
    }
}

impl TypeView {
    fn of(of: ResourceType, stamps: &Stamps, converged: bool) -> Self {
        let stamp = |(version, at): (Version, SystemTime)| Stamp {
            version: version.to_string(),
            at: time(at),
        };
        let refused = stamps.refused.as_ref().filter(|_| !converged);
        Self {
            r#type: of.abbreviation(),
            converged,
            sent: stamps.sent.map(stamp),
            acknowledged: stamps.acknowledged.map(stamp),
            refused: refused.map(|refused| RefusedView {
                version: refused.version.to_string(),
                at: time(refused.at),
                resources: refused.resources.clone(),
                reason: refused.reason.clone(),
            }),
        }
    }
}

/// Clocks that no calendar has are shown as its beginning.
fn time(at: SystemTime) -> String {
    Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
