//! The status of a policy from its state. Pure.
//!
//! What cannot be seen now keeps its last value: the conditions show that it is old. A status is worth writing only
//! when something besides time changed (P12).

// Handles numbers and texts from servers: no sum may overflow and no index may miss.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

use std::collections::BTreeSet;

use crate::policy_state::PolicyState;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use leeward_api::policy::{Mode, PlacementPolicySpec, ReadyWhen};
use leeward_api::policy_status::{
    Account, ApprovalStatus, GatewayStatus, MAX_ADVICE, MAX_FINDINGS, MAX_LOCATIONS, MAX_OPERATIONS,
    MAX_RECENT_ACTIONS, PlacementPolicyStatus,
};
use leeward_api::vocabulary::{
    AcceptedReason, ActionType, ApprovedReason, DegradedReason, InPlaceReason, ObservedReason,
    PolicyCondition, ProgressingReason, ReadyReason, ResolvedRefsReason,
};
use leeward_core::limits::Limits;

use crate::condition::{Conditions, ReasonMessage};

/// Everything that a status is made of.
#[derive(Clone, Debug)]
pub struct PolicyStatusInput<'a> {
    /// The policy's generation.
    pub generation: Option<i64>,
    /// The policy.
    pub spec: &'a PlacementPolicySpec,
    /// Whether it is accepted.
    pub accepted: ReasonMessage<AcceptedReason>,
    /// Whether what it refers to was found and works.
    pub resolved: ReasonMessage<ResolvedRefsReason>,
    /// The account, once it is known.
    pub account: Option<Account>,
    /// What can be seen.
    pub observation: Observation<'a>,
    /// Why nothing can be sent as the account's user, although the account can be seen.
    pub lost: Option<String>,
    /// Its plans, in mode Propose.
    pub approval: Option<ApprovalInput>,
}

/// The plans of a policy.
#[derive(Clone, Debug)]
pub struct ApprovalInput {
    /// Whether what is proposed is approved.
    pub condition: ReasonMessage<ApprovedReason>,
    /// Which plan waits or is carried out; `None` where that is not known, and what was known stays.
    pub status: Option<ApprovalStatus>,
}

/// What can be seen of an account.
#[derive(Clone, Debug)]
pub enum Observation<'a> {
    /// The policy was evaluated.
    State(&'a PolicyState),
    /// Nothing, for this reason.
    Unavailable(ReasonMessage<ObservedReason>),
}

/// The status that follows from its inputs and the status so far.
pub fn build(
    previous: &PlacementPolicyStatus,
    status_input: &PolicyStatusInput<'_>,
    now: Timestamp,
) -> PlacementPolicyStatus {
    let mut status = previous.clone();
    status.observed_generation = status_input.generation;
    status.conditions = conditions(&previous.conditions, status_input, now);
    if status_input.account.is_some() {
        status.account.clone_from(&status_input.account);
    }
    match &status_input.observation {
        Observation::State(policy_state) => take_over(&mut status, policy_state),
        // What was under way is kept: nobody knows how it ended.
        Observation::Unavailable(_) => {}
    }
    // Without plans, what must not be proposed again under its id is kept.
    status.approval = match &status_input.approval {
        Some(approval) => approval.status.clone().or_else(|| status.approval.take()),
        None => status.approval.take().map(|approval| ApprovalStatus {
            spent: approval.spent,
            ..ApprovalStatus::default()
        }),
    };
    let changed = !same(previous, &status);
    status.last_evaluation_time = match &status_input.observation {
        Observation::State(policy_state) if changed => Some(Time(policy_state.evaluated_at)),
        Observation::State(_) | Observation::Unavailable(_) => previous.last_evaluation_time.clone(),
    };
    status
}

fn take_over(status: &mut PlacementPolicyStatus, policy_state: &PolicyState) {
    let report = &policy_state.report;
    status.operations.clone_from(&policy_state.operations);
    status.operations.truncate(MAX_OPERATIONS);
    status.recent_actions.clone_from(&policy_state.recent_actions);
    status.recent_actions.truncate(MAX_RECENT_ACTIONS);
    let Limits {
        budgets,
        budget,
        windows,
        breaker,
        waiting: _,
        next_change: _,
    } = &policy_state.limits;
    status.budgets.clone_from(budgets);
    status.budget.clone_from(budget);
    status.windows.clone_from(windows);
    status.breaker.clone_from(breaker);
    status.memory = Some(policy_state.memory.clone());
    match report.observed.0 {
        // The view is empty: what was seen last stays.
        ObservedReason::WarmingUp | ObservedReason::Disconnected | ObservedReason::DomainDiffers => return,
        ObservedReason::Complete | ObservedReason::ServersMissing | ObservedReason::Stale => {}
    }
    status.home.clone_from(&report.home);
    status.locations.clone_from(&report.locations);
    status.locations.truncate(MAX_LOCATIONS);
    status.streams = Some(report.streams);
    status.consumers = Some(report.consumers);
    status.in_place.clone_from(&report.in_place_of);
    status.findings.clone_from(&report.findings);
    status.findings.truncate(MAX_FINDINGS);
    let cut = report.findings.len().saturating_sub(status.findings.len());
    let omitted = i64::try_from(report.findings_omitted.saturating_add(cut)).unwrap_or(i64::MAX);
    status.findings_omitted = (omitted > 0).then_some(omitted);
    status.gateway = steadied(status.gateway.take(), report.gateway.clone());
    status.advice.clone_from(&report.advice);
    status.advice.truncate(MAX_ADVICE);
}

/// Traffic always varies: a rate within a tenth of the last one is no change.
fn steadied(before: Option<GatewayStatus>, now: Option<GatewayStatus>) -> Option<GatewayStatus> {
    match (before, now) {
        (Some(before), Some(now))
            if before.percent == now.percent
                && before.bytes_per_second.abs_diff(now.bytes_per_second)
                    <= before.bytes_per_second.unsigned_abs() / 10 =>
        {
            Some(before)
        }
        (_, now) => now,
    }
}

/// Whether two statuses differ in nothing but the time of the evaluation.
pub fn same(one: &PlacementPolicyStatus, other: &PlacementPolicyStatus) -> bool {
    let timeless = |status: &PlacementPolicyStatus| {
        let status = PlacementPolicyStatus {
            last_evaluation_time: None,
            ..status.clone()
        };
        // As it is stored: times in whole seconds.
        serde_json::to_value(status).ok()
    };
    timeless(one) == timeless(other)
}

fn conditions(
    previous: &[Condition],
    status_input: &PolicyStatusInput<'_>,
    now: Timestamp,
) -> Vec<Condition> {
    let observed = observed(status_input);
    let in_place = in_place(status_input);
    let resolved = resolved(status_input);
    let ready = ready(status_input, &resolved, &observed, &in_place);
    let mut conditions = Conditions::new(previous, status_input.generation, now);
    conditions.add(PolicyCondition::Accepted, &status_input.accepted);
    conditions.add(PolicyCondition::ResolvedRefs, &resolved);
    conditions.add(PolicyCondition::Observed, &observed);
    conditions.add(PolicyCondition::InPlace, &in_place);
    if let Some(approval) = &status_input.approval {
        conditions.add(PolicyCondition::Approved, &approval.condition);
    }
    conditions.add(PolicyCondition::Progressing, &progressing(status_input));
    conditions.add(PolicyCondition::Degraded, &degraded(previous, status_input));
    conditions.add(PolicyCondition::Ready, &ready);
    conditions.finish()
}

fn resolved(status_input: &PolicyStatusInput<'_>) -> ReasonMessage<ResolvedRefsReason> {
    if let Observation::State(policy_state) = &status_input.observation
        && status_input.resolved.holds()
        && !policy_state.denied.is_empty()
    {
        let domain = status_input.spec.jet_stream_domain.as_deref();
        let needed = policy_state.denied.iter().flat_map(|action| subjects(*action));
        let needed: BTreeSet<String> = needed.map(|call| subject(domain, call)).collect();
        let message = format!(
            "NATS refused a request of the account's user: allow it to publish {} and to subscribe to its inbox (inboxPrefix), or \
             disable the action",
            Vec::from_iter(needed).join(", ")
        );
        return ReasonMessage::new(ResolvedRefsReason::PermissionDenied, message);
    }
    status_input.resolved.clone()
}

/// The API calls that an action needs: to read before and after it, and to request it.
fn subjects(action: ActionType) -> [&'static str; 2] {
    match action {
        ActionType::ConsumerStepDown => ["CONSUMER.INFO.>", "CONSUMER.LEADER.STEPDOWN.>"],
        ActionType::StreamStepDown => ["STREAM.INFO.>", "STREAM.LEADER.STEPDOWN.>"],
        ActionType::ConsumerEvacuation => ["CONSUMER.INFO.>", "CONSUMER.PEER.EVACUATE.>"],
        ActionType::StreamPlacement => ["STREAM.INFO.>", "STREAM.UPDATE.>"],
    }
}

fn subject(domain: Option<&str>, call: &str) -> String {
    let prefix = domain.map_or_else(|| "$JS.API".to_owned(), |domain| format!("$JS.{domain}.API"));
    format!("{prefix}.{call}")
}

fn observed(status_input: &PolicyStatusInput<'_>) -> ReasonMessage<ObservedReason> {
    match &status_input.observation {
        Observation::State(policy_state) => {
            let (reason, message) = &policy_state.report.observed;
            match &status_input.lost {
                Some(lost) if *reason == ObservedReason::Complete => {
                    ReasonMessage::new(ObservedReason::Disconnected, lost.as_str())
                }
                Some(_) | None => ReasonMessage::new(*reason, message.as_str()),
            }
        }
        Observation::Unavailable(verdict) => verdict.clone(),
    }
}

fn in_place(status_input: &PolicyStatusInput<'_>) -> ReasonMessage<InPlaceReason> {
    match &status_input.observation {
        Observation::State(policy_state) => {
            let (reason, message) = &policy_state.report.in_place;
            ReasonMessage::new(*reason, message.as_str())
        }
        Observation::Unavailable(_) => ReasonMessage::new(
            InPlaceReason::NoMajority,
            "not evaluated, because the account is not observed",
        ),
    }
}

fn progressing(status_input: &PolicyStatusInput<'_>) -> ReasonMessage<ProgressingReason> {
    match &status_input.observation {
        Observation::State(policy_state) => {
            let (reason, message) = &policy_state.progressing;
            ReasonMessage::new(*reason, message.as_str())
        }
        Observation::Unavailable(_) if status_input.spec.suspend => {
            ReasonMessage::new(ProgressingReason::Suspended, "the policy is suspended")
        }
        Observation::Unavailable(_) if status_input.spec.mode == Mode::Observe => {
            ReasonMessage::new(ProgressingReason::Observing, "the policy's mode is Observe")
        }
        Observation::Unavailable(_) => ReasonMessage::new(
            ProgressingReason::Idle,
            "nothing is done, because the account is not observed",
        ),
    }
}

fn degraded(previous: &[Condition], status_input: &PolicyStatusInput<'_>) -> ReasonMessage<DegradedReason> {
    match &status_input.observation {
        Observation::State(policy_state) => {
            let (reason, message) = &policy_state.degraded;
            ReasonMessage::new(*reason, message.as_str())
        }
        Observation::Unavailable(_) => {
            let kind = PolicyCondition::Degraded.as_ref().to_owned();
            let before = previous.iter().find(|condition| condition.type_ == kind);
            let kept = before.and_then(|before| {
                let reason: DegradedReason = before.reason.parse().ok()?;
                Some(ReasonMessage::new(reason, before.message.as_str()))
            });
            kept.unwrap_or_else(|| ReasonMessage::new(DegradedReason::Healthy, "nothing was done yet"))
        }
    }
}

fn ready(
    status_input: &PolicyStatusInput<'_>,
    resolved: &ReasonMessage<ResolvedRefsReason>,
    observed: &ReasonMessage<ObservedReason>,
    in_place: &ReasonMessage<InPlaceReason>,
) -> ReasonMessage<ReadyReason> {
    let wants_in_place = status_input.spec.ready_when == ReadyWhen::InPlace;
    if !status_input.accepted.holds() {
        let accepted = &status_input.accepted;
        return ReasonMessage::new(ReadyReason::Accepted(accepted.reason), accepted.message.as_str());
    }
    if !resolved.holds() {
        return ReasonMessage::new(
            ReadyReason::ResolvedRefs(resolved.reason),
            resolved.message.as_str(),
        );
    }
    if !observed.holds() {
        return ReasonMessage::new(ReadyReason::Observed(observed.reason), observed.message.as_str());
    }
    match (wants_in_place, in_place.holds()) {
        (true, false) => ReasonMessage::new(
            ReadyReason::NotInPlace(in_place.reason),
            in_place.message.as_str(),
        ),
        (true, true) => ReasonMessage::new(ReadyReason::InPlace, in_place.message.as_str()),
        (false, _) => ReasonMessage::new(ReadyReason::Evaluated, "the policy is evaluated completely"),
    }
}

#[cfg(test)]
mod tests;
