//! `ratelimit` of raw connections: a service is asked whether a chain may have one.

use std::time::Duration;

use weft_format::Format;
use weft_proto::pb::envoy::extensions::{
    common::ratelimit::v3::RateLimitDescriptor, filters::network::ratelimit::v3 as wire,
};

use crate::{api_source::GrpcService, headers, http_filter::rate_limit, path::At, problem::Notes};

/// What a service is asked about connections, and what becomes of them without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionQuestion {
    /// `stat_prefix`.
    pub stat_prefix: Box<str>,
    /// `rate_limit_service`.
    pub service: GrpcService,
    /// `domain` of the limits.
    pub domain: Box<str>,
    /// `descriptors`, at least one.
    pub descriptors: Box<[FormattedDescriptor]>,
    /// `timeout` of a call (20 ms by default); 0 is none.
    pub timeout: Option<Duration>,
    /// `failure_mode_deny`: connections are closed where the service does not answer.
    pub denies_on_error: bool,
}

/// A description whose values say something of the connection: keys, and how their values are written.
pub type FormattedDescriptor = Box<[(Box<str>, Format)]>;

/// Reads the filter.
pub(crate) fn read(
    message: &wire::RateLimit,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<ConnectionQuestion> {
    let at_service = at.field("rate_limit_service");
    let service = rate_limit::service(message.rate_limit_service.as_ref(), &at_service, notes);
    let timeout = rate_limit::timeout(message.timeout.as_ref(), &at.field("timeout"), notes);
    let descriptors = message.descriptors.iter().enumerate();
    let descriptors: Option<Box<[_]>> =
        descriptors.map(|(i, it)| descriptor(it, &at.item("descriptors", i), notes)).collect();
    Some(ConnectionQuestion {
        stat_prefix: message.stat_prefix.as_str().into(),
        service: service?,
        domain: message.domain.as_str().into(),
        descriptors: descriptors?,
        timeout: timeout?,
        denies_on_error: message.failure_mode_deny,
    })
}

fn descriptor(
    message: &RateLimitDescriptor,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<FormattedDescriptor> {
    let entries = message.entries.iter().enumerate();
    let entries = entries.map(|(index, entry)| {
        let at = at.item("entries", index);
        let value = headers::format(&entry.value, &at.field("value"), notes)?;
        Some((Box::from(entry.key.as_str()), value))
    });
    entries.collect()
}
