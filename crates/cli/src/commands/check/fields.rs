//! The fields of a definition that state its placement and its owner, each checked as it is read.

use std::collections::BTreeMap;

use leeward_core::definition::{ConsumerDefinition, Definition};
use leeward_core::names::{ClusterName, ConsumerName, StreamName, Tag};
use leeward_core::policy::IGNORE_KEY;
use leeward_core::snapshot::Placement;
use serde_json::Value;

use super::form::Form;
use super::misses;
use super::part::{DocumentPart, escaped, path};
use crate::input::{self, Problem};

/// Fields of a NACK object that state its owner, and whether it is updated.
const OF_OBJECTS: [&str; 4] = [
    "/metadata/namespace",
    "/spec/account",
    "/spec/jsDomain",
    "/spec/preventUpdate",
];

/// A stream.
pub fn stream(part: &DocumentPart<'_>, form: Form) -> Result<Definition, Problem> {
    let name = required(part, form.name(), form)?;
    let stream = match form {
        Form::NackBucket => format!("KV_{name}"),
        Form::NackStore => format!("OBJ_{name}"),
        Form::NackStream | Form::NackConsumer | Form::StreamConfig | Form::ConsumerConfig => name.to_owned(),
    };
    Ok(Definition {
        stream: StreamName::from(stream),
        metadata: metadata(part, form)?,
        placement: placement(part, form)?,
        replicas: replicas(part, form)?.unwrap_or(1).max(1),
        updates: part.value("/spec/preventUpdate") != Some(&Value::Bool(true)),
    })
}

/// A consumer, with its stream if named. Consumers are named by their durable name, or by a name, which is durable
/// without an inactivity threshold.
pub fn consumer(
    part: &DocumentPart<'_>,
    form: Form,
    of_stream: Option<StreamName>,
) -> Result<ConsumerDefinition, Problem> {
    let (stream, other) = if form == Form::NackConsumer {
        let stream = required(part, "/spec/streamName", form)?;
        (Some(StreamName::from(stream)), "/spec/name")
    } else {
        let here = || part.text("/stream_name").map(StreamName::from);
        (of_stream.or_else(here), "/name")
    };
    let name = part.text(form.name()).or_else(|| part.text(other));
    let name = name.filter(|name| !name.is_empty());
    if let Some(name) = name {
        filled(part, form.name(), name)?;
    }
    Ok(ConsumerDefinition {
        stream,
        name: ConsumerName::from(name.unwrap_or_default()),
        durable: name.is_some(),
        replicas: replicas(part, form)?,
        metadata: metadata(part, form)?,
    })
}

fn required<'d>(part: &DocumentPart<'d>, pointer: &str, form: Form) -> Result<&'d str, Problem> {
    match part.value(pointer) {
        Some(Value::String(name)) if !name.is_empty() => {
            filled(part, pointer, name)?;
            Ok(name)
        }
        Some(Value::String(_)) => Err(part.wrong(pointer, "must be a name")),
        Some(other) if !other.is_null() => Err(part.mistyped(pointer, "string")),
        Some(_) | None => {
            if let Some(base) = part.value(form.base()) {
                filled_value(part, form.base(), base)?;
            }
            let text = match form {
                Form::StreamConfig | Form::ConsumerConfig => {
                    "Required value: write it into the file, from which nats stream add takes it as well"
                }
                Form::NackStream | Form::NackBucket | Form::NackStore | Form::NackConsumer => {
                    "Required value; if this is a patch of kustomize, build it first: kustomize build … | leeward check -f -"
                }
            };
            Err(match misses::meant_for(part, form, pointer) {
                Some(written) => part.wrong(
                    pointer,
                    &format!("Required value: nobody reads {written}, which was probably meant to say it"),
                ),
                None => part.wrong(pointer, text),
            })
        }
    }
}

/// Refuses a placeholder.
fn filled(part: &DocumentPart<'_>, pointer: &str, text: &str) -> Result<(), Problem> {
    match input::unfilled(&path(pointer), text) {
        None => Ok(()),
        Some(unfilled) => Err(part.problem(pointer, unfilled)),
    }
}

/// The same for a value that should not be a string.
fn filled_value(part: &DocumentPart<'_>, pointer: &str, value: &Value) -> Result<(), Problem> {
    value.as_str().map_or(Ok(()), |text| filled(part, pointer, text))
}

/// Refuses placeholders in fields of an object that state its owner, or whether it is updated.
pub fn filled_object(part: &DocumentPart<'_>) -> Result<(), Problem> {
    for pointer in OF_OBJECTS {
        if let Some(value) = part.value(pointer) {
            filled_value(part, pointer, value)?;
        }
    }
    Ok(())
}

fn replicas(part: &DocumentPart<'_>, form: Form) -> Result<Option<u8>, Problem> {
    const RANGE: &str = "must be a whole number from 0 to 5";
    let pointer = form.replicas();
    match part.value(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            filled(part, pointer, text)?;
            Err(match text.parse::<u8>() {
                Ok(number) => part.wrong(pointer, &format!("{RANGE}: write {number}")),
                Err(_) => part.wrong(pointer, RANGE),
            })
        }
        Some(value) => match value.as_u64().and_then(|count| u8::try_from(count).ok()) {
            Some(count) if count <= 5 => Ok(Some(count)),
            Some(_) | None => Err(part.wrong(pointer, RANGE)),
        },
    }
}

/// An optional value, if it has the right type; `wrong` names that type.
fn optional<'d, T: ?Sized>(
    part: &DocumentPart<'d>,
    pointer: &str,
    typed: fn(&'d Value) -> Option<&'d T>,
    wrong: impl FnOnce() -> Problem,
) -> Result<Option<&'d T>, Problem> {
    let Some(value) = part.value(pointer).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    if let Some(typed) = typed(value) {
        return Ok(Some(typed));
    }
    filled_value(part, pointer, value)?;
    Err(wrong())
}

fn placement(part: &DocumentPart<'_>, form: Form) -> Result<Option<Placement>, Problem> {
    let pointer = format!("{}/placement", form.base());
    let wrong = || part.wrong(&pointer, "must be an object with cluster and tags");
    if optional(part, &pointer, Value::as_object, wrong)?.is_none() {
        return Ok(None);
    }
    let at = format!("{pointer}/cluster");
    let cluster = optional(part, &at, Value::as_str, || part.mistyped(&at, "string"))?;
    if let Some(cluster) = cluster {
        filled(part, &at, cluster)?;
    }
    Ok(Some(Placement {
        cluster: cluster
            .filter(|cluster| !cluster.is_empty())
            .map(ClusterName::from),
        tags: tags(part, &format!("{pointer}/tags"))?,
    }))
}

fn tags(part: &DocumentPart<'_>, pointer: &str) -> Result<Vec<Tag>, Problem> {
    let wrong = || part.wrong(pointer, "must be a list of tags");
    let items = optional(part, pointer, Value::as_array, wrong)?;
    let tag = |(at, item): (usize, &Value)| {
        let pointer = format!("{pointer}/{at}");
        match item {
            Value::String(tag) => {
                filled(part, &pointer, tag)?;
                Ok(Tag::from(tag.as_str()))
            }
            _ => Err(part.mistyped(&pointer, "string")),
        }
    };
    items.into_iter().flatten().enumerate().map(tag).collect()
}

fn metadata(part: &DocumentPart<'_>, form: Form) -> Result<BTreeMap<String, String>, Problem> {
    let pointer = format!("{}/metadata", form.base());
    if !form.has_metadata() {
        return Ok(BTreeMap::new());
    }
    let wrong = || part.mistyped(&pointer, "object");
    let fields = optional(part, &pointer, Value::as_object, wrong)?;
    let text = |(key, value): (&String, &Value)| {
        let pointer = format!("{pointer}/{}", escaped(key));
        match value {
            Value::String(text) => {
                if key == IGNORE_KEY {
                    filled(part, &pointer, text)?;
                }
                Ok((key.clone(), text.clone()))
            }
            _ => Err(part.mistyped_entry(&pointer)),
        }
    };
    fields.into_iter().flatten().map(text).collect()
}
