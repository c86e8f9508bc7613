//! Hedging, in the metadata of clusters: proxies of ours go by it, and others by nothing.

use prost::Message as _;
use weft_config::model::hedging::{Hedging, Slow};
use weft_config::model::policy::RetryBudget;
use weft_proto::hedging as wire;
use weft_proto::pb::envoy::config::core::v3 as core;
use weft_proto::pb::envoy::r#type::v3::Percent;
use weft_proto::pb::google::protobuf::Any;

use crate::retry::{IDEMPOTENCY_KEY, by_method};
use crate::rule::present;
use crate::wire::{duration, uint32};

/// The metadata of a cluster whose slow requests go to a second endpoint as well.
pub(crate) fn metadata(hedging: &Hedging) -> core::Metadata {
    let methods = hedging.methods.iter().flatten().map(by_method);
    let marked = hedging.methods.is_some().then(|| present(IDEMPOTENCY_KEY));
    let budget = hedging.budget;
    let policy = wire::HedgePolicy {
        slow: Some(match hedging.slow {
            Slow::Percentile(percent) => wire::Slow::Quantile(f64::from(percent) / 100.0),
            Slow::After(after) => wire::Slow::After(duration(after)),
        }),
        extra: hedging.extra.map(uint32),
        budget: (budget != RetryBudget::default()).then(|| wire::Budget {
            share: budget.percent.map(|percent| Percent { value: f64::from(percent) }),
            minimum: budget.min_concurrent.map(uint32),
        }),
        request_headers: methods.chain(marked).collect(),
    };
    let any = Any {
        type_url: weft_proto::type_url::HEDGE_POLICY.to_owned(),
        value: policy.encode_to_vec(),
    };
    core::Metadata {
        typed_filter_metadata: [(wire::HedgePolicy::METADATA.to_owned(), any)].into(),
        ..Default::default()
    }
}
