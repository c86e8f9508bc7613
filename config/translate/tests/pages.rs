//! What the page about resilience says that fields become is what proxies honour.

use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether the table of fields says of a message of this name that the field takes effect.
fn is_honoured(table: &str, message: &str, field: &str) -> bool {
    let row = format!("| {field} | honoured |");
    table.split("\n## ").skip(1).any(|section| {
        let (title, rest) = section.split_once('\n').unwrap_or((section, ""));
        let others = rest.lines().filter_map(|line| line.strip_prefix("Others honoured: "));
        let mut others = others.flat_map(|names| names.trim_end_matches('.').split(", "));
        title.rsplit('.').next() == Some(message)
            && (rest.lines().any(|line| line.starts_with(&row)) || others.any(|name| name == field))
    })
}

#[test]
fn every_field_of_envoy_that_is_named_takes_effect() {
    let (page, table) = (read("../RESILIENCE.md"), read("../../proto/FIELDS.md"));
    let mut seen = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let Some(becomes) = row.split('|').nth(3) else { continue };
        for code in becomes.split('`').skip(1).step_by(2) {
            let (message, field) = code.split_once('.').unwrap_or_else(|| panic!("{code}"));
            assert!(is_honoured(&table, message, field), "no {message} honours {field}");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} fields");
    assert!(!is_honoured(&table, "RouteAction", "none"), "the test can fail");
}
