//! The state of one policy: the last round's report, what is under way, what was done. Published as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::policy_status::{
    BreakerState, BreakerStatus, MAX_REPLACED_TAGS, Memory, OperationStatus, Proof, RecentAction,
    ReplacedPlacement,
};
use leeward_api::vocabulary::{ActionClass, ActionResult, ActionType, DegradedReason, ProgressingReason};
use leeward_core::action::{Action, ActionKind};
use leeward_core::approval::ProposalLook;
use leeward_core::limits::Limits;
use leeward_core::names::AssetName;
use leeward_core::report::Report;
use leeward_core::snapshot::AccountView;
use leeward_core::time::elapsed;

use crate::execute::{Copied, Finished, FollowUp, SentRequests, Stage};
use crate::permit::Inhibited;

/// The state of a policy.
#[derive(Clone, Debug)]
pub struct PolicyState {
    /// Counts up with each publication; see [`crate::runner::Runner::recorded`].
    pub sequence: u64,
    /// The generation of the policy in the last round.
    pub generation: i64,
    /// Evaluation time.
    pub evaluated_at: Timestamp,
    /// The view used.
    pub view: Arc<AccountView>,
    /// The round's report.
    pub report: Arc<Report>,
    /// What is under way, or why nothing is.
    pub progressing: (ProgressingReason, String),
    /// Whether something keeps failing.
    pub degraded: (DegradedReason, String),
    /// Actions that the account's user was refused.
    pub denied: Vec<ActionType>,
    /// Operations under way.
    pub operations: Vec<OperationStatus>,
    /// What was acted on after the view was begun: the view is out of date for it.
    pub settling: Vec<AssetName>,
    /// Planned actions that may begin and have not, such as under the limits of the system.
    pub waiting: usize,
    /// The last ones that ended, the newest first.
    pub recent_actions: Vec<RecentAction>,
    /// Budgets, windows and the breaker.
    pub limits: Limits,
    /// What must survive a restart.
    pub memory: Memory,
    /// What is proposed, and what became of what was approved; in mode Propose, where everything was seen.
    pub proposed: Option<Arc<ProposalLook>>,
}

impl PolicyState {
    /// The assets that are acted on, as far as the view does not show what came of it.
    pub fn in_flight(&self) -> BTreeSet<AssetName> {
        let operations = self.operations.iter();
        operations
            .map(|operation| AssetName::of(&operation.stream, operation.consumer.as_deref()))
            .chain(self.settling.iter().cloned())
            .collect()
    }
}

/// An operation under way.
#[derive(Clone, Debug)]
pub(crate) struct RunningOperation {
    pub(crate) action: Action,
    pub(crate) started: Timestamp,
    pub(crate) deadline: Timestamp,
    pub(crate) stage: Stage,
    /// How much of a moving stream's data has arrived.
    pub(crate) copied: Option<Copied>,
    pub(crate) proof: Option<Proof>,
    /// What it has sent.
    pub(crate) sent: Arc<SentRequests>,
}

pub(crate) fn operation_status(operation: &RunningOperation) -> OperationStatus {
    let RunningOperation {
        action,
        started,
        deadline,
        stage: _,
        copied: _,
        proof: _,
        sent: _,
    } = operation;
    OperationStatus {
        action: action.action_type(),
        stream: action.asset.stream.to_string(),
        consumer: action.asset.consumer.as_ref().map(ToString::to_string),
        from: Some(action.from.to_string()),
        to: destination(action),
        start_time: Time(*started),
        deadline: Some(Time(*deadline)),
        replaces: replaced(action),
    }
}

/// The placement that a move replaces, where the stream stores one.
fn replaced(action: &Action) -> Option<ReplacedPlacement> {
    let placement = match &action.kind {
        ActionKind::StepDown(_) => None,
        ActionKind::Move(moving) => moving.target.replaces.as_ref(),
    }?;
    (placement.tags.len() <= MAX_REPLACED_TAGS).then(|| ReplacedPlacement {
        cluster: placement.cluster.as_ref().map(ToString::to_string),
        tags: placement.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
    })
}

/// The server that should lead; for a move, the location.
fn destination(action: &Action) -> Option<String> {
    match &action.kind {
        ActionKind::StepDown(_) => action.target().map(ToString::to_string),
        ActionKind::Move(moving) => Some(moving.target.location.to_string()),
    }
}

/// An operation that ended, as the status holds it; a later look shows what it changed.
pub fn recent_action(finished: &Finished) -> RecentAction {
    let Finished {
        action,
        outcome,
        requests: _,
        started: _,
        ended,
        follow_ups: _,
        transfers: _,
    } = finished;
    RecentAction {
        time: Time(*ended),
        action: action.action_type(),
        stream: action.asset.stream.to_string(),
        consumer: action.asset.consumer.as_ref().map(ToString::to_string),
        from: Some(action.from.to_string()),
        to: match &action.kind {
            ActionKind::StepDown(_) => outcome.to.as_ref().map(ToString::to_string),
            ActionKind::Move(_) => destination(action),
        },
        result: outcome.result,
        reason: outcome.reason.map(|reason| reason.to_string()),
        duration_milliseconds: i64::try_from(finished.duration().as_millis()).unwrap_or(i64::MAX),
        proof: None,
    }
}

/// The same for a step-down of a stream that reads one that moved.
pub fn refreshed(follow_up: &FollowUp) -> RecentAction {
    let FollowUp {
        stream,
        outcome,
        requests: _,
        started,
        ended,
    } = follow_up;
    let took = elapsed(*started, *ended);
    RecentAction {
        time: Time(*ended),
        action: ActionType::StreamStepDown,
        stream: stream.to_string(),
        consumer: None,
        from: None,
        to: outcome.to.as_ref().map(ToString::to_string),
        result: outcome.result,
        reason: outcome.reason.map(|reason| reason.to_string()),
        duration_milliseconds: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
        proof: None,
    }
}

pub(crate) fn progressing(
    operations: &BTreeMap<AssetName, RunningOperation>,
    inhibited: Option<Inhibited>,
    waiting: usize,
    limits: Option<(ProgressingReason, String)>,
) -> (ProgressingReason, String) {
    let verified = operations.values().filter(|operation| operation.stage.is_proof());
    let verified = verified.count();
    if verified > 0 && verified == operations.len() {
        let text = format!("{verified} done, watched until their clients go on; {waiting} waiting");
        return (ProgressingReason::Verifying, text);
    }
    let of_class = |wanted: ActionClass| {
        operations
            .values()
            .filter(|operation| operation.action.action_type().class() == wanted)
            .count()
    };
    let moves = of_class(ActionClass::Move);
    let step_downs = of_class(ActionClass::StepDown);
    if moves > 0 {
        let text = format!("{moves} streams moving, {step_downs} step-downs, {waiting} waiting");
        return (ProgressingReason::StreamMoving, text);
    }
    if step_downs > 0 {
        return (
            ProgressingReason::SteppingDown,
            format!("{step_downs} step-downs, {waiting} waiting"),
        );
    }
    match inhibited {
        Some(reason @ (Inhibited::Suspended | Inhibited::SystemSuspended)) => {
            (ProgressingReason::Suspended, reason.to_string())
        }
        Some(reason @ Inhibited::NotActive) => (ProgressingReason::FenceHeldElsewhere, reason.to_string()),
        Some(reason @ (Inhibited::Observing | Inhibited::NotAccepted)) => {
            (ProgressingReason::Observing, reason.to_string())
        }
        None if waiting > 0 => (
            ProgressingReason::Idle,
            format!("{waiting} wait for the system's limits"),
        ),
        None => limits.unwrap_or_else(|| (ProgressingReason::Idle, "nothing to do".into())),
    }
}

/// The asset that an action was about.
pub(crate) fn asset_of(action: &RecentAction) -> AssetName {
    AssetName::of(&action.stream, action.consumer.as_deref())
}

/// The last action on each asset.
pub(crate) fn last_of_each(recent: &[RecentAction]) -> BTreeMap<AssetName, &RecentAction> {
    let mut last: BTreeMap<AssetName, &RecentAction> = BTreeMap::new();
    for action in recent {
        let newest = last.entry(asset_of(action)).or_insert(action);
        if action.time > newest.time {
            *newest = action;
        }
    }
    last
}

/// Judges by the last operation of each asset that is neither in place nor gone now.
pub(crate) fn degraded(
    recent: &[RecentAction],
    cured: &BTreeSet<AssetName>,
    exhausted: usize,
    breaker: Option<&BreakerStatus>,
) -> (DegradedReason, String) {
    let mut last = last_of_each(recent);
    last.retain(|asset, _| !cured.contains(asset));
    let ended = |result: ActionResult| last.values().filter(move |action| action.result == result);
    let of_class = |result: ActionResult, class: ActionClass| {
        ended(result)
            .filter(|action| action.action.class() == class)
            .count()
    };
    let timed_out = of_class(ActionResult::TimedOut, ActionClass::Move);
    let missed = of_class(ActionResult::Missed, ActionClass::StepDown);
    let failed = ended(ActionResult::Failed).count();
    let stalled = ended(ActionResult::Stalled).count();
    if stalled > 0 {
        let text = format!("after {stalled} actions consumers did not go on");
        return (DegradedReason::ConsumerStalled, text);
    }
    if timed_out > 0 {
        return (
            DegradedReason::MoveTimedOut,
            format!("{timed_out} moves were not done in time"),
        );
    }
    if missed > 0 && exhausted > 0 {
        let text = format!("{exhausted} assets used up their attempts, {missed} step-downs missed lately");
        return (DegradedReason::StepDownsMissed, text);
    }
    if let Some(breaker) = breaker.filter(|breaker| breaker.state != BreakerState::Closed) {
        let text = format!(
            "{} actions failed, the circuit breaker is {}",
            breaker.failures.len(),
            breaker.state
        );
        return (DegradedReason::RepeatedFailures, text);
    }
    if exhausted > 0 || failed > 2 {
        return (
            DegradedReason::RepeatedFailures,
            format!("{failed} failed lately, {exhausted} gave up"),
        );
    }
    (DegradedReason::Healthy, "no operation keeps failing".into())
}

#[cfg(test)]
mod tests;
