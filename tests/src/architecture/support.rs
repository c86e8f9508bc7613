//! The table of supported fields and the rules of the server claim nothing that no test shows.

use std::collections::HashMap;

use weft_proto::check::{Verdict, table};

use super::workspace::root;

#[test]
fn every_honoured_field_names_a_test_that_exists() {
    let honoured: Vec<_> =
        table().filter(|row| row.listed && matches!(row.verdict, Verdict::Honour)).collect();
    assert!(honoured.len() > 50, "the table is as good as empty: {}", honoured.len());
    let mut sources = HashMap::new();
    let missing: Vec<_> = honoured
        .iter()
        .filter(|row| !exists(row.note, &mut sources))
        .map(|row| format!("{}.{}: {}", row.message, row.field, row.note))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// Fields whose whole effect is in how they are read: what they say otherwise is refused.
const READ_ALONE: [&str; 3] =
    ["SocketAddress.protocol", "ScopedRouteConfiguration.name", "LeastRequest.selection_method"];

#[test]
fn what_is_honoured_shows_in_more_than_how_it_is_read() {
    let unshown: Vec<_> = table()
        .filter(|row| row.listed && matches!(row.verdict, Verdict::Honour))
        .filter(|row| row.note.starts_with("proxy/resources/tests/"))
        .map(|row| format!("{}.{}", row.message, row.field))
        .filter(|field| !READ_ALONE.iter().any(|known| field.ends_with(&format!(".{known}"))))
        .collect();
    assert!(unshown.is_empty(), "no test shows what these do: {unshown:#?}");
}

#[test]
fn every_rule_of_the_server_names_tests_that_exist() {
    let path = root().join("control-plane/serve/RULES.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    let mut sources = HashMap::new();
    for number in 1..=20 {
        let rule = format!("| S{number} |");
        let row = page.lines().find(|line| line.starts_with(&rule)).unwrap_or_default();
        let shown = row.split('|').nth(3).unwrap_or_default();
        let named: Vec<&str> = shown.split('`').filter(|name| name.contains("::")).collect();
        assert!(!named.is_empty(), "S{number} names no test");
        for name in named {
            assert!(exists(name, &mut sources), "S{number}: no such test: {name}");
        }
    }
}

/// Whether `path/to/file.rs::function` (or `.py`) is a test in this repository.
fn exists<'a>(name: &'a str, sources: &mut HashMap<&'a str, Option<String>>) -> bool {
    let Some((path, function)) = name.split_once("::") else { return false };
    let source =
        sources.entry(path).or_insert_with(|| std::fs::read_to_string(root().join(path)).ok());
    let definition = if path.ends_with(".py") { "def" } else { "fn" };
    source.as_ref().is_some_and(|text| text.contains(&format!("{definition} {function}(")))
}
