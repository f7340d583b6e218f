//! Unknown fields: misspelt, or in a wrong place. Their values never reach the stream.

use leeward_core::names::StreamName;
use leeward_core::policy::IGNORE_KEY;
use serde_json::Value;

use super::form::{Form, PLACEMENT};
use super::part::{DocumentPart, escaped, path};
use crate::input;

/// An unknown field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// Where it is.
    pub pointer: String,
    /// What is meant, with its path.
    pub text: String,
    /// Whether it was meant as a placement.
    pub is_placement: bool,
}

impl UnknownField {
    /// That a consumer does not name its stream, so the only one of its folder is taken.
    pub fn of_stream(stream: &StreamName) -> Self {
        Self {
            pointer: String::new(),
            text: format!(
                "its stream is not said, and {stream} is taken for it, the only one of the folder: write \"stream_name\": \"{stream}\" to say it"
            ),
            is_placement: false,
        }
    }
}

/// Names at the base of a definition, with what is meant.
const ELSEWHERE: [(&str, &str); 12] = [
    ("cluster", "placement.cluster"),
    ("clusters", "placement.cluster"),
    ("clusterName", "placement.cluster"),
    ("cluster_name", "placement.cluster"),
    ("placementCluster", "placement.cluster"),
    ("placement_cluster", "placement.cluster"),
    ("tags", "placement.tags"),
    ("tag", "placement.tags"),
    ("placementTags", "placement.tags"),
    ("placement_tags", "placement.tags"),
    ("location", "placement"),
    ("region", "placement.tags"),
];
/// Names at the base of single forms, with what is meant.
const OF_FORMS: [(Form, &str, &str); 9] = [
    (Form::NackBucket, "name", "bucket"),
    (Form::NackStore, "name", "bucket"),
    (Form::NackStream, "stream", "name"),
    (Form::NackStream, "streamName", "name"),
    (Form::StreamConfig, "stream", "name"),
    (Form::NackConsumer, "stream", "streamName"),
    (Form::NackConsumer, "durable", "durableName"),
    (Form::ConsumerConfig, "durable", "durable_name"),
    (Form::ConsumerConfig, "stream", "stream_name"),
];
/// What the other forms call the replicas.
const REPLICAS: [&str; 3] = ["replicas", "num_replicas", "numReplicas"];

/// The path of a field that was probably meant to be the one that is missing.
pub fn meant_for(part: &DocumentPart<'_>, form: Form, missing: &str) -> Option<String> {
    if part.value(form.base()).is_none() {
        let (name, _) = part.fields("").find(|(name, _)| input::is_near(name, "spec"))?;
        return Some(name.clone());
    }
    let wanted = missing.rsplit('/').next()?;
    let (name, _) = part
        .fields(form.base())
        .find(|(name, _)| meant(form, name) == Some(wanted))?;
    Some(path(&format!("{}/{}", form.base(), escaped(name))))
}

/// The field at the base of a form that an unknown name was meant to be.
fn meant(form: Form, name: &str) -> Option<&'static str> {
    let known: Vec<&str> = form.fields().collect();
    if known.contains(&name) {
        return None;
    }
    let of_form = OF_FORMS
        .iter()
        .find(|(of, wrong, _)| *of == form && *wrong == name);
    let elsewhere = ELSEWHERE.iter().find(|(wrong, _)| *wrong == name);
    match (of_form, elsewhere) {
        (Some((_, _, meant)), _) | (None, Some((_, meant))) => Some(*meant),
        (None, None) if REPLICAS.contains(&name) => form.replicas().rsplit('/').next(),
        (None, None) => input::nearest(name, known),
    }
}

/// All of a definition.
pub fn of(part: &DocumentPart<'_>, form: Form) -> Vec<UnknownField> {
    let mut misses = Vec::new();
    if form.base() == "/spec" {
        beside_spec(part, form, &mut misses);
        marks_of_objects(part, form, &mut misses);
    }
    at_base(part, form, &mut misses);
    of_placement(part, form, &mut misses);
    of_metadata(part, form, &mut misses);
    misses
}

fn is_meant(field: &str) -> String {
    format!("unknown field: {field} is meant")
}

fn miss(pointer: String, text: &str) -> UnknownField {
    let path = path(&pointer);
    UnknownField {
        is_placement: path.contains("placement") || text.contains("placement"),
        text: format!("{path}: {text}"),
        pointer,
    }
}

fn beside_spec(part: &DocumentPart<'_>, form: Form, misses: &mut Vec<UnknownField>) {
    for (name, _) in part.fields("") {
        if input::OBJECT_FIELDS.contains(&name.as_str()) {
            continue;
        }
        let text = if form.fields().any(|field| field == name) {
            format!("it is outside of spec, where nobody reads it: write spec.{name}")
        } else {
            match input::nearest(name, input::OBJECT_FIELDS) {
                Some(meant) => is_meant(meant),
                None => "unknown field".to_owned(),
            }
        };
        misses.push(miss(format!("/{}", escaped(name)), &text));
    }
}

/// Labels and annotations are the object's, and never reach the stream.
fn marks_of_objects(part: &DocumentPart<'_>, form: Form, misses: &mut Vec<UnknownField>) {
    for marks in ["annotations", "labels"] {
        for (key, _) in part.fields(&format!("/metadata/{marks}")) {
            if key == IGNORE_KEY || input::is_near(key, IGNORE_KEY) {
                let hint = if form.has_metadata() {
                    format!("write {IGNORE_KEY}: \"true\" into spec.metadata")
                } else {
                    "a bucket of NACK cannot have any, so leave it out of the policy by its name".to_owned()
                };
                let text = format!(
                    "this is the object's and not the stream's, and only the stream's metadata opts out: {hint}"
                );
                misses.push(miss(format!("/metadata/{marks}/{}", escaped(key)), &text));
            }
        }
    }
}

fn at_base(part: &DocumentPart<'_>, form: Form, misses: &mut Vec<UnknownField>) {
    for (name, _) in part.fields(form.base()) {
        if let Some(meant) = meant(form, name) {
            misses.push(miss(
                format!("{}/{}", form.base(), escaped(name)),
                &is_meant(meant),
            ));
        }
    }
}

fn of_placement(part: &DocumentPart<'_>, form: Form, misses: &mut Vec<UnknownField>) {
    let placement = format!("{}/placement", form.base());
    for (name, _) in part.fields(&placement) {
        if !PLACEMENT.contains(&name.as_str()) {
            let meant = input::nearest(name, PLACEMENT).unwrap_or("cluster or tags");
            misses.push(miss(format!("{placement}/{}", escaped(name)), &is_meant(meant)));
        }
    }
}

fn of_metadata(part: &DocumentPart<'_>, form: Form, misses: &mut Vec<UnknownField>) {
    let metadata = format!("{}/metadata", form.base());
    if !form.has_metadata() {
        if part.value(&metadata).is_some() {
            let text = "unknown field: a bucket of NACK has no metadata, and none gets to its stream";
            misses.push(miss(metadata, text));
        }
        return;
    }
    for (key, value) in part.fields(&metadata) {
        let pointer = format!("{metadata}/{}", escaped(key));
        if key == IGNORE_KEY {
            let text = value.as_str().unwrap_or_default();
            if !["true", "false"].contains(&text) && matches!(value, Value::String(_)) {
                misses.push(miss(pointer, "only \"true\" opts out, in these letters"));
            }
        } else if input::is_near(key, IGNORE_KEY) || (key.contains("leeward") && key.ends_with("ignore")) {
            let text = format!("nobody reads this key: {IGNORE_KEY} is meant");
            misses.push(miss(pointer, &text));
        }
    }
}
