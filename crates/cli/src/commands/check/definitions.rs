//! Streams and consumers as people keep them: NACK's objects, the configurations that `nats stream add --config` and
//! `nats consumer add --config` read, what `nats stream info --json` and `nats consumer info --json` print, and the lists
//! that the JetStream API and `/jsz` reply.
//!
//! What a definition does not say is what the servers take for it. Kubernetes objects of other groups and files of other
//! tools define nothing; what else could have been meant as a definition, and is none, is said.

use std::collections::BTreeMap;

use leeward_core::definition::{ConsumerDefinition, Definition};
use leeward_core::names::StreamName;
use serde_json::Value;

use super::account::{self, Owner};
use super::fields;
use super::form::{self, Config, Form, NACK, NACK_VERSION};
use super::misses::{self, Miss};
use super::pages;
use super::part::Part;
use crate::input::{self, Document, Passed, Problem, Problems, Why};
use crate::policies;

/// Kinds of NACK that define neither a stream nor a consumer.
const NACK_OTHERS: [&str; 2] = ["Account", "StreamTemplate"];

/// One definition and where it is.
#[derive(Clone, Debug)]
pub struct Defined<'d> {
    /// What says it.
    pub part: Part<'d>,
    /// The form that it is written in.
    pub form: Form,
    /// What it defines.
    pub what: What,
    /// What it says of its account.
    pub owner: Owner<'d>,
    /// Fields that nobody reads.
    pub misses: Vec<Miss>,
}

/// What is defined.
#[derive(Clone, Debug)]
pub enum What {
    /// A stream, or what is one.
    Stream(Definition),
    /// A consumer, with its stream if that is said.
    Consumer(ConsumerDefinition),
}

impl Defined<'_> {
    /// What it is, for people.
    pub fn subject(&self) -> String {
        match &self.what {
            What::Stream(definition) => format!("Stream {}", definition.stream),
            What::Consumer(consumer) => {
                let name = if consumer.durable {
                    consumer.name.as_str()
                } else {
                    "(ephemeral)"
                };
                let stream = consumer.stream.as_ref().map_or("?", StreamName::as_str);
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
    /// Files that were passed over.
    pub passed: Vec<Passed>,
    /// How many objects of Kubernetes there are of each kind that defines nothing here.
    pub others: BTreeMap<String, usize>,
    /// What is wrong with definitions.
    pub problems: Problems,
}

/// All definitions among the documents.
pub fn read(documents: &[Document]) -> Found<'_> {
    let mut found = Found::default();
    for part in documents.iter().flat_map(Part::all) {
        match read_part(&part) {
            Ok(Read::Defined(defined)) => found.defined.push(*defined),
            Ok(Read::Ours) => {}
            Ok(Read::Object(kind)) => *found.others.entry(kind).or_default() += 1,
            Ok(Read::File(why)) => found.passed.push(Passed::new(part.file(), why)),
            Ok(Read::Unknown(unread)) => found.unread.push(unread.to_string()),
            Err(problems) => found.problems.extend(problems),
        }
    }
    let missing = pages::missing(documents);
    found.unread.extend(missing.iter().map(ToString::to_string));
    found.passed.dedup();
    account::find(&mut found.defined, documents);
    find_streams(&mut found.defined);
    found
}

/// What a part of a document is.
enum Read<'d> {
    Defined(Box<Defined<'d>>),
    /// An object that others read: a policy, a system, how NACK connects.
    Ours,
    /// An object of Kubernetes of this kind, which defines nothing here.
    Object(String),
    /// Something of a file that has no definition.
    File(Why),
    Unknown(Problem),
}

fn read_part<'d>(part: &Part<'d>) -> Result<Read<'d>, Vec<Problem>> {
    if policies::is_ours(part.document()) {
        return Ok(Read::Ours);
    }
    let kind = part.text("/kind");
    match (part.text("/apiVersion"), kind) {
        (Some(version), kind) if group_of(version) == NACK => read_nack(part, kind),
        (Some(version), Some(kind)) => {
            let is_kind = Form::of_kind(kind).is_some();
            if is_kind && is_like_nack(group_of(version)) {
                let text = format!("{version} is no version of NACK: write {NACK_VERSION}");
                return Err(vec![part.wrong("/apiVersion", &text)]);
            }
            Ok(Read::Object(if is_kind || policies::is_kind(kind) {
                format!("{kind} of {}", group_of(version))
            } else {
                kind.to_owned()
            }))
        }
        (None, Some(kind)) if Form::of_kind(kind).is_some() && part.value("/spec").is_some() => {
            Err(vec![part.wrong(
                "/apiVersion",
                &format!("Required value: write {NACK_VERSION}"),
            )])
        }
        (_, _) => read_config(part).map_err(|problem| vec![problem]),
    }
}

fn group_of(version: &str) -> &str {
    version.split('/').next().unwrap_or_default()
}

fn is_like_nack(group: &str) -> bool {
    input::is_near(group, NACK) || group.contains("jetstream") || group.ends_with("nats.io")
}

fn read_nack<'d>(part: &Part<'d>, kind: Option<&str>) -> Result<Read<'d>, Vec<Problem>> {
    let kind = kind.unwrap_or_default();
    if NACK_OTHERS.contains(&kind) {
        return Ok(Read::Ours);
    }
    let Some(form) = Form::of_kind(kind) else {
        let names = Form::NACK.map(|(name, _)| name);
        let meant =
            input::nearest(kind, names).map_or_else(String::new, |meant| format!("; {meant} is meant"));
        let text = format!(
            "must be Stream, Consumer, KeyValue, ObjectStore or Account under jetstream.nats.io{meant}"
        );
        return Err(vec![part.wrong("/kind", &text)]);
    };
    // The apiserver refuses metadata of other types; fields of the object that it does not know are misses.
    let mut problems = input::metadata(part.document());
    match define(part.clone(), form, None) {
        Ok(defined) if problems.is_empty() => return Ok(Read::Defined(Box::new(defined))),
        Ok(_) => {}
        Err(problem) => problems.push(problem),
    }
    Err(problems)
}

/// What the `nats` command reads and prints, or what is no definition at all.
fn read_config<'d>(part: &Part<'d>) -> Result<Read<'d>, Problem> {
    let config = match part.value("/config") {
        Some(Value::Object(_)) if part.value("/kind").is_none() => part.within("/config"),
        Some(_) | None => part.clone(),
    };
    let form = match form::of_config(&config) {
        Config::Form(form) if part.value("/kind").is_none() && part.value("/apiVersion").is_none() => form,
        Config::Form(_) | Config::Trace => return Ok(Read::Unknown(unknown(part))),
        Config::Other => return Ok(not_a_config(part)),
    };
    let of_stream = part.text("/stream_name").map(StreamName::from);
    Ok(Read::Defined(Box::new(define(config, form, of_stream)?)))
}

fn unknown(part: &Part<'_>) -> Problem {
    let text = "cannot be recognised as a definition of a stream or consumer, or as an object of Kubernetes: mend it, or leave \
                it out with --exclude";
    part.problem("", text)
}

fn not_a_config<'d>(part: &Part<'d>) -> Read<'d> {
    let value = part.value("");
    let is_reply = part
        .text("/type")
        .is_some_and(|kind| kind.starts_with("io.nats.jetstream.api"));
    if let Some(error) = part.value("/error").filter(|_| is_reply) {
        let words = error
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or("nothing more");
        let text = format!("is an error that a server replied, and defines nothing: {words}");
        return Read::Unknown(part.problem("", text));
    }
    let is_names = |value: &Value| {
        value
            .as_array()
            .is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_string))
    };
    if value.is_some_and(is_names) || (is_reply && part.fields("").any(|(_, value)| is_names(value))) {
        let text = "has names alone: give their configurations, as nats stream info NAME --json prints them";
        return Read::Unknown(part.problem("", text));
    }
    if part.value("/state").is_some_and(Value::is_object) {
        let text = "Required value: ask for the configuration as well (config=true of /jsz, nats stream info --json)";
        return Read::Unknown(part.wrong("/config", text));
    }
    if is_reply {
        // A list of nothing.
        return Read::Ours;
    }
    match value.and_then(input::tool_of) {
        Some(tool) => Read::File(Why::Tool(tool)),
        None if part.document().in_folder => Read::File(Why::Unknown),
        None => Read::Unknown(unknown(part)),
    }
}

fn define(part: Part<'_>, form: Form, of_stream: Option<StreamName>) -> Result<Defined<'_>, Problem> {
    if form.base() == "/spec" {
        fields::filled_object(&part)?;
    }
    let what = match form {
        Form::NackStream | Form::StreamConfig | Form::NackBucket | Form::NackStore => {
            What::Stream(fields::stream(&part, form)?)
        }
        Form::NackConsumer | Form::ConsumerConfig => {
            What::Consumer(fields::consumer(&part, form, of_stream)?)
        }
    };
    Ok(Defined {
        misses: misses::of(&part, form),
        owner: Owner::of(&part),
        part,
        form,
        what,
    })
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
        if let What::Consumer(consumer) = &mut defined.what
            && consumer.stream.is_none()
            && let Some([only]) = streams.get(&folder).map(Vec::as_slice)
        {
            consumer.stream = Some(only.clone());
        }
    }
}

fn folder(part: &Part<'_>) -> String {
    let parent = std::path::Path::new(part.file()).parent();
    parent
        .map(|folder| folder.display().to_string())
        .unwrap_or_default()
}
