//! `weft diff`: what applying documents would change.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use similar::TextDiff;
use weft_config::{Document, DocumentId, Mesh};
use weft_control_admin::api::Resources;
use weft_proxy::files;

use crate::client::{Ask, Server, ask};
use crate::exit::Failure;

/// Shows what applying documents would change, line by line, and applies nothing.
///
/// Exits with 1 when there is a difference.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  weft diff -f shop/")]
pub(crate) struct Diff {
    #[command(flatten)]
    server: Server,
    /// A file, a folder of .yaml, .yml and .json files, or - for standard input.
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    files: Vec<PathBuf>,
}

impl Diff {
    /// Whether there was no difference.
    pub(crate) async fn run(self) -> Result<bool, Failure> {
        let sources = files::read(&self.files).map_err(|error| Failure::No(error.to_string()))?;
        let found: Resources = ask(&self.server, Ask::get("/v1/resources")).await?;
        let documents: Vec<Document> = found.resources.into_iter().map(into_document).collect();
        let refused = |problems: weft_config::Problems| Failure::No(problems.to_string());
        let now = Mesh::from_documents(&documents).map_err(refused)?;
        let applied = now.apply(&sources).map_err(refused)?;
        let mut text = String::new();
        for id in &applied.documents {
            text.push_str(&difference(id, now.document(id), applied.mesh.document(id)));
        }
        print!("{text}");
        Ok(text.is_empty())
    }
}

pub(super) fn into_document(resource: weft_control_admin::api::Resource) -> Document {
    let version = resource.document.get("apiVersion").and_then(|version| version.as_str());
    Document {
        api_version: version.unwrap_or_default().to_owned(),
        kind: resource.kind,
        namespace: resource.namespace,
        name: resource.name,
        json: resource.document,
    }
}

/// In the unified format; nothing when both are equal.
fn difference(id: &DocumentId, before: Option<Document>, after: Option<Document>) -> String {
    let yaml = |document: Option<Document>| document.map(|it| it.to_yaml()).unwrap_or_default();
    let (before, after) = (yaml(before), yaml(after));
    let mut text = String::new();
    if before != after {
        let old = if before.is_empty() { "/dev/null".to_owned() } else { id.to_string() };
        let diff = TextDiff::from_lines(&before, &after);
        // Writing to a String cannot fail.
        _ = write!(text, "{}", diff.unified_diff().header(&old, &id.to_string()));
    }
    text
}
