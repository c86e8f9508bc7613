//! `weft apply`: documents to the control plane, all of them or none.

use std::path::PathBuf;

use clap::Args;
use http::Method;
use weft_config::Source;
use weft_control_admin::api::{self, Outcome};
use weft_proxy::files;

use crate::client::{Ask, Server, ask};
use crate::exit::Failure;
use crate::output::Format;
use crate::table::Table;

/// Applies documents as one change: all of them or none.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft apply -f shop.yaml
  weft apply -f shop/ -f extra.yaml --dry-run --effects
  weft get -o yaml | sed s/v1/v2/ | weft apply -f -")]
pub(crate) struct Apply {
    #[command(flatten)]
    server: Server,
    /// A file, a folder of .yaml, .yml and .json files, or - for standard input.
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    how: ChangeArgs,
}

/// How a change is made, and its outcome shown.
#[derive(Args, Debug)]
pub(crate) struct ChangeArgs {
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: also say what connected proxies would be sent.
    #[arg(long, requires = "dry_run")]
    effects: bool,
    /// Only if this is still the revision, as an earlier answer said; exits with 1 otherwise.
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
    /// How to print the outcome.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Apply {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let outcome = send(&self.server, Method::PUT, &self.files, &self.how).await?;
        self.how.print(&outcome).map_err(Failure::Unreachable)
    }
}

/// Sends the documents of `files` to be applied or deleted.
pub(super) async fn send(
    server: &Server,
    method: Method,
    files: &[PathBuf],
    how: &ChangeArgs,
) -> Result<Outcome, Failure> {
    let sources = files::read(files).map_err(|error| Failure::No(error.to_string()))?;
    let path = format!("/v1/resources{}", how.query());
    ask(server, Ask { expected: how.expected(), ..sending(method, &path, sources)? }).await
}

/// Applies `sources`.
pub(crate) async fn put(server: &Server, sources: Vec<Source>) -> Result<Outcome, Failure> {
    ask(server, sending(Method::PUT, "/v1/resources", sources)?).await
}

fn sending(method: Method, path: &str, sources: Vec<Source>) -> Result<Ask<'_>, Failure> {
    let sources: Vec<_> = sources
        .into_iter()
        .map(|source| api::Source { name: source.name.to_string(), text: source.text })
        .collect();
    let body = serde_json::to_vec(&sources).map_err(|error| Failure::Unreachable(error.into()))?;
    Ok(Ask { method, media_type: api::SOURCES, body: body.into(), ..Ask::get(path) })
}

impl ChangeArgs {
    pub(super) fn query(&self) -> String {
        let flags = [("dryRun", self.dry_run), ("effects", self.effects)];
        let given: Vec<_> =
            flags.iter().filter(|(_, on)| *on).map(|(name, _)| format!("{name}=true")).collect();
        if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
    }

    pub(super) fn expected(&self) -> Option<u64> {
        self.if_revision
    }

    /// Prints what became of each resource.
    pub(super) fn print(&self, outcome: &Outcome) -> anyhow::Result<()> {
        self.output.print(outcome, || {
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
            let mut text = table.render();
            if self.effects {
                text += &effects(outcome);
            }
            let note = if outcome.dry_run { "nothing was applied (dry run); " } else { "" };
            format!("{text}{note}revision {}\n", outcome.revision)
        })
    }
}

/// What proxies would be sent.
fn effects(outcome: &Outcome) -> String {
    let mut table = Table::new(["PROXIES", "TYPE", "RESOURCE", "CHANGE"]);
    for effect in &outcome.effects {
        let nodes = match effect.nodes.as_slice() {
            [one] => one.clone(),
            several => format!("{} proxies", several.len()),
        };
        let changes = [
            ("created", &effect.created),
            ("updated", &effect.updated),
            ("deleted", &effect.deleted),
        ];
        for (change, names) in changes {
            for name in names {
                let (of, name) = (effect.r#type.clone(), name.clone());
                table.row([nodes.clone(), of, name, change.to_owned()]);
            }
        }
    }
    let text = if table.is_empty() {
        "nothing would be sent to proxies\n".to_owned()
    } else {
        table.render()
    };
    format!("\n{text}\n")
}
