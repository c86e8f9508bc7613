//! One state of a folder: which files there are, and what they say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use weft_config::{Mesh, Places, Source};
use weft_control_admin::Trouble;
use weft_proxy::files;
use weft_watch::Stamp;

/// How often files that change while they are read are read again.
const ATTEMPTS: usize = 5;

/// What tells one state of a folder from another, without reading its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// `None` for a file that went away, and for all of a folder that cannot be read.
    files: BTreeMap<PathBuf, Option<Stamp>>,
}

impl State {
    /// The state that `folder` is in now.
    pub(super) fn of(folder: &Path) -> Self {
        let files = files::documents_of(folder).unwrap_or_else(|_| vec![folder.to_owned()]);
        let files = files.into_iter().map(|path| {
            let stamp = Stamp::of(&path);
            (path, stamp)
        });
        Self { files: files.collect() }
    }

    /// The folders that its files are in, those included that links lead to.
    pub(super) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let real = |path: &Path| fs::canonicalize(path).ok();
        let of = move |path: &PathBuf| {
            let own = path.parent().map(Path::to_owned);
            let linked = real(path).and_then(|path| path.parent().map(Path::to_owned));
            [own, linked]
        };
        self.files.keys().flat_map(of).flatten()
    }
}

/// The mesh that the files of `folder` say, all read in one state of it. Blocks.
pub(super) fn read(folder: &Path) -> Result<(Mesh, Places), Trouble> {
    let mut sources = sources(folder)?;
    let mut before = State::of(folder);
    for _ in 0..ATTEMPTS {
        sources = self::sources(folder)?;
        let after = State::of(folder);
        if after == before {
            break;
        }
        before = after;
    }
    let mesh = Mesh::parse(&sources).map_err(|problems| Trouble::from(&problems))?;
    Ok((mesh, Places::of(&sources)))
}

fn sources(folder: &Path) -> Result<Vec<Source>, Trouble> {
    let unreadable = |error: files::FilesError| {
        let text = error.to_string();
        let detail = text.split_once("\n  hint: ").map_or(text.as_str(), |(detail, _)| detail);
        let hint = "what was good before stays in force; a file without documents in it empties the mesh on purpose";
        Trouble { detail: detail.to_owned(), hint: hint.to_owned(), problems: Vec::new() }
    };
    if !folder.is_dir() {
        let hint =
            "what was good before stays in force; --config-dir has to be a folder".to_owned();
        let detail = format!("{}: no such folder", folder.display());
        return Err(Trouble { detail, hint, problems: Vec::new() });
    }
    files::read(&[folder.to_owned()]).map_err(unreadable)
}
