//! `weft delete`: resources out of the control plane's store.

use std::path::PathBuf;

use clap::Args;
use http::Method;
use weft_config::Kind;

use super::apply::{self, ChangeArgs};
use crate::client::{Ask, Server, ask};
use crate::exit::Failure;

/// Deletes resources, all of them or none, unless others refer to them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft delete httproute inventory
  weft delete -f shop/          everything that the files name")]
pub(crate) struct Delete {
    #[command(flatten)]
    server: Server,
    /// Its kind, for example service.
    #[arg(required_unless_present = "files", requires = "name")]
    kind: Option<Kind>,
    /// Its name.
    name: Option<String>,
    /// Its namespace.
    #[arg(short, long, default_value = weft_config::DEFAULT_NAMESPACE)]
    namespace: String,
    /// Files, folders or - whose documents name what to delete, whatever else they say.
    #[arg(short, long = "file", value_name = "PATH", conflicts_with_all = ["kind", "name"])]
    files: Vec<PathBuf>,
    #[command(flatten)]
    how: ChangeArgs,
}

impl Delete {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let outcome = match (self.kind, &self.name) {
            (Some(kind), Some(name)) => {
                let path = super::get::path(kind, &self.namespace, name)? + &self.how.query();
                let asked = Ask { expected: self.how.expected(), ..Ask::delete(&path) };
                ask(&self.server, asked).await?
            }
            _ => apply::send(&self.server, Method::DELETE, &self.files, &self.how).await?,
        };
        self.how.print(&outcome).map_err(Failure::Unreachable)
    }
}
