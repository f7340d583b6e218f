//! One document → one of the custom resources, checked by its own schema.

use leeward_api::GROUP;
use leeward_api::policy::PlacementPolicySpec;
use leeward_api::system::NatsSystemSpec;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::schema::{self, Wrong};
use crate::input::{Document, Problem};

/// Fills the references that may be left out of a file.
pub const NO_REFERENCE: &str = "none";
const VERSION: &str = "v1alpha1";
const POLICY: &str = "PlacementPolicy";
/// Of every object.
const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
const SYSTEM: &str = "NatsSystem";

/// A custom resource.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace; empty where there is none.
    pub namespace: String,
}

/// What an object is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A policy.
    Policy(Box<PlacementPolicySpec>),
    /// A system.
    System(Box<NatsSystemSpec>),
}

/// Whether a document says that it is a policy.
pub fn is_policy(document: &Document) -> bool {
    document.text("/kind") == Some(POLICY)
}

/// Reads a document; nothing if it is of another kind, everything that is wrong with it otherwise.
pub fn read(document: &Document) -> Result<Option<Object>, Vec<Problem>> {
    let kind = document.text("/kind").unwrap_or_default();
    let version = document.text("/apiVersion");
    let ours = version.is_some_and(|version| version.split('/').next() == Some(GROUP));
    // Without a version it was meant to be one of these kinds all the same.
    if !ours && (version.is_some() || (kind != POLICY && kind != SYSTEM)) {
        return Ok(None);
    }
    let mut problems = Vec::new();
    problems.extend(identity(document, kind));
    let spec = completed(document, kind);
    let wrong = match schema::of(kind) {
        Some(schema) => schema::check(&schema, &spec),
        None => Vec::new(),
    };
    problems.extend(wrong.into_iter().map(|wrong| located(document, &wrong)));
    problems.sort();
    if !problems.is_empty() {
        return Err(problems);
    }
    let kind = if kind == POLICY {
        Kind::Policy(Box::new(typed(document, &spec)?))
    } else {
        Kind::System(Box::new(typed(document, &spec)?))
    };
    let text = |pointer: &str| document.text(pointer).unwrap_or_default().to_owned();
    Ok(Some(Object {
        kind,
        name: text("/metadata/name"),
        namespace: text("/metadata/namespace"),
    }))
}

fn located(document: &Document, wrong: &Wrong) -> Problem {
    document.problem(&crate::input::pointer(&wrong.path), wrong.text.clone())
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

/// What every object says of itself.
fn identity(document: &Document, kind: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |path: &str, text: &str| problems.push(document.problem_at_path(path, text));
    let expected = format!("{GROUP}/{VERSION}");
    match document.value.get("apiVersion") {
        None => wrong("apiVersion", &format!("Required value: write {expected}")),
        Some(version) if *version != expected => {
            wrong(
                "apiVersion",
                &format!("Unsupported value: {version}: write {expected}"),
            );
        }
        Some(_) => {}
    }
    if kind != POLICY && kind != SYSTEM {
        let text = format!("Unsupported value: {kind:?}: supported values: \"{SYSTEM}\", \"{POLICY}\"");
        wrong("kind", &text);
    }
    match document.text("/metadata/name") {
        None => wrong("metadata.name", "Required value: name is required"),
        Some(name) if !is_object_name(name) => wrong(
            "metadata.name",
            &format!(
                "Invalid value: {name:?}: write lower case letters, digits, '-' and '.', such as \"orders\""
            ),
        ),
        Some(_) => {}
    }
    for name in document.value.as_object().into_iter().flat_map(Map::keys) {
        if !FIELDS.contains(&name.as_str()) {
            problems.push(document.problem(&format!("/{name}"), schema::unknown_field(name)));
        }
    }
    problems
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
