//! What `leeward check` says.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Where it is defined; absent for an asset of a live system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Where the policy is written, if that is a file; only told of an asset of a live system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_source: Option<Source>,
    /// What is wrong with it.
    pub findings: Vec<CheckFinding>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
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
    pub source: Option<Source>,
}
