//! The description of the REST API (OpenAPI 3.1), made of the table that requests are dispatched by.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::api::{PROBLEM, Refusal, SOURCES, Source};
use crate::operation::{Answer, OPERATIONS, Operation, Parameter, Place};

/// The description.
#[must_use]
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(operation.method.as_str().to_owned(), describe(operation, &mut schemas));
        }
    }
    let refusal = schemas.subschema_for::<Refusal>();
    let sources = schemas.subschema_for::<Vec<Source>>();
    let mut definitions = schemas.take_definitions(true);
    definitions.insert("Document".to_owned(), document());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weft control plane",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Documents of the mesh, what runs in it, and how far its proxies are. gRPC has the same as weft.admin.v1.MeshAdmin, on the same port.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": {
                "Refusal": {
                    "description": "Refused: what, why, and what to do about it (RFC 9457).",
                    "content": {PROBLEM: {"schema": refusal}},
                },
            },
            "requestBodies": {
                "Documents": {
                    "description": "One document or many, as YAML or JSON, or several files with their names.",
                    "required": true,
                    "content": {
                        "application/yaml": {"schema": {"type": "string"}},
                        "application/json": {"schema": {"oneOf": [
                            {"$ref": "#/components/schemas/Document"},
                            {"type": "array", "items": {"$ref": "#/components/schemas/Document"}},
                        ]}},
                        SOURCES: {"schema": sources},
                    },
                },
            },
        },
    })
}

/// The schema of documents is a schema of its own here.
fn document() -> Value {
    let mut schema = weft_config::json_schema();
    if let Value::Object(fields) = &mut schema {
        fields.remove("$schema");
    }
    schema
}

fn describe(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let parameters: Vec<_> = operation.parameters.iter().map(describe_parameter).collect();
    let mut description = json!({
        "operationId": operation.id,
        "summary": operation.about,
        "parameters": parameters,
        "responses": responses(&operation.answer, schemas),
    });
    if let (Value::Object(fields), true) = (&mut description, operation.takes_documents) {
        let body = json!({"$ref": "#/components/requestBodies/Documents"});
        fields.insert("requestBody".to_owned(), body);
    }
    description
}

fn describe_parameter(parameter: &Parameter) -> Value {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.place == Place::Path,
        "description": parameter.about,
        "schema": (parameter.schema)(),
    })
}

fn responses(answer: &Answer, schemas: &mut SchemaGenerator) -> Value {
    let json_of = |schema: Value, about: &str| json!({"description": about, "content": {"application/json": {"schema": schema}}});
    let refusal = json!({"$ref": "#/components/responses/Refusal"});
    match answer {
        Answer::Json(schema) => {
            json!({"200": json_of(schema(schemas).to_value(), "Done."), "default": refusal})
        }
        Answer::Readiness(schema) => {
            let schema = schema(schemas).to_value();
            json!({
                "200": json_of(schema.clone(), "Ready."),
                "503": json_of(schema, "Not ready."),
                "default": refusal,
            })
        }
        Answer::Described => json!({
            "200": json_of(json!({"type": "object"}), "The description."),
            "default": refusal,
        }),
        Answer::Text => json!({
            "200": {"description": "A line.", "content": {"text/plain": {"schema": {"type": "string"}}}},
            "default": refusal,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_described_once_with_all_of_its_parameters() {
        let description = openapi();
        let paths = description["paths"].as_object().unwrap();
        let described: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(described, OPERATIONS.len());
        for operation in OPERATIONS {
            let found = &paths[operation.path][operation.method.as_str()];
            assert_eq!(found["operationId"], operation.id);
            let parameters = found["parameters"].as_array().unwrap();
            let in_path: Vec<_> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
                .collect();
            let expected: Vec<_> =
                operation.path.split('/').filter(|part| part.starts_with('{')).collect();
            assert_eq!(in_path, expected, "{}", operation.path);
        }
    }
}
