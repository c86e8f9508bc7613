//! Noticing that something in a folder has changed, and that whoever changed it is done.
//!
//! The kernel tells of changes (inotify). Files that are written in place are waited for until
//! their writer has closed them. Where the kernel does not tell, as on network file systems, the
//! folder is looked at every now and then.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::net::unix::pipe;
use tokio::time::Instant;

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
    /// What inotify gives is read like a pipe.
    events: Option<pipe::Receiver>,
    /// Files that somebody is writing to, by watch and name.
    written: BTreeSet<File>,
}

impl Watch {
    /// Watches `root`, which need not exist.
    pub(super) fn new(root: &Path) -> Self {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(std::io::Error::from)
            .and_then(pipe::Receiver::from_owned_fd_unchecked)
            .inspect_err(|error| tracing::warn!(%error, "the folder is looked at every {LOOK:?}"))
            .ok();
        let watch = Self { root: root.to_owned(), events, written: BTreeSet::new() };
        watch.listen(std::iter::empty());
        watch
    }

    /// Asks the kernel for events of these folders too. Again and again, as they come and go.
    pub(super) fn listen(&self, folders: impl Iterator<Item = PathBuf>) {
        let Some(events) = &self.events else { return };
        let what = WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::CREATE
            | WatchFlags::DELETE;
        for folder in folders.chain([self.root.clone()]) {
            // A folder that is not there is looked for again.
            let _ = inotify::add_watch(events, &folder, what);
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
        let Some(events) = &self.events else { return std::future::pending().await };
        if events.readable().await.is_err() {
            return std::future::pending().await;
        }
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = events.try_read(&mut buffer) {
            let mut bytes = buffer.get(..length).unwrap_or_default();
            while let Some((what, file, rest)) = event_of(bytes) {
                if what == ReadFlags::MODIFY {
                    self.written.insert(file);
                } else {
                    self.written.remove(&file);
                }
                bytes = rest;
            }
        }
    }
}

/// The first event of what was read, as inotify(7) lays it out, and the rest.
fn event_of(bytes: &[u8]) -> Option<(ReadFlags, File, &[u8])> {
    let (watch, bytes) = bytes.split_first_chunk()?;
    let (what, bytes) = bytes.split_first_chunk()?;
    let (_cookie, bytes) = bytes.split_first_chunk::<4>()?;
    let (length, bytes) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    let (name, rest) = bytes.split_at_checked(length)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let what = ReadFlags::from_bits_retain(u32::from_ne_bytes(*what));
    Some((what, (i32::from_ne_bytes(*watch), name.to_vec()), rest))
}
