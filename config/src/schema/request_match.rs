//! Conditions of policies on requests, and shares of them.

use serde_json::{Value, json};

use super::{about_it, choice, integer, list, named_match, object, text};

pub(super) fn request_match() -> Value {
    let path = object(&[], &[("type", choice(&["Exact", "PathPrefix"])), ("value", text())]);
    let methods = choice(&["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"]);
    let mut matched =
        object(&[], &[("method", methods), ("path", path), ("headers", list(&named_match(), 0))]);
    matched["minProperties"] = json!(1);
    about_it(matched, "Only requests like this.")
}

/// The two ways to say how many.
pub(super) fn share() -> [(&'static str, Value); 2] {
    let most = i32::MAX.unsigned_abs();
    let fraction = object(
        &["numerator"],
        &[
            ("numerator", integer(0, most)),
            ("denominator", about_it(integer(1, most), "100 without it.")),
        ],
    );
    [
        ("percent", about_it(integer(0, 100), "Of the requests; all without it.")),
        ("fraction", fraction),
    ]
}
