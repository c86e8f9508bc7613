//! The JSON Schema says what the reader does: it takes every valid document, and it has the
//! reader's fields, no more and no less.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use weft_config::{Mesh, Reason, Source, json_schema};

/// The part of JSON Schema that is used, and no other: an unknown keyword panics.
fn accepts(schema: &Value, value: &Value) -> bool {
    let Some(keywords) = schema.as_object() else { panic!("not a schema: {schema}") };
    keywords.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "title" | "description" => true,
        "const" => value == rule,
        "enum" => rule.as_array().is_some_and(|words| words.contains(value)),
        "oneOf" => rule
            .as_array()
            .is_some_and(|all| all.iter().filter(|one| accepts(one, value)).count() == 1),
        "type" => match rule.as_str() {
            None => rule
                .as_array()
                .is_some_and(|types| types.iter().any(|one| accepts(&json!({"type": one}), value))),
            Some("null") => value.is_null(),
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64(),
            Some("boolean") => value.is_boolean(),
            other => panic!("type {other:?}"),
        },
        "minimum" => value.as_u64() >= rule.as_u64(),
        "maximum" => value.as_u64() <= rule.as_u64(),
        "minProperties" => value.as_object().map(|fields| fields.len() as u64) >= rule.as_u64(),
        "maxProperties" => value.as_object().map(|fields| fields.len() as u64) <= rule.as_u64(),
        "minItems" => {
            value.as_array().map(Vec::len) >= rule.as_u64().and_then(|n| usize::try_from(n).ok())
        }
        "items" => {
            value.as_array().is_none_or(|items| items.iter().all(|item| accepts(rule, item)))
        }
        "required" => rule.as_array().is_some_and(|names| {
            names.iter().all(|name| name.as_str().is_some_and(|name| value.get(name).is_some()))
        }),
        "properties" => rule.as_object().is_some_and(|fields| {
            fields
                .iter()
                .all(|(name, field)| value.get(name).is_none_or(|value| accepts(field, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|fields| {
            let known = |name: &str| schema["properties"].get(name).is_some();
            let mut others = fields.iter().filter(|(name, _)| !known(name));
            if rule == &json!(false) {
                others.next().is_none()
            } else {
                others.all(|(_, value)| accepts(rule, value))
            }
        }),
        other => panic!("the keyword {other} is not evaluated here"),
    })
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_example_satisfies_it() {
    let schema = json_schema();
    for name in [
        "shop.yaml",
        "standalone.yaml",
        "routing.yaml",
        "namespaces.yaml",
        "traffic.yaml",
        "ingress.yaml",
        "local.yaml",
        "limits.yaml",
    ] {
        let mesh =
            Mesh::parse(&[Source::new(name, read(&format!("examples/{name}")))]).expect("valid");
        for document in mesh.documents() {
            assert!(accepts(&schema, &document.json), "{name}: {}", document.json);
        }
    }
}

#[test]
fn it_refuses_what_the_reader_refuses_by_shape() {
    let schema = json_schema();
    let service = |spec: Value| json!({"apiVersion": "weft.dev/v1", "kind": "Service", "metadata": {"name": "a"}, "spec": spec});
    assert!(accepts(&schema, &service(json!({"ports": [{"port": 80}]}))));
    for spec in [
        json!({}),
        json!({"ports": []}),
        json!({"ports": [{"port": "80"}]}),
        json!({"ports": [{"port": 80, "protocol": "udp"}]}),
        json!({"ports": [{"port": 80}], "x": 1}),
        json!({"ports": [{"port": 80}], "endpoints": [{}]}),
    ] {
        let document = service(spec);
        assert!(!accepts(&schema, &document), "{document}");
        assert!(Mesh::parse(&[Source::new("t", document.to_string())]).is_err(), "{document}");
    }
}

/// The fields of every object in a value, by the place in the schema: indexes left out.
type Fields = BTreeMap<String, BTreeSet<String>>;

/// Visits every object that has a closed set of fields: its JSON pointer, its place, its fields.
fn visit(
    schema: &Value,
    value: &Value,
    pointer: &str,
    place: &str,
    seen: &mut impl FnMut(&str, &str, BTreeSet<String>),
) {
    if let Some(branches) = schema["oneOf"].as_array() {
        let Some(branch) = branches.iter().find(|branch| accepts(branch, value)) else {
            panic!("{pointer}: no branch takes {value}")
        };
        return visit(branch, value, pointer, place, seen);
    }
    if schema["additionalProperties"] == json!(false) {
        let fields =
            schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned());
        seen(pointer, place, fields.collect());
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let schema = &schema["properties"][name];
                visit(
                    schema,
                    value,
                    &format!("{pointer}/{name}"),
                    &format!("{place}.{name}"),
                    seen,
                );
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(&schema["items"], item, &format!("{pointer}/{index}"), place, seen);
            }
        }
        _ => {}
    }
}

/// Puts an unknown field into every object of every example, one at a time, and compares the
/// fields that the reader says it knows there with those of the schema.
#[test]
fn it_has_the_fields_of_the_reader() {
    let schema = json_schema();
    let (mut by_schema, mut by_reader) = (Fields::new(), Fields::new());
    for name in [
        "shop.yaml",
        "standalone.yaml",
        "routing.yaml",
        "traffic.yaml",
        "ingress.yaml",
        "local.yaml",
        "limits.yaml",
    ] {
        let mesh =
            Mesh::parse(&[Source::new(name, read(&format!("examples/{name}")))]).expect("valid");
        let documents = mesh.documents();
        for (index, document) in documents.iter().enumerate() {
            visit(&schema, &document.json, "", &document.kind, &mut |pointer, place, fields| {
                by_schema.entry(place.to_owned()).or_default().extend(fields);
                let mut changed = documents.clone();
                if let Some(Value::Object(object)) = changed[index].json.pointer_mut(pointer) {
                    object.insert("x-unknown".to_owned(), json!(1));
                }
                let problems = Mesh::from_documents(&changed).expect_err("an unknown field");
                let known = problems.iter().filter_map(|problem| match &problem.reason {
                    Reason::UnknownField { known, .. } => {
                        Some(known.iter().map(ToString::to_string))
                    }
                    _ => None,
                });
                by_reader.entry(place.to_owned()).or_default().extend(known.flatten());
            });
        }
    }
    assert!(by_schema.len() > 20, "only {} kinds of objects seen", by_schema.len());
    for (place, fields) in &by_schema {
        assert_eq!(by_reader.get(place), Some(fields), "{place}");
    }
}

/// `config/schema.json` is for editors, which cannot run code. `WEFT_BLESS=1` writes it anew.
#[test]
fn the_checked_in_schema_is_the_current_one() {
    let Ok(text) = serde_json::to_string_pretty(&json_schema()) else { panic!("not JSON") };
    if std::env::var_os("WEFT_BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.json");
        std::fs::write(path, format!("{text}\n")).expect("write schema.json");
    }
    assert!(read("schema.json") == format!("{text}\n"), "run this test with WEFT_BLESS=1");
}

/// `config/REFERENCE.md` is for people. `WEFT_BLESS=1` writes it anew.
#[test]
fn the_checked_in_reference_is_the_current_one() {
    let page = weft_config::reference();
    if std::env::var_os("WEFT_BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
        std::fs::write(path, &page).expect("write REFERENCE.md");
    }
    assert!(read("REFERENCE.md") == page, "run this test with WEFT_BLESS=1");
    for field in [
        "| `spec.ports[].protocol` | `http`, `http2`, `grpc`, `tcp`, `tls` |",
        "| `spec.rules[].backendRefs[].weight` | 0 to 1000000 |",
        "| `spec.listeners[].protocol` | `HTTP`, `TCP`, `TLS` | required. |",
        "| `spec.listeners[].tls.mode` | `Passthrough` |",
        "| `spec.egress.hosts` | list, at least one |",
    ] {
        assert!(page.contains(field), "{field}");
    }
}
