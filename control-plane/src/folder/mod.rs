//! A folder whose files are the mesh.
//!
//! Its newest state that is good is in force. It is read as a whole, and only when nobody is
//! writing in it, so that half of a change is never taken for all of it.

mod state;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use weft_config::{Document, Mesh, Places};
use weft_control_admin::{Documents, Trouble};
use weft_store::{Revision, Store};

use state::State;
use watch::Watch;

use crate::StartError;

/// Where the store keeps the last good state, as a list of documents.
const NAME: &str = "folder";

/// The documents of `folder` as they are; while something is wrong there, as they last were good.
///
/// # Errors
/// When something is wrong and no good state is remembered.
pub(crate) async fn open(folder: &Path, store: &dyn Store) -> Result<Documents, StartError> {
    let name = folder.display().to_string();
    let trouble = match take(folder.to_owned()).await {
        Ok((mesh, places)) => return Ok(Documents::of_folder(name, mesh, places)),
        Err(trouble) => trouble,
    };
    let kept = store.kept(NAME).await?.and_then(|text| recall(&text));
    let Some(mesh) = kept else { return Err(StartError::Folder(text_of(&trouble))) };
    tracing::error!("the folder is not used, its last good state is:\n{}", text_of(&trouble));
    let documents = Documents::of_folder(name, mesh, Places::default());
    documents.follow_folder(Err(trouble));
    Ok(documents)
}

/// Puts each new state of `folder` in force. Does not end.
pub(crate) async fn follow(folder: PathBuf, documents: Arc<Documents>, store: Arc<dyn Store>) {
    let mut watch = Watch::new(&folder);
    let mut seen = None;
    // What was read at the start is read again: it may have changed before it was watched.
    let mut certain = true;
    loop {
        let state = look(folder.clone()).await;
        if certain || seen != state {
            watch.listen(state.iter().flat_map(State::folders));
            seen = state;
            take_over(take(folder.clone()).await, &documents, &*store).await;
        }
        certain = watch.changed().await;
    }
}

/// Puts a state in force if it is good.
async fn take_over(
    read: Result<(Mesh, Places), Trouble>,
    documents: &Documents,
    store: &dyn Store,
) {
    let good = read.is_ok();
    if let Err(trouble) = &read
        && documents.trouble().borrow().as_ref() != Some(trouble)
    {
        tracing::error!("what was good before stays in force:\n{}", text_of(trouble));
    }
    let before = documents.watch().borrow().revision;
    documents.follow_folder(read);
    if good && (documents.watch().borrow().revision != before || before == Revision(1)) {
        remember(documents, store).await;
    }
}

async fn remember(documents: &Documents, store: &dyn Store) {
    let mesh = documents.watch().borrow().mesh.clone();
    let texts: Vec<Value> = mesh.documents().into_iter().map(|document| document.json).collect();
    if let Err(error) = store.keep(NAME, json!(texts).to_string()).await {
        tracing::error!(%error, "the good state of the folder cannot be remembered");
    }
}

/// What [`remember`] wrote; `None` when another version did, and nothing can be made of it.
fn recall(text: &str) -> Option<Mesh> {
    let texts: Vec<Value> = serde_json::from_str(text).ok()?;
    let documents = texts.into_iter().map(|json| {
        let text = |pointer| json.pointer(pointer)?.as_str().map(str::to_owned);
        Some(Document {
            api_version: text("/apiVersion")?,
            kind: text("/kind")?,
            namespace: text("/metadata/namespace").unwrap_or_default(),
            name: text("/metadata/name")?,
            json,
        })
    });
    Mesh::from_documents(&documents.collect::<Option<Vec<_>>>()?).ok()
}

/// `None` when the blocking threads are gone: the program is stopping.
async fn look(folder: PathBuf) -> Option<State> {
    tokio::task::spawn_blocking(move || State::of(&folder)).await.ok()
}

async fn take(folder: PathBuf) -> Result<(Mesh, Places), Trouble> {
    let read = tokio::task::spawn_blocking(move || state::read(&folder));
    read.await.unwrap_or_else(|_| {
        let hint = "report this with the files".to_owned();
        let detail = "the files could not be read: the reader failed".to_owned();
        Err(Trouble { detail, hint, problems: Vec::new() })
    })
}

fn text_of(trouble: &Trouble) -> String {
    let mut lines: Vec<_> = trouble.problems.iter().map(ToString::to_string).collect();
    lines.push(format!("{}\n  hint: {}", trouble.detail, trouble.hint));
    lines.join("\n")
}
