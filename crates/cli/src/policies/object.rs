//! One document → one of the custom resources, checked by its own schema.

use std::collections::BTreeSet;

use leeward_api::GROUP;
use leeward_api::policy::PlacementPolicySpec;
use leeward_api::system::NatsSystemSpec;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::input::{self, Document, Problem};
use crate::schema::{self, SchemaViolation, ViolationKind};

/// Fills the references that may be left out of a file.
pub const NO_REFERENCE: &str = "none";
const VERSION: &str = "v1alpha1";
const POLICY: &str = "PlacementPolicy";
const SYSTEM: &str = "NatsSystem";

/// A custom resource.
#[derive(Clone, Debug)]
pub struct CustomObject {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// Its namespace; empty where there is none.
    pub namespace: String,
}

/// What an object is.
#[derive(Clone, Debug)]
pub enum ObjectKind {
    /// A policy.
    Policy(Box<PlacementPolicySpec>),
    /// A system.
    System(Box<NatsSystemSpec>),
}

/// Whether a document claims to be a policy.
pub fn is_policy(document: &Document) -> bool {
    document.text("/kind") == Some(POLICY)
}

/// Whether a kind is one of these, in whatever group.
pub fn is_kind(kind: &str) -> bool {
    [POLICY, SYSTEM].contains(&kind)
}

/// Whether a document is one of these kinds, or was meant to be: without a group, or with a name that is near.
pub fn is_ours(document: &Document) -> bool {
    let kind = document.text("/kind").unwrap_or_default();
    let is_kind = is_kind(kind);
    let is_near = is_kind || input::nearest(kind, [POLICY, SYSTEM]).is_some();
    match document.text("/apiVersion") {
        None => is_near,
        Some(version) => match version.split_once('/') {
            None => is_near,
            Some((group, _)) => {
                group == GROUP || input::is_near(group, GROUP) || (is_near && group.contains("leeward"))
            }
        },
    }
}

/// Reads a document; nothing if it is of another kind, everything that is wrong with it otherwise.
pub fn read(document: &Document) -> Result<Option<CustomObject>, Vec<Problem>> {
    if !is_ours(document) {
        return Ok(None);
    }
    let kind = document.text("/kind").unwrap_or_default();
    let mut problems = Vec::new();
    problems.extend(identity(document, kind));
    let spec = completed(document, kind);
    let wrong = match schema::of(kind) {
        Some(schema) => schema::check(&schema, &spec),
        None => Vec::new(),
    };
    problems.extend(wrong.iter().map(|wrong| located(document, wrong)));
    problems.extend(placeholders(document, &wrong));
    problems.sort();
    problems.dedup();
    if !problems.is_empty() {
        return Err(problems);
    }
    let kind = if kind == POLICY {
        ObjectKind::Policy(Box::new(typed(document, &spec)?))
    } else {
        ObjectKind::System(Box::new(typed(document, &spec)?))
    };
    let text = |pointer: &str| document.text(pointer).unwrap_or_default().to_owned();
    Ok(Some(CustomObject {
        kind,
        name: text("/metadata/name"),
        namespace: text("/metadata/namespace"),
    }))
}

fn located(document: &Document, wrong: &SchemaViolation) -> Problem {
    let SchemaViolation { path, text, sort } = wrong;
    let pointer = input::pointer(path);
    match sort {
        ViolationKind::Type(expected) if document.value.pointer(&pointer).is_some() => {
            document.mistyped(&pointer, path, expected)
        }
        ViolationKind::Type(_) | ViolationKind::UnknownField | ViolationKind::Value => {
            document.problem(&pointer, text.clone())
        }
    }
}

/// The object as it is checked: its specification, with what may be left out, and without what has no value.
fn completed(document: &Document, kind: &str) -> Value {
    let mut object = Map::new();
    if let Some(spec) = document.value.get("spec") {
        object.insert("spec".to_owned(), schema::without_nulls(spec));
    }
    if kind == POLICY {
        let spec = object.entry("spec").or_insert_with(|| json!({}));
        if let Some(spec) = spec.as_object_mut() {
            for reference in ["systemRef", "credentialsRef"] {
                spec.entry(reference)
                    .or_insert_with(|| json!({"name": NO_REFERENCE}));
            }
        }
    }
    Value::Object(object)
}

/// Checks what every object has.
fn identity(document: &Document, kind: &str) -> Vec<Problem> {
    let mut problems = input::metadata(document);
    problems.extend(input::unknown_fields(document));
    let mut wrong = |path: &str, text: &str| problems.push(document.problem_at_path(path, text));
    let expected = format!("{GROUP}/{VERSION}");
    match document.value.get("apiVersion") {
        None => wrong("apiVersion", &format!("Required value: write {expected}")),
        Some(version) if *version != expected => {
            wrong(
                "apiVersion",
                &format!("Unsupported value: {}: write {expected}", schema::shown(version)),
            );
        }
        Some(_) => {}
    }
    if kind != POLICY && kind != SYSTEM {
        let text = format!("Unsupported value: {kind:?}: supported values: \"{SYSTEM}\", \"{POLICY}\"");
        wrong("kind", &text);
    }
    match document.text("/metadata/name") {
        None if document
            .value
            .pointer("/metadata/name")
            .is_some_and(|name| !name.is_null()) => {}
        None => wrong("metadata.name", "Required value: name is required"),
        Some(name) if !is_object_name(name) => wrong(
            "metadata.name",
            &format!(
                "Invalid value: {}: write lower case letters, digits, '-' and '.', such as \"orders\"",
                schema::shown(&json!(name))
            ),
        ),
        Some(_) => {}
    }
    problems
}

/// Placeholders: with them a policy would be about something else. Unknown fields may hold secrets that only look like
/// placeholders.
fn placeholders(document: &Document, wrong: &[SchemaViolation]) -> Vec<Problem> {
    let unknown = wrong
        .iter()
        .filter(|wrong| wrong.sort == ViolationKind::UnknownField);
    let mut search = Search {
        document,
        unknown: unknown.map(|wrong| wrong.path.as_str()).collect(),
        problems: Vec::new(),
    };
    for part in ["metadata", "spec"] {
        if let Some(value) = document.value.get(part) {
            search.value(value, part);
        }
    }
    search.problems
}

struct Search<'d> {
    document: &'d Document,
    unknown: BTreeSet<&'d str>,
    problems: Vec<Problem>,
}

impl Search<'_> {
    fn value(&mut self, value: &Value, path: &str) {
        match value {
            Value::String(text) => {
                let unfilled = input::unfilled(path, text);
                let problem = unfilled.map(|text| self.document.problem(&input::pointer(path), text));
                self.problems.extend(problem);
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.value(item, &format!("{path}[{at}]"));
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let path = format!("{path}.{name}");
                    let is_known = !self.unknown.contains(path.as_str());
                    if is_known && name != "annotations" && name != "labels" {
                        self.value(field, &path);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// A DNS subdomain, as the apiserver has it.
fn is_object_name(name: &str) -> bool {
    let is_word = |part: &str| {
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        !part.is_empty() && part.chars().all(fits) && !part.starts_with('-') && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_word)
}

fn typed<T: DeserializeOwned>(document: &Document, object: &Value) -> Result<T, Vec<Problem>> {
    let spec = object.get("spec").cloned().unwrap_or_default();
    serde_json::from_value(spec).map_err(|error| vec![document.problem_at_path("spec", &error.to_string())])
}
