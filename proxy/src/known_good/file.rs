//! The file: written as a whole or not at all, read only when nobody else could have written it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use prost::Message as _;
use rustix::{fs::OFlags, process::geteuid};
use sha2::{Digest as _, Sha256};

use super::{folder::Place, record::Record};

/// What a file of ours begins with.
const MAGIC: &[u8; 16] = b"weft-known-good\n";
/// The format after it.
const FORMAT: u32 = 1;
/// Magic, format, and the hash of the rest.
const HEAD: usize = 16 + 4 + 32;
/// 5,000 clusters of 10 endpoints take about 10 MB.
const MAX_BYTES: u64 = 128 * 1024 * 1024;
/// Others may not write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("there is none")]
    Missing,
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: is no file, or one of more than {MAX_BYTES} bytes\n  hint: remove it", path.display())]
    NoFile { path: PathBuf },
    #[error(
        "{}: belongs to user {owner}, not to {expected} as which this proxy runs\n  hint: whoever can write it could direct this proxy's traffic; remove it, or give it to user {expected}", path.display()
    )]
    OfAnother { path: PathBuf, owner: u32, expected: u32 },
    #[error(
        "{}: others may write it (mode {mode:o})\n  hint: whoever can write it could direct this proxy's traffic; chmod go-w it, or remove it", path.display()
    )]
    Writable { path: PathBuf, mode: u32 },
    #[error("{}: is not a configuration that weft-proxy has written\n  hint: remove it", path.display())]
    Foreign { path: PathBuf },
    #[error("{}: is in format {format}, this version knows {FORMAT}\n  hint: remove it, or start the version that wrote it", path.display())]
    Format { path: PathBuf, format: u32 },
    #[error("{}: is damaged\n  hint: remove it; a new one is written once a server was reached", path.display())]
    Damaged { path: PathBuf },
    #[error("{}: is another proxy's\n  hint: remove it, or give each proxy a --state-dir of its own", path.display())]
    OfAnotherProxy { path: PathBuf },
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("{}: {source}\n  hint: give a writable folder with --state-dir, or say --no-last-known-good", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("{}: others may write in it (mode {mode:o})\n  hint: chmod go-w it, or give another folder with --state-dir", path.display())]
    OpenToOthers { path: PathBuf, mode: u32 },
    #[error("{bytes} bytes are more than the {MAX_BYTES} that are kept")]
    TooLarge { bytes: u64 },
}

/// Reads what [`write`] wrote.
pub(super) fn read(place: &Place) -> Result<Record, ReadError> {
    let path = place.file();
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ReadError::Missing,
        _ => ReadError::Unreadable { path: path.clone(), source },
    };
    let folder = fs::metadata(place.folder()).map_err(unreadable)?;
    check(place.folder(), &folder)?;
    // A link could lead to a file that somebody else exchanges.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    if !facts.is_file() || facts.len() > MAX_BYTES {
        return Err(ReadError::NoFile { path });
    }
    check(&path, &facts)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    let record = decode(&bytes, &path)?;
    if record.identity != place.identity() {
        return Err(ReadError::OfAnotherProxy { path });
    }
    Ok(record)
}

/// That nobody but us could have written there.
fn check(path: &Path, facts: &fs::Metadata) -> Result<(), ReadError> {
    let (owner, expected) = (facts.uid(), geteuid().as_raw());
    if owner != expected {
        return Err(ReadError::OfAnother { path: path.to_owned(), owner, expected });
    }
    let mode = facts.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(ReadError::Writable { path: path.to_owned(), mode });
    }
    Ok(())
}

fn decode(bytes: &[u8], path: &Path) -> Result<Record, ReadError> {
    let path = || path.to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| ReadError::Foreign { path: path() })?;
    let damaged = || ReadError::Damaged { path: path() };
    let (format, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let format = u32::from_le_bytes(*format);
    if format != FORMAT {
        return Err(ReadError::Format { path: path(), format });
    }
    let (hash, payload) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
    if Sha256::digest(payload).as_slice() != hash {
        return Err(damaged());
    }
    Record::decode(payload).map_err(|_| damaged())
}

fn encode(record: &Record) -> Vec<u8> {
    let payload = record.encode_to_vec();
    let mut bytes = Vec::with_capacity(HEAD + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(&payload));
    bytes.extend_from_slice(&payload);
    bytes
}

/// Writes a record in the place of the one before. A crash leaves one of the two.
pub(super) fn write(place: &Place, record: &Record) -> Result<(), WriteError> {
    let bytes = encode(record);
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > MAX_BYTES {
        return Err(WriteError::TooLarge { bytes: length });
    }
    let folder = place.folder();
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| WriteError::Unwritable { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unwritable(folder))?;
    let mode = fs::metadata(folder).map_err(unwritable(folder))?.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(WriteError::OpenToOthers { path: folder.to_owned(), mode });
    }
    let path = place.file();
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let written = write_whole(&partial, &bytes).and_then(|()| fs::rename(&partial, &path));
    if let Err(source) = written {
        let _ = fs::remove_file(&partial);
        return Err(WriteError::Unwritable { path, source });
    }
    // The new name is on disk, too; where a folder cannot be synced it soon will be.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::known_good::record::Entry;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("weft-known-good-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn place(&self) -> Place {
            Place::new(self.0.join("deeper"), "somebody".to_owned())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn record(identity: &str) -> Record {
        let entry = Entry {
            type_url: "t".to_owned(),
            key: "k".to_owned(),
            version: "1".to_owned(),
            value: vec![1, 2, 3],
        };
        Record::now(identity, vec![entry])
    }

    #[test]
    fn what_was_written_is_read_and_others_may_not_look() {
        let folder = Folder::new("round");
        let place = folder.place();
        assert!(matches!(read(&place), Err(ReadError::Missing)));
        let record = record("somebody");
        write(&place, &record).unwrap();
        write(&place, &record).unwrap();
        assert_eq!(read(&place).unwrap(), record);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(place.folder()), mode(&place.file())), (0o700, 0o600));
        assert_eq!(fs::read_dir(place.folder()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn what_others_may_write_is_refused() {
        let folder = Folder::new("writable");
        let place = folder.place();
        write(&place, &record("somebody")).unwrap();
        let permit = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        permit(&place.file(), 0o620);
        assert!(matches!(read(&place), Err(ReadError::Writable { mode: 0o620, .. })));
        permit(&place.file(), 0o644);
        assert!(read(&place).is_ok());
        permit(place.folder(), 0o777);
        assert!(matches!(read(&place), Err(ReadError::Writable { .. })));
        let refused = write(&place, &record("somebody"));
        assert!(matches!(refused, Err(WriteError::OpenToOthers { .. })));
        permit(place.folder(), 0o700);
        let moved = place.folder().join("moved");
        fs::rename(place.file(), &moved).unwrap();
        std::os::unix::fs::symlink(&moved, place.file()).unwrap();
        assert!(
            matches!(read(&place), Err(ReadError::Unreadable { .. })),
            "links are not followed"
        );
    }

    #[test]
    fn what_is_not_as_it_was_written_is_refused() {
        let folder = Folder::new("damaged");
        let place = folder.place();
        write(&place, &record("another")).unwrap();
        assert!(matches!(read(&place), Err(ReadError::OfAnotherProxy { .. })));
        let good = encode(&record("somebody"));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(decode(&bad, &place.file()).is_err(), "byte {at}");
            assert!(decode(&good[..at], &place.file()).is_err(), "only {at} bytes");
        }
        let mut newer = good;
        newer[16] = 2;
        let refused = decode(&newer, &place.file());
        assert!(matches!(refused, Err(ReadError::Format { format: 2, .. })));
    }
}
