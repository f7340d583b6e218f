//! From what is proposed to what may be begun: which plans wait for a person, what people decided about them, and what of an
//! approved plan is still to be done. Pure: the adapter stores what comes of it as `PlacementPlan` objects.
//!
//! A plan is carried out as it was approved and never otherwise: an action whose asset has changed is skipped for good. Ids of
//! plans that were approved or ended are spent, so that an approval that stays in a file is never one of a later plan.

mod lifecycle;
mod look;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::plan::{
    PlacementPlanSpec, PlacementPlanStatus, PlanAction, PlanActionStatus, PlanPolicyReference,
};
use leeward_api::policy_status::{ApprovalStatus, MAX_SPENT_PLANS};
use leeward_api::vocabulary::{ApprovedReason, PlanState, ReviewDecision, SkipReason};

pub use self::look::ProposalLook;
use crate::names::{AccountId, AssetName};
use crate::policy::ApprovalRules;
use crate::proposal::{Proposal, ProposedAction};

/// Plans of a policy that ended and are kept for people to read.
const ENDED_KEPT: usize = 10;
/// Assets that a message names; more are counted.
const NAMED: usize = 3;

/// One plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRecord {
    /// What was proposed, and what a person decided about it.
    pub spec: PlacementPlanSpec,
    /// What became of it.
    pub status: PlacementPlanStatus,
}

/// The plans of one policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plans {
    /// By id.
    pub by_id: BTreeMap<String, PlanRecord>,
    /// Ids that no plan gets any more, the newest last: of plans that were approved, before anything of them begins, and of
    /// those that ended otherwise.
    pub spent: Vec<String>,
    /// The id that the policy approves. It stays spent however many follow.
    pub named: Option<String>,
    /// Actions of approved plans that a person deleted: they ask from now on.
    declined: Proposal,
}

/// What a plan's id is made of besides its account and its actions: the policy's uid, and the system.
pub fn plan_identity(uid: &str, system: &str) -> String {
    format!("{uid} {system}")
}

/// What decides about plans, besides themselves.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalContext<'a> {
    /// The policy.
    pub policy: &'a PlanPolicyReference,
    /// Its generation.
    pub generation: i64,
    /// Its system, as `NAMESPACE/NAME`.
    pub system: &'a str,
    /// Its account.
    pub account: &'a AccountId,
    /// How its plans are approved.
    pub rules: &'a ApprovalRules,
    /// What the last complete look shows.
    pub look: &'a ProposalLook,
    /// What is being acted on.
    pub in_flight: &'a BTreeSet<AssetName>,
    /// The moment of the decision.
    pub now: Timestamp,
}

impl PlanRecord {
    /// Where it stands. What was never stored waits.
    pub fn state(&self) -> PlanState {
        self.status.state.unwrap_or(PlanState::Proposed)
    }

    /// What it proposes.
    pub fn proposal(&self) -> Proposal {
        let actions = self.spec.actions.iter().map(|action| {
            let proposed = ProposedAction {
                action: action.action,
                from: action.from.as_deref().map(Into::into),
                to: action.to.as_str().into(),
            };
            (asset_of_action(action), proposed)
        });
        Proposal {
            actions: actions.collect(),
        }
    }

    /// Whether it is what its id says, of this policy: nobody wrote another one under that name.
    pub fn is_genuine(&self, id: &str, policy: &PlanPolicyReference) -> bool {
        let account = AccountId::from(self.spec.account.as_str());
        let identity = plan_identity(&policy.uid, &self.spec.system);
        self.spec.policy_ref == *policy && self.proposal().may_have(id, &identity, &account)
    }

    /// Whether a person wants nothing of it to be begun.
    fn is_declined(&self) -> bool {
        self.has_review(ReviewDecision::Cancelled) || self.has_review(ReviewDecision::Rejected)
    }

    fn has_review(&self, decision: ReviewDecision) -> bool {
        let review = self.spec.review.as_ref();
        review.is_some_and(|review| review.decision == decision)
    }

    /// What of it may be begun.
    pub fn may_begin(&self) -> Proposal {
        let may_begin = self.state().may_begin() && !self.is_declined();
        Proposal {
            actions: self.open().filter(|_| may_begin).collect(),
        }
    }

    /// The actions that have not ended.
    fn open(&self) -> impl Iterator<Item = (AssetName, ProposedAction)> {
        let ended: BTreeSet<AssetName> = self.status.actions.iter().map(asset_of_status).collect();
        self.proposal()
            .actions
            .into_iter()
            .filter(move |(asset, _)| !ended.contains(asset))
    }

    fn done(&self) -> usize {
        let done = |action: &&PlanActionStatus| action.skipped.is_none();
        self.status.actions.iter().filter(done).count()
    }

    /// Whether it may be carried out, or why not, with a text for people.
    pub fn approved(&self, name: &str) -> (ApprovedReason, String) {
        let state = self.state();
        match (&self.status.approval, state) {
            (Some(approval), _) => {
                let by = approval
                    .by
                    .as_ref()
                    .map_or_else(String::new, |by| format!(", by {by}"));
                let text = format!("{name} is approved through {}{by}", approval.through);
                (ApprovedReason::Approved, text)
            }
            (None, PlanState::Rejected) => {
                let by = self.spec.review.as_ref().and_then(|review| review.by.as_ref());
                let by = by.map_or_else(String::new, |by| format!(" by {by}"));
                (ApprovedReason::Rejected, format!("{name} was rejected{by}"))
            }
            (None, state) if state.has_ended() => {
                let text = format!("{name} is {state}: nobody approved it before");
                (ApprovedReason::Withdrawn, text)
            }
            (None, _) => {
                let number = self.spec.actions.len();
                let text = format!(
                    "{name} waits for a person: {number} {}; kubectl leeward approve {name}, or reject it",
                    if number == 1 { "action" } else { "actions" }
                );
                (ApprovedReason::AwaitingApproval, text)
            }
        }
    }
}

impl Plans {
    /// What may be begun: what has not ended of the plans that are approved.
    pub fn may_begin(&self) -> Proposal {
        let plans = self.by_id.values();
        Proposal {
            actions: plans.flat_map(|plan| plan.may_begin().actions).collect(),
        }
    }

    /// The plan to show: the one that waits for a person, else one that is carried out.
    pub fn shown(&self) -> Option<(&String, &PlanRecord)> {
        let first = |wanted: fn(PlanState) -> bool| self.by_id.iter().find(|(_, plan)| wanted(plan.state()));
        first(PlanState::is_undecided).or_else(|| first(PlanState::may_begin))
    }

    /// Whether nothing waits for a person, or what does, in words.
    pub fn approved(&self, policy: &str) -> (ApprovedReason, String) {
        let named = self.named.as_ref().filter(|id| {
            let is_open = self.by_id.get(*id).is_some_and(|plan| !plan.state().has_ended());
            !is_open && !self.spent.contains(id)
        });
        if let Some(named) = named {
            return (ApprovedReason::UnknownPlan, self.unknown(named));
        }
        match self.shown() {
            None => (ApprovedReason::NothingProposed, "nothing is proposed".to_owned()),
            Some((id, plan)) => plan.approved(&plan_name(policy, id)),
        }
    }

    /// What stands in the policy is no plan that waits: both ids, and the difference as far as it is known.
    fn unknown(&self, named: &str) -> String {
        let Some((id, shown)) = self.shown().filter(|(_, plan)| plan.state().is_undecided()) else {
            return format!("approval.approvedPlan is {named}, and nothing is proposed: remove it");
        };
        let difference = self.by_id.get(named).map_or_else(String::new, |old| {
            let (old, new) = (old.proposal().actions, shown.proposal().actions);
            let only = |one: &BTreeMap<AssetName, ProposedAction>,
                        other: &BTreeMap<AssetName, ProposedAction>| {
                let only = one
                    .iter()
                    .filter(|(asset, action)| other.get(*asset) != Some(*action));
                listed(only.map(|(asset, _)| asset))
            };
            format!(
                "; only in the former: {}; only in the latter: {}",
                only(&old, &new),
                only(&new, &old)
            )
        });
        format!(
            "approval.approvedPlan is {named}, what is proposed is {id}: read it and approve that one{difference}"
        )
    }

    /// As the policy's status has it.
    pub fn status(&self) -> ApprovalStatus {
        let shown = self.shown();
        ApprovalStatus {
            plan: shown.map(|(id, _)| id.clone()),
            state: shown.map(|(_, plan)| plan.state()),
            actions: shown.and_then(|(_, plan)| i64::try_from(plan.spec.actions.len()).ok()),
            spent: self.spent.clone(),
        }
    }

    /// Since when a plan waits for a person, if one does.
    pub fn waiting_since(&self) -> Option<Timestamp> {
        let waits = self
            .by_id
            .values()
            .find(|plan| plan.state() == PlanState::Proposed)?;
        waits.status.proposed_time.as_ref().map(|time| time.0)
    }

    /// Takes over a plan of an earlier process.
    pub fn restore(&mut self, id: &str, plan: PlanRecord) {
        match plan.state() {
            PlanState::Approved
            | PlanState::Executing
            | PlanState::Completed
            | PlanState::PartlyDone
            | PlanState::Expired
            | PlanState::Cancelled => self.spend(id),
            PlanState::Proposed | PlanState::Superseded | PlanState::Rejected => {}
        }
        self.by_id.insert(id.to_owned(), plan);
    }

    /// A plan is gone. What was approved of it is no more, and its id with it.
    pub fn forget(&mut self, id: &str) {
        let Some(plan) = self.by_id.remove(id) else {
            return;
        };
        if plan.state().may_begin() || plan.state().is_undecided() || plan.is_declined() {
            self.declined.actions.append(&mut plan.proposal().actions);
        }
        if plan.state().may_begin() {
            self.spend(id);
        }
    }

    /// Approvals that are not stored hold no longer than what they were given for: each step decides about them anew.
    pub fn take_back_unstored(&mut self, stored: &Self) {
        let unstored = |(id, plan): (&String, &PlanRecord)| {
            let known = stored.by_id.get(id);
            let is_stored = known.is_some_and(|known| known.state().may_begin());
            (plan.state().may_begin() && !is_stored).then(|| id.clone())
        };
        let unstored: Vec<String> = self.by_id.iter().filter_map(unstored).collect();
        for id in unstored {
            self.spent.retain(|one| *one != id);
            let (plan, known) = (self.by_id.remove(&id), stored.by_id.get(&id));
            if let Some((mut plan, known)) = plan.zip(known) {
                plan.status = PlacementPlanStatus {
                    conditions: plan.status.conditions,
                    ..known.status.clone()
                };
                self.by_id.insert(id, plan);
            }
        }
    }

    /// A plan cannot be stored under its id: the same is proposed under another.
    pub fn give_up(&mut self, id: &str) {
        self.by_id.remove(id);
        self.spend(id);
    }

    /// Begins nothing more of approved plans that a person cancelled, or rejected after all.
    pub fn cancel_reviewed(&mut self, in_flight: &BTreeSet<AssetName>, now: Timestamp) {
        self.cancel(PlanRecord::is_declined, in_flight, now);
    }

    fn cancel(
        &mut self,
        which: impl Fn(&PlanRecord) -> bool,
        in_flight: &BTreeSet<AssetName>,
        now: Timestamp,
    ) {
        let approved = |plan: &&mut PlanRecord| plan.state().may_begin() && which(plan);
        for plan in self.by_id.values_mut().filter(approved) {
            cancel(plan, in_flight, now);
        }
    }

    /// No plan gets this id any more. The oldest are forgotten, though never the one that stands in the policy.
    fn spend(&mut self, id: &str) {
        if !self.spent.iter().any(|one| one == id) {
            self.spent.push(id.to_owned());
        }
        while self.spent.len() > MAX_SPENT_PLANS {
            let named = |one: &String| self.named.as_ref() == Some(one);
            let oldest = self.spent.iter().position(|one| !named(one)).unwrap_or_default();
            self.spent.remove(oldest);
        }
    }

    /// The policy proposes no more what such plans are about: what waited is superseded, and nothing more is begun of what
    /// was approved.
    pub fn withdraw(
        &mut self,
        which: impl Fn(&PlacementPlanSpec) -> bool,
        in_flight: &BTreeSet<AssetName>,
        now: Timestamp,
    ) {
        let undecided = |plan: &&mut PlanRecord| plan.state().is_undecided() && which(&plan.spec);
        for plan in self.by_id.values_mut().filter(undecided) {
            end(plan, PlanState::Superseded, now);
        }
        self.cancel(|plan| which(&plan.spec), in_flight, now);
    }

    /// Forgets what ended and is not kept for people any more.
    pub fn prune(&mut self) {
        let mut ended: Vec<(Option<Timestamp>, String)> = self
            .by_id
            .iter()
            .filter(|(_, plan)| plan.state().has_ended())
            .map(|(id, plan)| (plan.status.end_time.as_ref().map(|time| time.0), id.clone()))
            .collect();
        ended.sort();
        let most = ended.len().saturating_sub(ENDED_KEPT);
        for (_, id) in ended.into_iter().take(most) {
            self.forget(&id);
        }
    }
}

/// The name of the object of a plan. What is too long of the policy's name is cut.
pub fn plan_name(policy: &str, id: &str) -> String {
    /// The longest name that Kubernetes takes.
    const LONGEST: usize = 253;
    let kept: String = policy
        .chars()
        .take(LONGEST.saturating_sub(id.len()).saturating_sub(1))
        .collect();
    // What stands between two parts of a name ends none.
    format!("{}-{id}", kept.trim_end_matches(['.', '-']))
}

/// Its last state, from now on.
fn end(plan: &mut PlanRecord, state: PlanState, now: Timestamp) {
    plan.status.state = Some(state);
    plan.status.end_time = Some(Time(now));
}

/// Nothing more of it is begun. What is in flight ends by itself, as the policy's status shows.
fn cancel(plan: &mut PlanRecord, in_flight: &BTreeSet<AssetName>, now: Timestamp) {
    let open: Vec<AssetName> = plan.open().map(|(asset, _)| asset).collect();
    for asset in open.into_iter().filter(|asset| !in_flight.contains(asset)) {
        plan.status
            .actions
            .push(ended(&asset, Some(SkipReason::Cancelled), now));
    }
    end(plan, PlanState::Cancelled, now);
}

fn ended(asset: &AssetName, skipped: Option<SkipReason>, now: Timestamp) -> PlanActionStatus {
    PlanActionStatus {
        stream: asset.stream.to_string(),
        consumer: asset.consumer.as_ref().map(ToString::to_string),
        skipped,
        reason: None,
        time: Time(now),
    }
}

fn asset_of_action(action: &PlanAction) -> AssetName {
    AssetName::of(&action.stream, action.consumer.as_deref())
}

fn asset_of_status(action: &PlanActionStatus) -> AssetName {
    AssetName::of(&action.stream, action.consumer.as_deref())
}

fn listed<'a>(assets: impl Iterator<Item = &'a AssetName>) -> String {
    let all: Vec<String> = assets.map(ToString::to_string).collect();
    let more = all.len().saturating_sub(NAMED);
    match (all.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => all.join(", "),
        (false, more) => {
            let named: Vec<String> = all.into_iter().take(NAMED).collect();
            format!("{} and {more} more", named.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
