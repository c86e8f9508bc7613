//! The reference of all fields, written out of the JSON Schema.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// All kinds and fields as a Markdown page.
pub fn reference() -> String {
    let schema = crate::schema::json_schema();
    let mut page = "# Every field of the mesh model\n\n\
        Written out of the schema that documents are checked by; do not edit. What the fields mean together is\n\
        in [README.md](README.md). `metadata` is the same for all kinds.\n"
        .to_owned();
    for kind in schema["oneOf"].as_array().into_iter().flatten() {
        let fields = &kind["properties"];
        let word = |name: &str| fields[name]["const"].as_str().unwrap_or_default();
        let about = kind["description"].as_str().unwrap_or_default();
        // Writing to a String cannot fail, here and below.
        _ = write!(
            page,
            "\n## {}\n\n{about} `apiVersion: {}`\n\n| field | takes | |\n|---|---|---|\n",
            word("kind"),
            word("apiVersion")
        );
        rows(&mut page, "spec", &fields["spec"]);
    }
    page
}

/// The rows of the fields of an object, of any of its forms.
fn rows(page: &mut String, path: &str, schema: &Value) {
    let forms = forms(schema);
    let mut names: Vec<&String> = Vec::new();
    for form in &forms {
        for name in form["properties"].as_object().into_iter().flat_map(Map::keys) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    for name in names {
        let given: Vec<&Value> =
            forms.iter().filter_map(|form| form["properties"].get(name)).collect();
        let is_required = forms.iter().all(|form| {
            form["required"].as_array().is_some_and(|all| all.iter().any(|it| it == name))
        });
        let Some(first) = given.first() else { continue };
        let about = given.iter().find_map(|field| field["description"].as_str());
        let required = if is_required { "required. " } else { "" };
        let text = format!("{required}{}", about.unwrap_or_default());
        let text = text.trim_end();
        let at = format!("{path}.{name}");
        _ = writeln!(page, "| `{at}` | {} | {text} |", takes(&given));
        let inner = if first["type"] == "array" { &first["items"] } else { *first };
        let at = if first["type"] == "array" { format!("{at}[]") } else { at };
        rows(page, &at, inner);
    }
}

fn forms(schema: &Value) -> Vec<&Value> {
    match schema["oneOf"].as_array() {
        Some(forms) => forms.iter().collect(),
        None => vec![schema],
    }
}

/// What a field takes, in words.
fn takes(forms: &[&Value]) -> String {
    let mut words: Vec<String> = Vec::new();
    for form in forms {
        let choices = form["enum"].as_array().into_iter().flatten().chain(form.get("const"));
        let choices = choices.map(|choice| match choice {
            Value::String(word) if word.is_empty() => "`\"\"`".to_owned(),
            Value::String(word) => format!("`{word}`"),
            other => format!("`{other}`"),
        });
        words.extend(choices);
    }
    words.dedup();
    if !words.is_empty() {
        return words.join(", ");
    }
    let Some(form) = forms.first() else { return String::new() };
    match form["type"].as_str() {
        Some("integer") => format!("{} to {}", form["minimum"], form["maximum"]),
        Some("array") if form["minItems"] == 1 => "list, at least one".to_owned(),
        Some("array") => "list".to_owned(),
        Some("object") if form["additionalProperties"]["type"] == "string" => {
            "strings by name".to_owned()
        }
        Some("string") => "string".to_owned(),
        _ => "object".to_owned(),
    }
}
