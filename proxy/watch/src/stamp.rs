//! What tells one state of a file from another.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

/// A state of a file, told from others without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The state that a file is in now; `None` for one that is not there.
    pub fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// How long ago it was changed, at `now`; `None` where its times make no sense.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let (seconds, nanos) = self.changed;
        let since = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?);
        now.duration_since(SystemTime::UNIX_EPOCH + since).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::env::temp_dir;

    use super::*;

    #[test]
    fn states_of_a_file_are_told_apart() {
        let path = temp_dir().join(format!("weft-watch-{}", std::process::id()));
        assert_eq!(Stamp::of(&path), None);
        fs::write(&path, "").unwrap();
        let empty = Stamp::of(&path).unwrap();
        assert!(empty.is_empty());
        assert_eq!(Stamp::of(&path), Some(empty));
        fs::write(&path, "text").unwrap();
        let written = Stamp::of(&path).unwrap();
        assert!(written != empty && !written.is_empty());
        let hour = Duration::from_secs(3600);
        assert!(written.age(SystemTime::now() + hour).unwrap() >= hour);
        assert_eq!(written.age(SystemTime::UNIX_EPOCH), None);
        fs::remove_file(&path).unwrap();
    }
}
