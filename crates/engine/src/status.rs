//! The status of a policy from where it stands. Pure.
//!
//! What cannot be seen now keeps its last value: the conditions say that it is old. A status is worth writing only when
//! something besides time changed (P12).

// Numbers and texts of servers come here: no sum of them overflows and no index misses.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

use std::collections::BTreeSet;

use crate::standing::Standing;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use leeward_api::policy::{Mode, PlacementPolicySpec, ReadyWhen};
use leeward_api::policy_status::{
    Account, GatewayStatus, MAX_ADVICE, MAX_FINDINGS, MAX_LOCATIONS, MAX_OPERATIONS, MAX_RECENT_ACTIONS,
    PlacementPolicyStatus,
};
use leeward_api::vocabulary::{
    AcceptedReason, ActionType, DegradedReason, InPlaceReason, ObservedReason, PolicyCondition,
    ProgressingReason, ReadyReason, ResolvedRefsReason,
};
use leeward_core::limits::Limits;

use crate::condition::{Conditions, Verdict};

/// Everything that a status is made of.
#[derive(Clone, Debug)]
pub struct Outlook<'a> {
    /// The policy's generation.
    pub generation: Option<i64>,
    /// The policy.
    pub spec: &'a PlacementPolicySpec,
    /// Whether it is accepted.
    pub accepted: Verdict<AcceptedReason>,
    /// Whether what it refers to was found and works.
    pub resolved: Verdict<ResolvedRefsReason>,
    /// The account, once it is known.
    pub account: Option<Account>,
    /// What can be seen.
    pub sight: Sight<'a>,
    /// Why nothing can be sent in the account's name, although it can be seen.
    pub lost: Option<String>,
}

/// What can be seen of an account.
#[derive(Clone, Debug)]
pub enum Sight<'a> {
    /// The policy was evaluated.
    Standing(&'a Standing),
    /// Nothing, for this reason.
    Blind(Verdict<ObservedReason>),
}

/// The status that follows from an outlook and the status so far.
pub fn build(
    previous: &PlacementPolicyStatus,
    outlook: &Outlook<'_>,
    now: Timestamp,
) -> PlacementPolicyStatus {
    let mut status = previous.clone();
    status.observed_generation = outlook.generation;
    status.conditions = conditions(&previous.conditions, outlook, now);
    if outlook.account.is_some() {
        status.account.clone_from(&outlook.account);
    }
    match &outlook.sight {
        Sight::Standing(standing) => take_over(&mut status, standing),
        // What was under way is not forgotten: nobody knows how it ended.
        Sight::Blind(_) => {}
    }
    let changed = !same(previous, &status);
    status.last_evaluation_time = match &outlook.sight {
        Sight::Standing(standing) if changed => Some(Time(standing.evaluated_at)),
        Sight::Standing(_) | Sight::Blind(_) => previous.last_evaluation_time.clone(),
    };
    status
}

fn take_over(status: &mut PlacementPolicyStatus, standing: &Standing) {
    let report = &standing.report;
    status.operations.clone_from(&standing.operations);
    status.operations.truncate(MAX_OPERATIONS);
    status.recent_actions.clone_from(&standing.recent_actions);
    status.recent_actions.truncate(MAX_RECENT_ACTIONS);
    let Limits {
        budgets,
        budget,
        windows,
        breaker,
        waiting: _,
        next_change: _,
    } = &standing.limits;
    status.budgets.clone_from(budgets);
    status.budget.clone_from(budget);
    status.windows.clone_from(windows);
    status.breaker.clone_from(breaker);
    status.memory = Some(standing.memory.clone());
    match report.observed.0 {
        // There is nothing in the view: what was seen last stays.
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

/// Traffic never stands still: a rate within a tenth of the last one is no news.
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

fn conditions(previous: &[Condition], outlook: &Outlook<'_>, now: Timestamp) -> Vec<Condition> {
    let observed = observed(outlook);
    let in_place = in_place(outlook);
    let resolved = resolved(outlook);
    let ready = ready(outlook, &resolved, &observed, &in_place);
    let mut conditions = Conditions::new(previous, outlook.generation, now);
    conditions.add(PolicyCondition::Accepted, &outlook.accepted);
    conditions.add(PolicyCondition::ResolvedRefs, &resolved);
    conditions.add(PolicyCondition::Observed, &observed);
    conditions.add(PolicyCondition::InPlace, &in_place);
    conditions.add(PolicyCondition::Progressing, &progressing(outlook));
    conditions.add(PolicyCondition::Degraded, &degraded(previous, outlook));
    conditions.add(PolicyCondition::Ready, &ready);
    conditions.finish()
}

fn resolved(outlook: &Outlook<'_>) -> Verdict<ResolvedRefsReason> {
    if let Sight::Standing(standing) = &outlook.sight
        && outlook.resolved.holds()
        && !standing.denied.is_empty()
    {
        let domain = outlook.spec.jet_stream_domain.as_deref();
        let needed = standing.denied.iter().flat_map(|action| subjects(*action));
        let needed: BTreeSet<String> = needed.map(|call| subject(domain, call)).collect();
        let message = format!(
            "NATS refused a request of the account's user: allow it to publish {} and to subscribe to its inbox (inboxPrefix), or \
             disable the action",
            Vec::from_iter(needed).join(", ")
        );
        return Verdict::new(ResolvedRefsReason::PermissionDenied, message);
    }
    outlook.resolved.clone()
}

/// The calls that an action needs: to look right before and after it, and to ask for it.
fn subjects(action: ActionType) -> [&'static str; 2] {
    match action {
        ActionType::ConsumerStepDown => ["CONSUMER.INFO.>", "CONSUMER.LEADER.STEPDOWN.>"],
        ActionType::StreamStepDown => ["STREAM.INFO.>", "STREAM.LEADER.STEPDOWN.>"],
        ActionType::StreamPlacement => ["STREAM.INFO.>", "STREAM.UPDATE.>"],
    }
}

fn subject(domain: Option<&str>, call: &str) -> String {
    let prefix = domain.map_or_else(|| "$JS.API".to_owned(), |domain| format!("$JS.{domain}.API"));
    format!("{prefix}.{call}")
}

fn observed(outlook: &Outlook<'_>) -> Verdict<ObservedReason> {
    match &outlook.sight {
        Sight::Standing(standing) => {
            let (reason, message) = &standing.report.observed;
            match &outlook.lost {
                Some(lost) if *reason == ObservedReason::Complete => {
                    Verdict::new(ObservedReason::Disconnected, lost.as_str())
                }
                Some(_) | None => Verdict::new(*reason, message.as_str()),
            }
        }
        Sight::Blind(verdict) => verdict.clone(),
    }
}

fn in_place(outlook: &Outlook<'_>) -> Verdict<InPlaceReason> {
    match &outlook.sight {
        Sight::Standing(standing) => {
            let (reason, message) = &standing.report.in_place;
            Verdict::new(*reason, message.as_str())
        }
        Sight::Blind(_) => Verdict::new(
            InPlaceReason::NoMajority,
            "not evaluated, because the account is not observed",
        ),
    }
}

fn progressing(outlook: &Outlook<'_>) -> Verdict<ProgressingReason> {
    match &outlook.sight {
        Sight::Standing(standing) => {
            let (reason, message) = &standing.progressing;
            Verdict::new(*reason, message.as_str())
        }
        Sight::Blind(_) if outlook.spec.suspend => {
            Verdict::new(ProgressingReason::Suspended, "the policy is suspended")
        }
        Sight::Blind(_) if outlook.spec.mode == Mode::Observe => {
            Verdict::new(ProgressingReason::Observing, "the policy's mode is Observe")
        }
        Sight::Blind(_) => Verdict::new(
            ProgressingReason::Idle,
            "nothing is done, because the account is not observed",
        ),
    }
}

fn degraded(previous: &[Condition], outlook: &Outlook<'_>) -> Verdict<DegradedReason> {
    match &outlook.sight {
        Sight::Standing(standing) => {
            let (reason, message) = &standing.degraded;
            Verdict::new(*reason, message.as_str())
        }
        Sight::Blind(_) => {
            let kind = PolicyCondition::Degraded.as_ref().to_owned();
            let before = previous.iter().find(|condition| condition.type_ == kind);
            let kept = before.and_then(|before| {
                let reason: DegradedReason = before.reason.parse().ok()?;
                Some(Verdict::new(reason, before.message.as_str()))
            });
            kept.unwrap_or_else(|| Verdict::new(DegradedReason::Healthy, "nothing was done yet"))
        }
    }
}

fn ready(
    outlook: &Outlook<'_>,
    resolved: &Verdict<ResolvedRefsReason>,
    observed: &Verdict<ObservedReason>,
    in_place: &Verdict<InPlaceReason>,
) -> Verdict<ReadyReason> {
    let wants_in_place = outlook.spec.ready_when == ReadyWhen::InPlace;
    if !outlook.accepted.holds() {
        let accepted = &outlook.accepted;
        return Verdict::new(ReadyReason::Accepted(accepted.reason), accepted.message.as_str());
    }
    if !resolved.holds() {
        return Verdict::new(
            ReadyReason::ResolvedRefs(resolved.reason),
            resolved.message.as_str(),
        );
    }
    if !observed.holds() {
        return Verdict::new(ReadyReason::Observed(observed.reason), observed.message.as_str());
    }
    match (wants_in_place, in_place.holds()) {
        (true, false) => Verdict::new(
            ReadyReason::NotInPlace(in_place.reason),
            in_place.message.as_str(),
        ),
        (true, true) => Verdict::new(ReadyReason::InPlace, in_place.message.as_str()),
        (false, _) => Verdict::new(ReadyReason::Evaluated, "the policy is evaluated completely"),
    }
}

#[cfg(test)]
mod tests;
