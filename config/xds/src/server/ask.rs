//! A request of either mode, reduced to what it means.

use std::collections::HashMap;

use weft_proto::discovery::Status;

use crate::message::Request;

/// What a client asks of one type.
#[derive(Debug)]
pub(super) struct Ask {
    /// The nonce of the response that this answers, or nothing.
    pub(super) nonce: String,
    /// Why that response is refused, if it is.
    pub(super) refusal: Option<Status>,
    /// What to do to the subscription.
    pub(super) change: Change,
}

/// A change of subscription.
#[derive(Debug)]
pub(super) enum Change {
    /// State of the world: all the names.
    Replace {
        names: Vec<String>,
        /// The client holds resources from an earlier stream.
        resumed: bool,
    },
    /// Delta: names more and names less.
    Adjust {
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
        /// Versions held from an earlier stream.
        held: HashMap<String, String>,
    },
}

impl From<Request> for Ask {
    fn from(request: Request) -> Self {
        match request {
            Request::Sotw(request) => Self {
                nonce: request.response_nonce,
                refusal: request.error_detail,
                change: Change::Replace {
                    names: request.resource_names,
                    resumed: !request.version_info.is_empty(),
                },
            },
            Request::Delta(request) => Self {
                nonce: request.response_nonce,
                refusal: request.error_detail,
                change: Change::Adjust {
                    subscribe: request.resource_names_subscribe,
                    unsubscribe: request.resource_names_unsubscribe,
                    held: request.initial_resource_versions,
                },
            },
        }
    }
}
