//! The embedded store, from outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use weft_store::{Change, Document, Key, Revision, Sqlite, Store, StoreError};

/// A folder of this test's own, removed with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique =
            format!("weft-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("mesh.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key(name: &str) -> Key {
    Key { kind: "Service".into(), namespace: "default".into(), name: name.into() }
}

fn document(name: &str, text: &str) -> Document {
    Document { key: key(name), text: text.into() }
}

fn put(expect: u64, documents: Vec<Document>) -> Change {
    Change { expect: Revision(expect), put: documents, delete: Vec::new() }
}

#[tokio::test]
async fn a_change_is_applied_as_a_whole_and_makes_one_revision() {
    let store = Sqlite::in_memory().unwrap();
    assert_eq!(store.list().await.unwrap().revision, Revision(0));

    let first = store.apply(put(0, vec![document("b", "1"), document("a", "1")])).await.unwrap();
    assert_eq!(first, Revision(1));

    let mut second = put(1, vec![document("a", "2")]);
    second.delete = vec![key("b"), key("never was")];
    assert_eq!(store.apply(second).await.unwrap(), Revision(2));

    let contents = store.list().await.unwrap();
    assert_eq!(contents.revision, Revision(2));
    assert_eq!(contents.documents, [document("a", "2")]);
    assert_eq!(store.get(key("a")).await.unwrap(), Some(document("a", "2")));
    assert_eq!(store.get(key("b")).await.unwrap(), None);
}

#[tokio::test]
async fn a_change_made_for_an_older_revision_is_refused_and_changes_nothing() {
    let store = Sqlite::in_memory().unwrap();
    store.apply(put(0, vec![document("a", "1")])).await.unwrap();

    let refused = store.apply(put(0, vec![document("a", "2")])).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Conflict { expected: Revision(0), actual: Revision(1) }),
        "{refused}"
    );
    assert_eq!(store.get(key("a")).await.unwrap(), Some(document("a", "1")));
}

#[tokio::test]
async fn of_many_authors_at_once_each_wins_exactly_once() {
    let store = Sqlite::in_memory().unwrap();
    let authors: Vec<_> = (0..8)
        .map(|author| {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    let seen = store.list().await.unwrap().revision.0;
                    match store.apply(put(seen, vec![document(&format!("s{author}"), "x")])).await {
                        Ok(_) => return,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    for author in authors {
        author.await.unwrap();
    }
    let contents = store.list().await.unwrap();
    assert_eq!(contents.revision, Revision(8));
    assert_eq!(contents.documents.len(), 8);
}

#[tokio::test]
async fn a_watcher_sees_the_newest_revision() {
    let store = Sqlite::in_memory().unwrap();
    let mut revisions = store.revisions();
    assert_eq!(*revisions.borrow_and_update(), Revision(0));
    store.apply(put(0, vec![document("a", "1")])).await.unwrap();
    revisions.changed().await.unwrap();
    assert_eq!(*revisions.borrow_and_update(), Revision(1));
}

#[tokio::test]
async fn a_file_keeps_its_documents_over_a_restart() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.file()).unwrap();
    store.apply(put(0, vec![document("a", "ä: 1\n")])).await.unwrap();
    assert_eq!(store.kept("note").await.unwrap(), None);
    store.keep("note", "first".into()).await.unwrap();
    store.keep("note", "second".into()).await.unwrap();
    drop(store);

    let store = Sqlite::open(&folder.file()).unwrap();
    assert_eq!(*store.revisions().borrow(), Revision(1));
    assert_eq!(store.list().await.unwrap().documents, [document("a", "ä: 1\n")]);
    assert_eq!(store.kept("note").await.unwrap().as_deref(), Some("second"));
}

#[test]
fn a_store_has_one_owner() {
    let folder = Folder::new();
    let owner = Sqlite::open(&folder.file()).unwrap();
    let refused = Sqlite::open(&folder.file()).err().unwrap();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    drop(owner);
    Sqlite::open(&folder.file()).unwrap();
}

#[test]
fn something_else_than_a_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    let text = "kind: Service\n".repeat(100);
    fs::write(folder.file(), &text).unwrap();
    let refused = Sqlite::open(&folder.file()).err().unwrap();
    assert!(matches!(refused, StoreError::NotADatabase { .. }), "{refused}");
    assert!(
        refused.to_string().contains("mesh.db") && refused.to_string().contains("hint:"),
        "{refused}"
    );
    assert_eq!(fs::read_to_string(folder.file()).unwrap(), text);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let folder = Folder::new();
    rusqlite::Connection::open(folder.file())
        .unwrap()
        .execute_batch("CREATE TABLE bookmark (url TEXT)")
        .unwrap();
    let before = fs::read(folder.file()).unwrap();
    let refused = Sqlite::open(&folder.file()).err().unwrap();
    assert!(matches!(refused, StoreError::Foreign { application_id: 0, .. }), "{refused}");
    assert_eq!(fs::read(folder.file()).unwrap(), before);
}

#[test]
fn a_store_of_a_later_version_is_refused() {
    let folder = Folder::new();
    drop(Sqlite::open(&folder.file()).unwrap());
    rusqlite::Connection::open(folder.file())
        .unwrap()
        .pragma_update(None, "user_version", 9)
        .unwrap();
    let refused = Sqlite::open(&folder.file()).err().unwrap();
    assert!(matches!(refused, StoreError::TooNew { found: 9, .. }), "{refused}");
}

#[tokio::test]
async fn a_damaged_store_is_refused() {
    let folder = Folder::new();
    let store = Sqlite::open(&folder.file()).unwrap();
    let many = (0..500).map(|n| document(&format!("s{n}"), &"x".repeat(300))).collect();
    store.apply(put(0, many)).await.unwrap();
    drop(store);

    let mut bytes = fs::read(folder.file()).unwrap();
    assert!(bytes.len() > 3 * 4096);
    // The header's page is sound; every page after it is noise.
    bytes[4096..].fill(0xA5);
    fs::write(folder.file(), bytes).unwrap();
    let refused = Sqlite::open(&folder.file()).err().unwrap();
    assert!(matches!(refused, StoreError::Corrupted { .. }), "{refused}");
}

#[test]
fn a_path_that_cannot_be_opened_says_so() {
    let folder = Folder::new();
    let refused = Sqlite::open(&folder.0.join("no such folder/mesh.db")).err().unwrap();
    assert!(matches!(refused, StoreError::Inaccessible { .. }), "{refused}");
}
