//! The result of `leeward apply`.

use jiff::Timestamp;
use leeward_api::policy_status::{Finding, RecentAction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ActionPart, DocumentHeader, ProposedPart, ReasonText};

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
    /// The id of the plan that was carried out, with `--plan`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<String>,
    /// What was done, in the order in which it ended.
    pub done: Vec<DonePart>,
    /// What was planned and not begun.
    pub left: Vec<ActionPart>,
    /// What was begun, and was not watched to its end: the servers go on with it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unwatched: Vec<ActionPart>,
    /// What that plan proposes and was not begun, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left_out: Vec<LeftOutPart>,
    /// Whether leaders are home now, as in the condition `InPlace`.
    pub in_place: ReasonText,
    /// What is misplaced or held now.
    pub findings: Vec<Finding>,
}

/// An action of an approved plan that was not begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftOutPart {
    /// The action.
    #[serde(flatten)]
    pub proposed: ProposedPart,
    /// What has become of it.
    pub state: LeftOutState,
    /// The reason, as one word: one of a finding, or `Gone`, `NotSelected`, `HomeChanged`, `LeaderChanged`, `ActionChanged`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The same in words.
    pub message: String,
}

/// What has become of an action that was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LeftOutState {
    /// Its leader is home without it.
    Done,
    /// It can begin later: apply the same plan again.
    Waits,
    /// It is no longer what would be done: a new plan says what would.
    Changed,
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
