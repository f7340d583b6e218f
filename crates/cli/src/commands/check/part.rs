//! The part of a document that is one configuration: all of it, an item of a list, an item of what the JetStream API or
//! a server's monitoring replies, or `config` of what `nats stream info --json` and `nats consumer info --json` print.

use serde_json::{Map, Value};

use super::config::form_of;
use crate::document::DefinitionSource;
pub use crate::input::escaped;
use crate::input::{Document, Problem, TextPosition};

/// Fields of JetStream API and `/jsz` replies that list assets.
const LISTS: [&str; 5] = [
    "streams",
    "consumers",
    "account_details",
    "stream_detail",
    "consumer_detail",
];

/// How deep to search for a configuration where none is read.
const DEEPEST: usize = 4;

/// A part of a document; pointers are relative to it.
#[derive(Clone, Debug)]
pub struct DocumentPart<'d> {
    document: &'d Document,
    at: String,
}

impl<'d> DocumentPart<'d> {
    /// What may be definitions in a document: itself, or the items of its lists.
    pub fn all(document: &'d Document) -> Vec<Self> {
        let mut parts = Vec::new();
        let whole = Self {
            document,
            at: String::new(),
        };
        whole.gather(&mut parts);
        parts
    }

    fn gather(self, parts: &mut Vec<Self>) {
        match self.value("") {
            Some(Value::Array(items)) if items.iter().any(Value::is_object) => {
                (0..items.len()).for_each(|nth| self.within(&format!("/{nth}")).gather(parts));
            }
            Some(Value::Object(fields)) if !fields.contains_key("kind") => {
                let lists = LISTS.iter().filter(|list| holds_objects(fields, list));
                let mut inner: Vec<Self> = lists.map(|list| self.within(&format!("/{list}"))).collect();
                if fields.contains_key("server") && fields.get("data").is_some_and(Value::is_object) {
                    inner.push(self.within("/data"));
                }
                if self.document.tool.is_none() && is_map_of_configs(fields) {
                    let names = fields.keys().map(|name| format!("/{}", escaped(name)));
                    inner.extend(names.map(|pointer| self.within(&pointer)));
                }
                // The configuration of `/jsz` is the server's.
                let has_config = fields.contains_key("config") && !fields.contains_key("account_details");
                if inner.is_empty() || has_config {
                    parts.push(self);
                }
                for list in inner {
                    list.gather(parts);
                }
            }
            Some(_) | None => parts.push(self),
        }
    }

    /// The account of `/jsz` that it is in.
    pub fn account(&self) -> Option<&'d str> {
        let (before, behind) = self.at.split_once("/account_details/")?;
        let nth = behind.split('/').next()?;
        let account = self
            .document
            .value
            .pointer(&format!("{before}/account_details/{nth}"))?;
        ["name", "id"]
            .iter()
            .find_map(|field| account.get(field)?.as_str())
    }

    /// Where it has a configuration that is not read there.
    pub fn hidden_config(&self) -> Option<String> {
        hidden(self.value("")?, DEEPEST)
    }

    /// What is at a JSON pointer, as a part of its own.
    pub fn within(&self, pointer: &str) -> Self {
        Self {
            document: self.document,
            at: self.absolute(pointer),
        }
    }

    fn absolute(&self, pointer: &str) -> String {
        format!("{}{pointer}", self.at)
    }

    /// The document.
    pub fn document(&self) -> &'d Document {
        self.document
    }

    /// The file.
    pub fn file(&self) -> &'d str {
        &self.document.file
    }

    /// The value at a JSON pointer.
    pub fn value(&self, pointer: &str) -> Option<&'d Value> {
        self.document.value.pointer(&self.absolute(pointer))
    }

    /// The fields of the object at a JSON pointer.
    pub fn fields(&self, pointer: &str) -> impl Iterator<Item = (&'d String, &'d Value)> + use<'d> {
        self.value(pointer)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    }

    /// The text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&'d str> {
        self.value(pointer).and_then(Value::as_str)
    }

    /// Something that is wrong at a JSON pointer.
    pub fn problem(&self, pointer: &str, text: impl Into<String>) -> Problem {
        self.document.problem(&self.absolute(pointer), text)
    }

    /// The same, with the path, such as `spec.name`.
    pub fn wrong(&self, pointer: &str, text: &str) -> Problem {
        self.problem(pointer, format!("{}: {text}", path(pointer)))
    }

    /// That the value at a JSON pointer is of another type than this one.
    pub fn mistyped(&self, pointer: &str, expected: &str) -> Problem {
        self.document
            .mistyped(&self.absolute(pointer), &path(pointer), expected)
    }

    /// The same for a value whose key is freely chosen.
    pub fn mistyped_entry(&self, pointer: &str) -> Problem {
        self.document
            .mistyped_entry(&self.absolute(pointer), &path(pointer))
    }

    /// Where a JSON pointer leads.
    pub fn source(&self, pointer: &str) -> DefinitionSource {
        let TextPosition { line, column } = self.document.place(&self.absolute(pointer));
        DefinitionSource {
            file: self.document.file.clone(),
            line,
            column,
        }
    }
}

/// Streams or consumers by name.
fn is_map_of_configs(fields: &Map<String, Value>) -> bool {
    let is_config = |value: &Value| value.as_object().is_some_and(|fields| form_of(fields).is_some());
    !fields.is_empty() && !fields.contains_key("config") && fields.values().all(is_config)
}

fn hidden(value: &Value, depth: usize) -> Option<String> {
    let inner: Box<dyn Iterator<Item = (String, &Value)>> = match value {
        Value::Object(fields) => Box::new(fields.iter().map(|(name, value)| (escaped(name), value))),
        Value::Array(items) => Box::new(items.iter().enumerate().map(|(at, item)| (at.to_string(), item))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    let is_config = |value: &Value| {
        value.as_object().is_some_and(|fields| {
            form_of(fields).is_some() && (fields.contains_key("name") || fields.contains_key("durable_name"))
        })
    };
    inner.into_iter().find_map(|(name, value)| {
        if is_config(value) {
            return Some(format!("/{name}"));
        }
        let within = hidden(value, depth.checked_sub(1)?)?;
        Some(format!("/{name}{within}"))
    })
}

fn holds_objects(fields: &Map<String, Value>, list: &str) -> bool {
    let items = fields.get(list).and_then(Value::as_array);
    items.is_some_and(|items| items.iter().any(Value::is_object))
}

/// A JSON pointer as people write it.
pub fn path(pointer: &str) -> String {
    let path = pointer.trim_start_matches('/').replace('/', ".");
    path.replace("~1", "/").replace("~0", "~")
}
