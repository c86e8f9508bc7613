//! Files that resources refer to.

use std::{fmt, io};

use bytes::Bytes;
use weft_resources::Problem;

/// Reads a file, at most so many bytes of it and one more.
pub type ReadFile = fn(&str, usize) -> io::Result<Bytes>;

/// How files are read. This crate does no I/O of its own.
#[derive(Clone, Copy)]
pub(crate) enum Files {
    /// Whoever asks is on another machine: files are taken to be there.
    Assumed,
    /// By this.
    By(ReadFile),
}

impl Files {
    /// The content of a file that may have `limit` bytes.
    pub(crate) fn read(self, name: &str, limit: usize) -> Result<Bytes, Problem> {
        let Self::By(read) = self else { return Ok(Bytes::new()) };
        let content = read(name, limit)
            .map_err(|error| Problem::File { name: name.to_owned(), reason: error.to_string() })?;
        if content.len() > limit {
            return Err(Problem::TooLarge { bytes: content.len(), limit });
        }
        Ok(content)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Assumed => "Assumed",
            Self::By(_) => "By(..)",
        })
    }
}
