//! A document with the places of everything in it.

use serde_json::Value;
use serde_saphyr::Location;

use super::object::other_type;
use super::{Problem, TextPosition};

/// One document, or one item of a `List`.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file, as it was named.
    pub file: String,
    /// Whether the file was found in a folder, and not named itself.
    pub in_folder: bool,
    /// The tool that usually has a file of this name.
    pub tool: Option<&'static str>,
    /// Its content.
    pub value: Value,
    /// Where it begins.
    pub start: TextPosition,
    /// Where its parts are.
    parts: Parts,
}

/// Where fields and items are: a field where its name is, an item where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Parts {
    /// With the text of the file, where that is another than the value's.
    Scalar(Option<Box<str>>),
    Items(Vec<(CompactPosition, Parts)>),
    Fields(Fields),
}

/// Fields by name, so that one among very many is found fast.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fields(Vec<(Box<str>, CompactPosition, Parts)>);

impl Fields {
    pub fn of(mut fields: Vec<(Box<str>, CompactPosition, Parts)>) -> Self {
        fields.sort_by(|(one, _, _), (other, _, _)| one.cmp(other));
        Self(fields)
    }

    fn get(&self, name: &str) -> Option<(&CompactPosition, &Parts)> {
        let at = self
            .0
            .binary_search_by(|(known, _, _)| (**known).cmp(name))
            .ok()?;
        self.0.get(at).map(|(_, mark, parts)| (mark, parts))
    }
}

/// A compact position, since every value has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CompactPosition {
    line: u32,
    column: u32,
}

impl Document {
    /// The text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer).and_then(Value::as_str)
    }

    /// Where the field or item at a JSON pointer is, or what it would be in.
    pub fn place(&self, pointer: &str) -> TextPosition {
        self.nearest_part(pointer).0
    }

    /// The scalar at a JSON pointer as the file has it: `0123` and `NO` parse to other values.
    pub fn written(&self, pointer: &str) -> Option<String> {
        let value = self.value.pointer(pointer)?;
        match self.nearest_part(pointer).1 {
            Parts::Scalar(Some(written)) => Some(written.to_string()),
            Parts::Scalar(None) | Parts::Items(_) | Parts::Fields(_) => {
                (!value.is_array() && !value.is_object()).then(|| value.to_string())
            }
        }
    }

    fn nearest_part(&self, pointer: &str) -> (TextPosition, &Parts) {
        let (mut place, mut parts) = (self.start, &self.parts);
        for name in pointer.split('/').skip(1) {
            let found = match parts {
                Parts::Scalar(_) => None,
                Parts::Items(items) => {
                    let item = name.parse().ok().and_then(|at: usize| items.get(at));
                    item.map(|(mark, parts)| (mark, parts))
                }
                Parts::Fields(fields) => fields.get(&unescaped(name)),
            };
            let Some((mark, inner)) = found else { break };
            (place, parts) = (mark.place(), inner);
        }
        (place, parts)
    }

    /// Something that is wrong at a JSON pointer.
    pub fn problem(&self, pointer: &str, text: impl Into<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            place: Some(self.place(pointer)),
            text: text.into(),
        }
    }

    /// The same at a path such as `spec.disruption.budgets[0].max`, which the text begins with.
    pub fn problem_at_path(&self, path: &str, text: &str) -> Problem {
        self.problem(&pointer(path), format!("{path}: {text}"))
    }

    /// That a value has another type than it should have, with what to write instead: a number or a word such as `true`
    /// as the file has it.
    pub fn mistyped(&self, pointer: &str, path: &str, expected: &str) -> Problem {
        let value = self.value.pointer(pointer).unwrap_or(&Value::Null);
        let text = other_type(path, value, expected);
        let is_quotable = expected == "string" && (value.is_number() || value.is_boolean());
        let written = self.written(pointer).filter(|_| is_quotable);
        let hint = written.map_or_else(String::new, |written| format!(": write \"{written}\""));
        self.problem(pointer, text + &hint)
    }

    /// The same for a value whose key is freely chosen: its purpose is not known, so it is not shown.
    pub fn mistyped_entry(&self, pointer: &str, path: &str) -> Problem {
        let value = self.value.pointer(pointer).unwrap_or(&Value::Null);
        let is_quotable = value.is_number() || value.is_boolean();
        let hint = if is_quotable { ": put it in quotes" } else { "" };
        self.problem(pointer, other_type(path, value, "string") + hint)
    }

    pub(super) fn of(file: &str, value: Value, start: CompactPosition, parts: Parts) -> Self {
        Self {
            file: file.to_owned(),
            in_folder: false,
            tool: None,
            value,
            start: start.place(),
            parts,
        }
    }
}

impl CompactPosition {
    pub fn of(location: Location) -> Self {
        let number = |of: u64| u32::try_from(of).unwrap_or(u32::MAX).max(1);
        Self {
            line: number(location.line()),
            column: number(location.column()),
        }
    }

    /// The position in the whole text, of which a part begins at `start`.
    pub fn behind(self, start: TextPosition) -> Self {
        let add = |one: u32, other: u64| one.saturating_add(u32::try_from(other - 1).unwrap_or(u32::MAX));
        Self {
            column: if self.line == 1 {
                add(self.column, start.column)
            } else {
                self.column
            },
            line: add(self.line, start.line),
        }
    }

    pub fn place(self) -> TextPosition {
        TextPosition {
            line: u64::from(self.line),
            column: u64::from(self.column),
        }
    }
}

/// A path such as `spec.disruption.budgets[0].max` as a JSON pointer.
pub fn pointer(path: &str) -> String {
    let parts = path.split(['.', '[']).filter(|part| !part.is_empty());
    parts.fold(String::new(), |pointer, part| {
        pointer + "/" + part.trim_end_matches(']')
    })
}

/// A name as a part of a JSON pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A part of a JSON pointer as a name.
fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}
