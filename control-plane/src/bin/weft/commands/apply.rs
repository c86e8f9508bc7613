//! `weft apply`: documents to the control plane, all of them or none.

use std::path::PathBuf;

use clap::Args;
use http::Method;
use weft_config::Source;
use weft_control_admin::api::{self, Outcome};
use weft_control_plane::files;

use crate::client::{Ask, Server, ask};
use crate::exit::Failure;
use crate::output::Format;
use crate::table::Table;

/// Applies documents as one change: all of them or none.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft apply -f shop.yaml
  weft apply -f shop/ -f extra.yaml --dry-run
  cat shop.yaml | weft apply -f -")]
pub(crate) struct Apply {
    #[command(flatten)]
    server: Server,
    /// A file, a folder of .yaml, .yml and .json files, or - for standard input.
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    files: Vec<PathBuf>,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// How to print the outcome.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Apply {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let sources = files::read(&self.files).map_err(|error| Failure::No(error.to_string()))?;
        let outcome = put(&self.server, sources, self.dry_run).await?;
        print(&outcome, self.output).map_err(Failure::Unreachable)
    }
}

/// Applies `sources`, or only asks what that would do.
pub(crate) async fn put(
    server: &Server,
    sources: Vec<Source>,
    dry_run: bool,
) -> Result<Outcome, Failure> {
    let sources: Vec<_> = sources
        .into_iter()
        .map(|source| api::Source { name: source.name.to_string(), text: source.text })
        .collect();
    let body = serde_json::to_vec(&sources).map_err(|error| Failure::Unreachable(error.into()))?;
    let path = if dry_run { "/v1/resources?dryRun=true" } else { "/v1/resources" };
    ask(server, Ask { method: Method::PUT, path, media_type: api::SOURCES, body: body.into() })
        .await
}

/// Prints what became of each resource.
pub(super) fn print(outcome: &Outcome, format: Format) -> anyhow::Result<()> {
    format.print(outcome, || {
        let mut table = Table::new(["KIND", "NAMESPACE", "NAME", "CHANGE"]);
        for resource in &outcome.resources {
            let change = resource.change.as_str().to_owned();
            table.row([
                resource.kind.clone(),
                resource.namespace.clone(),
                resource.name.clone(),
                change,
            ]);
        }
        let note = if outcome.dry_run { "nothing was applied (dry run); " } else { "" };
        format!("{}{note}revision {}\n", table.render(), outcome.revision)
    })
}
