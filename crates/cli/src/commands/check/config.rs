//! How a configuration without a kind is distinguished from other files.
//!
//! Its fields decide. Some of their names are common, such as `retention` and `sources`: those count only with a value
//! that no other tool has.

use serde_json::{Map, Value};

use super::form::{BOTH, CONSUMER, Form, PLACEMENT, STREAM};
use crate::input;

/// Fields that no other file has: even one of them, or a misspelt one, is a trace of a definition.
const TELLING: [&str; 13] = [
    "num_replicas",
    "duplicate_window",
    "max_msgs_per_subject",
    "discard_new_per_subject",
    "durable_name",
    "deliver_policy",
    "deliver_subject",
    "ack_policy",
    "ack_wait",
    "max_deliver",
    "max_ack_pending",
    "filter_subject",
    "filter_subjects",
];
/// Fields that other tools have as well, whatever their values.
const GENERIC: [&str; 10] = [
    "max_age",
    "max_bytes",
    "sealed",
    "compression",
    "direct",
    "backoff",
    "max_batch",
    "flow_control",
    "stream_name",
    "no_ack",
];
/// Fields of what a stream mirrors or sources.
const SOURCE: [&str; 8] = [
    "name",
    "opt_start_seq",
    "opt_start_time",
    "filter_subject",
    "subject_transforms",
    "external",
    "domain",
    "consumer",
];

/// What a configuration without a kind is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// Of this form.
    Form(Form),
    /// It would be one but for this field's spelling: in capitals, or as another language has it.
    Misnamed {
        /// As it is written.
        field: String,
        /// As it is read.
        meant: &'static str,
    },
    /// Has fields of a stream or consumer, but not enough to decide.
    Trace,
    /// Nothing of either.
    Other,
}

impl ConfigKind {
    /// What a value is, by its fields.
    pub fn of(value: Option<&Value>) -> Self {
        let Some(Value::Object(fields)) = value else {
            return Self::Other;
        };
        if let Some(form) = form_of(fields) {
            return Self::Form(form);
        }
        if let Some((field, meant)) = misnamed(fields) {
            return Self::Misnamed { field, meant };
        }
        let count = |known: &[&str]| evidence(fields, known);
        let (stream, consumer) = (count(&STREAM), count(&CONSUMER));
        let is_telling = |field: &String| input::is_like_any(field, &TELLING);
        // A name among other fields is no evidence.
        let is_name = fields.len() == 1 && fields.contains_key("name");
        let is_of_both = stream > 0 && stream == consumer;
        if is_name || is_of_both || fields.keys().any(is_telling) {
            Self::Trace
        } else {
            Self::Other
        }
    }
}

/// The form that a configuration's fields imply.
pub fn form_of(fields: &Map<String, Value>) -> Option<Form> {
    let all = [&BOTH[..], &STREAM, &CONSUMER].concat();
    let known = fields
        .keys()
        .filter(|field| all.contains(&field.as_str()))
        .count();
    if fields.len() - known > known {
        return None;
    }
    let has = |field: &str| fields.contains_key(field);
    let (stream, consumer) = (evidence(fields, &STREAM), evidence(fields, &CONSUMER));
    let is_named = has("name") || has("durable_name");
    // A single field may be any tool's.
    let suffices = |count: usize| count > 1 || (count == 1 && is_named);
    match (stream, consumer) {
        (0, 0) if has("name") && has("num_replicas") => Some(Form::StreamConfig),
        (stream, consumer) if stream > consumer && suffices(stream) => Some(Form::StreamConfig),
        (stream, consumer) if stream < consumer && suffices(consumer) => Some(Form::ConsumerConfig),
        (_, _) => None,
    }
}

/// How many fields are of this kind and of nothing else.
fn evidence(fields: &Map<String, Value>, known: &[&str]) -> usize {
    let fields = fields.iter().filter(|(field, _)| known.contains(&field.as_str()));
    fields.filter(|(field, value)| is_own(field, value)).count()
}

fn is_own(field: &str, value: &Value) -> bool {
    let is_one_of = |words: &[&str]| {
        let word = value.as_str().unwrap_or_default();
        words.contains(&word) || input::placeholder(word).is_some()
    };
    match field {
        "retention" => is_one_of(&["limits", "interest", "workqueue"]),
        "storage" => is_one_of(&["file", "memory"]),
        "discard" => is_one_of(&["old", "new"]),
        "placement" => has_only(value, &PLACEMENT),
        "mirror" => has_only(value, &SOURCE),
        "sources" => value
            .as_array()
            .is_some_and(|items| !items.is_empty() && items.iter().all(|item| has_only(item, &SOURCE))),
        field => !GENERIC.contains(&field),
    }
}

/// Whether a value has fields, and only these or misspellings of them.
fn has_only(value: &Value, known: &[&str]) -> bool {
    let is_known = |field: &String| input::is_like_any(field, known);
    let fields = value.as_object();
    fields.is_some_and(|fields| !fields.is_empty() && fields.keys().all(is_known))
}

/// The first misnamed field, if the whole is a configuration apart from such fields.
fn misnamed(fields: &Map<String, Value>) -> Option<(String, &'static str)> {
    let known = || BOTH.iter().chain(&STREAM).chain(&CONSUMER).copied();
    let mut first = None;
    let mut renamed = Map::new();
    for (field, value) in fields {
        let letters = letters(field);
        match known().find(|known| known != field && letters == self::letters(known)) {
            Some(meant) => {
                first.get_or_insert_with(|| (field.clone(), meant));
                renamed.insert(meant.to_owned(), value.clone())
            }
            None => renamed.insert(field.clone(), value.clone()),
        };
    }
    first.filter(|_| form_of(&renamed).is_some())
}

/// A name without what languages write differently. Go calls the replicas by another name.
fn letters(field: &str) -> String {
    match input::letters(field) {
        letters if letters == "replicas" => "numreplicas".to_owned(),
        letters if letters == "durable" => "durablename".to_owned(),
        letters => letters,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_field_that_anybody_may_have_is_no_definition() {
        for value in [
            json!({"retention": "30d"}),
            json!({"name": "x", "retention": "30d"}),
            json!({"name": "x", "sources": ["https://a.example"]}),
            json!({"name": "x", "sources": [{"name": "a", "url": "b"}]}),
            json!({"name": "x", "description": "y"}),
            json!({"name": "x", "metadata": {"a": "b"}}),
            json!({"name": "x", "storage": "10Gi"}),
            json!({"name": "x", "mirror": "https://a.example"}),
            json!({"name": "x", "placement": {"nodeSelector": {}}}),
            json!({"name": "x", "stream_name": "y"}),
            json!({"max_age": 30}),
            json!({"name": "x", "max_age": 30}),
            json!({"subjects": ["history"]}),
            json!({"direct": true}),
        ] {
            assert_eq!(ConfigKind::of(Some(&value)), ConfigKind::Other, "{value}");
        }
    }

    #[test]
    fn configurations_are_told_by_their_own_fields_and_values() {
        use Form::{ConsumerConfig, StreamConfig};
        for (value, form) in [
            (json!({"name": "x", "subjects": ["a"]}), StreamConfig),
            (json!({"name": "x", "retention": "limits"}), StreamConfig),
            (
                json!({"name": "x", "sources": [{"name": "A", "filter_subject": "b"}]}),
                StreamConfig,
            ),
            (json!({"name": "x", "mirror": {"name": "A"}}), StreamConfig),
            (json!({"name": "x", "placement": {"clusters": "a"}}), StreamConfig),
            (json!({"name": "x", "storage": "${STORAGE}"}), StreamConfig),
            (json!({"name": "x", "num_replicas": 3}), StreamConfig),
            (json!({"durable_name": "x"}), ConsumerConfig),
            (json!({"name": "x", "filter_subject": "a"}), ConsumerConfig),
        ] {
            assert_eq!(ConfigKind::of(Some(&value)), ConfigKind::Form(form), "{value}");
        }
    }

    #[test]
    fn fields_with_the_names_of_another_language_are_misnamed() {
        for (value, field, meant) in [
            (json!({"Name": "X", "Subjects": ["a"]}), "Name", "name"),
            (
                json!({"name": "X", "Storage": "file", "Replicas": 3}),
                "Replicas",
                "num_replicas",
            ),
            (
                json!({"Durable": "c", "AckPolicy": "explicit"}),
                "AckPolicy",
                "ack_policy",
            ),
            (
                json!({"durableName": "c", "ackPolicy": "explicit"}),
                "ackPolicy",
                "ack_policy",
            ),
        ] {
            let meant = ConfigKind::Misnamed {
                field: field.to_owned(),
                meant,
            };
            assert_eq!(ConfigKind::of(Some(&value)), meant, "{value}");
        }
    }
}
