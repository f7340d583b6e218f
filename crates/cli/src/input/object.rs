//! What every Kubernetes object has, as the apiserver accepts it.

use serde_json::{Map, Value};

use super::{Document, Problem, escaped, nearest};

/// Of every custom resource.
pub const OBJECT_FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
/// Texts of `metadata` that people write.
const TEXTS: [&str; 2] = ["name", "namespace"];
/// Texts by name.
const MAPS: [&str; 2] = ["labels", "annotations"];

/// Fields of an object that no custom resource has.
pub fn unknown_fields(document: &Document) -> Vec<Problem> {
    let names = document.value.as_object().into_iter().flat_map(Map::keys);
    names
        .filter(|name| !OBJECT_FIELDS.contains(&name.as_str()))
        .map(|name| {
            let meant =
                nearest(name, OBJECT_FIELDS).map_or_else(String::new, |meant| format!(": {meant} is meant"));
            document.problem(
                &format!("/{}", escaped(name)),
                format!("unknown field \"{name}\"{meant}"),
            )
        })
        .collect()
}

/// What the apiserver would refuse of an object's metadata.
pub fn metadata(document: &Document) -> Vec<Problem> {
    let metadata = match document.value.get("metadata") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Object(fields)) => fields,
        Some(other) => return vec![document.problem("/metadata", other_type("metadata", other, "object"))],
    };
    let mut problems = Vec::new();
    for name in TEXTS {
        if let Some(value) = metadata.get(name)
            && !value.is_string()
            && !value.is_null()
        {
            let pointer = format!("/metadata/{name}");
            problems.push(document.mistyped(&pointer, &format!("metadata.{name}"), "string"));
        }
    }
    for name in MAPS {
        match metadata.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Object(fields)) => {
                let is_text = |value: &Value| value.is_string() || value.is_null();
                let wrong = fields.iter().filter(|(_, value)| !is_text(value));
                problems.extend(wrong.map(|(key, _)| {
                    let pointer = format!("/metadata/{name}/{}", escaped(key));
                    document.mistyped_entry(&pointer, &format!("metadata.{name}.{key}"))
                }));
            }
            Some(other) => {
                let text = other_type(&format!("metadata.{name}"), other, "object");
                problems.push(document.problem(&format!("/metadata/{name}"), text));
            }
        }
    }
    problems
}

/// That a value has another type than it should have. The apiserver shows the type and not the value, which may be
/// secret; an integer is shown in what to write instead.
pub fn other_type(path: &str, value: &Value, expected: &str) -> String {
    let digits = value.as_str().map_or("", |text| text.trim_end_matches('%'));
    let is_number = digits.len() < 20 && digits.parse::<i64>().is_ok();
    let hint = match expected {
        "integer" if is_number => format!(": write {digits}"),
        _ => String::new(),
    };
    format!(
        "{path}: Invalid value: \"{}\": must be of type {expected}{hint}",
        type_of(value)
    )
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
