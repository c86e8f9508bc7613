//! Messages packed in `Any`, and the wrappers that may stand around them.

use prost::{Message, Name};
use weft_proto::pb::google::protobuf;

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
