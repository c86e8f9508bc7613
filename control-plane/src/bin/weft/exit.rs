//! How a command ends: the exit codes that scripts rely on.

use std::process::ExitCode;

use weft_control_admin::api::Refusal;

/// Shown by `weft --help`.
pub(crate) const CODES: &str = "\
Exit codes:
  0  done
  1  the answer is no: documents refused or different, a check failed, a proxy refused its
     configuration
  2  the command line is wrong
  3  the control plane cannot be reached, or failed
  4  no such resource";

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was given is wrong. The text says where, and what to do.
    No(String),
    /// The control plane is not there, or not well.
    Unreachable(anyhow::Error),
    /// There is no such resource.
    NotFound(String),
}

impl Failure {
    /// What happened, for an error that is not the end of the program.
    pub(crate) fn into_error(self) -> anyhow::Error {
        match self {
            Self::No(text) | Self::NotFound(text) => anyhow::anyhow!(text),
            Self::Unreachable(error) => error,
        }
    }

    /// Tells the user, and gives the code to exit with.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::No(text) => eprintln!("{text}"),
            Self::NotFound(text) => eprintln!("error: {text}"),
            Self::Unreachable(error) => eprintln!("error: {error:#}"),
        }
        ExitCode::from(match self {
            Self::No(_) => 1,
            Self::Unreachable(_) => 3,
            Self::NotFound(_) => 4,
        })
    }
}

/// A refusal as people read it: each problem at its place, then the verdict.
pub(crate) fn refusal_text(refusal: &Refusal) -> String {
    let mut text = String::new();
    for problem in &refusal.problems {
        text.push_str(&problem.to_string());
        text.push('\n');
    }
    text.push_str(&refusal.detail);
    if let Some(hint) = &refusal.hint {
        text.push_str("\n  hint: ");
        text.push_str(hint);
    }
    text
}
