//! Noticing that something in a folder has changed, and that whoever changed it is done.
//!
//! The kernel tells of changes (inotify). Files that are written in place are waited for until
//! their writer has closed them. Where the kernel does not tell, as on network file systems, the
//! folder is looked at every now and then.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use weft_watch::{Notice, Notices, ReadFlags, WatchFlags};

/// How often a folder is looked at, whatever the kernel says.
const LOOK: Duration = Duration::from_secs(2);
/// After a change, how long nothing else must happen.
const QUIET: Duration = Duration::from_millis(20);
/// The longest wait for a file to be closed, or for changes to pause.
const PATIENCE: Duration = Duration::from_secs(1);

/// A file of a watched folder: the number of the watch, and the name.
type File = (i32, Vec<u8>);

/// A folder that is watched, with the folders below it.
pub(super) struct Watch {
    root: PathBuf,
    notices: Notices,
    /// Files that somebody is writing to, by watch and name.
    written: BTreeSet<File>,
}

impl Watch {
    /// Watches `root`, which need not exist.
    pub(super) fn new(root: &Path) -> Self {
        let notices =
            Notices::new(|error| tracing::warn!(%error, "the folder is looked at every {LOOK:?}"));
        let watch = Self { root: root.to_owned(), notices, written: BTreeSet::new() };
        watch.listen(std::iter::empty());
        watch
    }

    /// Asks the kernel for events of these folders too. Again and again, as they come and go.
    pub(super) fn listen(&self, folders: impl Iterator<Item = PathBuf>) {
        let what = WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::CREATE
            | WatchFlags::DELETE;
        for folder in folders.chain([self.root.clone()]) {
            // A folder that is not there is looked for again.
            self.notices.listen(&folder, what);
        }
    }

    /// Returns when something may have changed, and nobody is writing. Whether something certainly
    /// has.
    pub(super) async fn changed(&mut self) -> bool {
        tokio::select! {
            () = self.event() => {}
            () = tokio::time::sleep(LOOK) => {
                self.written.clear();
                self.listen(std::iter::empty());
                return false;
            }
        }
        let at_most = Instant::now() + PATIENCE;
        loop {
            let quiet = if self.written.is_empty() { Instant::now() + QUIET } else { at_most };
            tokio::select! {
                () = self.event() => {}
                () = tokio::time::sleep_until(quiet.min(at_most)) => return true,
            }
        }
    }

    /// Takes in what the kernel tells next.
    async fn event(&mut self) {
        for Notice { what, file } in self.notices.next().await {
            if what == ReadFlags::MODIFY {
                self.written.insert(file);
            } else {
                self.written.remove(&file);
            }
        }
    }
}
