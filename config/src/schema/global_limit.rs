//! The limits of a `RateLimitPolicy` that a rate limit service counts.

use serde_json::{Value, json};

use super::{about_it, choice, list, object, port_number, text};

pub(super) fn global_limit() -> Value {
    let service = object(
        &["name"],
        &[
            ("name", text()),
            ("namespace", text()),
            ("port", about_it(port_number(), "The only one with HTTP/2 without it.")),
        ],
    );
    let value = object(&["key", "value"], &[("key", text()), ("value", text())]);
    let mut fields = of_request().to_vec();
    fields.push(("value", about_it(value, "Always the same.")));
    let entry = one_of(&fields);
    let descriptor = object(&["entries"], &[("entries", list(&entry, 1))]);
    object(
        &["service", "domain", "descriptors"],
        &[
            ("service", about_it(service, "It speaks Envoy's protocol of rate limits.")),
            ("domain", about_it(text(), "Whose limits the service is to apply.")),
            ("descriptors", about_it(list(&descriptor, 1), "How requests are described to it.")),
            ("timeout", about_it(text(), "How long it is waited for; 20ms without it.")),
            (
                "failureMode",
                about_it(
                    choice(&["Open", "Closed"]),
                    "Whether requests go on that it says nothing of; Open without it.",
                ),
            ),
        ],
    )
}

/// Something of a request that tells callers apart.
pub(super) fn caller() -> Value {
    one_of(&of_request())
}

fn of_request() -> [(&'static str, Value); 3] {
    [
        ("header", about_it(text(), "The value of this header, by its name.")),
        ("queryParameter", about_it(text(), "The value of this parameter, by its name.")),
        ("remoteAddress", about_it(object(&[], &[]), "The client's, as remote_address.")),
    ]
}

fn one_of(fields: &[(&'static str, Value)]) -> Value {
    let mut entry = object(&[], fields);
    entry["minProperties"] = json!(1);
    entry["maxProperties"] = json!(1);
    entry
}
