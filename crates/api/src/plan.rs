//! `PlacementPlan`: what a policy of mode `Propose` would do, for a person to approve, and what became of it.
#![expect(
    clippy::duplicated_attributes,
    reason = "each column of kube's derive has the same parts"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocabulary::{ActionType, ApprovedBy, PlanState, ReviewDecision, SkipReason};

/// The most actions of one plan. What is beyond is proposed once these are done.
pub const MAX_PLAN_ACTIONS: usize = 500;

/// The label of a plan that has the uid of its policy.
pub const POLICY_UID_LABEL: &str = "leeward.dev/policy-uid";

/// What a policy of mode Propose would do. Leeward writes it; people approve or reject it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "leeward.dev",
    version = "v1alpha1",
    kind = "PlacementPlan",
    namespaced,
    status = "PlacementPlanStatus",
    derive = "PartialEq",
    shortname = "plan",
    category = "nats",
    doc = "What a policy of mode Propose would do. Leeward writes it; people approve or reject it.",
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policyRef.name"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(
        name = "Done",
        type_ = "string",
        description = "Actions that are done, of all",
        json_path = ".status.done"
    ),
    printcolumn(
        name = "In-Place",
        type_ = "string",
        description = "Leaders in place when it was proposed, of all",
        json_path = ".spec.predicted.inPlaceBefore"
    ),
    printcolumn(
        name = "Predicted",
        type_ = "string",
        description = "And after it",
        json_path = ".spec.predicted.inPlaceAfter"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Actual",
        type_ = "string",
        description = "Leaders in place when it ended",
        json_path = ".status.inPlace",
        priority = 1
    ),
    printcolumn(
        name = "Approved",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Approved\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "By",
        type_ = "string",
        json_path = ".status.approval.by",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct PlacementPlanSpec {
    /// The policy that proposes it.
    #[x_kube(validation = Rule::new("self == oldSelf").message("policyRef is what was proposed and stays as it is: write review only"))]
    pub policy_ref: PlanPolicyReference,

    /// The generation of the policy that proposed it.
    #[x_kube(validation = Rule::new("self == oldSelf").message("policyGeneration is what was proposed and stays as it is: write review only"))]
    pub policy_generation: i64,

    /// The `NatsSystem` in which it is done, as `NAMESPACE/NAME`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("system is what was proposed and stays as it is: write review only"))]
    pub system: String,

    /// The id of the account in which it is done.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("account is what was proposed and stays as it is: write review only"))]
    pub account: String,

    /// What is done. Each is read again right before it is begun, and skipped where its stream or consumer has changed.
    #[schemars(length(min = 1, max = 500))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = Rule::new("self == oldSelf").message("actions are what was proposed and stay as they are: write review only")
    )]
    pub actions: Vec<PlanAction>,

    /// What it is expected to change.
    #[x_kube(validation = Rule::new("self == oldSelf").message("predicted is what was proposed and stays as it is: write review only"))]
    pub predicted: PlanPrediction,

    /// What a person decided. The only field that people write: the right to patch plans is the right to approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<PlanReview>,
}

/// Names the policy of a plan.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanPolicyReference {
    /// Its name, in the plan's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Its uid: one that is made anew has plans of its own.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// One action of a plan.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlanAction {
    /// What is done.
    #[serde(rename = "type")]
    pub action: ActionType,

    /// The stream.
    #[schemars(length(min = 1, max = 255))]
    pub stream: String,

    /// The consumer, if it is done to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub consumer: Option<String>,

    /// The location of the leader; absent where nobody leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub from: Option<String>,

    /// The location where the leader belongs.
    #[schemars(length(max = 255))]
    pub to: String,

    /// Bytes that it is expected to copy, over all replicas; for `StreamPlacement`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,

    /// Milliseconds of waiting that it is expected to save each second, with what comes along; absent where no message
    /// rate is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_milliseconds_per_second: Option<i64>,
}

/// What a plan is expected to change.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanPrediction {
    /// Streams and consumers in place when it was proposed, of all that are judged: `36/40`.
    #[schemars(length(max = 64))]
    pub in_place_before: String,

    /// And when all of it is done.
    #[schemars(length(max = 64))]
    pub in_place_after: String,

    /// The share of the account's bytes that crossed gateways then, in percent, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_percent_before: Option<i32>,

    /// Bytes that are copied, over all replicas.
    pub bytes: i64,

    /// Milliseconds of waiting that are saved each second, as far as message rates are known.
    pub saved_milliseconds_per_second: i64,
}

/// What a person decided about a plan.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanReview {
    /// What was decided.
    pub decision: ReviewDecision,

    /// Who decided it, as that person's client says. The API server's audit log has who really did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub by: Option<String>,
}

/// What became of a plan.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default = "PlacementPlanStatus::default")]
pub struct PlacementPlanStatus {
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PlanState>,

    /// Approved and Complete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// Since when it waits for its approval; later than its creation where it was proposed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposed_time: Option<Time>,

    /// Its approval, once it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<PlanApproval>,

    /// Actions that are done, of all: `3/12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<String>,

    /// The actions that ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub actions: Vec<PlanActionStatus>,

    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,

    /// Streams and consumers in place when it ended, of all that are judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_place: Option<String>,

    /// The share of the account's bytes that crossed gateways when it ended, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_percent: Option<i32>,

    /// The id of the plan that is proposed instead, where it was superseded by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
}

/// How a plan was approved.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanApproval {
    /// By what.
    pub through: ApprovedBy,

    /// By whom, as `review.by` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,

    /// When Leeward saw it.
    pub time: Time,
}

/// An action of a plan that ended.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanActionStatus {
    /// The stream.
    pub stream: String,

    /// The consumer, if it was done to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,

    /// Why it was skipped; absent where the leader is where it was to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkipReason>,

    /// The reason of its finding, where it was skipped because that stands against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// When it ended.
    pub time: Time,
}
