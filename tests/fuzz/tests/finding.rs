//! That a fault is found, kept, made small, and found again.

#![expect(clippy::unwrap_used, reason = "test code fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fuzz(out: &Path, arguments: &[&str]) -> Output {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft-fuzz"));
    command.arg("trap").arg("--corpus").arg(corpus).arg("--out").arg(out).args(arguments);
    command.output().unwrap()
}

fn kept(out: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "small"))
}

#[test]
fn a_fault_is_found_and_its_input_kept_and_made_small() {
    let out = std::env::temp_dir().join(format!("weft-fuzz-{}", std::process::id()));
    let found = fuzz(&out, &["--seed=1", "--seconds=30"]);
    let said = String::from_utf8_lossy(&found.stdout).into_owned();
    assert_eq!(found.status.code(), Some(1), "{said}");
    assert!(said.contains("trapped") && said.contains("--replay"), "{said}");
    let small = kept(&out).unwrap();
    assert_eq!(std::fs::read(&small).unwrap(), b"trap");
    let again = fuzz(&out, &["--replay", small.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    let harmless = out.join("harmless");
    std::fs::write(&harmless, b"part").unwrap();
    assert!(fuzz(&out, &["--replay", harmless.to_str().unwrap()]).status.success());
    std::fs::remove_dir_all(&out).unwrap();
}
