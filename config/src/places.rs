//! Where documents are written, for whoever talks about them later.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::DocumentId;
use crate::mesh::Source;
use crate::read::claimed_id;
use crate::tree::{Node, Value};

/// The places of the documents of some sources.
#[derive(Clone, Debug, Default)]
pub struct Places {
    documents: BTreeMap<DocumentId, Arc<(Arc<str>, Node)>>,
}

impl Places {
    /// Looks through `sources`. What is no document, or cannot be read, has no place.
    pub fn of(sources: &[Source]) -> Self {
        let mut documents = BTreeMap::new();
        for source in sources {
            let (trees, _) = crate::yaml::parse(&source.text);
            for tree in trees {
                let trees = match tree.value {
                    Value::List(items) => items,
                    _ => vec![tree],
                };
                for tree in trees {
                    let Some(id) = claimed_id(&tree) else { continue };
                    documents.entry(id).or_insert_with(|| Arc::new((source.name.clone(), tree)));
                }
            }
        }
        Self { documents }
    }

    /// The documents, by kind and key.
    pub fn ids(&self) -> impl Iterator<Item = &DocumentId> {
        self.documents.keys()
    }

    /// `file:line:column` of a field of a document, such as `spec.rules[1]`, or of the whole
    /// document for an empty path.
    pub fn place(&self, id: &DocumentId, field: &str) -> Option<String> {
        let (source, tree) = &**self.documents.get(id)?;
        let position = tree.locate(field).or(tree.at);
        Some(position.map_or_else(|| source.to_string(), |position| format!("{source}:{position}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Key, Kind};

    #[test]
    fn documents_and_their_fields_are_found_where_they_are_written() {
        let text = "kind: Service\nmetadata: {name: a}\n---\nkind: Subset\nmetadata: {name: b}\nspec:\n  service: a\n";
        let sources = [Source::new("x.yaml", text), Source::new("bad.yaml", "kind: [")];
        let places = Places::of(&sources);
        let subset = DocumentId::new(Kind::Subset, Key::new("default", "b"));
        assert_eq!(places.ids().count(), 2);
        assert_eq!(places.place(&subset, "").as_deref(), Some("x.yaml:4:1"));
        assert_eq!(places.place(&subset, "spec.service").as_deref(), Some("x.yaml:7:12"));
        let other = DocumentId::new(Kind::Subset, Key::new("default", "c"));
        assert_eq!(places.place(&other, ""), None);
    }
}
