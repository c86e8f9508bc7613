//! What the pages beside the reference name is there: fields of the model, and whole documents.

use std::path::Path;

use serde_json::Value;
use weft_config::{Kind, Mesh, Source, json_schema};

const PAGES: [&str; 2] = ["RESILIENCE.md", "APP_MESH.md"];

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands in backticks and begins with a kind: the kind, and a path below `spec`.
fn fields(page: &str) -> Vec<(Kind, String)> {
    let code = page.split('`').skip(1).step_by(2);
    code.filter_map(|code| {
        let (kind, path) = code.split_once('.')?;
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        Some((kind, path.to_owned()))
    })
    .collect()
}

/// The schemas of a field, in any form of the object it belongs to.
fn step<'s>(schemas: &[&'s Value], name: &str) -> Vec<&'s Value> {
    let (name, is_list) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
    let forms = schemas.iter().flat_map(|schema| match schema["oneOf"].as_array() {
        Some(forms) => forms.iter().collect(),
        None => vec![*schema],
    });
    let found = forms.filter_map(|form| form["properties"].get(name));
    found.map(|field| if is_list { &field["items"] } else { field }).collect()
}

#[test]
fn every_field_that_is_named_is_there() {
    let schema = json_schema();
    for name in PAGES {
        let fields = fields(&page(name));
        assert!(fields.len() > 20, "{name} names {} fields", fields.len());
        for (kind, path) in fields {
            let of_kind = |form: &&Value| form["properties"]["kind"]["const"] == kind.as_str();
            let forms = schema["oneOf"].as_array().into_iter().flatten();
            let spec: Vec<&Value> =
                forms.filter(of_kind).map(|form| &form["properties"]["spec"]).collect();
            let found = path.split('.').fold(spec, |schemas, name| step(&schemas, name));
            assert!(!found.is_empty(), "{name}: {kind} has no field {path}");
        }
    }
}

#[test]
fn documents_of_the_pages_are_valid() {
    for name in PAGES {
        let page = page(name);
        let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let text = blocks.collect::<Vec<_>>().join("---\n");
        if let Err(problems) = Mesh::parse(&[Source::new(name, text)]) {
            panic!("{problems}");
        }
    }
}
