//! Where a referenced resource comes from (`core.v3.ConfigSource`).

use std::time::Duration;

use weft_proto::pb::envoy::config::core::v3 as core;

use crate::{
    path::At,
    problem::{Notes, Problem},
    scalar,
};

/// How long a subscription waits for its first answer. When it ends the resource counts as one
/// that does not exist (`ConfigSource.initial_fetch_timeout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FetchTimeout {
    /// This long; 15 s unless set.
    After(Duration),
    /// For ever (set to 0).
    Never,
}

impl Default for FetchTimeout {
    fn default() -> Self {
        Self::After(Duration::from_secs(15))
    }
}

/// Reads the source of a resource. What is delivered comes over the one ADS stream, so `ads` is
/// honoured, and `self` within a resource that came over it.
pub(crate) fn ads(
    message: Option<&core::ConfigSource>,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<FetchTimeout> {
    use core::{ApiVersion, config_source::ConfigSourceSpecifier as Source};
    const SUPPORTED: &str = "ads is";
    let Some(message) = message else { return notes.refuse(at, Problem::Missing) };
    let version_at = at.field("resource_api_version");
    match ApiVersion::try_from(message.resource_api_version) {
        Ok(ApiVersion::Auto | ApiVersion::V3) => {}
        Ok(_) => {
            notes.unsupported::<()>(&version_at, "the v2 API", "V3 is");
        }
        Err(_) => {
            notes.refuse::<()>(&version_at, Problem::UnknownEnum(message.resource_api_version));
        }
    }
    match &message.config_source_specifier {
        None => return notes.refuse(at, Problem::Missing),
        Some(Source::Ads(_) | Source::Self_(_)) => {}
        Some(Source::ApiConfigSource(_)) => {
            let at = at.field("api_config_source");
            return notes.unsupported(&at, "a stream of its own", SUPPORTED);
        }
        Some(Source::PathConfigSource(_)) => {
            return notes.unsupported(&at.field("path_config_source"), "a file", SUPPORTED);
        }
        // Only the deprecated `path` is left.
        Some(_) => return notes.unsupported(&at.field("path"), "a file", SUPPORTED),
    }
    let Some(timeout) = &message.initial_fetch_timeout else {
        return Some(FetchTimeout::default());
    };
    let timeout = scalar::duration(timeout, &at.field("initial_fetch_timeout"), notes)?;
    Some(if timeout.is_zero() { FetchTimeout::Never } else { FetchTimeout::After(timeout) })
}
