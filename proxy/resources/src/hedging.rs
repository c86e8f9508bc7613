//! `weft.hedging.v1.HedgePolicy`: what is not answered within its usual time is sent to a second
//! endpoint as well.

use std::time::Duration;

use weft_limit::Quantile;
use weft_proto::{
    hedging::{HedgePolicy, Slow as WireSlow},
    pb::envoy::config::cluster::v3 as wire,
};
use weft_route::HeaderMatch;

use crate::{
    circuit_breakers::RetryLimit,
    cluster::optional,
    extension, matching,
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// By default a tenth of what is under way, and one in any case.
const SHARE: f64 = 10.0;
const MINIMUM: u32 = 1;

/// `HedgePolicy`. Two are equal when they were written alike.
#[derive(Clone, Debug)]
pub struct Hedging {
    /// What is slow.
    pub slow: Slow,
    /// `extra`: how often one request is sent as well.
    pub extra: u32,
    /// `budget`, for all requests of the cluster.
    pub budget: RetryLimit,
    /// `request_headers`: requests of which any of these is true; where there are none, those that
    /// change nothing twice.
    pub requests: Box<[HeaderMatch]>,
    written: Box<[u8]>,
}

impl PartialEq for Hedging {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

/// When a request is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// `quantile`: it takes longer than this share of the answers that came lately.
    Quantile(Quantile),
    /// `after`: it takes longer than this.
    After(Duration),
}

/// Reads the policy among the metadata of a cluster, if there is one.
pub(crate) fn of_cluster(
    message: &wire::Cluster,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Hedging> {
    let any = message.metadata.as_ref()?.typed_filter_metadata.get(HedgePolicy::METADATA)?;
    if !extension::holds::<HedgePolicy>(any) {
        return None;
    }
    let at = at.field("metadata");
    let at = at.key("typed_filter_metadata", HedgePolicy::METADATA);
    let policy = extension::unpack::<HedgePolicy>(any, &at, notes)?;
    let slow = match &policy.slow {
        None => return notes.refuse(&at.field("slow"), Problem::Missing),
        Some(WireSlow::After(after)) => {
            Slow::After(scalar::duration(after, &at.field("after"), notes)?)
        }
        Some(WireSlow::Quantile(share)) => match Quantile::of(*share) {
            Some(quantile) => Slow::Quantile(quantile),
            None => {
                let why = Problem::Refused("is closer to 0 or 1 than can be told apart".to_owned());
                return notes.refuse(&at.field("quantile"), why);
            }
        },
    };
    let budget = policy.budget.unwrap_or_default();
    Some(Hedging {
        slow,
        extra: optional(policy.extra.as_ref()).unwrap_or(1),
        budget: RetryLimit::Budget {
            per_million: scalar::per_million(budget.share.map_or(SHARE, |share| share.value)),
            least: optional(budget.minimum.as_ref()).unwrap_or(MINIMUM),
        },
        requests: matching::headers(&policy.request_headers, "request_headers", &at, notes)?,
        written: any.value.clone().into(),
    })
}
