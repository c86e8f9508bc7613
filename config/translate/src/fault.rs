//! Faults made on purpose: what the proxies of callers do before they send a request on.

use weft_config::model::policy::{AbortAnswer, Fault};
use weft_config::model::route::Share;
use weft_proto::pb::envoy::extensions::filters::common::fault::v3 as common;
use weft_proto::pb::envoy::extensions::filters::common::fault::v3::fault_delay::FaultDelaySecifier;
use weft_proto::pb::envoy::extensions::filters::http::fault::v3 as fault;
use weft_proto::pb::envoy::extensions::filters::http::fault::v3::fault_abort::ErrorType;
use weft_proto::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use weft_proto::pb::google::protobuf::Any;

use crate::request_match;
use crate::wire::{any, duration, fraction, uint32};

/// The name by which connection managers have the filter, and routes say what it does.
const NAME: &str = "envoy.filters.http.fault";

/// Puts the filter before the others of a connection manager. It does nothing for routes that say
/// nothing of it.
pub(crate) fn with_faults(manager: &mut hcm::HttpConnectionManager) {
    manager.http_filters.insert(0, filter(&fault::HttpFault::default()));
}

/// Puts the filter before the others of a connection manager whose requests are all for one
/// Service. gRPC clients cannot choose among them (gRFC A33): faults with a match are not for them.
pub(crate) fn with_fault(manager: &mut hcm::HttpConnectionManager, said: &Fault) {
    if said.matched.is_none() {
        manager.http_filters.insert(0, filter(&config(said)));
    }
}

fn filter(config: &fault::HttpFault) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: NAME.to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(any(config))),
        ..Default::default()
    }
}

/// What a route says of the filter, by its name.
pub(crate) fn of_route(said: &Fault) -> (String, Any) {
    (NAME.to_owned(), any(&config(said)))
}

fn config(said: &Fault) -> fault::HttpFault {
    let share = |share: Option<Share>| Some(fraction(share.unwrap_or(Share::Percent(100))));
    let delay = said.delay.map(|delay| common::FaultDelay {
        fault_delay_secifier: Some(FaultDelaySecifier::FixedDelay(duration(delay.time))),
        percentage: share(delay.share),
    });
    let abort = said.abort.map(|abort| fault::FaultAbort {
        error_type: Some(match abort.answer {
            AbortAnswer::Status(status) => ErrorType::HttpStatus(u32::from(status)),
            AbortAnswer::GrpcStatus(status) => ErrorType::GrpcStatus(status.code()),
        }),
        percentage: share(abort.share),
        ..Default::default()
    });
    fault::HttpFault {
        delay,
        abort,
        headers: said.matched.as_ref().map(request_match::headers).unwrap_or_default(),
        max_active_faults: said.max_active.map(uint32),
        ..Default::default()
    }
}
