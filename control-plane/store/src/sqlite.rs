//! The embedded store: one SQLite file, or a database in memory.
//!
//! SQLite blocks, so every use runs on tokio's blocking threads, one at a time behind a lock that
//! is never held across an await. A change whose caller goes away meanwhile still commits or rolls
//! back as a whole.

mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params,
};
use tokio::sync::watch;

use crate::{Answer, Change, Contents, Document, Key, Revision, Store, StoreError};

/// A store in an SQLite database. Cheap to clone; clones share the database.
#[derive(Clone)]
pub struct Sqlite {
    database: Arc<Database>,
}

struct Database {
    /// Names the store in errors; `:memory:` without a file.
    path: PathBuf,
    connection: Mutex<Connection>,
    newest: watch::Sender<Revision>,
}

impl Sqlite {
    /// Opens the store in the file `path`, or makes it when it does not exist. Blocks.
    ///
    /// # Errors
    /// When the file is not a Weft store, is damaged, too new, in use, or cannot be accessed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(path).map_err(|error| classify(path, &error))?;
        Self::with(path.to_owned(), connection)
    }

    /// A store that is forgotten with the last clone.
    ///
    /// # Errors
    /// When SQLite has no memory left.
    pub fn in_memory() -> Result<Self, StoreError> {
        let path = PathBuf::from(":memory:");
        let connection = Connection::open_in_memory().map_err(|error| classify(&path, &error))?;
        Self::with(path, connection)
    }

    fn with(path: PathBuf, mut connection: Connection) -> Result<Self, StoreError> {
        schema::prepare(&path, &mut connection)?;
        let revision = revision(&connection).map_err(|error| classify(&path, &error))?;
        let (newest, _) = watch::channel(revision);
        Ok(Self {
            database: Arc::new(Database { path, connection: Mutex::new(connection), newest }),
        })
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Database, &mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let database = Arc::clone(&self.database);
        tokio::task::spawn_blocking(move || {
            // A panic while the lock was held has rolled its transaction back: the connection is fine.
            let mut connection = database.connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&database, &mut connection)
        })
        .await
        .map_err(|_| StoreError::Closed)?
    }
}

impl Store for Sqlite {
    fn apply(&self, change: Change) -> Answer<'_, Revision> {
        Box::pin(self.blocking(move |database, connection| {
            let outcome =
                apply(connection, &change).map_err(|error| classify(&database.path, &error))?;
            let revision = outcome
                .map_err(|actual| StoreError::Conflict { expected: change.expect, actual })?;
            // Announced under the connection's lock, so revisions are seen in their order.
            database.newest.send_replace(revision);
            Ok(revision)
        }))
    }

    fn list(&self) -> Answer<'_, Contents> {
        Box::pin(self.blocking(|database, connection| {
            list(connection).map_err(|error| classify(&database.path, &error))
        }))
    }

    fn get(&self, key: Key) -> Answer<'_, Option<Document>> {
        Box::pin(self.blocking(move |database, connection| {
            get(connection, &key).map_err(|error| classify(&database.path, &error))
        }))
    }

    fn keep(&self, name: &'static str, text: String) -> Answer<'_, ()> {
        Box::pin(self.blocking(move |database, connection| {
            connection
                .execute(
                    "INSERT INTO kept (name, text) VALUES (?1, ?2)
                     ON CONFLICT (name) DO UPDATE SET text = excluded.text",
                    params![name, text],
                )
                .map(|_| ())
                .map_err(|error| classify(&database.path, &error))
        }))
    }

    fn kept(&self, name: &'static str) -> Answer<'_, Option<String>> {
        Box::pin(self.blocking(move |database, connection| {
            connection
                .query_row("SELECT text FROM kept WHERE name = ?1", [name], |row| row.get(0))
                .optional()
                .map_err(|error| classify(&database.path, &error))
        }))
    }

    fn revisions(&self) -> watch::Receiver<Revision> {
        self.database.newest.subscribe()
    }
}

/// The inner error is the revision that the store has instead of the expected one.
fn apply(
    connection: &mut Connection,
    change: &Change,
) -> rusqlite::Result<Result<Revision, Revision>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let current = revision(&transaction)?;
    if current != change.expect {
        return Ok(Err(current));
    }
    let next = Revision(current.0 + 1);
    write(&transaction, change, next)?;
    transaction.commit()?;
    Ok(Ok(next))
}

fn write(transaction: &Transaction<'_>, change: &Change, next: Revision) -> rusqlite::Result<()> {
    let mut remove = transaction
        .prepare_cached("DELETE FROM document WHERE kind = ?1 AND namespace = ?2 AND name = ?3")?;
    for key in &change.delete {
        remove.execute(params![key.kind, key.namespace, key.name])?;
    }
    let mut put = transaction.prepare_cached(
        "INSERT INTO document (kind, namespace, name, text, revision) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (kind, namespace, name) DO UPDATE SET text = excluded.text, revision = excluded.revision",
    )?;
    for document in &change.put {
        let Key { kind, namespace, name } = &document.key;
        put.execute(params![kind, namespace, name, document.text, next.0])?;
    }
    transaction.execute("UPDATE store SET revision = ?1", [next.0])?;
    Ok(())
}

fn revision(connection: &Connection) -> rusqlite::Result<Revision> {
    connection.query_row("SELECT revision FROM store", [], |row| row.get(0)).map(Revision)
}

fn list(connection: &mut Connection) -> rusqlite::Result<Contents> {
    let transaction = connection.transaction()?;
    let revision = revision(&transaction)?;
    let documents = transaction
        .prepare_cached(
            "SELECT kind, namespace, name, text FROM document ORDER BY kind, namespace, name",
        )?
        .query_map([], document)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Contents { revision, documents })
}

fn get(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Document>> {
    connection
        .prepare_cached(
            "SELECT kind, namespace, name, text FROM document
             WHERE kind = ?1 AND namespace = ?2 AND name = ?3",
        )?
        .query_row(params![key.kind, key.namespace, key.name], document)
        .optional()
}

fn document(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        key: Key { kind: row.get(0)?, namespace: row.get(1)?, name: row.get(2)? },
        text: row.get(3)?,
    })
}

/// SQLite's codes in the words of an operator.
fn classify(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotADatabase { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::DiskFull
            | ErrorCode::PermissionDenied
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::TooBig,
        ) => StoreError::Inaccessible { path, detail: error.to_string() },
        // A value of the wrong type, a missing table or row: the file is not as it was written.
        _ => StoreError::Corrupted { path, detail: error.to_string() },
    }
}
