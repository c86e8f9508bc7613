//! `weft delete`: one resource out of the control plane's store.

use clap::Args;
use weft_config::Kind;

use super::apply;
use crate::client::{Ask, Server, ask};
use crate::exit::Failure;
use crate::output::Format;

/// Deletes one resource, unless others refer to it.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  weft delete httproute inventory")]
pub(crate) struct Delete {
    #[command(flatten)]
    server: Server,
    /// Its kind, for example service.
    kind: Kind,
    /// Its name.
    name: String,
    /// Its namespace.
    #[arg(short, long, default_value = weft_config::DEFAULT_NAMESPACE)]
    namespace: String,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// How to print the outcome.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Delete {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let query = if self.dry_run { "?dryRun=true" } else { "" };
        let path = super::get::path(self.kind, &self.namespace, &self.name)? + query;
        let outcome = ask(&self.server, Ask::delete(&path)).await?;
        apply::print(&outcome, self.output).map_err(Failure::Unreachable)
    }
}
