//! What can go wrong with a store, and what to do about it.

use std::path::PathBuf;

use crate::Revision;

/// Why a store could not be opened, read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else changed the store since the author of a change has read it.
    #[error(
        "the store is at revision {actual}, but the change was made for revision {expected}\n  hint: read again and repeat the change"
    )]
    Conflict {
        /// The revision that the change was made for.
        expected: Revision,
        /// The revision that the store has.
        actual: Revision,
    },

    /// The file is something else than an SQLite database.
    #[error("{}: not an SQLite database\n  hint: give --store the path of a Weft store, or of a file that does not exist yet", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },

    /// The file is an SQLite database of another program.
    #[error("{}: an SQLite database, but not a Weft store (application id {application_id:#010x})\n  hint: nothing was changed in it; give --store another path", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What the file says it belongs to.
        application_id: u32,
    },

    /// The file was written by a later version of Weft.
    #[error("{}: written by a later version of Weft (format {found}, this one knows up to {known})\n  hint: start that version, or restore a copy from before the upgrade", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The file's format.
        found: u32,
        /// The last format that this program knows.
        known: u32,
    },

    /// The file is damaged.
    #[error("{}: the store is damaged: {detail}\n  hint: restore it from a copy, or move it away and apply your documents again", path.display())]
    Corrupted {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },

    /// Another process has the store open.
    #[error("{}: in use by another process\n  hint: one control plane owns a store; stop the other one first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },

    /// The file cannot be opened or written.
    #[error("{}: {detail}\n  hint: check that its folder exists, that it is writable and that the disk is not full", path.display())]
    Inaccessible {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },

    /// The work was abandoned because the program is stopping.
    #[error(
        "the store is closed\n  hint: the control plane is shutting down; try again when it is back"
    )]
    Closed,
}
