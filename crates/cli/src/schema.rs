//! Validates an object as the apiserver does: by the schema of its kind, and then the rules in it.
//!
//! Only as much of JSON Schema as the published schemas use; a test fails where they begin to use more.

use std::collections::BTreeSet;

use itertools::Itertools as _;
use kube_cel::{ErrorKind, ValidationError, Validator};
use leeward_api::crds::crds;
use serde_json::{Map, Value};

use crate::input::{nearest, other_type};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaViolation {
    /// Where it is, such as `spec.disruption.budgets[0].max`.
    pub path: String,
    /// What is wrong, with the path.
    pub text: String,
    /// What sort of thing that is.
    pub sort: ViolationKind,
}

/// Sorts of what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    /// The schema has no such field.
    UnknownField,
    /// The value is of another type than this one.
    Type(String),
    /// Something else.
    Value,
}

/// The schema of a kind.
pub fn of(kind: &str) -> Option<Value> {
    let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind)?;
    let version = crd.spec.versions.into_iter().next()?;
    let schema = version.schema?.open_api_v3_schema?;
    let mut schema = serde_json::to_value(schema).ok()?;
    translate(&mut schema);
    Some(schema)
}

/// The schema of an `inboxPrefix`.
pub fn of_inbox_prefix() -> Value {
    let system = of("NatsSystem").unwrap_or_default();
    system["properties"]["spec"]["properties"]["inboxPrefix"].clone()
}

/// Translates the rules: there is no `type` function here, and in Rust's regular expressions a bracket in brackets
/// begins a class of its own.
fn translate(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(rule)) = fields.get_mut("rule") {
                *rule = rule
                    .replace("type(self) == int", "string(self) != self")
                    .replace("[[]", r"[\\[]");
            }
            fields.values_mut().for_each(translate);
        }
        Value::Array(items) => items.iter_mut().for_each(translate),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Everything that is wrong with an object.
pub fn check(schema: &Value, object: &Value) -> Vec<SchemaViolation> {
    let mut wrong = Vec::new();
    walk(schema, object, "", &mut wrong);
    let is_sound = wrong.is_empty();
    let broken_rules = Validator::new().validate(schema, object, None).err();
    for error in broken_rules.into_iter().flatten() {
        // A rule that cannot be evaluated on a wrong object adds nothing.
        if is_sound || error.kind == ErrorKind::ValidationFailure {
            wrong.push(broken(&error));
        }
    }
    wrong
}

fn broken(error: &ValidationError) -> SchemaViolation {
    let kind = match error.reason.as_deref() {
        Some("FieldValueRequired") => "Required value: ",
        Some("FieldValueForbidden") => "Forbidden: ",
        Some(_) | None => "",
    };
    at(&error.field_path, format!("{kind}{}", error.message))
}

fn at(path: &str, text: impl std::fmt::Display) -> SchemaViolation {
    SchemaViolation {
        path: path.to_owned(),
        text: format!("{path}: {text}"),
        sort: ViolationKind::Value,
    }
}

/// As strict validation has it, with the field that was probably meant.
fn unknown_field(path: &str, name: &str, schema: &Value) -> String {
    let known = schema["properties"].as_object().into_iter().flat_map(Map::keys);
    match nearest(name, known.map(String::as_str)) {
        Some(meant) => format!("unknown field \"{path}\": {meant} is meant"),
        None => format!("unknown field \"{path}\""),
    }
}

/// A value in a message: not one that could be secret, or is long.
pub fn shown(value: &Value) -> String {
    const MOST: usize = 64;
    match value {
        Value::String(text) if text.len() > MOST || text.contains(['@', '\n']) || text.contains("---") => {
            "\"string\"".to_owned()
        }
        Value::Array(_) => "\"array\"".to_owned(),
        Value::Object(_) => "\"object\"".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Fields without a value are not stored.
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                kept.map(|(name, value)| (name.clone(), without_nulls(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn walk(schema: &Value, value: &Value, path: &str, wrong: &mut Vec<SchemaViolation>) {
    if let Some(expected) = expected_type(schema, value) {
        let text = other_type(path, value, &expected);
        let seconds = value.as_u64().filter(|_| is_duration(schema));
        let (text, sort) = match seconds {
            Some(seconds) => (
                format!("{text}: write \"{seconds}s\" for seconds"),
                ViolationKind::Value,
            ),
            None => (text, ViolationKind::Type(expected)),
        };
        wrong.push(SchemaViolation {
            path: path.to_owned(),
            text,
            sort,
        });
        return;
    }
    for check in [enumeration, number, length] {
        wrong.extend(check(schema, value).map(|text| at(path, text)));
    }
    match value {
        Value::Object(fields) => walk_fields(schema, fields, path, wrong),
        Value::Array(items) => walk_items(schema, items, path, wrong),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a text is a duration.
fn is_duration(schema: &Value) -> bool {
    let rules = schema["x-kubernetes-validations"].as_array();
    let mut rules = rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["rule"].as_str());
    rules.any(|rule| rule.contains("duration(self)"))
}

/// The type that a value should have, if it has another.
fn expected_type(schema: &Value, value: &Value) -> Option<String> {
    let is_whole = value.is_i64() || value.is_u64();
    if schema["x-kubernetes-int-or-string"] == true {
        let fits = is_whole || value.is_string();
        return (!fits).then(|| "integer,string".to_owned());
    }
    let expected = schema["type"].as_str()?;
    let fits = match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => is_whole,
        "number" => value.is_number(),
        _ => true,
    };
    (!fits).then(|| expected.to_owned())
}

fn enumeration(schema: &Value, value: &Value) -> Option<String> {
    let allowed = schema["enum"].as_array()?;
    if allowed.contains(value) {
        return None;
    }
    Some(format!(
        "Unsupported value: {}: supported values: {}",
        shown(value),
        allowed.iter().join(", ")
    ))
}

fn number(schema: &Value, value: &Value) -> Option<String> {
    let number = value.as_f64()?;
    let bound = |name: &str| schema[name].as_f64();
    if let Some(minimum) = bound("minimum").filter(|minimum| number < *minimum) {
        return Some(format!(
            "Invalid value: {value}: should be greater than or equal to {minimum}"
        ));
    }
    let maximum = bound("maximum").filter(|maximum| number > *maximum)?;
    Some(format!(
        "Invalid value: {value}: should be less than or equal to {maximum}"
    ))
}

fn length(schema: &Value, value: &Value) -> Option<String> {
    let bound = |name: &str| schema[name].as_u64();
    match value {
        Value::String(text) => {
            let count = text.chars().count() as u64;
            if let Some(most) = bound("maxLength").filter(|most| count > *most) {
                return Some(format!("Too long: may not be more than {most} characters"));
            }
            let least = bound("minLength").filter(|least| count < *least)?;
            Some(format!(
                "Invalid value: {}: should be at least {least} chars long",
                shown(value)
            ))
        }
        Value::Array(items) => {
            let count = items.len() as u64;
            if let Some(most) = bound("maxItems").filter(|most| count > *most) {
                return Some(format!("Too many: {count}: must have at most {most} items"));
            }
            let least = bound("minItems").filter(|least| count < *least)?;
            Some(format!(
                "Invalid value: {count}: should have at least {least} items"
            ))
        }
        Value::Object(fields) => {
            let count = fields.len() as u64;
            let most = bound("maxProperties").filter(|most| count > *most)?;
            Some(format!("Too many: {count}: must have at most {most} items"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn walk_fields(schema: &Value, fields: &Map<String, Value>, path: &str, wrong: &mut Vec<SchemaViolation>) {
    let inner = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            wrong.push(at(&inner(name), "Required value"));
        }
    }
    for (name, value) in fields {
        let path = inner(name);
        let others = &schema["additionalProperties"];
        match schema["properties"].get(name) {
            Some(schema) => walk(schema, value, &path, wrong),
            None if others.is_object() => walk(others, value, &path, wrong),
            None => wrong.push(SchemaViolation {
                text: unknown_field(&path, name, schema),
                path,
                sort: ViolationKind::UnknownField,
            }),
        }
    }
}

fn walk_items(schema: &Value, items: &[Value], path: &str, wrong: &mut Vec<SchemaViolation>) {
    let is_set = schema["x-kubernetes-list-type"] == "set";
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        walk(&schema["items"], item, &path, wrong);
        if is_set && !seen.insert(item.to_string()) {
            wrong.push(at(&path, format!("Duplicate value: {}", shown(item))));
        }
    }
}
