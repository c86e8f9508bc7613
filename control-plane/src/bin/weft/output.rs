//! Tables for people, JSON and YAML for programs.

use clap::ValueEnum;
use serde::Serialize;

/// `-o …`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON value.
    Json,
    /// One YAML document.
    Yaml,
}

impl Format {
    /// Prints `value`; `table` is asked for its text only when it is wanted.
    pub(crate) fn print<T: Serialize>(
        self,
        value: &T,
        table: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        match self {
            Self::Table => print!("{}", table()),
            Self::Json => println!("{}", serde_json::to_string_pretty(value)?),
            Self::Yaml => print!("{}", weft_config::to_yaml(&serde_json::to_value(value)?)),
        }
        Ok(())
    }
}
