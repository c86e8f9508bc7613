//! `weft validate`: documents checked without a control plane.

use std::path::PathBuf;

use clap::Args;
use weft_config::{Kind, Mesh};
use weft_proxy::files;

use crate::exit::Failure;

/// Checks documents, all together, without a control plane.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  weft validate config/examples/shop.yaml")]
pub(crate) struct Validate {
    /// Files, folders of .yaml, .yml and .json files, or - for standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

impl Validate {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let sources = files::read(&self.paths).map_err(|error| Failure::No(error.to_string()))?;
        let mesh = Mesh::parse(&sources).map_err(|problems| Failure::No(problems.to_string()))?;
        let counts: Vec<_> = Kind::ALL
            .into_iter()
            .map(|kind| (kind, mesh.ids().filter(|id| id.kind == kind).count()))
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        println!(
            "valid: {}",
            if counts.is_empty() { "no documents".to_owned() } else { counts.join(", ") }
        );
        Ok(())
    }
}
