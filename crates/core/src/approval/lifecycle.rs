//! One step of all plans of a policy: what was approved goes on, what is proposed waits or begins.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::plan::{
    MAX_PLAN_ACTIONS, PlacementPlanSpec, PlacementPlanStatus, PlanAction, PlanApproval, PlanPrediction,
};
use leeward_api::vocabulary::{ApprovedBy, PlanState, ReviewDecision, SkipReason};

use super::{ApprovalContext, PlanRecord, Plans, end, ended, plan_identity};
use crate::names::AssetName;
use crate::policy::AutoApproveRules;
use crate::proposal::{Proposal, ProposedAction};
use crate::propose::{ProposalChange, ProposedState};
use crate::time::elapsed;

impl Plans {
    /// Takes in what the last look shows and what people decided.
    pub fn advance(&mut self, context: &ApprovalContext<'_>) {
        self.carry_on(context);
        // What was judged by another edition of the policy is not what would be done.
        if context.look.generation != context.generation {
            return;
        }
        let (auto, mut asking) = self.split(context);
        if let Some(id) = self.new_id_of(&auto, context) {
            self.propose(&id, &auto, context);
            self.approve(&id, ApprovedBy::AutoApprove, context);
        }
        truncate(&mut asking);
        let current = self.new_id_of(&asking, context);
        if let Some(id) = &current {
            self.propose(id, &asking, context);
            self.decide(id, context);
        }
        self.supersede(current.as_ref(), context);
    }

    /// What has become of the plans that are approved.
    fn carry_on(&mut self, context: &ApprovalContext<'_>) {
        let is_judged = context.look.approved == self.may_begin();
        for plan in self.by_id.values_mut() {
            if !plan.state().may_begin() {
                continue;
            }
            if is_judged {
                take_in(plan, context);
            }
            let open: Vec<AssetName> = plan.open().map(|(asset, _)| asset).collect();
            let begun = !plan.status.actions.is_empty();
            if open.is_empty() {
                let skipped = plan.status.actions.iter().any(|action| action.skipped.is_some());
                let state = if skipped {
                    PlanState::PartlyDone
                } else {
                    PlanState::Completed
                };
                end(plan, state, context.now);
                plan.status.in_place = Some(of_judged(context.look.in_place, context));
                plan.status.gateway_percent = context.look.gateway_percent;
            } else if begun || open.iter().any(|asset| context.in_flight.contains(asset)) {
                plan.status.state = Some(PlanState::Executing);
            }
        }
    }

    /// What is proposed and in no approved plan: what begins without asking, and what waits.
    fn split(&self, context: &ApprovalContext<'_>) -> (Proposal, Proposal) {
        let taken: BTreeSet<AssetName> = self.may_begin().actions.into_keys().collect();
        let free = context.look.proposal.actions.iter().filter(|(asset, _)| {
            // The look may be older than what is being done; consumers of a stream that moves come along.
            let stream = AssetName::stream(asset.stream.clone());
            let is_acted_on = [*asset, &stream]
                .into_iter()
                .any(|one| context.in_flight.contains(one));
            !taken.contains(*asset) && !is_acted_on
        });
        // What a person said no to asks again, whatever the bounds are.
        let declined = self.by_id.values().filter(|plan| plan.is_declined());
        let declined: Vec<Proposal> = declined.map(PlanRecord::proposal).collect();
        let is_declined = |asset: &AssetName, action: &ProposedAction| {
            let mut all = declined.iter().chain([&self.declined]);
            all.any(|plan| plan.actions.get(asset) == Some(action))
        };
        let (mut auto, mut asking) = (Proposal::default(), Proposal::default());
        for (asset, action) in free {
            let qualifies = context.rules.auto.as_ref();
            let qualifies = qualifies.is_some_and(|rules| qualifies_for(rules, asset, action, context));
            let qualifies = qualifies && !is_declined(asset, action);
            let part = if qualifies { &mut auto } else { &mut asking };
            part.actions.insert(asset.clone(), action.clone());
        }
        let most = context.rules.auto.as_ref().map_or(0, |rules| rules.max_actions);
        if auto.actions.len() > most {
            asking.actions.append(&mut auto.actions);
        }
        (auto, asking)
    }

    /// The id of what is proposed. A plan that ended and about which a person had decided something is not the one that waits
    /// now: its id is spent.
    fn new_id_of(&mut self, proposal: &Proposal, context: &ApprovalContext<'_>) -> Option<String> {
        let identity = plan_identity(&context.policy.uid, context.system);
        loop {
            let id = proposal.id(&identity, context.account, &self.spent)?;
            let known = self.by_id.get(&id);
            if known.is_some_and(|plan| plan.state().has_ended() && plan.spec.review.is_some()) {
                self.spend(&id);
            } else {
                return Some(id);
            }
        }
    }

    /// It waits for a person, again if it did before something else was proposed.
    fn propose(&mut self, id: &str, proposal: &Proposal, context: &ApprovalContext<'_>) {
        let plan = self
            .by_id
            .entry(id.to_owned())
            .or_insert_with(|| record(proposal, context));
        if plan.state().has_ended() {
            plan.status = waiting(proposal.actions.len(), context);
        }
    }

    /// What people decided about what waits.
    fn decide(&mut self, id: &str, context: &ApprovalContext<'_>) {
        let Some(plan) = self.by_id.get_mut(id) else {
            return;
        };
        let review = plan.spec.review.as_ref().map(|review| review.decision);
        let since = plan.status.proposed_time.as_ref().map(|since| since.0);
        let waits = since.map(|since| elapsed(since, context.now));
        // An approval may have been given before it could be seen.
        match review {
            Some(ReviewDecision::Approved) => self.approve(id, ApprovedBy::Review, context),
            None if self.named.as_deref() == Some(id) => self.approve(id, ApprovedBy::Policy, context),
            _ if waits.is_some_and(|waits| waits >= context.rules.plan_ttl) => {
                end(plan, PlanState::Expired, context.now);
                self.spend(id);
            }
            Some(ReviewDecision::Rejected | ReviewDecision::Cancelled) => {
                plan.status.state = Some(PlanState::Rejected);
            }
            None => plan.status.state = Some(PlanState::Proposed),
        }
    }

    /// It may be carried out, this once.
    fn approve(&mut self, id: &str, through: ApprovedBy, context: &ApprovalContext<'_>) {
        if let Some(plan) = self.by_id.get_mut(id) {
            let review = plan
                .spec
                .review
                .as_ref()
                .filter(|_| through == ApprovedBy::Review);
            plan.status.state = Some(PlanState::Approved);
            plan.status.approval = Some(PlanApproval {
                through,
                by: review.and_then(|review| review.by.clone()),
                time: Time(context.now),
            });
            self.spend(id);
        }
    }

    /// Nothing else than what is proposed now waits for a person.
    fn supersede(&mut self, current: Option<&String>, context: &ApprovalContext<'_>) {
        for (id, plan) in &mut self.by_id {
            if Some(id) != current && plan.state().is_undecided() {
                plan.status.superseded_by = current.cloned();
                end(plan, PlanState::Superseded, context.now);
            }
        }
    }
}

/// Ends the actions that are done, and those whose asset has changed.
fn take_in(plan: &mut PlanRecord, context: &ApprovalContext<'_>) {
    let open: Vec<AssetName> = plan.open().map(|(asset, _)| asset).collect();
    for asset in open {
        if context.in_flight.contains(&asset) {
            continue;
        }
        let action = match context.look.states.get(&asset) {
            Some(ProposedState::Done) => ended(&asset, None, context.now),
            Some(ProposedState::Changed(change)) => {
                let (skipped, reason) = skipped(*change);
                let mut action = ended(&asset, Some(skipped), context.now);
                action.reason = reason;
                action
            }
            Some(ProposedState::Due | ProposedState::Waits(_)) | None => continue,
        };
        plan.status.actions.push(action);
    }
    plan.status.done = Some(format!("{}/{}", plan.done(), plan.spec.actions.len()));
}

fn skipped(change: ProposalChange) -> (SkipReason, Option<String>) {
    match change {
        ProposalChange::Gone => (SkipReason::Gone, None),
        ProposalChange::NotSelected => (SkipReason::NotSelected, None),
        ProposalChange::HomeChanged => (SkipReason::HomeChanged, None),
        ProposalChange::LeaderChanged => (SkipReason::LeaderChanged, None),
        ProposalChange::ActionChanged => (SkipReason::ActionChanged, None),
        ProposalChange::Held(reason) => (SkipReason::Held, Some(reason.to_string())),
    }
}

fn qualifies_for(
    rules: &AutoApproveRules,
    asset: &AssetName,
    action: &ProposedAction,
    context: &ApprovalContext<'_>,
) -> bool {
    let estimate = context.look.estimates.get(asset).copied().unwrap_or_default();
    let gain = estimate.saved.unwrap_or(0.0);
    let enough = rules
        .min_gain
        .is_none_or(|least| f64::from(gain) >= f64::from(least));
    rules.actions.contains(&action.action)
        && rules.max_bytes.is_none_or(|most| estimate.bytes <= most)
        && enough
}

fn waiting(actions: usize, context: &ApprovalContext<'_>) -> PlacementPlanStatus {
    PlacementPlanStatus {
        done: Some(format!("0/{actions}")),
        state: Some(PlanState::Proposed),
        proposed_time: Some(Time(context.now)),
        ..PlacementPlanStatus::default()
    }
}

/// A plan that nobody has seen yet.
fn record(proposal: &Proposal, context: &ApprovalContext<'_>) -> PlanRecord {
    let look = context.look;
    let estimate = |asset: &AssetName| look.estimates.get(asset).copied().unwrap_or_default();
    let actions: Vec<PlanAction> = proposal
        .actions
        .iter()
        .map(|(asset, proposed)| PlanAction {
            action: proposed.action,
            stream: asset.stream.to_string(),
            consumer: asset.consumer.as_ref().map(ToString::to_string),
            from: proposed.from.as_ref().map(ToString::to_string),
            to: proposed.to.to_string(),
            bytes: proposed
                .action
                .is_move()
                .then(|| i64::try_from(estimate(asset).bytes).unwrap_or(i64::MAX)),
            saved_milliseconds_per_second: estimate(asset).saved.map(whole),
        })
        .collect();
    let all = || proposal.actions.keys().map(estimate);
    let leaders: u32 = all().map(|one| one.leaders).fold(0, u32::saturating_add);
    let bytes = all().map(|one| one.bytes).fold(0, u64::saturating_add);
    let saved: f32 = all().filter_map(|one| one.saved).sum();
    PlanRecord {
        spec: PlacementPlanSpec {
            policy_ref: context.policy.clone(),
            policy_generation: context.generation,
            system: context.system.to_owned(),
            account: context.account.to_string(),
            actions,
            predicted: PlanPrediction {
                in_place_before: of_judged(look.in_place, context),
                in_place_after: of_judged(look.in_place.saturating_add(leaders), context),
                gateway_percent_before: look.gateway_percent,
                bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
                saved_milliseconds_per_second: whole(saved),
            },
            review: None,
        },
        status: waiting(proposal.actions.len(), context),
    }
}

/// As many actions as a plan may have; which ones must not depend on rates, or ids would.
fn truncate(proposal: &mut Proposal) {
    if let Some(beyond) = proposal.actions.keys().nth(MAX_PLAN_ACTIONS).cloned() {
        proposal.actions.split_off(&beyond);
    }
}

fn of_judged(in_place: u32, context: &ApprovalContext<'_>) -> String {
    format!("{in_place}/{}", context.look.judged)
}

#[expect(clippy::cast_possible_truncation, reason = "a float as an integer saturates")]
fn whole(number: f32) -> i64 {
    number.round() as i64
}
