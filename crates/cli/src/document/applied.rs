//! The result of `leeward apply`.

use jiff::Timestamp;
use leeward_api::policy_status::{Finding, RecentAction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ActionPart, DocumentHeader, ReasonText};

/// `leeward apply`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyDocument {
    /// When it ended.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// One for each policy and account.
    pub applied: Vec<PolicyApplied>,
}

/// What was done under one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyApplied {
    /// Whom this is about.
    #[serde(flatten)]
    pub about: DocumentHeader,
    /// What was done, in the order in which it ended.
    pub done: Vec<DonePart>,
    /// What was planned and not begun.
    pub left: Vec<ActionPart>,
    /// What was begun, and was not watched to its end: the servers go on with it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unwatched: Vec<ActionPart>,
    /// Whether leaders are home now, as in the condition `InPlace`.
    pub in_place: ReasonText,
    /// What is misplaced or held now.
    pub findings: Vec<Finding>,
}

/// An action that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DonePart {
    /// As in a policy's status.
    #[serde(flatten)]
    pub action: RecentAction,
    /// Requests that were sent for it, or may have been.
    pub requests: u32,
    /// What came of it, in words.
    pub message: String,
}
