//! What makes requests equal, and what keeps them together.

use serde_json::{Value, json};

use super::{about_it, list, object, text};

fn cookie(ttl: &str) -> Value {
    object(
        &["name"],
        &[
            ("name", text()),
            ("ttl", about_it(text(), ttl)),
            ("path", about_it(text(), "The path of a cookie that is given.")),
        ],
    )
}

/// What requests are told apart by.
pub(super) fn told_apart_by() -> Value {
    let ttl = "Clients without the cookie are given one for so long; 0s until they close.";
    let on = [
        ("header", about_it(text(), "The values of this header.")),
        ("cookie", cookie(ttl)),
        ("queryParameter", about_it(text(), "The value of this query parameter.")),
        ("sourceAddress", about_it(object(&[], &[]), "The address of the client.")),
    ];
    let mut on = object(&[], &on);
    on["minProperties"] = 1.into();
    on["maxProperties"] = 1.into();
    list(&on, 1)
}

pub(super) fn stickiness() -> Value {
    let ttl = "How long clients keep it; until they close without it.";
    object(
        &[],
        &[
            ("cookie", about_it(cookie(ttl), "Clients keep their endpoint in it.")),
            ("header", about_it(text(), "Clients get it with answers, and send it back.")),
            (
                "strict",
                about_it(json!({"type": "boolean"}), "No other endpoint will do; 503 without it."),
            ),
        ],
    )
}
