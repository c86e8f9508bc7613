//! Messages packed in `Any`, and the wrappers that may stand around them.

use prost::{Message, Name};
use weft_proto::pb::{envoy::config::route::v3 as route, google::protobuf};

use crate::{
    path::At,
    problem::{Notes, Problem},
};

/// Unpacks a message of exactly this type.
pub(crate) fn unpack<M: Message + Name + Default>(
    any: &protobuf::Any,
    at: &At<'_>,
    notes: &mut Notes,
) -> Option<M> {
    match M::decode(any.value.as_slice()) {
        Ok(message) => Some(message),
        Err(error) => notes.refuse(at, Problem::Undecodable(error.to_string())),
    }
}

/// Whether the `Any` holds an `M`. Only what follows the last slash names the type.
pub(crate) fn holds<M: Name>(any: &protobuf::Any) -> bool {
    type_name(any) == M::full_name()
}

/// The name of the packed type.
pub(crate) fn type_name(any: &protobuf::Any) -> &str {
    any.type_url.rsplit_once('/').map_or(any.type_url.as_str(), |(_, name)| name)
}

/// Reads `typed_per_filter_config`. No filter has route-specific settings here, so each entry is
/// refused unless its `FilterConfig` says that it may be ignored.
pub(crate) fn per_filter_config<'m>(
    entries: impl IntoIterator<Item = (&'m String, &'m protobuf::Any)>,
    at: &At<'_>,
    notes: &mut Notes,
) {
    const FIELD: &str = "typed_per_filter_config";
    for (filter, any) in entries {
        let at = at.key(FIELD, filter);
        if !holds::<route::FilterConfig>(any) {
            notes.refuse::<()>(&at, Problem::UnknownType(type_name(any).to_owned()));
            continue;
        }
        let Some(wrapper) = unpack::<route::FilterConfig>(any, &at, notes) else { continue };
        if wrapper.is_optional {
            notes.warn(&at, "ignored: the filter is not supported, and this is optional");
        } else {
            let held = wrapper.config.as_ref().map_or("", type_name);
            notes.refuse::<()>(&at, Problem::UnknownType(held.to_owned()));
        }
    }
}
