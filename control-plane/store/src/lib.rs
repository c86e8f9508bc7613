//! Where the documents of a mesh are kept: revisions, atomic changes, lists.
//!
//! [`Store`] is the small interface that the control plane is written against. Every change is
//! atomic and guarded by the revision its author has seen, so that two authors can never undo each
//! other's work unknowingly: this is what an embedded database and a replicated key-value store
//! both offer cheaply. [`Sqlite`] is the embedded implementation.
//!
//! The store knows nothing of what a document means: it keeps texts by kind, namespace and name.

mod document;
mod error;
mod sqlite;

pub use document::{Change, Contents, Document, Key, Revision};
pub use error::StoreError;
pub use sqlite::Sqlite;

use std::future::Future;
use std::pin::Pin;

use tokio::sync::watch;

/// A future of a store's answer. Boxed, because a store is chosen when the program starts.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A place for the documents of one mesh.
pub trait Store: Send + Sync + 'static {
    /// Applies all of `change` or nothing of it, and answers the revision that it made.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the store has moved on from `change.expect`;
    /// otherwise what went wrong with the storage itself. Nothing was changed in either case.
    fn apply(&self, change: Change) -> Answer<'_, Revision>;

    /// All documents, ordered by key, and the revision they were read at.
    fn list(&self) -> Answer<'_, Contents>;

    /// One document.
    fn get(&self, key: Key) -> Answer<'_, Option<Document>>;

    /// Keeps `text` under `name`, in place of what was kept there. It is no document and makes no
    /// revision: it is for what a control plane wants to remember over its restart.
    fn keep(&self, name: &'static str, text: String) -> Answer<'_, ()>;

    /// What is kept under `name`.
    fn kept(&self, name: &'static str) -> Answer<'_, Option<String>>;

    /// The newest revision, now and whenever it changes.
    fn revisions(&self) -> watch::Receiver<Revision>;
}
