//! Logs of the process: to standard error or a file, at a level that can be changed while it runs.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::{EnvFilter, Registry, fmt, layer::SubscriberExt as _, reload};
use weft_admin::LogLevel;

/// Changes the level.
#[derive(Clone)]
pub(crate) struct LogControl {
    handle: reload::Handle<EnvFilter, Registry>,
    level: Arc<Mutex<LogLevel>>,
}

impl LogControl {
    /// Starts logging for the whole process. A second call in one process, as in tests, only
    /// returns a control without effect.
    ///
    /// # Errors
    /// When the log file cannot be opened.
    pub(crate) fn start(level: LogLevel, path: Option<&Path>) -> io::Result<Self> {
        let (filter, handle) = reload::Layer::new(filter_of(level));
        let lines = fmt::layer().with_target(false);
        let subscriber = Registry::default().with(filter);
        // Only the first subscriber of a process counts; another one changes nothing.
        let _already_set = match path {
            None => tracing::subscriber::set_global_default(
                subscriber
                    .with(lines.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr)),
            ),
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                let lines = lines.with_ansi(false).with_writer(Mutex::new(file));
                tracing::subscriber::set_global_default(subscriber.with(lines))
            }
        };
        Ok(Self { handle, level: Arc::new(Mutex::new(level)) })
    }

    pub(crate) fn level(&self) -> LogLevel {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, level: LogLevel) {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = level;
        if self.handle.reload(filter_of(level)).is_err() {
            tracing::warn!("this process logs elsewhere; its level stays");
        }
    }
}

/// Our own crates at the level asked for; the libraries beneath only say what is wrong, unless
/// everything is asked for.
fn filter_of(level: LogLevel) -> EnvFilter {
    let word = match level {
        LogLevel::Trace => return EnvFilter::new("trace"),
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warn",
        LogLevel::Error | LogLevel::Critical => "error",
        LogLevel::Off => "off",
    };
    EnvFilter::new(format!("{word},h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn"))
}
