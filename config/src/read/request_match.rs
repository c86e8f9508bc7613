//! Reads the conditions of policies on requests.

use super::matches::{header_list, method, path};
use crate::model::request_match::RequestMatch;
use crate::model::route::PathMatch;
use crate::problem::Reason;
use crate::reader::Reader;
use crate::tree::Node;

pub(super) fn request_match(reader: &mut Reader, node: &Node) -> Option<RequestMatch> {
    reader.object(node, |reader, object| {
        let method = object.optional(reader, "method", method);
        let path = object.optional(reader, "path", |reader, node| match path(reader, node) {
            // The query is no part of a path, and no regular expression over both could tell.
            Some(PathMatch::RegularExpression(_)) => {
                let what = "a regular expression for the path of a policy's match".to_owned();
                let instead = "use Exact or PathPrefix, or match headers";
                reader.refuse(node, Reason::Unsupported { what, instead })
            }
            path => path,
        });
        let headers = object.optional(reader, "headers", header_list);
        let matched =
            RequestMatch { method: method?, path: path?, headers: headers?.unwrap_or_default() };
        if matched == RequestMatch::default() {
            let fields = &["method", "path", "headers"];
            return reader.refuse(object.node(), Reason::AtLeastOne { fields });
        }
        Some(matched)
    })
}
