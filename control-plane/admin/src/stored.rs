//! Documents of the mesh as the store keeps them.

use std::collections::BTreeSet;

use weft_config::{Document, DocumentId, Mesh};
use weft_store::{Contents, Key, Revision};

use crate::DocumentsError;

pub(crate) fn key(id: &DocumentId) -> Key {
    Key {
        kind: id.kind.to_string(),
        namespace: id.key.namespace.clone(),
        name: id.key.name.clone(),
    }
}

pub(crate) fn text(id: &DocumentId, document: &Document) -> weft_store::Document {
    weft_store::Document { key: key(id), text: document.json.to_string() }
}

/// One mesh out of what files and the store say.
pub(crate) fn join(files: &Mesh, contents: Contents) -> Result<(Revision, Mesh), DocumentsError> {
    let mut documents = files.documents();
    let in_files: BTreeSet<_> = files.ids().map(|id| key(&id)).collect();
    for stored in contents.documents {
        if in_files.contains(&stored.key) {
            tracing::warn!(document = %stored.key, "both in a file and in the store: the file's is in force");
            continue;
        }
        documents.push(parse(&stored)?);
    }
    Ok((contents.revision, Mesh::from_documents(&documents)?))
}

fn parse(stored: &weft_store::Document) -> Result<Document, DocumentsError> {
    let Key { kind, namespace, name } = stored.key.clone();
    let unreadable =
        |detail: String| DocumentsError::Unreadable { key: stored.key.clone(), detail };
    let json: serde_json::Value =
        serde_json::from_str(&stored.text).map_err(|error| unreadable(error.to_string()))?;
    let api_version = json.get("apiVersion").and_then(|version| version.as_str());
    let api_version =
        api_version.ok_or_else(|| unreadable("it has no apiVersion".to_owned()))?.to_owned();
    Ok(Document { api_version, kind, namespace, name, json })
}
