//! YAML to a mesh.

use weft_config::{Mesh, Source};

use crate::novelty::Behaviour;

pub(super) fn run(input: &[u8]) -> Behaviour {
    let Ok(text) = str::from_utf8(input) else {
        return Behaviour::of("not UTF-8");
    };
    match Mesh::parse(&[Source::new("fuzz.yaml", text)]) {
        Ok(_) => Behaviour::of("a mesh"),
        Err(problems) => Behaviour::of_words(&problems.to_string()),
    }
}
