//! Streams and consumers as people keep them: NACK's objects, and the configurations that `nats stream add --config` and
//! `nats consumer add --config` read.
//!
//! What a definition does not say is what the servers take for it. A document that is neither is left out, with a note if
//! it could have been meant as one.

use std::collections::BTreeMap;

use leeward_core::definition::{ConsumerDefinition, Definition};
use leeward_core::names::{ClusterName, ConsumerName, StreamName, Tag};
use leeward_core::snapshot::Placement;
use serde_json::Value;

use crate::input::{Document, Problem, Problems};

/// NACK's group of kinds.
const NACK: &str = "jetstream.nats.io/";

/// One definition and where it is.
#[derive(Clone, Debug)]
pub struct Defined<'d> {
    /// The document.
    pub document: &'d Document,
    /// The form that it is written in.
    pub form: Form,
    /// What it defines.
    pub what: What,
}

/// What is defined.
#[derive(Clone, Debug)]
pub enum What {
    /// A stream, or what is one.
    Stream(Definition),
    /// A consumer, with its stream if that is said.
    Consumer {
        /// Its stream's name.
        stream: Option<StreamName>,
        /// Its name; `None` for an ephemeral one.
        name: Option<ConsumerName>,
        /// Its replicas.
        replicas: Option<u8>,
        /// Its metadata.
        metadata: BTreeMap<String, String>,
    },
}

/// The form that a definition is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `Stream` of NACK.
    NackStream,
    /// `KeyValue` of NACK.
    NackBucket,
    /// `ObjectStore` of NACK.
    NackStore,
    /// `Consumer` of NACK.
    NackConsumer,
    /// A stream's configuration.
    StreamConfig,
    /// A consumer's configuration.
    ConsumerConfig,
}

impl Form {
    /// The JSON pointer of what a definition says.
    pub fn base(self) -> &'static str {
        match self {
            Self::NackStream | Self::NackBucket | Self::NackStore | Self::NackConsumer => "/spec",
            Self::StreamConfig | Self::ConsumerConfig => "",
        }
    }

    /// Where its name is.
    pub fn name(self) -> &'static str {
        match self {
            Self::NackStream => "/spec/name",
            Self::NackBucket | Self::NackStore => "/spec/bucket",
            Self::NackConsumer => "/spec/durableName",
            Self::StreamConfig => "/name",
            Self::ConsumerConfig => "/durable_name",
        }
    }

    /// Where its replicas are.
    pub fn replicas(self) -> &'static str {
        match self {
            Self::NackStream | Self::NackBucket | Self::NackStore | Self::NackConsumer => "/spec/replicas",
            Self::StreamConfig | Self::ConsumerConfig => "/num_replicas",
        }
    }
}

impl Defined<'_> {
    /// What it is, for people.
    pub fn subject(&self) -> String {
        match &self.what {
            What::Stream(definition) => format!("Stream {}", definition.stream),
            What::Consumer { stream, name, .. } => {
                let name = name.as_ref().map_or("(ephemeral)", ConsumerName::as_str);
                let stream = stream.as_ref().map_or("?", StreamName::as_str);
                format!("Consumer {stream}/{name}")
            }
        }
    }
}

/// All definitions among the documents, and notes on what was left out.
pub fn read(documents: &[Document]) -> Result<(Vec<Defined<'_>>, Vec<String>), Problems> {
    let mut problems = Problems::default();
    let mut notes = Vec::new();
    let mut found = Vec::new();
    for document in documents {
        match form(document) {
            Some(form) => match define(document, form) {
                Ok(defined) => found.push(defined),
                Err(problem) => problems.push(problem),
            },
            None => notes.extend(left_out(document)),
        }
    }
    let mut found = problems.none(found)?;
    find_streams(&mut found);
    Ok((found, notes))
}

fn form(document: &Document) -> Option<Form> {
    if let Some(version) = document.text("/apiVersion") {
        return match document.text("/kind") {
            Some("Stream") if version.starts_with(NACK) => Some(Form::NackStream),
            Some("KeyValue") if version.starts_with(NACK) => Some(Form::NackBucket),
            Some("ObjectStore") if version.starts_with(NACK) => Some(Form::NackStore),
            Some("Consumer") if version.starts_with(NACK) => Some(Form::NackConsumer),
            Some(_) | None => None,
        };
    }
    let has = |fields: &[&str]| fields.iter().any(|field| document.value.get(field).is_some());
    if has(&["kind"]) {
        None
    } else if has(&[
        "durable_name",
        "deliver_policy",
        "ack_policy",
        "filter_subject",
        "filter_subjects",
    ]) {
        Some(Form::ConsumerConfig)
    } else if has(&["name"])
        && has(&[
            "subjects",
            "num_replicas",
            "retention",
            "storage",
            "placement",
            "mirror",
            "sources",
        ])
    {
        Some(Form::StreamConfig)
    } else {
        None
    }
}

/// What could have been meant as a definition, but is none that is known.
fn left_out(document: &Document) -> Option<String> {
    if document.value.get("apiVersion").is_some() || document.value.get("kind").is_some() {
        return None;
    }
    let note = document.problem("", "is no definition of a stream or consumer: left out");
    Some(note.to_string())
}

fn define(document: &Document, form: Form) -> Result<Defined<'_>, Problem> {
    let required = |pointer: &str| match document.value.pointer(pointer) {
        Some(Value::String(name)) if !name.is_empty() => Ok(name.as_str()),
        Some(_) => Err(wrong(document, pointer, "must be a name")),
        None => Err(wrong(document, pointer, "Required value")),
    };
    let stream = |name: String| {
        Ok(What::Stream(Definition {
            stream: StreamName::from(name),
            metadata: metadata(document, form)?,
            placement: placement(document, form)?,
            replicas: replicas(document, form)?.unwrap_or(1).max(1),
        }))
    };
    let what = match form {
        Form::NackStream | Form::StreamConfig => stream(required(form.name())?.to_owned())?,
        Form::NackBucket => stream(format!("KV_{}", required(form.name())?))?,
        Form::NackStore => stream(format!("OBJ_{}", required(form.name())?))?,
        Form::NackConsumer => What::Consumer {
            stream: Some(StreamName::from(required("/spec/streamName")?)),
            name: consumer_name(document, form, "/spec/name"),
            replicas: replicas(document, form)?,
            metadata: metadata(document, form)?,
        },
        Form::ConsumerConfig => What::Consumer {
            stream: document.text("/stream_name").map(StreamName::from),
            name: consumer_name(document, form, "/name"),
            replicas: replicas(document, form)?,
            metadata: metadata(document, form)?,
        },
    };
    Ok(Defined { document, form, what })
}

/// Consumers are named by their durable name, or by a name that is no less durable without an inactivity threshold.
fn consumer_name(document: &Document, form: Form, other: &str) -> Option<ConsumerName> {
    let name = document.text(form.name()).or_else(|| document.text(other));
    name.filter(|name| !name.is_empty()).map(ConsumerName::from)
}

fn wrong(document: &Document, pointer: &str, text: &str) -> Problem {
    let path = pointer.trim_start_matches('/').replace('/', ".");
    document.problem(pointer, format!("{path}: {text}"))
}

fn replicas(document: &Document, form: Form) -> Result<Option<u8>, Problem> {
    let pointer = form.replicas();
    match document.value.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|count| u8::try_from(count).ok()) {
            Some(count) if count <= 5 => Ok(Some(count)),
            Some(_) | None => Err(wrong(document, pointer, "must be a whole number from 0 to 5")),
        },
    }
}

fn placement(document: &Document, form: Form) -> Result<Option<Placement>, Problem> {
    let pointer = format!("{}/placement", form.base());
    let object = match document.value.pointer(&pointer) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(object)) => object,
        Some(_) => {
            return Err(wrong(
                document,
                &pointer,
                "must be an object with cluster and tags",
            ));
        }
    };
    let cluster = match object.get("cluster") {
        None | Some(Value::Null) => None,
        Some(Value::String(cluster)) => Some(cluster.as_str()).filter(|cluster| !cluster.is_empty()),
        Some(_) => return Err(wrong(document, &format!("{pointer}/cluster"), "must be a name")),
    };
    let tags = match object.get("tags") {
        None | Some(Value::Null) => Vec::new(),
        Some(tags) => texts(tags)
            .ok_or_else(|| wrong(document, &format!("{pointer}/tags"), "must be a list of tags"))?,
    };
    Ok(Some(Placement {
        cluster: cluster.map(ClusterName::from),
        tags: tags.into_iter().map(Tag::from).collect(),
    }))
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn metadata(document: &Document, form: Form) -> Result<BTreeMap<String, String>, Problem> {
    let pointer = format!("{}/metadata", form.base());
    let refused = || wrong(document, &pointer, "must be an object whose values are texts");
    match document.value.pointer(&pointer) {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(fields)) => fields
            .iter()
            .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(refused),
        Some(_) => Err(refused()),
    }
}

/// A consumer's configuration does not say what stream it is for: the only one that is defined in its folder.
fn find_streams(found: &mut [Defined<'_>]) {
    let mut streams: BTreeMap<String, Vec<StreamName>> = BTreeMap::new();
    for defined in found.iter() {
        if let What::Stream(definition) = &defined.what {
            let folder = folder(defined.document);
            streams.entry(folder).or_default().push(definition.stream.clone());
        }
    }
    for defined in found {
        let folder = folder(defined.document);
        if let What::Consumer { stream, .. } = &mut defined.what
            && stream.is_none()
            && let Some([only]) = streams.get(&folder).map(Vec::as_slice)
        {
            *stream = Some(only.clone());
        }
    }
}

fn folder(document: &Document) -> String {
    let parent = std::path::Path::new(&document.file).parent();
    parent
        .map(|folder| folder.display().to_string())
        .unwrap_or_default()
}

/// A consumer's definition beside that of its stream.
pub fn of_stream(
    stream: &Definition,
    name: Option<&ConsumerName>,
    replicas: Option<u8>,
    metadata: &BTreeMap<String, String>,
) -> ConsumerDefinition {
    ConsumerDefinition {
        stream: stream.stream.clone(),
        name: name.cloned().unwrap_or_else(|| ConsumerName::from("")),
        replicas,
        durable: name.is_some(),
        metadata: metadata.clone(),
    }
}
