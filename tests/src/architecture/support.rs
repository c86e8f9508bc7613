//! The table of supported fields claims nothing that no test shows.

use std::collections::HashMap;
use std::path::PathBuf;

use weft_proto::check::{Verdict, table};

use super::workspace::{files, packages, root};

#[test]
fn every_honoured_field_names_a_test_that_exists() {
    let mut tests = Tests::default();
    let honoured: Vec<_> =
        table().filter(|row| row.listed && matches!(row.verdict, Verdict::Honour)).collect();
    assert!(honoured.len() > 50, "the table is as good as empty: {}", honoured.len());
    let missing: Vec<_> = honoured
        .iter()
        .filter(|row| !tests.exists(row.note))
        .map(|row| format!("{}.{}: {}", row.message, row.field, row.note))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// Sources by crate, read once.
#[derive(Default)]
struct Tests {
    sources: HashMap<String, Option<String>>,
}

impl Tests {
    /// Whether `crate::module::function` or `path/test.py::function` is a test.
    fn exists(&mut self, name: &str) -> bool {
        let Some((place, function)) = name.rsplit_once("::") else { return false };
        if place.contains(".py") {
            let text = std::fs::read_to_string(root().join(place));
            return text.is_ok_and(|text| text.contains(&format!("\ndef {function}(")));
        }
        let owner = place.split("::").next().unwrap_or_default().replace('_', "-");
        let text = self.sources.entry(owner.clone()).or_insert_with(|| read_crate(&owner));
        text.as_ref().is_some_and(|text| text.contains(&format!("fn {function}(")))
    }
}

/// All Rust text of a crate, named with or without our prefix.
fn read_crate(name: &str) -> Option<String> {
    let full = if name.starts_with("weft-") { name.to_owned() } else { format!("weft-{name}") };
    let package = packages().into_iter().find(|package| package.name == full)?;
    let folders = ["src", "tests"].map(|part| package.root.join(part));
    let paths = folders.into_iter().filter(|folder| folder.is_dir());
    let texts = paths
        .flat_map(|folder| files(&folder, &["rs"]))
        .map(|path: PathBuf| std::fs::read_to_string(&path).unwrap());
    Some(texts.collect())
}
