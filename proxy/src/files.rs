//! Mesh documents from files, folders and standard input.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use weft_config::Source;

/// How deep folders are looked into.
const DEPTH: usize = 16;

/// A file or folder that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The system refused.
    #[error("{}: {error}\n  hint: give a file, or a folder of .yaml, .yml or .json files", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A folder without any document in it.
    #[error("{}: no .yaml, .yml or .json files in this folder\n  hint: names that begin with a dot are left out", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// Reads every file of `paths`, in their order; the files of a folder by name. `-` is standard
/// input. Blocks.
///
/// # Errors
/// On the first path that cannot be read, or a folder that has no document files.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Source>, FilesError> {
    let mut sources = Vec::new();
    for path in paths {
        let read = if path.as_os_str() == "-" {
            stdin().map(|source| vec![source])
        } else {
            read_path(path)
        };
        let found = read.map_err(|error| FilesError::Unreadable { path: path.clone(), error })?;
        if found.is_empty() {
            return Err(FilesError::Empty { path: path.clone() });
        }
        sources.extend(found);
    }
    Ok(sources)
}

fn stdin() -> io::Result<Source> {
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text)?;
    Ok(Source::new("-", text))
}

fn read_path(path: &Path) -> io::Result<Vec<Source>> {
    documents_of(path)?.iter().map(|path| file(path)).collect()
}

/// The file itself; of a folder its document files and those of the folders in it, by path.
/// Names that begin with a dot are left out: they are what editors and volumes keep for themselves.
///
/// # Errors
/// When a folder cannot be listed.
pub fn documents_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    gather(path, DEPTH, &mut files)?;
    files.sort();
    Ok(files)
}

fn gather(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // Links to files are followed; links to folders may lead back.
        if entry.file_type()?.is_dir() {
            if depth > 0 {
                gather(&path, depth - 1, files)?;
            }
        } else if is_document(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_document(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.is_file() && matches!(extension, Some("yaml" | "yml" | "json"))
}

fn file(path: &Path) -> io::Result<Source> {
    Ok(Source::new(path.display().to_string(), std::fs::read_to_string(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_document_files_by_name() {
        let folder = std::env::temp_dir().join(format!("weft-files-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("deeper/down")).unwrap();
        std::fs::create_dir_all(folder.join("empty.yaml")).unwrap();
        std::fs::create_dir_all(folder.join("..data")).unwrap();
        let names = [
            "b.yaml",
            "a.json",
            "c.yml",
            "notes.txt",
            ".swap.yaml",
            "deeper/down/d.yaml",
            "..data/e.yaml",
        ];
        for name in names {
            std::fs::write(folder.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("..data/e.yaml", folder.join("e.yaml")).unwrap();
        let sources = read(&[folder.join("c.yml"), folder.clone()]).unwrap();
        let texts: Vec<_> = sources.iter().map(|source| source.text.as_str()).collect();
        assert_eq!(
            texts,
            ["c.yml", "a.json", "b.yaml", "c.yml", "deeper/down/d.yaml", "..data/e.yaml"]
        );
        assert_eq!(sources[1].name.as_ref(), folder.join("a.json").to_str().unwrap());

        let empty = read(&[folder.join("empty.yaml")]).unwrap_err();
        assert!(matches!(empty, FilesError::Empty { .. }), "{empty}");
        let missing = read(&[folder.join("missing.yaml")]).unwrap_err();
        assert!(matches!(missing, FilesError::Unreadable { .. }), "{missing}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
