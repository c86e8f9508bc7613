//! Reads the filter `RequestMirror` of a rule.

use super::refs::backend;
use super::share::share;
use crate::model::mirror::{Comparison, Mirror};
use crate::model::route::BackendRef;
use crate::problem::Reason;
use crate::reader::{Object, Reader};
use crate::syntax::{HEADER_NAME, is_header_name};
use crate::tree::Node;

/// The most bytes of a body that are hashed.
const MOST_BYTES: u32 = 64 << 20;
/// The most differences that are logged in a minute.
const MOST_LOGS: u32 = 6000;
/// The most fields that are compared.
const MOST_HEADERS: usize = 32;
/// Fields whose values let whoever reads them act for somebody else.
const SECRET: [&str; 5] =
    ["authorization", "cookie", "proxy-authorization", "set-cookie", "www-authenticate"];

pub(super) fn mirror(reader: &mut Reader, node: &Node) -> Option<Mirror> {
    reader.object(node, |reader, object| {
        let backend_ref = object.required(reader, "backendRef", |reader, node| {
            let to = backend(reader, node)?;
            if to.weight == BackendRef::DEFAULT_WEIGHT && to.filters.is_empty() {
                return Some(to);
            }
            let what = "a weight or filters for copies".to_owned();
            let instead = "remove them: percent or fraction say how many requests are copied";
            reader.refuse(node, Reason::Unsupported { what, instead })
        });
        let share = share(reader, object);
        let max_active =
            object.optional(reader, "maxActive", |reader, node| reader.integer(node, 1, 1_000_000));
        let compare = object.optional(reader, "compare", comparison);
        Some(Mirror {
            backend_ref: backend_ref?,
            share: share?,
            max_active: max_active?,
            compare: compare?,
        })
    })
}

fn comparison(reader: &mut Reader, node: &Node) -> Option<Comparison> {
    reader.object(node, |reader, object| {
        let headers = headers(reader, object, "headers", |_| None);
        let compared = headers.as_deref().unwrap_or_default().to_vec();
        let show_headers = self::headers(reader, object, "showHeaders", |name| {
            if SECRET.contains(&name) {
                let instead =
                    "name it in headers alone: that it differs is told without its values";
                return Some(Reason::Unsupported {
                    what: format!("to log values of {name}"),
                    instead,
                });
            }
            (!compared.iter().any(|known| known == name)).then(|| Reason::Unsupported {
                what: format!("to show {name}, which is not compared"),
                instead: "name it in headers, too",
            })
        });
        let max_body_bytes = object
            .optional(reader, "maxBodyBytes", |reader, node| reader.integer(node, 0, MOST_BYTES));
        let logs_per_minute = object
            .optional(reader, "logsPerMinute", |reader, node| reader.integer(node, 0, MOST_LOGS));
        Some(Comparison {
            headers: headers?,
            show_headers: show_headers?,
            max_body_bytes: max_body_bytes?,
            logs_per_minute: logs_per_minute?,
        })
    })
}

/// Names of fields, each once.
fn headers(
    reader: &mut Reader,
    object: &mut Object<'_>,
    field: &'static str,
    wrong: impl Fn(&str) -> Option<Reason>,
) -> Option<Vec<String>> {
    let mut known: Vec<String> = Vec::new();
    object.list(reader, field, |reader, node| {
        let name = reader.text(node, HEADER_NAME, is_header_name)?.to_ascii_lowercase();
        if let Some(reason) = wrong(&name) {
            return reader.refuse(node, reason);
        }
        if known.len() == MOST_HEADERS || known.contains(&name) {
            let what = format!("a header twice, or more than {MOST_HEADERS} of them");
            return reader.refuse(node, Reason::Unsupported { what, instead: "remove this one" });
        }
        known.push(name.clone());
        Some(name)
    })
}
