//! What an operator can ask of the proxy.

use std::{fmt, str::FromStr};

/// A change that the admin interface asks for. The proxy carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop accepting connections.
    DrainListeners {
        /// First ask clients to go elsewhere for as long as the drain time, and accept meanwhile.
        graceful: bool,
    },
    /// End the process in an orderly way.
    Quit,
    /// Log at this level from now on.
    SetLogLevel(LogLevel),
}

/// Envoy's log levels, from most to least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For finding faults.
    Debug,
    /// What happens in the large.
    Info,
    /// What may need attention.
    Warning,
    /// What failed.
    Error,
    /// What ends the process.
    Critical,
    /// Nothing.
    Off,
}

impl LogLevel {
    pub(crate) const ALL: [Self; 7] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Off,
    ];

    /// Envoy's name of the level.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no log level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a log level (hint: trace, debug, info, warning, error, critical or off)")]
pub struct UnknownLogLevel(pub Box<str>);

impl FromStr for LogLevel {
    type Err = UnknownLogLevel;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "warn" => Ok(Self::Warning),
            _ => Self::ALL
                .into_iter()
                .find(|level| level.name() == name)
                .ok_or_else(|| UnknownLogLevel(name.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for level in LogLevel::ALL {
            assert_eq!(level.name().parse(), Ok(level));
        }
        assert_eq!("warn".parse(), Ok(LogLevel::Warning));
        assert!("Debug".parse::<LogLevel>().is_err());
    }
}
