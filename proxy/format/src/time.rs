//! Formats of times.

use std::{fmt, time::SystemTime};

use jiff::{Timestamp, fmt::strtime, tz::TimeZone};

/// How `%START_TIME(..)%` shows a time, always in UTC.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TimeFormat(Box<str>);

/// Envoy's format where none is given.
const DEFAULT: &str = "%Y-%m-%dT%H:%M:%S.%3fZ";

impl TimeFormat {
    /// A format of `strftime`, with `%3f`, `%6f` and `%9f` for fractions of a second; empty for the
    /// default.
    pub(crate) fn new(format: &str) -> Option<Self> {
        let format = Self(if format.is_empty() { DEFAULT } else { format }.into());
        let mut probe = Vec::new();
        format.render(SystemTime::UNIX_EPOCH, &mut probe).then_some(format)
    }

    /// Writes a time; says whether it could.
    pub(crate) fn render(&self, time: SystemTime, out: &mut Vec<u8>) -> bool {
        let Ok(time) = Timestamp::try_from(time) else { return false };
        match strtime::format(&*self.0, &time.to_zoned(TimeZone::UTC)) {
            Ok(text) => {
                out.extend_from_slice(text.as_bytes());
                true
            }
            Err(_) => false,
        }
    }
}

impl fmt::Debug for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
