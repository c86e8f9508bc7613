//! Which crate may know which.

use std::collections::BTreeMap;

use super::workspace::{Package, packages};

/// Longest chain of our crates, the binary included.
const DEPTH: usize = 7;

/// What each crate may use. `ARCHITECTURE.md` says why.
const ALLOWED: &[(&str, &[&str])] = &[
    ("weft-proto", &[]),
    ("weft-config", &[]),
    ("weft-translate", &["weft-config", "weft-proto"]),
    ("weft-xds", &["weft-proto"]),
    ("weft-format", &[]),
    ("weft-route", &[]),
    ("weft-balance", &[]),
    ("weft-limit", &[]),
    ("weft-rls", &[]),
    ("weft-watch", &[]),
    ("weft-telemetry", &[]),
    ("weft-net", &[]),
    ("weft-hpack", &[]),
    ("weft-resources", &["weft-format", "weft-limit", "weft-proto", "weft-rls", "weft-route"]),
    (
        "weft-compile",
        &["weft-balance", "weft-limit", "weft-resources", "weft-route", "weft-telemetry"],
    ),
    ("weft-h2", &["weft-hpack"]),
    ("weft-resolve", &["weft-compile", "weft-resources"]),
    (
        "weft-http",
        &[
            "weft-balance",
            "weft-compile",
            "weft-format",
            "weft-h2",
            "weft-limit",
            "weft-net",
            "weft-rls",
            "weft-route",
            "weft-telemetry",
        ],
    ),
    ("weft-health", &["weft-balance", "weft-compile", "weft-http", "weft-net", "weft-telemetry"]),
    ("weft-explain", &["weft-balance", "weft-compile", "weft-route"]),
    (
        "weft-admin",
        &[
            "weft-balance",
            "weft-compile",
            "weft-explain",
            "weft-net",
            "weft-proto",
            "weft-telemetry",
        ],
    ),
    (
        "weft-proxy",
        &[
            "weft-admin",
            "weft-balance",
            "weft-compile",
            "weft-config",
            "weft-health",
            "weft-http",
            "weft-net",
            "weft-proto",
            "weft-resolve",
            "weft-resources",
            "weft-route",
            "weft-telemetry",
            "weft-translate",
            "weft-watch",
            "weft-xds",
        ],
    ),
    ("weft-store", &[]),
    ("weft-discovery", &["weft-proto"]),
    (
        "weft-serve",
        &[
            "weft-compile",
            "weft-config",
            "weft-proto",
            "weft-resources",
            "weft-translate",
            "weft-xds",
        ],
    ),
    (
        "weft-control-admin",
        &["weft-config", "weft-discovery", "weft-proto", "weft-serve", "weft-store"],
    ),
    (
        "weft-control-plane",
        &[
            "weft-balance",
            "weft-compile",
            "weft-config",
            "weft-control-admin",
            "weft-discovery",
            "weft-explain",
            "weft-proto",
            "weft-proxy",
            "weft-route",
            "weft-serve",
            "weft-store",
            "weft-telemetry",
            "weft-translate",
            "weft-watch",
            "weft-xds",
        ],
    ),
];

/// Crates that look at the others from outside: they may use any, and nothing may use them.
const OUTSIDE: &[&str] = &["weft-benches", "weft-fuzz", "weft-tests"];

/// What the request path and the pure crates must not see even by name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("weft-http", &["prost", "envoy-types", "serde", "serde_json", "tonic", "weft-proto"]),
    ("weft-format", &["tokio", "prost", "serde", "hyper"]),
    ("weft-route", &["tokio", "prost", "serde", "hyper"]),
    ("weft-balance", &["tokio", "prost", "serde", "hyper"]),
    ("weft-rls", &["tokio", "serde", "hyper", "tonic", "weft-proto"]),
    ("weft-h2", &["tokio", "prost", "serde", "hyper"]),
    ("weft-net", &["prost", "serde", "hyper"]),
    ("weft-hpack", &["tokio", "prost", "serde", "hyper"]),
    ("weft-telemetry", &["prost", "hyper", "tonic"]),
    ("weft-xds", &["tokio", "tonic", "hyper"]),
    ("weft-translate", &["tokio", "tonic", "hyper"]),
    ("weft-config", &["tokio", "prost", "envoy-types"]),
    ("weft-compile", &["tokio", "tonic", "hyper"]),
    ("weft-resources", &["tokio", "tonic", "hyper"]),
];

#[test]
fn crates_use_only_what_they_may() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in packages().iter().filter(|package| !outside(package)) {
        let Some(may) = allowed.get(package.name.as_str()) else {
            wrong.push(format!("{} has no row in ALLOWED", package.name));
            continue;
        };
        let uses = package.ours(&["normal", "build"]).filter(|used| !may.contains(used));
        wrong.extend(uses.map(|used| format!("{} may not use {used}", package.name)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_list_names_no_crate_that_is_gone() {
    let names: Vec<_> = packages().into_iter().map(|package| package.name).collect();
    let listed = ALLOWED.iter().map(|(name, _)| *name).chain(OUTSIDE.iter().copied());
    let gone: Vec<_> = listed.filter(|name| !names.iter().any(|it| it == name)).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn nothing_uses_what_looks_from_outside() {
    for package in packages() {
        for used in package.ours(&["normal", "build", "dev"]) {
            assert!(!OUTSIDE.contains(&used), "{} uses {used}", package.name);
        }
    }
}

#[test]
fn the_request_path_and_the_pure_crates_stay_free_of_what_they_must_not_know() {
    let packages = packages();
    for (name, forbidden) in FORBIDDEN {
        let package = packages.iter().find(|package| package.name == *name).unwrap();
        let normal = package.dependencies.iter().filter(|(_, kind)| kind == "normal");
        let found: Vec<_> = normal.filter(|(used, _)| forbidden.contains(&used.as_str())).collect();
        assert!(found.is_empty(), "{name} uses {found:?}");
    }
}

#[test]
fn chains_of_crates_stay_short() {
    let packages = packages();
    let uses: BTreeMap<_, Vec<_>> = packages
        .iter()
        .map(|package| (package.name.as_str(), package.ours(&["normal", "build"]).collect()))
        .collect();
    for name in uses.keys() {
        let chain = longest(name, &uses);
        assert!(chain.len() <= DEPTH, "{} crates deep: {}", chain.len(), chain.join(" > "));
    }
}

fn longest<'a>(name: &'a str, uses: &BTreeMap<&'a str, Vec<&'a str>>) -> Vec<&'a str> {
    let below = uses.get(name).into_iter().flatten().map(|used| longest(used, uses));
    let mut chain = vec![name];
    chain.extend(below.max_by_key(Vec::len).unwrap_or_default());
    chain
}

fn outside(package: &Package) -> bool {
    OUTSIDE.contains(&package.name.as_str())
}
