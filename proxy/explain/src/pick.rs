//! Which endpoint a request gets, where its hash decides.

use serde::Serialize;
use weft_balance::Criteria;
use weft_compile::{Cluster, Forward, HashInput, HashPolicy, Hashed, cookie, request_hash};

use crate::{Question, destination::address};

/// Where the hash of a request leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pick {
    /// The endpoint, where it can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Why there.
    pub why: String,
}

/// `None` where the cluster does not place requests by their hash.
pub(crate) fn pick(
    cluster: &Cluster,
    asked: Option<&Criteria>,
    forward: &Forward,
    question: &Question,
) -> Option<Pick> {
    if !cluster.balancer.hashes() {
        return None;
    }
    let unknown = |why: String| Some(Pick { endpoint: None, why });
    let policies = &forward.hash_policy;
    if policies.is_empty() {
        return unknown("the route does not say what requests are hashed by: any of them".into());
    }
    let by: Vec<_> = policies.iter().map(named).collect();
    let by = by.join(", ");
    for policy in policies {
        match &policy.input {
            HashInput::SourceIp if question.client.is_none() => {
                return unknown(format!("by {by}: ask for a client"));
            }
            HashInput::Cookie(rule)
                if rule.ttl.is_some() && cookie::find(&question.headers, &rule.name).is_none() =>
            {
                return unknown(format!("by {by}: a client without the cookie is given one"));
            }
            _ => {}
        }
    }
    let request = Hashed {
        method: &question.method,
        scheme: question.scheme,
        authority: question.authority.as_bytes(),
        path: &question.path,
        fields: &question.headers,
        remote: question.client.map(|client| (client, 0).into()),
        local: None,
    };
    let Some(hash) = request_hash(policies, request).0 else {
        return unknown(format!("by {by}, of which the request has nothing: any of them"));
    };
    let picked = cluster.chosen(asked).balancer()?.pick_for(0, Some(hash))?;
    let endpoint = Some(address(picked.endpoint.address()));
    Some(Pick { endpoint, why: format!("by {by}: every request of this hash") })
}

/// What a part of a hash is made of.
fn named(policy: &HashPolicy) -> String {
    match &policy.input {
        HashInput::Header { name, .. } => format!("the header {name}"),
        HashInput::Cookie(rule) => format!("the cookie {}", rule.name),
        HashInput::SourceIp => "the client's address".to_owned(),
        HashInput::Query(name) => format!("the query parameter {name}"),
    }
}
