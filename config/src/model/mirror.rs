//! The filter `RequestMirror` of a rule: copies of requests go elsewhere, and nobody waits for the
//! answers.

use serde::Serialize;

use super::route::BackendRef;
use super::share::Share;

/// Where copies go, and of how many requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// Where to; its weight and filters are the defaults.
    pub backend_ref: BackendRef,
    /// Of how many; of all without it.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
}
