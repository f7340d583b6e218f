//! Streams and consumers as people keep them: NACK's objects, the configurations that `nats stream add --config` and
//! `nats consumer add --config` read, what `nats stream info --json` and `nats consumer info --json` print, and the
//! lists that the JetStream API and `/jsz` reply.
//!
//! Missing fields have the servers' defaults. Kubernetes objects of other groups and files of other tools define
//! nothing; anything else that looks like a definition and is none is reported.

use std::collections::BTreeMap;

use leeward_core::definition::{ConsumerDefinition, Definition};
use leeward_core::names::StreamName;
use serde_json::Value;

use super::account::{self, DefinedOwner};
use super::config::ConfigKind;
use super::fields;
use super::form::{Form, NACK, NACK_OLD_VERSION, NACK_VERSION};
use super::misses::{self, UnknownField};
use super::pages;
use super::part::{DocumentPart, escaped, path};
use crate::input::{self, Document, Passed, Problem, Problems, SkipReason};
use crate::policies;

/// Kinds of NACK that define neither a stream nor a consumer.
const NACK_OTHERS: [&str; 2] = ["Account", "StreamTemplate"];

/// One definition and where it is.
#[derive(Clone, Debug)]
pub struct Defined<'d> {
    /// Its source.
    pub part: DocumentPart<'d>,
    /// The form that it is written in.
    pub form: Form,
    /// What it defines.
    pub what: DefinedKind,
    /// Its account, as far as stated.
    pub owner: DefinedOwner<'d>,
    /// Its unknown fields.
    pub misses: Vec<UnknownField>,
}

/// What is defined.
#[derive(Clone, Debug)]
pub enum DefinedKind {
    /// A stream or a bucket.
    Stream(Definition),
    /// A consumer, with its stream if named.
    Consumer(ConsumerDefinition),
}

impl Defined<'_> {
    /// What it is, for people.
    pub fn subject(&self) -> String {
        match &self.what {
            DefinedKind::Stream(definition) => format!("Stream {}", definition.stream),
            DefinedKind::Consumer(consumer) => {
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

/// Streams and consumers found in documents.
#[derive(Clone, Debug, Default)]
pub struct FoundDefinitions<'d> {
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
    /// What was assumed.
    pub notes: Vec<String>,
}

/// All definitions among the documents.
pub fn read(documents: &[Document]) -> FoundDefinitions<'_> {
    let mut found = FoundDefinitions::default();
    for part in documents.iter().flat_map(DocumentPart::all) {
        match read_part(&part) {
            Ok(ParsedPart::Defined(defined)) => found.defined.push(*defined),
            Ok(ParsedPart::Ours) => {}
            Ok(ParsedPart::Object(kind)) => *found.others.entry(kind).or_default() += 1,
            Ok(ParsedPart::File(why)) => found.passed.push(Passed::new(part.file(), why)),
            Ok(ParsedPart::Unknown(unread)) => found.unread.push(unread.to_string()),
            Err(problems) => found.problems.extend(problems),
        }
    }
    let pages = pages::read(documents);
    found.unread.extend(pages.wrong.iter().map(ToString::to_string));
    found.notes.extend(pages.notes.iter().map(ToString::to_string));
    found.passed.dedup();
    account::find(&mut found.defined, documents);
    find_streams(&mut found.defined);
    found
}

/// What a part of a document is.
enum ParsedPart<'d> {
    Defined(Box<Defined<'d>>),
    /// An object read elsewhere: a policy, a system, a NACK `Account`.
    Ours,
    /// An object of Kubernetes of this kind, which defines nothing here.
    Object(String),
    /// Part of a file without definitions.
    File(SkipReason),
    Unknown(Problem),
}

/// The content decides, then the file name.
fn read_part<'d>(part: &DocumentPart<'d>) -> Result<ParsedPart<'d>, Vec<Problem>> {
    let Document { tool, in_folder, .. } = part.document();
    let read = read_any(part)?;
    Ok(match (tool, read) {
        (Some(tool), ParsedPart::Object(_) | ParsedPart::File(_)) => ParsedPart::File(SkipReason::Tool(tool)),
        (Some(tool), ParsedPart::Unknown(_)) if *in_folder => ParsedPart::File(SkipReason::Tool(tool)),
        (_, read) => read,
    })
}

fn read_any<'d>(part: &DocumentPart<'d>) -> Result<ParsedPart<'d>, Vec<Problem>> {
    if policies::is_ours(part.document()) {
        return Ok(ParsedPart::Ours);
    }
    if let Some(problem) = misnamed_head(part) {
        return Err(vec![problem]);
    }
    match (part.text("/apiVersion"), part.text("/kind")) {
        (Some(version), kind) if group_of(version) == NACK => read_nack(part, version, kind),
        (Some(version), Some(kind)) if is_like_nack(version, kind) => Err(vec![no_version(part, version)]),
        (Some(version), Some(kind)) => {
            let is_kind = Form::of_kind(kind).is_some() || policies::is_kind(kind);
            Ok(ParsedPart::Object(if is_kind {
                format!("{kind} of {}", group_of(version))
            } else {
                kind.to_owned()
            }))
        }
        (None, Some(kind)) if Form::of_kind(kind).is_some() || (is_near_kind(kind) && is_object(part)) => {
            let kind = input::nearest(kind, Form::NACK.map(|(name, _)| name));
            let kind = kind.map_or_else(String::new, |kind| format!(", and the kind {kind}"));
            let text = format!("Required value: write {NACK_VERSION}{kind}");
            Err(vec![part.wrong("/apiVersion", &text)])
        }
        (_, _) => read_config(part).map_err(|problem| vec![problem]),
    }
}

fn is_object(part: &DocumentPart<'_>) -> bool {
    part.value("/spec").is_some() || part.value("/metadata").is_some()
}

/// A misspelt `kind` or `apiVersion` of an object that is read here.
fn misnamed_head(part: &DocumentPart<'_>) -> Option<Problem> {
    let (name_of_kind, kind) = head(part, "kind");
    let (name_of_version, version) = head(part, "apiVersion");
    let is_ours = is_near_kind(kind)
        || policies::is_kind(kind)
        || [NACK, leeward_api::GROUP].contains(&group_of(version));
    let name = name_of_kind.or(name_of_version).filter(|_| is_ours)?;
    let meant = if name_of_kind.is_some() {
        "kind"
    } else {
        "apiVersion"
    };
    let pointer = format!("/{}", escaped(name));
    Some(part.wrong(&pointer, &format!("unknown field: {meant} is meant")))
}

/// The value of `kind` or `apiVersion`; with its field name, if that is misspelt.
fn head<'d>(part: &DocumentPart<'d>, wanted: &str) -> (Option<&'d str>, &'d str) {
    if let Some(text) = part.text(&format!("/{wanted}")) {
        return (None, text);
    }
    let near = part.fields("").find(|(name, _)| input::is_near(name, wanted));
    match near.and_then(|(name, value)| Some((name, value.as_str()?))) {
        Some((name, text)) => (Some(name), text),
        None => (None, ""),
    }
}

fn group_of(version: &str) -> &str {
    version.split('/').next().unwrap_or_default()
}

/// Whether a kind is one of NACK's, or was meant to be.
fn is_near_kind(kind: &str) -> bool {
    Form::of_kind(kind).is_some() || input::nearest(kind, Form::NACK.map(|(name, _)| name)).is_some()
}

/// Whether a version was meant to be one of NACK's. Kubernetes' core group has none of these kinds.
fn is_like_nack(version: &str, kind: &str) -> bool {
    let Some((group, _)) = version.split_once('/') else {
        return Form::of_kind(kind).is_some() || (version != "v1" && is_near_kind(kind));
    };
    let is_like = group.contains("jetstream") || group.ends_with("nats.io");
    input::is_near(group, NACK) || (is_like && is_near_kind(kind))
}

fn no_version(part: &DocumentPart<'_>, version: &str) -> Problem {
    part.wrong(
        "/apiVersion",
        &format!("{version} is no version of NACK: write {NACK_VERSION}"),
    )
}

fn read_nack<'d>(
    part: &DocumentPart<'d>,
    version: &str,
    kind: Option<&str>,
) -> Result<ParsedPart<'d>, Vec<Problem>> {
    let kind = kind.unwrap_or_default();
    if ![NACK_VERSION, NACK_OLD_VERSION].contains(&version) {
        return Err(vec![no_version(part, version)]);
    }
    if NACK_OTHERS.contains(&kind) {
        return Ok(ParsedPart::Ours);
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
    // The apiserver refuses metadata of other types; unknown fields of the object are misses.
    let mut problems = input::metadata(part.document());
    match define(part.clone(), form, None) {
        Ok(defined) if problems.is_empty() => return Ok(ParsedPart::Defined(Box::new(defined))),
        Ok(_) => {}
        Err(problem) => problems.push(problem),
    }
    Err(problems)
}

/// What the `nats` command reads and prints, or what is no definition at all.
fn read_config<'d>(part: &DocumentPart<'d>) -> Result<ParsedPart<'d>, Problem> {
    if is_without_config(part) {
        let text = "Required value: ask for the configuration as well (accounts, streams, consumers and config of /jsz, nats stream info --json)";
        return Ok(ParsedPart::Unknown(part.wrong("/config", text)));
    }
    let config = match part.value("/config") {
        Some(Value::Object(_)) if part.value("/kind").is_none() => part.within("/config"),
        Some(_) | None => part.clone(),
    };
    let form = match ConfigKind::of(config.value("")) {
        ConfigKind::Form(form) if part.value("/kind").is_none() && part.value("/apiVersion").is_none() => {
            form
        }
        ConfigKind::Misnamed { field, meant } if part.document().tool.is_none() => {
            let pointer = format!("/{}", escaped(&field));
            let text = format!("unknown field: {meant} is meant, in a configuration of a stream or consumer");
            return Err(config.wrong(&pointer, &text));
        }
        ConfigKind::Form(_) | ConfigKind::Misnamed { .. } | ConfigKind::Trace => {
            return Ok(ParsedPart::Unknown(unknown(part)));
        }
        ConfigKind::Other => return Ok(not_a_config(part)),
    };
    let of_stream = part.text("/stream_name").map(StreamName::from);
    Ok(ParsedPart::Defined(Box::new(define(config, form, of_stream)?)))
}

/// Whether a server reply has the state or the count of streams or consumers, but no configuration.
fn is_without_config(part: &DocumentPart<'_>) -> bool {
    let is_object = |pointer: &&str| part.value(pointer).is_some_and(Value::is_object);
    let is_count = |pointer: &str| {
        part.value(pointer)
            .and_then(Value::as_u64)
            .is_some_and(|count| count > 0)
    };
    let has_state = ["/state", "/delivered", "/ack_floor"].iter().any(is_object);
    (has_state && !is_object(&"/config")) || (part.text("/server_id").is_some() && is_count("/streams"))
}

fn unknown(part: &DocumentPart<'_>) -> Problem {
    let text = "cannot be recognised as a definition of a stream or consumer, or as an object of Kubernetes: mend it, or leave \
                it out with --exclude";
    part.problem("", text)
}

fn not_a_config<'d>(part: &DocumentPart<'d>) -> ParsedPart<'d> {
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
        return ParsedPart::Unknown(part.problem("", text));
    }
    let is_names = |value: &Value| {
        value
            .as_array()
            .is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_string))
    };
    if value.is_some_and(is_names) || (is_reply && part.fields("").any(|(_, value)| is_names(value))) {
        let text = "has names alone: give their configurations, as nats stream info NAME --json prints them";
        return ParsedPart::Unknown(part.problem("", text));
    }
    if is_reply {
        // An empty list.
        return ParsedPart::Ours;
    }
    if let Some(tool) = part.document().tool.or_else(|| value.and_then(input::tool_of)) {
        return ParsedPart::File(SkipReason::Tool(tool));
    }
    match part.hidden_config() {
        Some(pointer) => {
            let text = format!(
                "{}: this is the configuration of a stream or consumer, and is not read here: give it as a document of its own, or in \
                 a list of such",
                path(&pointer)
            );
            ParsedPart::Unknown(part.problem(&pointer, text))
        }
        None if part.document().in_folder => ParsedPart::File(SkipReason::Unknown),
        None => ParsedPart::Unknown(unknown(part)),
    }
}

fn define(part: DocumentPart<'_>, form: Form, of_stream: Option<StreamName>) -> Result<Defined<'_>, Problem> {
    if form.base() == "/spec" {
        fields::filled_object(&part)?;
    }
    let what = match form {
        Form::NackStream | Form::StreamConfig | Form::NackBucket | Form::NackStore => {
            DefinedKind::Stream(fields::stream(&part, form)?)
        }
        Form::NackConsumer | Form::ConsumerConfig => {
            DefinedKind::Consumer(fields::consumer(&part, form, of_stream)?)
        }
    };
    Ok(Defined {
        misses: misses::of(&part, form),
        owner: DefinedOwner::of(&part),
        part,
        form,
        what,
    })
}

/// A consumer's configuration may not name its stream: the only one of its folder is taken, with a note.
fn find_streams(found: &mut [Defined<'_>]) {
    let mut streams: BTreeMap<String, Vec<StreamName>> = BTreeMap::new();
    for defined in found.iter() {
        if let DefinedKind::Stream(definition) = &defined.what {
            let folder = folder(&defined.part);
            streams.entry(folder).or_default().push(definition.stream.clone());
        }
    }
    for defined in found {
        let folder = folder(&defined.part);
        if let DefinedKind::Consumer(consumer) = &mut defined.what
            && consumer.stream.is_none()
            && let Some([only]) = streams.get(&folder).map(Vec::as_slice)
        {
            consumer.stream = Some(only.clone());
            defined.misses.push(UnknownField::of_stream(only));
        }
    }
}

fn folder(part: &DocumentPart<'_>) -> String {
    let parent = std::path::Path::new(part.file()).parent();
    parent
        .map(|folder| folder.display().to_string())
        .unwrap_or_default()
}
