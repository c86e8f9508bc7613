//! The filters of routes.

use serde_json::{Value, json};

use super::request_match::share;
use super::{about_it, backend, choice, integer, list, object, of_type, port_number, text};

/// Those of a GRPCRoute.
pub(super) fn call_filter() -> Value {
    let mut kinds = header_modifiers().to_vec();
    kinds.push(mirror());
    json!({"oneOf": kinds})
}

fn mirror() -> Value {
    let [percent, fraction] = share();
    let compare = object(
        &[],
        &[
            ("headers", about_it(list(&text(), 0), "Fields of answers that are compared.")),
            ("showHeaders", about_it(list(&text(), 0), "Those whose values may be logged.")),
            (
                "maxBodyBytes",
                about_it(
                    integer(0, 64 << 20),
                    "How much of a body is hashed; with 0 bodies are not compared.",
                ),
            ),
            (
                "logsPerMinute",
                about_it(integer(0, 6000), "How many differences each proxy may log."),
            ),
        ],
    );
    let most = about_it(integer(1, 1_000_000), "Copies under way at once, in each proxy.");
    let compare = about_it(compare, "Answers to copies are compared with those that clients get.");
    let mirror = object(
        &["backendRef"],
        &[("backendRef", backend()), percent, fraction, ("maxActive", most), ("compare", compare)],
    );
    of_type("RequestMirror", "requestMirror", mirror)
}

/// Those that change headers.
pub(super) fn header_filter() -> Value {
    json!({"oneOf": header_modifiers()})
}

fn header_modifiers() -> [Value; 2] {
    let header = object(&["name", "value"], &[("name", text()), ("value", text())]);
    let modifier = object(
        &[],
        &[("set", list(&header, 0)), ("add", list(&header, 0)), ("remove", list(&text(), 0))],
    );
    [
        of_type("RequestHeaderModifier", "requestHeaderModifier", modifier.clone()),
        of_type("ResponseHeaderModifier", "responseHeaderModifier", modifier),
    ]
}

/// Those of an HTTPRoute.
pub(super) fn filter() -> Value {
    let path = json!({"oneOf": [
        of_type("ReplaceFullPath", "replaceFullPath", text()),
        of_type("ReplacePrefixMatch", "replacePrefixMatch", text()),
    ]});
    let redirect = object(
        &[],
        &[
            ("scheme", choice(&["http", "https"])),
            ("hostname", text()),
            ("path", path.clone()),
            ("port", port_number()),
            ("statusCode", json!({"enum": [301, 302, 303, 307, 308]})),
        ],
    );
    let rewrite = object(&[], &[("hostname", text()), ("path", path)]);
    let mut kinds = header_modifiers().to_vec();
    kinds.push(of_type("RequestRedirect", "requestRedirect", redirect));
    kinds.push(of_type("URLRewrite", "urlRewrite", rewrite));
    kinds.push(of_type("CORS", "cors", cors()));
    kinds.push(mirror());
    json!({"oneOf": kinds})
}

fn cors() -> Value {
    let names = |what: &str| about_it(list(&text(), 0), what);
    let seconds = integer(1, 365 * 24 * 3600);
    object(
        &["allowOrigins"],
        &[
            (
                "allowOrigins",
                about_it(list(&text(), 1), "Such as https://a.example, https://*.a.example, or *."),
            ),
            (
                "allowCredentials",
                about_it(json!({"type": "boolean"}), "Whether requests may have cookies."),
            ),
            ("allowMethods", names("Besides GET, HEAD and POST; or * alone.")),
            ("allowHeaders", names("Besides those that need no permission; or * alone.")),
            ("exposeHeaders", names("Response headers that pages may read; or * alone.")),
            ("maxAge", about_it(seconds, "Seconds an answer may be remembered; 5 without it.")),
        ],
    )
}
