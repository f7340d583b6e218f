//! The status of a `PlacementPolicy`: what was seen, what is wrong with it and why, and what was done.
//!
//! It stays small: every list has a cap, and what is beyond a cap is counted or left out.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocabulary::{ActionResult, ActionType, AdviceKind, Check, FindingReason, PlanState, Remedy};

mod limits;
mod memory;

pub use limits::{BreakerState, BreakerStatus, BudgetStatus, WindowsStatus};
pub use memory::{Memory, RememberedAsset, SpentBudget};

/// The most findings that a status lists; `report.maxFindings` may ask for fewer.
pub const MAX_FINDINGS: usize = 200;
/// The most actions under way that a status lists; `disruption.maxConcurrent` is never more.
pub const MAX_OPERATIONS: usize = 100;
/// The most finished actions that a status lists.
pub const MAX_RECENT_ACTIONS: usize = 20;
/// The most locations that a status lists.
pub const MAX_LOCATIONS: usize = 128;
/// The most streams and consumers that are remembered over a restart.
pub const MAX_REMEMBERED: usize = 200;
/// The most entries of what counts against budgets that are remembered over a restart.
pub const MAX_SPENT: usize = 100;
/// The most budgets that a status lists, which is the most that a policy may have.
pub const MAX_BUDGETS: usize = 16;
/// The most failures that a status lists; `disruption.circuitBreaker.failures` is never more.
pub const MAX_FAILURES: usize = 100;
/// The most tags of a placement that a status keeps; one with more is not kept.
pub const MAX_REPLACED_TAGS: usize = 64;
/// The most plans that are remembered not to be proposed again under their id.
pub const MAX_SPENT_PLANS: usize = 50;
/// The most pieces of advice that a status lists.
pub const MAX_ADVICE: usize = 20;

/// What was seen of the account, what is wrong and why, and what was done.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", default = "PlacementPolicyStatus::default")]
pub struct PlacementPolicyStatus {
    /// The `metadata.generation` that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted, `ResolvedRefs`, Observed, `InPlace`, Approved (in mode `Propose`), Progressing, Degraded and Ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The account that the credentials belong to, as the server told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,

    /// Where the account's leaders belong now. Absent while there is no home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<HomeStatus>,

    /// The locations that have servers, clients or leaders of the account.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub locations: Vec<LocationStatus>,

    /// The selected streams, counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<AssetCounts>,

    /// The selected consumers, counted. Ephemeral ones are ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumers: Option<AssetCounts>,

    /// Streams and consumers whose leader is in home, of all that are selected and not ignored: `37/40`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_place: Option<String>,

    /// What is wrong, the greatest gain first, at most `report.maxFindings`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub findings: Vec<Finding>,

    /// Findings that are not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings_omitted: Option<i64>,

    /// Actions under way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub operations: Vec<OperationStatus>,

    /// The last actions that ended, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub recent_actions: Vec<RecentAction>,

    /// What the disruption budgets allow now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub budgets: Vec<BudgetStatus>,

    /// The tightest budget that applies now, used of allowed: `3/4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,

    /// Whether maintenance windows let actions be done now. Absent where the policy has no windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowsStatus>,

    /// Whether repeated failures stop all actions now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerStatus>,

    /// The plan that waits for its approval or is carried out, in mode `Propose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStatus>,

    /// The account's traffic between clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,

    /// Changes that a person could make where moving leaders is not the right cure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub advice: Vec<Advice>,

    /// When the policy was last evaluated with a result that differs from the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_evaluation_time: Option<Time>,

    /// What is remembered of the past, so that a restart forgets no limit. Nothing to read for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// A NATS account.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The account's public key, or its name where accounts are written in the servers' configuration.
    pub id: String,

    /// The account's name, or its id where the server tells no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Where the account's leaders belong.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HomeStatus {
    /// The location.
    pub location: String,

    /// Its share of the clients' weight, in percent.
    pub percent: i32,

    /// Client connections in it.
    pub connections: i64,

    /// Since when it is home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,

    /// Whether it has held for `home.stabilizationWindow`, so that leaders may be moved to it.
    pub stable: bool,
}

/// A location as the account uses it.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LocationStatus {
    /// The location.
    pub name: String,

    /// Servers in it.
    pub servers: i64,

    /// Client connections of the account in it.
    pub connections: i64,

    /// Its share of the clients' weight, in percent.
    pub percent: i32,

    /// Streams of the account that are led in it.
    pub stream_leaders: i64,

    /// Consumers of the account that are led in it.
    pub consumer_leaders: i64,

    /// Whether many clients connect here and no stream is led here.
    #[serde(default)]
    pub no_local_leader: bool,
}

/// Streams or consumers, counted. `inPlace`, `misplaced` and `held` add up to `total` less `ignored`.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AssetCounts {
    /// All that the policy selects.
    pub total: i64,

    /// Led in home.
    pub in_place: i64,

    /// Led elsewhere, and movable.
    pub misplaced: i64,

    /// Led elsewhere, and not movable now; the findings say why.
    pub held: i64,

    /// Opted out by their owner, or ephemeral.
    pub ignored: i64,
}

/// One thing that is wrong.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What the finding is about.
    pub check: Check,

    /// The stream, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,

    /// The consumer, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,

    /// The server that leads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,

    /// Where that server is; for `NoLocalLeader`, the location that leads nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,

    /// The location where its leader belongs, if its own clients decide that and it is not the account's home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,

    /// What cures it.
    pub remedy: Remedy,

    /// Why it is not being cured now. Absent where nothing stands against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FindingReason>,

    /// The finding in words.
    pub message: String,

    /// Since when it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,

    /// How often it was tried to cure it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: i32,

    /// When it is tried again at the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
}

/// An action under way.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OperationStatus {
    /// What is being done.
    #[serde(rename = "type")]
    pub action: ActionType,

    /// The stream.
    pub stream: String,

    /// The consumer, if the action is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,

    /// The server that led before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,

    /// The server that should lead; for `StreamPlacement`, the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,

    /// When the action began.
    pub start_time: Time,

    /// When the action counts as timed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,

    /// The placement that the stream stored before, if any; for `StreamPlacement`. Where the action is broken off so that
    /// the stream is left without it, it is written again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ReplacedPlacement>,
}

/// A placement that a stream stored before an action.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReplacedPlacement {
    /// The NATS cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,

    /// The server tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tags: Vec<String>,
}

/// An action that ended.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RecentAction {
    /// When the action ended.
    pub time: Time,

    /// What was done.
    #[serde(rename = "type")]
    pub action: ActionType,

    /// The stream.
    pub stream: String,

    /// The consumer, if the action was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,

    /// The server that led before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,

    /// The server that leads since; for `StreamPlacement`, the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,

    /// How it ended.
    pub result: ActionResult,

    /// Why it did not succeed, as one `CamelCase` word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// How long it took, in milliseconds.
    pub duration_milliseconds: i64,

    /// What it changed, once the next complete look has shown it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// The account before and after an action.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Streams and consumers in place before, such as `36/40`.
    pub in_place_before: String,

    /// And at the first complete look after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place_after: Option<String>,

    /// The share of bytes that crossed gateways before, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_percent_before: Option<i32>,

    /// And after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_percent_after: Option<i32>,

    /// The round trip that clients in home no longer wait for, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_milliseconds: Option<i64>,
}

/// Plans and their approval.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// The id of the plan that waits for a person; without one, of a plan that is carried out. The `PlacementPlan` is named
    /// `<policy>-<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,

    /// The state of that plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PlanState>,

    /// Actions of that plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions: Option<i64>,

    /// Ids of plans that were approved or ended, the last one last: what would have the same id gets another one, so that an
    /// old approval is never one of a new plan. Always there: an object without a field cannot be applied over one that had
    /// some.
    #[serde(default)]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub spent: Vec<String>,
}

/// The account's traffic between clusters.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// The share of the account's bytes that crosses gateways, in percent.
    pub percent: i32,

    /// Bytes of the account that cross gateways per second.
    pub bytes_per_second: i64,
}

/// A change that a person could make.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// What kind of change.
    pub kind: AdviceKind,

    /// The stream that it is about.
    pub stream: String,

    /// The location that gains by it.
    pub location: String,

    /// The advice in words.
    pub message: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_zero(number: &i32) -> bool {
    *number == 0
}
