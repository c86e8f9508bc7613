//! Sizes of files, and where unsafe code may live.

use std::path::Path;

use super::workspace::{files, packages, root};

const LINES: usize = 600;

/// Files that may be longer, each with its reason.
const LONG: &[(&str, &str)] = &[];

#[test]
fn files_are_short_enough_to_read_in_one_go() {
    let long: Vec<_> = files(root(), &["rs", "py"])
        .into_iter()
        .map(|path| (std::fs::read_to_string(&path).unwrap().lines().count(), relative(&path)))
        .filter(|(lines, path)| *lines > LINES && !LONG.iter().any(|(it, _)| it == path))
        .collect();
    assert!(long.is_empty(), "over {LINES} lines: {long:#?}");
}

#[test]
fn no_reason_outlives_its_file() {
    for (path, reason) in LONG {
        let lines = std::fs::read_to_string(root().join(path)).unwrap().lines().count();
        assert!(lines > LINES, "{path} no longer needs its exception ({reason})");
    }
}

#[test]
fn the_ban_on_unsafe_is_lifted_in_net_alone() {
    let lint = concat!("unsafe", "_code");
    for path in files(root(), &["rs"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = relative(&path);
        assert!(path.starts_with("proxy/net/") || !text.contains(lint), "{path} lifts the ban");
    }
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    for path in files(&root().join("proxy/net"), &["rs"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.contains(concat!("unsafe", " {")) && !code.contains(concat!("unsafe", " impl"))
            {
                continue;
            }
            let above = &lines[index.saturating_sub(8)..=index];
            let said = above.iter().any(|line| line.contains("SAFETY"));
            assert!(said, "{}:{}: no SAFETY note", relative(&path), index + 1);
        }
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for package in packages() {
        let manifest = std::fs::read_to_string(package.root.join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} has its own lints",
            package.name
        );
    }
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}
