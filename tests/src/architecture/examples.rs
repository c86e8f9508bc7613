//! What newcomers copy must be right.

use weft_config::{Mesh, Source};

use super::workspace::{files, root};

#[test]
fn every_example_of_a_mesh_is_valid() {
    let paths = files(&root().join("config/examples"), &["yaml", "yml", "json"]);
    assert!(!paths.is_empty());
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if let Err(problems) = Mesh::parse(&[Source::new(name, text)]) {
            panic!("{problems}");
        }
    }
}
