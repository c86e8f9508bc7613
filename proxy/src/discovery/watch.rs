//! Noticing that a file has changed.
//!
//! The kernel tells of changes in the folder (inotify): files are replaced by moving others over
//! them, links are turned, and a watch on the file itself would go away with it. Where the kernel
//! does not tell, as on network file systems, the file is looked at every now and then.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use weft_watch::{Notices, Stamp, WatchFlags};

/// How often a file is looked at, whatever the kernel says.
const LOOK: Duration = Duration::from_secs(2);
/// A file that was changed so recently may change again without its times telling.
const RECENT: Duration = Duration::from_millis(50);

/// A file that is watched.
pub(crate) struct Watch {
    path: PathBuf,
    folders: Vec<PathBuf>,
    notices: Notices,
    seen: Option<Stamp>,
    /// It was seen so soon after a change that another one need not show.
    unsure: bool,
}

impl Watch {
    /// Watches a file that need not exist, and a folder beside its own.
    pub(crate) fn new(path: &Path, folder: Option<&Path>) -> Self {
        let own = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folders = [Some(own), folder].into_iter().flatten().map(Path::to_owned).collect();
        let notices =
            Notices::new(|error| tracing::warn!(%error, "files are looked at every {LOOK:?}"));
        let watch = Self { path: path.to_owned(), folders, notices, seen: None, unsure: false };
        watch.listen();
        watch
    }

    /// Asks the kernel for events. Again and again, as folders may come and go.
    fn listen(&self) {
        let what = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE;
        for folder in &self.folders {
            // A folder that is not there is looked for again.
            self.notices.listen(folder, what);
        }
    }

    /// Returns when the file is there in a state that was not returned for before, or may be.
    pub(crate) async fn changed(&mut self) {
        loop {
            // An empty file is one that is about to be written.
            if let Some(stamp) = Stamp::of(&self.path).filter(|stamp| !stamp.is_empty()) {
                let recent = is_recent(stamp);
                if self.seen.replace(stamp) != Some(stamp) || (self.unsure && !recent) {
                    self.unsure = recent;
                    return;
                }
            }
            self.wait(if self.unsure { RECENT } else { LOOK }).await;
        }
    }

    async fn wait(&self, at_most: Duration) {
        tokio::select! {
            // Which file it was does not matter: the one of interest is looked at.
            _ = self.notices.next() => {}
            () = tokio::time::sleep(at_most) => self.listen(),
        }
    }
}

fn is_recent(stamp: Stamp) -> bool {
    stamp.age(SystemTime::now()).is_some_and(|age| age < RECENT)
}
