//! The part of a document that is one configuration: all of it, an item of a list, or `config` of what
//! `nats stream info --json` and `nats consumer info --json` print.

use serde_json::Value;

use crate::document::Source;
use crate::input::{Document, Place, Problem};

/// A part of a document; pointers are relative to it.
#[derive(Clone, Debug)]
pub struct Part<'d> {
    document: &'d Document,
    at: String,
}

impl<'d> Part<'d> {
    /// What may be definitions in a document: itself, or the items of a list.
    pub fn all(document: &'d Document) -> Vec<Self> {
        let part = |at: String| Self { document, at };
        match &document.value {
            Value::Array(items) => (0..items.len()).map(|nth| part(format!("/{nth}"))).collect(),
            _ => vec![part(String::new())],
        }
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

    /// The file.
    pub fn file(&self) -> &'d str {
        &self.document.file
    }

    /// The value at a JSON pointer.
    pub fn value(&self, pointer: &str) -> Option<&'d Value> {
        self.document.value.pointer(&self.absolute(pointer))
    }

    /// The text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&'d str> {
        self.value(pointer).and_then(Value::as_str)
    }

    /// Something that is wrong at a JSON pointer.
    pub fn problem(&self, pointer: &str, text: impl Into<String>) -> Problem {
        self.document.problem(&self.absolute(pointer), text)
    }

    /// Where a JSON pointer leads.
    pub fn source(&self, pointer: &str) -> Source {
        let Place { line, column } = self.document.place(&self.absolute(pointer));
        Source {
            file: self.document.file.clone(),
            line,
            column,
        }
    }
}
