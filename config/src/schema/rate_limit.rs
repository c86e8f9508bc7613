//! `RateLimitPolicy`.

use serde_json::{Value, json};

use super::global_limit::{caller, global_limit};
use super::request_match::request_match;
use super::{about_it, choice, integer, list, object, text};

const MOST: u32 = i32::MAX.unsigned_abs();

pub(super) fn rate_limit_policy() -> Value {
    object(
        &["targetRef"],
        &[
            ("targetRef", target()),
            (
                "limits",
                about_it(list(&limit(), 1), "A request needs a token of each that is about it."),
            ),
            (
                "global",
                about_it(global_limit(), "What a rate limit service counts for all proxies."),
            ),
            (
                "mode",
                about_it(
                    choice(&["Enforce", "Observe"]),
                    "Observe counts what is above, and lets it through; Enforce without it.",
                ),
            ),
            ("status", about_it(integer(400, 599), "Of refusals; 429 without it.")),
            (
                "headers",
                about_it(choice(&["Standard", "XRateLimit"]), "By which answers say what is left."),
            ),
        ],
    )
}

fn target() -> Value {
    let part = |groups: &[&str], kinds: &[&str]| {
        vec![("group", choice(groups)), ("kind", choice(kinds)), ("name", text())]
    };
    let gateway_api = ["gateway.networking.k8s.io"];
    let mut route = part(&gateway_api, &["HTTPRoute", "GRPCRoute"]);
    route.push(("sectionName", about_it(text(), "Only the rule of this name.")));
    json!({"oneOf": [
        object(&["kind", "name"], &part(&["", "weft.dev"], &["Service"])),
        object(&["kind", "name"], &part(&gateway_api, &["Gateway"])),
        object(&["kind", "name"], &route),
    ]})
}

fn limit() -> Value {
    object(
        &["requests", "per"],
        &[
            ("name", about_it(text(), "For people, once per policy.")),
            ("requests", integer(1, MOST)),
            ("per", about_it(text(), "Such as 1s; at least 50ms.")),
            (
                "burst",
                about_it(integer(1, MOST), "At once after a quiet time; requests without it."),
            ),
            ("match", request_match()),
            ("by", about_it(list(&caller(), 1), "Each of whom may send as many.")),
        ],
    )
}
