//! The workspace as cargo sees it, and its files as git would.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A crate of ours.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder.
    pub(crate) root: PathBuf,
    /// Everything it depends on, with the kind (`normal`, `build`, `dev`).
    pub(crate) dependencies: Vec<(String, String)>,
}

impl Package {
    /// The crates of ours it depends on by a kind that `kinds` lists.
    pub(crate) fn ours(&self, kinds: &[&str]) -> impl Iterator<Item = &str> {
        let wanted = kinds.iter().map(ToString::to_string).collect::<Vec<_>>();
        self.dependencies
            .iter()
            .filter(move |(name, kind)| name.starts_with("weft-") && wanted.contains(kind))
            .map(|(name, _)| name.as_str())
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every crate of the workspace.
pub(crate) fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

fn package(value: &Value) -> Package {
    let dependency = |entry: &Value| {
        let kind = entry["kind"].as_str().unwrap_or("normal");
        (entry["name"].as_str().unwrap().to_owned(), kind.to_owned())
    };
    Package {
        name: value["name"].as_str().unwrap().to_owned(),
        root: Path::new(value["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned(),
        dependencies: value["dependencies"].as_array().unwrap().iter().map(dependency).collect(),
    }
}

/// Every file with one of these extensions under a folder, build output and caches left out.
pub(crate) fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "__pycache__" && !name.starts_with('.') {
                found.extend(files(&path, extensions));
            }
        } else if path.extension().is_some_and(|it| extensions.iter().any(|wanted| it == *wanted)) {
            found.push(path);
        }
    }
    found.sort();
    found
}
