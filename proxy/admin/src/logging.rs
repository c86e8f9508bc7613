//! `/logging`.

use crate::{
    command::{Command, LogLevel},
    query::Parameters,
    refusal::Refusal,
    reply::{self, Reply},
};

/// Changes the level if one is given, and shows the one in force.
pub(crate) fn change(
    parameters: &Parameters<'_>,
    current: LogLevel,
    order: impl FnOnce(Command) -> Result<(), Refusal>,
) -> Result<Reply, Refusal> {
    let level = match parameters.value("level") {
        None | Some("") => current,
        Some(name) => {
            let level = name.parse()?;
            order(Command::SetLogLevel(level))?;
            level
        }
    };
    Ok(reply::ok(format!("active loggers:\n  weft: {level}\n")))
}
