//! `envoy.config.route.v3.RetryPolicy.RetryHostPredicate`: endpoints that no request is sent to once more.

use prost::Name as _;
use weft_proto::pb::envoy::{
    config::route::v3::retry_policy as wire,
    extensions::retry::host::{
        omit_canary_hosts::v3::OmitCanaryHostsPredicate,
        omit_host_metadata::v3::OmitHostMetadataConfig, previous_hosts::v3::PreviousHostsPredicate,
    },
};

use crate::{
    extension,
    metadata::{self, Labels},
    path::At,
    problem::{Notes, Problem},
};

/// What predicates leave out besides endpoints that were tried, which are always avoided while there
/// are others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryHosts {
    /// `OmitCanaryHostsPredicate`: those whose metadata `envoy.lb` says `canary: true`.
    pub canaries: bool,
    /// `OmitHostMetadataConfig`, one for each predicate: those that have all of these labels.
    pub labelled: Box<[Labels]>,
}

/// Reads predicates; `None` where one is refused.
#[expect(clippy::option_option, reason = "refused, or predicates that leave something out or not")]
pub(crate) fn read(
    predicates: &[wire::RetryHostPredicate],
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<Option<Box<RetryHosts>>> {
    let (mut canaries, mut labelled) = (false, Vec::new());
    for (index, predicate) in predicates.iter().enumerate() {
        let at = at.item("retry_host_predicate", index);
        let at = at.field("typed_config");
        let Some(wire::retry_host_predicate::ConfigType::TypedConfig(any)) = &predicate.config_type
        else {
            return notes.refuse(&at, Problem::Missing);
        };
        match extension::type_name(any) {
            name if name == PreviousHostsPredicate::full_name() => {
                extension::unpack::<PreviousHostsPredicate>(any, &at, notes)?;
            }
            name if name == OmitCanaryHostsPredicate::full_name() => {
                extension::unpack::<OmitCanaryHostsPredicate>(any, &at, notes)?;
                canaries = true;
            }
            name if name == OmitHostMetadataConfig::full_name() => {
                let message = extension::unpack::<OmitHostMetadataConfig>(any, &at, notes)?;
                let labels = metadata::labels(message.metadata_match.as_ref());
                // As in Envoy, what asks for no label leaves nobody out.
                labelled.extend((!labels.is_empty()).then_some(labels));
            }
            // The field table has refused it already.
            other => {
                return notes.unsupported(
                    &at,
                    other,
                    "previous_hosts, omit_canary_hosts or omit_host_metadata is",
                );
            }
        }
    }
    let any = canaries || !labelled.is_empty();
    Some(any.then(|| Box::new(RetryHosts { canaries, labelled: labelled.into() })))
}
