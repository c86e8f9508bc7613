//! What the kernel says of folders (inotify).

use std::{future::pending, io, path::Path};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::net::unix::pipe;

/// Bytes that are read at a time: many events.
const READ: usize = 4096;

/// What happened to a file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it was.
    pub what: ReadFlags,
    /// The file, by the number of the watch and its name.
    pub file: (i32, Vec<u8>),
}

/// Folders that the kernel tells of. Where it does not, as on network file systems, nothing ever comes,
/// and whoever waits has to look now and then.
#[derive(Debug)]
pub struct Notices {
    /// What inotify gives is read like a pipe.
    events: Option<pipe::Receiver>,
}

impl Notices {
    /// Of no folder yet. `failed` is told where the kernel does not tell of any.
    pub fn new(failed: impl FnOnce(&io::Error)) -> Self {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(io::Error::from)
            .and_then(pipe::Receiver::from_owned_fd_unchecked);
        Self { events: events.inspect_err(failed).ok() }
    }

    /// Asks for what happens in a folder. One that is not there has to be asked for again.
    pub fn listen(&self, folder: &Path, what: WatchFlags) {
        if let Some(events) = &self.events {
            let _ = inotify::add_watch(events, folder, what);
        }
    }

    /// What has happened by now, once something has.
    pub async fn next(&self) -> Vec<Notice> {
        let Some(events) = &self.events else { return pending().await };
        if events.readable().await.is_err() {
            return pending().await;
        }
        let mut notices = Vec::new();
        let mut buffer = [0; READ];
        while let Ok(length @ 1..) = events.try_read(&mut buffer) {
            let mut bytes = buffer.get(..length).unwrap_or_default();
            while let Some((notice, rest)) = first_of(bytes) {
                notices.push(notice);
                bytes = rest;
            }
        }
        notices
    }
}

/// The first event of what was read, as inotify(7) lays it out, and the rest.
fn first_of(bytes: &[u8]) -> Option<(Notice, &[u8])> {
    let (watch, bytes) = bytes.split_first_chunk()?;
    let (what, bytes) = bytes.split_first_chunk()?;
    let (_cookie, bytes) = bytes.split_first_chunk::<4>()?;
    let (length, bytes) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    let (name, rest) = bytes.split_at_checked(length)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let what = ReadFlags::from_bits_retain(u32::from_ne_bytes(*what));
    Some((Notice { what, file: (i32::from_ne_bytes(*watch), name.to_vec()) }, rest))
}

#[cfg(test)]
mod tests {
    use std::{env::temp_dir, fs};

    use super::*;

    #[tokio::test]
    async fn writers_are_told_of_by_name() {
        let folder = temp_dir().join(format!("weft-notices-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let notices = Notices::new(|error| panic!("{error}"));
        notices.listen(&folder, WatchFlags::CLOSE_WRITE);
        fs::write(folder.join("one"), "1").unwrap();
        let heard = notices.next().await;
        let [Notice { what, file: (_, name) }] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!((*what, &name[..]), (ReadFlags::CLOSE_WRITE, &b"one"[..]));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_cut_short_is_no_event() {
        let whole =
            [&1i32.to_ne_bytes()[..], &2u32.to_ne_bytes(), &[0; 4], &4u32.to_ne_bytes(), b"ab\0\0"]
                .concat();
        let (notice, rest) = first_of(&whole).unwrap();
        assert_eq!((notice.file, rest), ((1, b"ab".to_vec()), &[][..]));
        for length in 0..whole.len() {
            assert_eq!(first_of(&whole[..length]), None);
        }
    }
}
