//! Streams and consumers as people keep them: NACK's objects, the configurations that `nats stream add --config` and
//! `nats consumer add --config` read, and what `nats stream info --json` and `nats consumer info --json` print.
//!
//! What a definition does not say is what the servers take for it. Kubernetes objects of other groups define nothing; what
//! else cannot be recognised may have been meant as a definition, and is told of.

use std::collections::BTreeMap;

use leeward_core::definition::{ConsumerDefinition, Definition};
use leeward_core::names::{ClusterName, ConsumerName, StreamName, Tag};
use leeward_core::snapshot::Placement;
use serde_json::Value;

use super::part::Part;
use crate::input::{Document, Problem, Problems};

/// NACK's group of kinds.
const NACK: &str = "jetstream.nats.io/";
/// A kind of NACK that defines neither a stream nor a consumer: how to connect.
const NACK_ACCOUNT: &str = "Account";

/// One definition and where it is.
#[derive(Clone, Debug)]
pub struct Defined<'d> {
    /// What says it.
    pub part: Part<'d>,
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

/// What documents say of streams and consumers.
#[derive(Clone, Debug, Default)]
pub struct Found<'d> {
    /// The definitions.
    pub defined: Vec<Defined<'d>>,
    /// What could have been meant as a definition, but cannot be read as one.
    pub unread: Vec<String>,
}

/// All definitions among the documents.
pub fn read(documents: &[Document]) -> Result<Found<'_>, Problems> {
    let mut problems = Problems::default();
    let mut found = Found::default();
    for part in documents.iter().flat_map(Part::all) {
        match read_part(&part) {
            Ok(Read::Defined(defined)) => found.defined.push(*defined),
            Ok(Read::Other) => {}
            Ok(Read::Unknown(unread)) => found.unread.push(unread.to_string()),
            Err(problem) => problems.push(problem),
        }
    }
    let mut found = problems.none(found)?;
    find_streams(&mut found.defined);
    Ok(found)
}

/// What a part of a document is.
enum Read<'d> {
    Defined(Box<Defined<'d>>),
    /// An object of Kubernetes that defines neither a stream nor a consumer.
    Other,
    Unknown(Problem),
}

fn read_part<'d>(part: &Part<'d>) -> Result<Read<'d>, Problem> {
    let config = match part.value("/config") {
        Some(Value::Object(_)) if part.value("/kind").is_none() => part.within("/config"),
        Some(_) | None => part.clone(),
    };
    let form = match (part.text("/apiVersion"), part.text("/kind")) {
        (Some(version), kind) if version.starts_with(NACK) => match kind {
            Some(NACK_ACCOUNT) => return Ok(Read::Other),
            kind => Some(nack_form(part, kind)?),
        },
        (Some(_), Some(_)) => return Ok(Read::Other),
        (_, _) => form(&config),
    };
    let Some(form) = form else {
        let text = "cannot be recognised as a definition of a stream or consumer, or as an object of Kubernetes: mend it, or \
                    leave it out of -f";
        return Ok(Read::Unknown(part.problem("", text)));
    };
    let of_stream = part.text("/stream_name").map(StreamName::from);
    Ok(Read::Defined(Box::new(define(config, form, of_stream)?)))
}

fn nack_form(part: &Part<'_>, kind: Option<&str>) -> Result<Form, Problem> {
    match kind {
        Some("Stream") => Ok(Form::NackStream),
        Some("KeyValue") => Ok(Form::NackBucket),
        Some("ObjectStore") => Ok(Form::NackStore),
        Some("Consumer") => Ok(Form::NackConsumer),
        Some(_) | None => Err(wrong(
            part,
            "/kind",
            "must be Stream, Consumer, KeyValue, ObjectStore or Account under jetstream.nats.io",
        )),
    }
}

/// The form of what the `nats` command reads and prints.
fn form(part: &Part<'_>) -> Option<Form> {
    let has = |fields: &[&str]| {
        fields
            .iter()
            .any(|field| part.value(&format!("/{field}")).is_some())
    };
    if has(&["apiVersion", "kind"]) {
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

fn define(part: Part<'_>, form: Form, of_stream: Option<StreamName>) -> Result<Defined<'_>, Problem> {
    let required = |pointer: &str| match part.value(pointer) {
        Some(Value::String(name)) if !name.is_empty() => Ok(name.as_str()),
        Some(_) => Err(wrong(&part, pointer, "must be a name")),
        None => Err(wrong(&part, pointer, "Required value")),
    };
    let stream = |name: String| {
        Ok(What::Stream(Definition {
            stream: StreamName::from(name),
            metadata: metadata(&part, form)?,
            placement: placement(&part, form)?,
            replicas: replicas(&part, form)?.unwrap_or(1).max(1),
        }))
    };
    let what = match form {
        Form::NackStream | Form::StreamConfig => stream(required(form.name())?.to_owned())?,
        Form::NackBucket => stream(format!("KV_{}", required(form.name())?))?,
        Form::NackStore => stream(format!("OBJ_{}", required(form.name())?))?,
        Form::NackConsumer => What::Consumer {
            stream: Some(StreamName::from(required("/spec/streamName")?)),
            name: consumer_name(&part, form, "/spec/name"),
            replicas: replicas(&part, form)?,
            metadata: metadata(&part, form)?,
        },
        Form::ConsumerConfig => What::Consumer {
            stream: of_stream.or_else(|| part.text("/stream_name").map(StreamName::from)),
            name: consumer_name(&part, form, "/name"),
            replicas: replicas(&part, form)?,
            metadata: metadata(&part, form)?,
        },
    };
    Ok(Defined { part, form, what })
}

/// Consumers are named by their durable name, or by a name that is no less durable without an inactivity threshold.
fn consumer_name(part: &Part<'_>, form: Form, other: &str) -> Option<ConsumerName> {
    let name = part.text(form.name()).or_else(|| part.text(other));
    name.filter(|name| !name.is_empty()).map(ConsumerName::from)
}

fn wrong(part: &Part<'_>, pointer: &str, text: &str) -> Problem {
    let path = pointer.trim_start_matches('/').replace('/', ".");
    part.problem(pointer, format!("{path}: {text}"))
}

fn replicas(part: &Part<'_>, form: Form) -> Result<Option<u8>, Problem> {
    let pointer = form.replicas();
    match part.value(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|count| u8::try_from(count).ok()) {
            Some(count) if count <= 5 => Ok(Some(count)),
            Some(_) | None => Err(wrong(part, pointer, "must be a whole number from 0 to 5")),
        },
    }
}

fn placement(part: &Part<'_>, form: Form) -> Result<Option<Placement>, Problem> {
    let pointer = format!("{}/placement", form.base());
    let object = match part.value(&pointer) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(object)) => object,
        Some(_) => {
            return Err(wrong(part, &pointer, "must be an object with cluster and tags"));
        }
    };
    let cluster = match object.get("cluster") {
        None | Some(Value::Null) => None,
        Some(Value::String(cluster)) => Some(cluster.as_str()).filter(|cluster| !cluster.is_empty()),
        Some(_) => return Err(wrong(part, &format!("{pointer}/cluster"), "must be a name")),
    };
    let tags = match object.get("tags") {
        None | Some(Value::Null) => Vec::new(),
        Some(tags) => {
            texts(tags).ok_or_else(|| wrong(part, &format!("{pointer}/tags"), "must be a list of tags"))?
        }
    };
    Ok(Some(Placement {
        cluster: cluster.map(ClusterName::from),
        tags: tags.into_iter().map(Tag::from).collect(),
    }))
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn metadata(part: &Part<'_>, form: Form) -> Result<BTreeMap<String, String>, Problem> {
    let pointer = format!("{}/metadata", form.base());
    let refused = || wrong(part, &pointer, "must be an object whose values are texts");
    match part.value(&pointer) {
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
            let folder = folder(&defined.part);
            streams.entry(folder).or_default().push(definition.stream.clone());
        }
    }
    for defined in found {
        let folder = folder(&defined.part);
        if let What::Consumer { stream, .. } = &mut defined.what
            && stream.is_none()
            && let Some([only]) = streams.get(&folder).map(Vec::as_slice)
        {
            *stream = Some(only.clone());
        }
    }
}

fn folder(part: &Part<'_>) -> String {
    let parent = std::path::Path::new(part.file()).parent();
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
