//! The result of `leeward plan`.

use jiff::Timestamp;
use leeward_api::policy_status::{BudgetStatus, Finding, HomeStatus, WindowsStatus};
use leeward_api::vocabulary::ActionType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DocumentHeader;

/// `leeward plan`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanDocument {
    /// When the plan was made.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// One for each policy and account.
    pub plans: Vec<PolicyPlan>,
}

/// What would be done under one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyPlan {
    /// Whom this is about.
    #[serde(flatten)]
    pub about: DocumentHeader,
    /// Home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<HomeStatus>,
    /// Why no location is home, where everything was seen and assets are selected: then nothing can be planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_home: Option<String>,
    /// What may begin when, as budgets, windows and waits allow. Waves of one time follow each other as soon as the one
    /// before is done; `leeward apply` does those of the plan's own time.
    pub waves: Vec<WavePart>,
    /// Where the plan ends although more would follow: it looks ahead only so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<CutPart>,
    /// Misplaced assets that stay where they are until something else changes, each with its reason.
    pub held: Vec<Finding>,
    /// What budgets allow now.
    pub budgets: Vec<BudgetStatus>,
    /// Whether windows let actions be done now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowsStatus>,
}

/// Actions that may begin at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WavePart {
    /// When.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// In order.
    pub actions: Vec<ActionPart>,
}

/// The end of a plan that could go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CutPart {
    /// Nothing is said of this moment and those after it.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// Streams and consumers that would follow.
    pub waiting: usize,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionPart {
    /// What.
    pub action: ActionType,
    /// The stream.
    pub stream: String,
    /// The consumer, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// The server that leads now.
    pub from: String,
    /// The server that will lead, where it can be chosen; the location, of a move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Bytes that a move copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long a move is expected to take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// How long a move is expected to block writes, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_seconds: Option<f64>,
    /// Consumers that come home with the stream, of a move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followers: Option<usize>,
    /// Milliseconds of waiting saved a second: message rate times round trip saved; absent where no rate is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<f32>,
}
