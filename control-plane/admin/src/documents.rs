//! The mesh that is in force, and how it changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use weft_config::{Document, DocumentId, Mesh, Problems, Source};
use weft_store::{Change, Contents, Key, Revision, Store, StoreError};

use crate::api::{ChangeKind, Kept};

/// The mesh at one revision of the store.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The store's revision.
    pub revision: Revision,
    /// All of it: from files and from the store.
    pub mesh: Mesh,
}

/// What became of the documents of a change.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) revision: Revision,
    pub(crate) documents: Vec<(DocumentId, ChangeKind)>,
}

/// Why the mesh was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DocumentsError {
    /// The documents are wrong.
    #[error("{0}")]
    Invalid(#[from] Problems),
    /// A document belongs to a file.
    #[error(
        "{0} comes from a file that the control plane was started with\n  hint: change it in that file"
    )]
    KeptInFile(DocumentId),
    /// There is no such document.
    #[error("there is no {0}")]
    NotFound(DocumentId),
    /// A stored document is none that was ever stored.
    #[error(
        "the stored document {key} cannot be read: {detail}\n  hint: the store was changed by another program; restore it from a copy"
    )]
    Unreadable {
        /// Which one.
        key: Key,
        /// What is wrong with it.
        detail: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The program is stopping.
    #[error("the control plane is stopping\n  hint: try again when it is back")]
    Stopping,
}

/// The documents of the mesh: those of files, which do not change, and those of the store.
pub struct Documents {
    files: Mesh,
    store: Arc<dyn Store>,
    in_force: watch::Sender<Arc<InForce>>,
    /// Changes are made one after the other, each checked against the last one's outcome.
    changing: Mutex<()>,
}

/// A change that was checked, but not made.
struct Checked {
    mesh: Mesh,
    change: Change,
    documents: Vec<(DocumentId, ChangeKind)>,
}

impl Documents {
    /// Reads the store and joins it with `files`. A stored document that a file has too stays in
    /// the store, but the file's is in force.
    ///
    /// # Errors
    /// When the store cannot be read, or the files and it do not make a valid mesh.
    pub async fn open(files: Mesh, store: Arc<dyn Store>) -> Result<Self, DocumentsError> {
        let in_force = join(&files, store.list().await?)?;
        let (in_force, _) = watch::channel(Arc::new(in_force));
        Ok(Self { files, store, in_force, changing: Mutex::new(()) })
    }

    /// The mesh in force, now and whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<InForce>> {
        self.in_force.subscribe()
    }

    /// Who keeps a document of the mesh.
    pub(crate) fn kept(&self, id: &DocumentId) -> Kept {
        if self.files.document(id).is_some() { Kept::File } else { Kept::Store }
    }

    /// Follows changes that others make to the store. Ends with the store.
    pub async fn follow_store(&self) {
        let mut revisions = self.store.revisions();
        while revisions.changed().await.is_ok() {
            let _changing = self.changing.lock().await;
            if let Err(error) = self.catch_up().await {
                // What was in force stays in force.
                tracing::error!(%error, "the store's documents cannot be put in force");
            }
        }
    }

    /// Creates or replaces the documents of `sources`, all of them or none.
    pub(crate) async fn apply(
        self: &Arc<Self>,
        sources: Vec<Source>,
        dry_run: bool,
    ) -> Result<Changed, DocumentsError> {
        self.change(dry_run, move |documents, in_force| documents.check_apply(in_force, &sources))
            .await
    }

    /// Removes one document.
    pub(crate) async fn delete(
        self: &Arc<Self>,
        id: DocumentId,
        dry_run: bool,
    ) -> Result<Changed, DocumentsError> {
        self.change(dry_run, move |documents, in_force| documents.check_delete(in_force, &id)).await
    }

    async fn change<F>(self: &Arc<Self>, dry_run: bool, check: F) -> Result<Changed, DocumentsError>
    where
        F: Fn(&Self, &InForce) -> Result<Checked, DocumentsError> + Send + Sync + 'static,
    {
        let check = Arc::new(check);
        let _changing = self.changing.lock().await;
        loop {
            let in_force = self.in_force.borrow().clone();
            let (this, this_check, base) =
                (Arc::clone(self), Arc::clone(&check), Arc::clone(&in_force));
            // A large mesh takes a while to check.
            let checked = tokio::task::spawn_blocking(move || this_check(&this, &base))
                .await
                .map_err(|_| DocumentsError::Stopping)??;
            if dry_run || (checked.change.put.is_empty() && checked.change.delete.is_empty()) {
                return Ok(Changed { revision: in_force.revision, documents: checked.documents });
            }
            match self.store.apply(checked.change).await {
                Ok(revision) => {
                    self.in_force.send_replace(Arc::new(InForce { revision, mesh: checked.mesh }));
                    return Ok(Changed { revision, documents: checked.documents });
                }
                // Somebody else was faster: check again, against what is there now.
                Err(StoreError::Conflict { .. }) => self.catch_up().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn catch_up(&self) -> Result<(), DocumentsError> {
        let contents = self.store.list().await?;
        if contents.revision > self.in_force.borrow().revision {
            self.in_force.send_replace(Arc::new(join(&self.files, contents)?));
        }
        Ok(())
    }

    fn check_apply(
        &self,
        in_force: &InForce,
        sources: &[Source],
    ) -> Result<Checked, DocumentsError> {
        let applied = in_force.mesh.apply(sources)?;
        let mut change = Change { expect: in_force.revision, ..Change::default() };
        let mut documents = Vec::new();
        for id in applied.documents {
            let (before, after) = (in_force.mesh.document(&id), applied.mesh.document(&id));
            let kind = match (&before, &after) {
                (None, _) => ChangeKind::Created,
                (Some(before), Some(after)) if before == after => ChangeKind::Unchanged,
                (Some(_), _) => ChangeKind::Updated,
            };
            if kind != ChangeKind::Unchanged {
                if self.kept(&id) == Kept::File {
                    return Err(DocumentsError::KeptInFile(id));
                }
                change.put.extend(after.map(|document| stored(&id, &document)));
            }
            documents.push((id, kind));
        }
        Ok(Checked { mesh: applied.mesh, change, documents })
    }

    fn check_delete(&self, in_force: &InForce, id: &DocumentId) -> Result<Checked, DocumentsError> {
        if in_force.mesh.document(id).is_none() {
            return Err(DocumentsError::NotFound(id.clone()));
        }
        if self.kept(id) == Kept::File {
            return Err(DocumentsError::KeptInFile(id.clone()));
        }
        let mesh = in_force.mesh.remove(std::slice::from_ref(id))?;
        let change = Change { expect: in_force.revision, put: Vec::new(), delete: vec![key(id)] };
        Ok(Checked { mesh, change, documents: vec![(id.clone(), ChangeKind::Deleted)] })
    }
}

fn key(id: &DocumentId) -> Key {
    Key {
        kind: id.kind.to_string(),
        namespace: id.key.namespace.clone(),
        name: id.key.name.clone(),
    }
}

fn stored(id: &DocumentId, document: &Document) -> weft_store::Document {
    weft_store::Document { key: key(id), text: document.json.to_string() }
}

/// One mesh out of what files and the store say.
fn join(files: &Mesh, contents: Contents) -> Result<InForce, DocumentsError> {
    let mut documents = files.documents();
    let in_files: BTreeSet<_> = files.ids().map(|id| key(&id)).collect();
    for stored in contents.documents {
        if in_files.contains(&stored.key) {
            tracing::warn!(document = %stored.key, "both in a file and in the store: the file's is in force");
            continue;
        }
        documents.push(parse(&stored)?);
    }
    Ok(InForce { revision: contents.revision, mesh: Mesh::from_documents(&documents)? })
}

fn parse(stored: &weft_store::Document) -> Result<Document, DocumentsError> {
    let Key { kind, namespace, name } = stored.key.clone();
    let unreadable =
        |detail: String| DocumentsError::Unreadable { key: stored.key.clone(), detail };
    let json: serde_json::Value =
        serde_json::from_str(&stored.text).map_err(|error| unreadable(error.to_string()))?;
    let api_version = json.get("apiVersion").and_then(|version| version.as_str());
    let api_version =
        api_version.ok_or_else(|| unreadable("it has no apiVersion".to_owned()))?.to_owned();
    Ok(Document { api_version, kind, namespace, name, json })
}
