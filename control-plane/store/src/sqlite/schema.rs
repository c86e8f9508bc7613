//! The tables, and making sure that a file is ours before anything is written to it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::classify;
use crate::StoreError;

/// "WEFT" in the file's header tells our files from those of other programs.
const APPLICATION_ID: u32 = 0x5745_4654;

/// The format of the tables below. A later format comes with the step that leads to it.
const FORMAT: u32 = 1;

const TABLES: &str = "
    CREATE TABLE store (
        only     INTEGER PRIMARY KEY CHECK (only = 1),
        revision INTEGER NOT NULL
    ) STRICT;
    INSERT INTO store (only, revision) VALUES (1, 0);
    CREATE TABLE document (
        kind      TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name      TEXT NOT NULL,
        text      TEXT NOT NULL,
        revision  INTEGER NOT NULL,
        PRIMARY KEY (kind, namespace, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE kept (
        name TEXT NOT NULL PRIMARY KEY,
        text TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Checks that the database is a healthy store of ours, or makes an empty one into one.
pub(super) fn prepare(path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    let classified = |error: rusqlite::Error| classify(path, &error);
    // Whoever owns the file does so for as long as it runs: waiting for it is of no use.
    connection.busy_timeout(Duration::ZERO).map_err(classified)?;
    // One process owns the file: a second control plane would not hear of this one's changes.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(classified)?;
    let application_id = header(connection, "application_id").map_err(classified)?;
    let format = header(connection, "user_version").map_err(classified)?;
    match (application_id, format) {
        (APPLICATION_ID, FORMAT) => check(path, connection)?,
        (APPLICATION_ID, found) => {
            return Err(StoreError::TooNew { path: path.to_owned(), found, known: FORMAT });
        }
        (0, 0) if is_empty(connection).map_err(classified)? => {
            create(connection).map_err(classified)?;
        }
        _ => return Err(StoreError::Foreign { path: path.to_owned(), application_id }),
    }
    tune(connection).map_err(classified)
}

fn header(connection: &Connection, pragma: &str) -> rusqlite::Result<u32> {
    // The header holds them signed; ours are bit patterns.
    connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map(i32::cast_unsigned)
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

fn check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| classify(path, &error))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(StoreError::Corrupted { path: path.to_owned(), detail: found })
    }
}

fn tune(connection: &mut Connection) -> rusqlite::Result<()> {
    // Answers the mode it chose; a database in memory has a journal of its own and says so.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // What was answered to an author must survive a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Take the lock now, so that a second process is told at its start.
    connection.transaction_with_behavior(TransactionBehavior::Immediate)?.commit()
}
