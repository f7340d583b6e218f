//! The result of `leeward plan`.

use jiff::Timestamp;
use leeward_api::policy_status::{BudgetStatus, Finding, HomeStatus, WindowsStatus};
use leeward_api::vocabulary::ActionType;
use leeward_core::names::AssetName;
use leeward_core::proposal::{Proposal, ProposedAction};
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
    /// The id of what is proposed; absent where nothing is. It is the same as long as the same is proposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the id is made of besides account and actions, where the policy was read from Kubernetes: then the id is the one
    /// that the operator gives its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// What is done to which stream or consumer, now or after a wait: what one approves. `leeward apply --plan` does this and
    /// nothing else.
    #[serde(default)]
    pub proposed: Vec<ProposedPart>,
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

/// One action that is proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProposedPart {
    /// What.
    pub action: ActionType,
    /// The stream.
    pub stream: String,
    /// The consumer, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// The location that leads now; absent where that is in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The location that will lead.
    pub to: String,
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

impl ProposedPart {
    /// One action of a proposal.
    pub fn new(asset: &AssetName, proposed: &ProposedAction) -> Self {
        Self {
            action: proposed.action,
            stream: asset.stream.to_string(),
            consumer: asset.consumer.as_ref().map(ToString::to_string),
            from: proposed.from.as_ref().map(ToString::to_string),
            to: proposed.to.to_string(),
        }
    }

    /// The stream or consumer.
    pub fn asset(&self) -> AssetName {
        AssetName::of(&self.stream, self.consumer.as_deref())
    }
}

impl PolicyPlan {
    /// What is proposed.
    pub fn proposal(&self) -> Proposal {
        let action = |part: &ProposedPart| {
            let proposed = ProposedAction {
                action: part.action,
                from: part.from.as_deref().map(Into::into),
                to: part.to.as_str().into(),
            };
            (part.asset(), proposed)
        };
        Proposal {
            actions: self.proposed.iter().map(action).collect(),
        }
    }
}
