//! Noticing that a file has changed.
//!
//! The kernel tells of changes in the folder (inotify): files are replaced by moving others over
//! them, links are turned, and a watch on the file itself would go away with it. Where the kernel
//! does not tell, as on network file systems, the file is looked at every now and then.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe;

/// How often a file is looked at, whatever the kernel says.
const LOOK: Duration = Duration::from_secs(2);
/// A file that was changed so recently may change again without its times telling.
const RECENT: Duration = Duration::from_millis(50);

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file that is watched.
pub(crate) struct Watch {
    path: PathBuf,
    folders: Vec<PathBuf>,
    /// What inotify gives is read like a pipe.
    events: Option<pipe::Receiver>,
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
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(std::io::Error::from)
            .and_then(pipe::Receiver::from_owned_fd_unchecked);
        let events = events
            .inspect_err(|error| tracing::warn!(%error, "files are looked at every {LOOK:?}"))
            .ok();
        let watch = Self { path: path.to_owned(), folders, events, seen: None, unsure: false };
        watch.listen();
        watch
    }

    /// Asks the kernel for events. Again and again, as folders may come and go.
    fn listen(&self) {
        let Some(events) = &self.events else { return };
        let what = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE;
        for folder in &self.folders {
            // A folder that is not there is looked for again.
            let _ = inotify::add_watch(events, folder, what);
        }
    }

    /// Returns when the file is there in a state that was not returned for before, or may be.
    pub(crate) async fn changed(&mut self) {
        loop {
            // An empty file is one that is about to be written.
            if let Some(stamp) = stamp(&self.path).filter(|stamp| stamp.size > 0) {
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
        let Some(events) = &self.events else { return tokio::time::sleep(at_most).await };
        tokio::select! {
            ready = events.readable() => {
                if ready.is_err() {
                    return tokio::time::sleep(at_most).await;
                }
                // Which file it was does not matter: the one of interest is looked at.
                let mut buffer = [0; 4096];
                while events.try_read(&mut buffer).is_ok_and(|read| read > 0) {}
            }
            () = tokio::time::sleep(at_most) => self.listen(),
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some(Stamp {
        device: file.dev(),
        inode: file.ino(),
        size: file.size(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    })
}

fn is_recent(stamp: Stamp) -> bool {
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(stamp.changed.0), u32::try_from(stamp.changed.1))
    else {
        return false;
    };
    let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    SystemTime::now().duration_since(changed).is_ok_and(|age| age < RECENT)
}
