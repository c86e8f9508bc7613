//! Reads the filter `CORS` of an `HTTPRoute` rule.

use super::{non_empty, unique};
use crate::model::cors::{AllowedOrigin, Cors, Listed};
use crate::problem::Reason;
use crate::reader::{Object, Reader};
use crate::syntax::{HEADER_NAME, is_header_name};
use crate::tree::Node;

const ORIGIN: &str = "an origin such as https://shop.example.com, https://*.example.com:8443, or *";
const METHOD: &str = "a request method such as PUT";
/// Longer than any browser remembers an answer.
const LONGEST: u32 = 365 * 24 * 3600;

pub(super) fn cors(reader: &mut Reader, node: &Node) -> Option<Cors> {
    reader.object(node, |reader, object| {
        let origins = object.required(reader, "allowOrigins", |reader, node| {
            let origins =
                reader.list(node, |reader, node| reader.parsed(node, ORIGIN, AllowedOrigin::parse));
            let origins = non_empty(reader, node, origins);
            unique(reader, node, origins, |origin| {
                let origin = String::from(origin.clone());
                Some((origin.clone(), format!("the origin {origin}")))
            })
        });
        let credentials = object.optional(reader, "allowCredentials", Reader::boolean);
        let methods = listed(reader, object, "allowMethods", METHOD);
        let headers = listed(reader, object, "allowHeaders", HEADER_NAME);
        let expose = listed(reader, object, "exposeHeaders", HEADER_NAME);
        let max_age =
            object.optional(reader, "maxAge", |reader, node| reader.integer(node, 1, LONGEST));
        let credentials = credentials?.unwrap_or_default();
        let (methods, headers, expose) = (methods?, headers?, expose?);
        // Browsers take `*` by its letter when there are credentials, so it would allow nothing.
        if credentials && [&methods, &headers, &expose].contains(&&Listed::All) {
            let what = "`*` for methods or headers along with allowCredentials".to_owned();
            let instead =
                "write the names out: browsers do not take `*` for requests with credentials";
            return reader.refuse(object.node(), Reason::Unsupported { what, instead });
        }
        Some(Cors {
            allow_origins: origins?,
            allow_credentials: credentials,
            allow_methods: methods,
            allow_headers: headers,
            expose_headers: expose,
            max_age: max_age?,
        })
    })
}

/// Names, each once, or `*` alone.
fn listed(
    reader: &mut Reader,
    object: &mut Object<'_>,
    field: &'static str,
    what: &'static str,
) -> Option<Listed> {
    let listed = object.optional(reader, field, |reader, node| {
        let names = reader.list(node, |reader, node| reader.text(node, what, is_header_name));
        let names = unique(reader, node, names, |name| Some((name.clone(), format!("{name:?}"))))?;
        if !names.iter().any(|name| name == "*") {
            return Some(Listed::Only(names));
        }
        if names.len() == 1 {
            return Some(Listed::All);
        }
        reader.invalid(node, "* among others", "`*` alone, or names without it")
    })?;
    Some(listed.unwrap_or_default())
}
