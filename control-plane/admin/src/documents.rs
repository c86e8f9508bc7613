//! The mesh that is in force, and how it changes.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use weft_config::{DocumentId, Mesh, Places, Problems, Source};
use weft_store::{Change, Key, Revision, Store, StoreError};

use crate::api::{self, ChangeKind, Kept};
use crate::stored::{self, key};

/// The mesh at one revision.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The store's revision; of a folder, how many states of it have been in force.
    pub revision: Revision,
    /// All of it: from files and from the store.
    pub mesh: Mesh,
    /// Where the documents that come from files are written.
    pub places: Places,
}

/// What became of the documents of a change.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) revision: Revision,
    pub(crate) documents: Vec<(DocumentId, ChangeKind)>,
    /// The mesh as it is now, or as it would be.
    pub(crate) mesh: Mesh,
}

/// How a change is to be made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// Only tell what would change.
    pub(crate) dry_run: bool,
    /// Only if this is still the revision in force.
    pub(crate) expect: Option<Revision>,
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
    /// All documents belong to files.
    #[error(
        "the mesh is what the files in {0} say\n  hint: change it there; changes come into force by themselves"
    )]
    KeptInFolder(String),
    /// There are no such documents.
    #[error("there is no {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", no "))]
    NotFound(Vec<DocumentId>),
    /// The mesh has changed since the author of the change has read it.
    #[error(
        "the mesh is at revision {actual}, not {expected}: somebody else has changed it\n  hint: read again and repeat the change"
    )]
    Stale {
        /// The revision that the change was made for.
        expected: Revision,
        /// The one in force.
        actual: Revision,
    },
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

/// What keeps the newest documents from being in force. Those before them still are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What it is, in one sentence.
    pub detail: String,
    /// What to do about it.
    pub hint: String,
    /// Everything that is wrong with the documents.
    pub problems: Vec<api::Problem>,
}

/// The documents of the mesh.
pub struct Documents {
    truth: Truth,
    in_force: watch::Sender<Arc<InForce>>,
    trouble: watch::Sender<Option<Trouble>>,
    /// Changes are made one after the other, each checked against the last one's outcome.
    changing: Mutex<()>,
}

/// Where documents come from.
enum Truth {
    /// Those of files, which do not change, and those of the store.
    Store { files: Box<Mesh>, store: Arc<dyn Store> },
    /// Those of a folder, whatever it says.
    Folder(String),
}

/// A change that was checked, but not made.
struct Checked {
    mesh: Mesh,
    change: Change,
    documents: Vec<(DocumentId, ChangeKind)>,
}

impl Documents {
    /// Reads the store and joins it with the documents of `files`. A stored document that a file
    /// has too stays in the store, but the file's is in force.
    ///
    /// # Errors
    /// When the store cannot be read, or the files and it do not make a valid mesh.
    pub async fn open(
        files: Mesh,
        places: Places,
        store: Arc<dyn Store>,
    ) -> Result<Self, DocumentsError> {
        let (revision, mesh) = stored::join(&files, store.list().await?)?;
        let files = Box::new(files);
        Ok(Self::new(Truth::Store { files, store }, InForce { revision, mesh, places }))
    }

    /// The documents of the folder `name`: the mesh is what [`Documents::follow_folder`] says.
    #[must_use]
    pub fn of_folder(name: String, mesh: Mesh, places: Places) -> Self {
        Self::new(Truth::Folder(name), InForce { revision: Revision(1), mesh, places })
    }

    fn new(truth: Truth, in_force: InForce) -> Self {
        Self {
            truth,
            in_force: watch::Sender::new(Arc::new(in_force)),
            trouble: watch::Sender::new(None),
            changing: Mutex::new(()),
        }
    }

    /// The mesh in force, now and whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<InForce>> {
        self.in_force.subscribe()
    }

    /// What keeps newer documents from being in force, now and whenever it changes.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.subscribe()
    }

    /// The folder whose files are the mesh, when they are.
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        match &self.truth {
            Truth::Folder(name) => Some(name),
            Truth::Store { .. } => None,
        }
    }

    /// Who keeps a document of the mesh.
    pub(crate) fn kept(&self, id: &DocumentId) -> Kept {
        match &self.truth {
            Truth::Folder(_) => Kept::File,
            Truth::Store { files, .. } if files.document(id).is_some() => Kept::File,
            Truth::Store { .. } => Kept::Store,
        }
    }

    /// Follows changes that others make to the store. Ends with the store.
    pub async fn follow_store(&self) {
        let Truth::Store { files, store } = &self.truth else {
            return std::future::pending().await;
        };
        let mut revisions = store.revisions();
        while revisions.changed().await.is_ok() {
            let _changing = self.changing.lock().await;
            if let Err(error) = self.catch_up(files, &**store).await {
                tracing::error!(%error, "the store's documents cannot be put in force");
                self.trouble.send_replace(Some(Trouble::from(&error)));
            }
        }
    }

    /// Puts a new state of the folder in force, or tells what is wrong with it.
    pub fn follow_folder(&self, state: Result<(Mesh, Places), Trouble>) {
        match state {
            Ok((mesh, places)) => {
                self.trouble.send_replace(None);
                self.in_force.send_if_modified(|in_force| {
                    let same = in_force.mesh == mesh;
                    let revision = Revision(in_force.revision.0 + u64::from(!same));
                    *in_force = Arc::new(InForce { revision, mesh, places });
                    !same
                });
            }
            Err(trouble) => {
                self.trouble.send_replace(Some(trouble));
            }
        }
    }

    /// Creates or replaces the documents of `sources`, all of them or none.
    pub(crate) async fn apply(
        self: &Arc<Self>,
        sources: Vec<Source>,
        options: Options,
    ) -> Result<Changed, DocumentsError> {
        self.change(options, move |documents, in_force| documents.check_apply(in_force, &sources))
            .await
    }

    /// Removes documents, all of them or none.
    pub(crate) async fn delete(
        self: &Arc<Self>,
        ids: Vec<DocumentId>,
        options: Options,
    ) -> Result<Changed, DocumentsError> {
        self.change(options, move |documents, in_force| documents.check_delete(in_force, &ids))
            .await
    }

    async fn change<F>(
        self: &Arc<Self>,
        options: Options,
        check: F,
    ) -> Result<Changed, DocumentsError>
    where
        F: Fn(&Self, &InForce) -> Result<Checked, DocumentsError> + Send + Sync + 'static,
    {
        let check = Arc::new(check);
        let _changing = self.changing.lock().await;
        loop {
            let in_force = self.in_force.borrow().clone();
            if let Some(expected) = options.expect.filter(|it| *it != in_force.revision) {
                return Err(DocumentsError::Stale { expected, actual: in_force.revision });
            }
            let (this, this_check, base) =
                (Arc::clone(self), Arc::clone(&check), Arc::clone(&in_force));
            // A large mesh takes a while to check.
            let checked = tokio::task::spawn_blocking(move || this_check(&this, &base))
                .await
                .map_err(|_| DocumentsError::Stopping)??;
            let Checked { mesh, change, documents } = checked;
            if options.dry_run || (change.put.is_empty() && change.delete.is_empty()) {
                return Ok(Changed { revision: in_force.revision, documents, mesh });
            }
            let Truth::Store { files, store } = &self.truth else {
                return Err(self.kept_in_folder());
            };
            match store.apply(change).await {
                Ok(revision) => {
                    let (now, places) = (mesh.clone(), in_force.places.clone());
                    self.in_force.send_replace(Arc::new(InForce { revision, mesh: now, places }));
                    self.trouble.send_replace(None);
                    return Ok(Changed { revision, documents, mesh });
                }
                // Somebody else was faster: check again, against what is there now.
                Err(StoreError::Conflict { .. }) => self.catch_up(files, &**store).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn kept_in_folder(&self) -> DocumentsError {
        DocumentsError::KeptInFolder(self.folder().unwrap_or_default().to_owned())
    }

    async fn catch_up(&self, files: &Mesh, store: &dyn Store) -> Result<(), DocumentsError> {
        let contents = store.list().await?;
        if contents.revision > self.in_force.borrow().revision {
            let (revision, mesh) = stored::join(files, contents)?;
            let places = self.in_force.borrow().places.clone();
            self.in_force.send_replace(Arc::new(InForce { revision, mesh, places }));
            self.trouble.send_replace(None);
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
                self.check_owner(&id)?;
                change.put.extend(after.map(|document| stored::text(&id, &document)));
            }
            documents.push((id, kind));
        }
        Ok(Checked { mesh: applied.mesh, change, documents })
    }

    fn check_delete(
        &self,
        in_force: &InForce,
        ids: &[DocumentId],
    ) -> Result<Checked, DocumentsError> {
        let missing = ids.iter().filter(|id| in_force.mesh.document(id).is_none());
        let missing: Vec<_> = missing.cloned().collect();
        if !missing.is_empty() {
            return Err(DocumentsError::NotFound(missing));
        }
        for id in ids {
            self.check_owner(id)?;
        }
        let mesh = in_force.mesh.remove(ids)?;
        let delete = ids.iter().map(key).collect();
        let change = Change { expect: in_force.revision, put: Vec::new(), delete };
        let documents = ids.iter().map(|id| (id.clone(), ChangeKind::Deleted)).collect();
        Ok(Checked { mesh, change, documents })
    }

    /// Whether a document may be changed here.
    fn check_owner(&self, id: &DocumentId) -> Result<(), DocumentsError> {
        match (&self.truth, self.kept(id)) {
            (Truth::Folder(_), _) => Err(self.kept_in_folder()),
            (Truth::Store { .. }, Kept::File) => Err(DocumentsError::KeptInFile(id.clone())),
            (Truth::Store { .. }, Kept::Store) => Ok(()),
        }
    }
}

impl From<&DocumentsError> for Trouble {
    fn from(error: &DocumentsError) -> Self {
        if let DocumentsError::Invalid(problems) = error {
            return Self::from(problems);
        }
        let text = error.to_string();
        let (detail, hint) = text.split_once("\n  hint: ").unwrap_or((&text, ""));
        Self { detail: detail.to_owned(), hint: hint.to_owned(), problems: Vec::new() }
    }
}

impl From<&Problems> for Trouble {
    fn from(problems: &Problems) -> Self {
        Self {
            detail: format!("the newest documents have {} problems", problems.len()),
            hint: "what was good before stays in force; correct the documents".to_owned(),
            problems: problems.iter().map(api::Problem::from).collect(),
        }
    }
}
