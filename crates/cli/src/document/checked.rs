//! The result of `leeward check`.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::input::Problem;

/// `leeward check`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckDocument {
    /// When it was checked.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// Everything that was judged, with or without findings.
    pub checked: Vec<Checked>,
    /// What could not be judged, and why.
    pub undecided: Vec<String>,
    /// What is wrong with the files, so that something of them was not read.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<CheckError>,
    /// What else is worth knowing: what was left out, and what nobody was asked about.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
}

/// One definition or asset that was judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// What it is, such as `Stream ORDERS`.
    pub subject: String,
    /// The policy that it was judged by; absent where none is about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The policies that select it as well: of a lower rank, or of another account.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub also_selected_by: Vec<String>,
    /// Where it is defined; absent for an asset of a live system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<DefinitionSource>,
    /// Where the policy is written, if that is a file; only told of an asset of a live system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_source: Option<DefinitionSource>,
    /// What is wrong with it.
    pub findings: Vec<CheckFinding>,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckError {
    /// What is wrong, and what to do.
    pub message: String,
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; absent for the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
}

/// As compilers write it.
impl fmt::Display for CheckError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, file, .. } = self;
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(formatter, "{file}:{line}:{column}: {message}"),
            (_, _) => write!(formatter, "{file}: {message}"),
        }
    }
}

impl From<Problem> for CheckError {
    fn from(problem: Problem) -> Self {
        let Problem { file, place, text } = problem;
        Self {
            message: text,
            file,
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
        }
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Source")]
pub struct DefinitionSource {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
}

impl fmt::Display for DefinitionSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckFinding {
    /// The rule, such as `LocationOpen`.
    pub rule: String,
    /// What is wrong, and what to do.
    pub message: String,
    /// The exact place, where it is another than the definition's beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<DefinitionSource>,
}
