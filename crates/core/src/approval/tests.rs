mod decided;
mod unstored;

use leeward_api::plan::PlanReview;
use leeward_api::vocabulary::{ActionType, ApprovedBy, FindingReason};

use super::*;
use crate::fixtures::at;
use crate::policy::AutoApproveRules;
use crate::proposal::Estimate;
use crate::propose::{ProposalChange, ProposedState};

/// A policy with its plans, and a world that a test changes.
struct Case {
    plans: Plans,
    policy: PlanPolicyReference,
    account: AccountId,
    rules: ApprovalRules,
    look: ProposalLook,
    in_flight: BTreeSet<AssetName>,
    generation: i64,
    now: u64,
}

fn stream(name: &str) -> AssetName {
    AssetName::of(name, None)
}

fn step_down() -> ProposedAction {
    ProposedAction {
        action: ActionType::StreamStepDown,
        from: Some("eu-west".into()),
        to: "us-east".into(),
    }
}

impl Case {
    /// Proposes step-downs of these streams.
    fn of(streams: &[&str]) -> Self {
        let mut case = Self {
            plans: Plans::default(),
            policy: PlanPolicyReference {
                name: "orders".into(),
                uid: "u".into(),
            },
            account: "A".into(),
            rules: ApprovalRules {
                plan_ttl: std::time::Duration::from_hours(1),
                auto: None,
            },
            look: ProposalLook {
                generation: 1,
                proposal: Proposal::default(),
                estimates: BTreeMap::new(),
                approved: Proposal::default(),
                states: BTreeMap::new(),
                in_place: 1,
                judged: 9,
                gateway_percent: None,
            },
            in_flight: BTreeSet::new(),
            generation: 1,
            now: 0,
        };
        case.propose(streams);
        case
    }

    fn propose(&mut self, streams: &[&str]) {
        let actions = streams.iter().map(|name| (stream(name), step_down()));
        self.look.proposal.actions = actions.collect();
        let estimate = Estimate {
            bytes: 0,
            saved: Some(5.0),
            leaders: 1,
        };
        self.look.estimates = streams.iter().map(|name| (stream(name), estimate)).collect();
    }

    /// One look later: what was approved before it is judged by it.
    fn advance(&mut self) {
        self.now += 1;
        self.look.approved = self.plans.may_begin();
        self.again();
    }

    /// Without another look.
    fn again(&mut self) {
        self.plans.advance(&ApprovalContext {
            policy: &self.policy,
            generation: self.generation,
            system: "nats/prod",
            account: &self.account,
            rules: &self.rules,
            look: &self.look,
            in_flight: &self.in_flight,
            now: at(self.now),
        });
    }

    /// The look shows this of assets that were approved.
    fn becomes(&mut self, name: &str, state: ProposedState) {
        self.look.states.insert(stream(name), state);
    }

    fn id(&self) -> String {
        self.plans.shown().unwrap().0.clone()
    }

    fn state(&self, id: &str) -> PlanState {
        self.plans.by_id[id].state()
    }

    fn review(&mut self, id: &str, decision: ReviewDecision) {
        let plan = self.plans.by_id.get_mut(id).unwrap();
        plan.spec.review = Some(PlanReview {
            decision,
            by: Some("ada".into()),
        });
    }

    fn begun(&self) -> Vec<String> {
        self.plans
            .may_begin()
            .actions
            .keys()
            .map(ToString::to_string)
            .collect()
    }
}

#[test]
fn what_is_proposed_waits_and_begins_only_when_a_person_approves_it() {
    let mut case = Case::of(&["A", "B"]);
    case.advance();
    let id = case.id();
    assert_eq!(case.state(&id), PlanState::Proposed);
    let predicted = &case.plans.by_id[&id].spec.predicted;
    assert_eq!(
        (&*predicted.in_place_before, &*predicted.in_place_after),
        ("1/9", "3/9")
    );
    case.advance();
    assert_eq!(
        (case.id(), case.begun().len()),
        (id.clone(), 0),
        "the same look, the same plan"
    );
    assert_eq!(case.plans.approved("orders").0, ApprovedReason::AwaitingApproval);
    case.review(&id, ReviewDecision::Approved);
    case.advance();
    assert_eq!(case.state(&id), PlanState::Approved);
    assert_eq!(case.begun().len(), 2);
    let approval = case.plans.by_id[&id].status.approval.clone().unwrap();
    assert_eq!(
        (approval.through, approval.by.as_deref()),
        (ApprovedBy::Review, Some("ada"))
    );
}

#[test]
fn a_plan_ends_when_nothing_of_it_is_left_and_what_changed_is_skipped_for_good() {
    let mut case = Case::of(&["A", "B", "C"]);
    case.advance();
    let id = case.id();
    case.review(&id, ReviewDecision::Approved);
    case.advance();
    case.becomes("A", ProposedState::Done);
    case.becomes(
        "B",
        ProposedState::Changed(ProposalChange::Held(FindingReason::Contested)),
    );
    case.becomes("C", ProposedState::Waits(FindingReason::OutsideWindow));
    case.propose(&["C"]);
    case.advance();
    assert_eq!(case.state(&id), PlanState::Executing);
    assert_eq!(case.begun(), ["stream C"].map(|_| stream("C").to_string()));
    // It would be done again now, but it was skipped.
    case.becomes("B", ProposedState::Due);
    case.becomes("C", ProposedState::Done);
    case.propose(&["B"]);
    case.advance();
    assert_eq!(case.state(&id), PlanState::PartlyDone);
    let plan = &case.plans.by_id[&id];
    assert_eq!(plan.status.done.as_deref(), Some("2/3"));
    assert_eq!(plan.status.actions[1].skipped, Some(SkipReason::Held));
    assert_eq!(plan.status.actions[1].reason.as_deref(), Some("Contested"));
    assert_eq!(plan.status.in_place.as_deref(), Some("1/9"));
    let next = case.id();
    assert_ne!(next, id, "what was skipped is proposed anew");
    assert_eq!(case.state(&next), PlanState::Proposed);
}

#[test]
fn a_look_from_before_an_approval_ends_nothing() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    case.becomes("A", ProposedState::Changed(ProposalChange::HomeChanged));
    case.review(&id, ReviewDecision::Approved);
    case.again();
    case.again();
    assert_eq!(
        case.state(&id),
        PlanState::Approved,
        "those states are of an earlier approval"
    );
}

#[test]
fn what_is_in_flight_has_not_ended_whatever_an_older_look_shows() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    case.review(&id, ReviewDecision::Approved);
    case.advance();
    case.in_flight = [stream("A")].into();
    case.becomes("A", ProposedState::Changed(ProposalChange::LeaderChanged));
    case.advance();
    assert_eq!(case.state(&id), PlanState::Executing);
    case.in_flight.clear();
    case.becomes("A", ProposedState::Done);
    case.propose(&[]);
    case.advance();
    assert_eq!(case.state(&id), PlanState::Completed);
}

#[test]
fn another_intent_supersedes_at_once_and_the_same_one_again_waits_under_its_id() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let first = case.id();
    case.propose(&["A", "B"]);
    case.advance();
    let second = case.id();
    assert_eq!(case.state(&first), PlanState::Superseded);
    assert_eq!(
        case.plans.by_id[&first].status.superseded_by.as_ref(),
        Some(&second)
    );
    // An approval of what is not proposed any more does nothing.
    case.plans.named = Some(first.clone());
    case.advance();
    assert!(case.begun().is_empty());
    let (reason, message) = case.plans.approved("orders");
    assert_eq!(reason, ApprovedReason::UnknownPlan);
    for part in [&first, &second, &stream("B").to_string()] {
        assert!(message.contains(part.as_str()), "{message}");
    }
    case.propose(&["A"]);
    case.advance();
    assert_eq!(
        case.state(&first),
        PlanState::Approved,
        "the approval in the file is of that"
    );
    assert_eq!(case.state(&second), PlanState::Superseded);
}

#[test]
fn a_plan_is_carried_out_once_however_long_its_id_stays_in_the_policy() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    case.plans.named = Some(id.clone());
    case.advance();
    case.becomes("A", ProposedState::Done);
    case.propose(&[]);
    case.advance();
    assert_eq!(case.state(&id), PlanState::Completed);
    assert_eq!(case.plans.approved("orders").0, ApprovedReason::NothingProposed);
    // The same is to be done again.
    case.propose(&["A"]);
    case.advance();
    let next = case.id();
    assert_ne!(next, id);
    assert_eq!(case.state(&next), PlanState::Proposed);
    assert!(case.begun().is_empty());
    // A restart that finds the ended plan knows it too.
    let mut restarted = Plans::default();
    restarted.restore(&id, case.plans.by_id[&id].clone());
    assert_eq!(restarted.spent, [id]);
}

#[test]
fn a_rejected_plan_is_not_asked_again_until_its_time_has_passed() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    case.review(&id, ReviewDecision::Rejected);
    case.plans.named = Some(id.clone());
    case.advance();
    assert_eq!(
        (case.state(&id), case.plans.by_id.len()),
        (PlanState::Rejected, 1)
    );
    assert!(case.begun().is_empty());
    case.review(&id, ReviewDecision::Approved);
    case.advance();
    assert_eq!(case.state(&id), PlanState::Approved, "after all");
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    case.review(&id, ReviewDecision::Rejected);
    case.now = 3601;
    case.advance();
    assert_eq!(case.state(&id), PlanState::Expired);
    case.advance();
    assert_ne!(case.id(), id, "asked anew");
}

#[test]
fn a_plan_that_nobody_approved_in_time_expires_and_an_approval_of_it_comes_too_late() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    case.now = 3601;
    case.advance();
    assert_eq!(case.state(&id), PlanState::Expired);
    case.review(&id, ReviewDecision::Approved);
    assert_eq!(case.plans.by_id[&id].approved(&id).0, ApprovedReason::Withdrawn);
    case.advance();
    assert!(case.begun().is_empty());
    let next = case.id();
    assert_ne!(next, id);
    assert!(case.plans.by_id[&next].status.approval.is_none());
}

#[test]
fn cancelling_begins_nothing_more_and_leaves_what_is_in_flight_to_itself() {
    let mut case = Case::of(&["A", "B"]);
    case.advance();
    let id = case.id();
    case.review(&id, ReviewDecision::Approved);
    case.advance();
    case.in_flight = [stream("A")].into();
    case.advance();
    case.review(&id, ReviewDecision::Cancelled);
    case.plans.cancel_reviewed(&case.in_flight.clone(), at(case.now));
    assert_eq!(case.state(&id), PlanState::Cancelled);
    assert!(case.begun().is_empty());
    let ended = &case.plans.by_id[&id].status.actions;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].skipped, Some(SkipReason::Cancelled));
    case.advance();
    let next = case.id();
    let proposed = case.plans.by_id[&next].proposal();
    assert_eq!(
        proposed.actions.keys().collect::<Vec<_>>(),
        [&stream("B")],
        "not what is in flight"
    );
}

#[test]
fn what_another_plan_carries_out_is_not_proposed_again_and_blocks_nothing_else() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let first = case.id();
    case.review(&first, ReviewDecision::Approved);
    case.advance();
    case.becomes("A", ProposedState::Waits(FindingReason::OutsideWindow));
    case.propose(&["A", "B"]);
    case.advance();
    let second = case.id();
    let proposed = case.plans.by_id[&second].proposal();
    assert_eq!(proposed.actions.keys().collect::<Vec<_>>(), [&stream("B")]);
    case.review(&second, ReviewDecision::Approved);
    case.advance();
    assert_eq!(case.begun().len(), 2, "both are carried out");
}

#[test]
fn what_is_below_the_bounds_begins_by_itself_and_the_rest_asks() {
    let rules = AutoApproveRules {
        actions: [ActionType::StreamStepDown].into(),
        max_bytes: Some(10),
        max_actions: 2,
        min_gain: Some(4),
    };
    let mut case = Case::of(&["A", "B", "C", "D"]);
    case.rules.auto = Some(rules);
    case.look.estimates.get_mut(&stream("B")).unwrap().bytes = 11;
    case.look.estimates.get_mut(&stream("C")).unwrap().saved = None;
    let moved = case.look.proposal.actions.get_mut(&stream("D")).unwrap();
    moved.action = ActionType::StreamPlacement;
    case.advance();
    assert_eq!(case.begun(), [stream("A").to_string()]);
    let waiting = &case.plans.by_id[&case.id()];
    assert_eq!(
        (waiting.state(), waiting.spec.actions.len()),
        (PlanState::Proposed, 3)
    );
    let auto = case
        .plans
        .by_id
        .values()
        .find(|plan| plan.state() == PlanState::Approved);
    let approval = auto.unwrap().status.approval.as_ref().unwrap();
    assert_eq!((approval.through, &approval.by), (ApprovedBy::AutoApprove, &None));
    // More than that all ask.
    let mut case = Case::of(&["A", "B", "C"]);
    case.rules.auto = Some(AutoApproveRules {
        actions: [ActionType::StreamStepDown].into(),
        max_bytes: None,
        max_actions: 2,
        min_gain: None,
    });
    case.advance();
    assert!(case.begun().is_empty());
    assert_eq!(case.plans.by_id[&case.id()].spec.actions.len(), 3);
}

#[test]
fn nothing_is_decided_by_a_look_of_another_generation_of_the_policy() {
    let mut case = Case::of(&["A"]);
    case.generation = 2;
    case.advance();
    assert!(case.plans.by_id.is_empty());
    case.generation = 1;
    case.advance();
    let id = case.id();
    case.generation = 2;
    case.plans.named = Some(id.clone());
    case.advance();
    assert_eq!(case.state(&id), PlanState::Proposed);
    case.look.generation = 2;
    case.advance();
    assert_eq!(case.state(&id), PlanState::Approved);
}

#[test]
fn a_plan_that_somebody_else_wrote_is_none() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    let plan = case.plans.by_id[&id].clone();
    assert!(plan.is_genuine(&id, &case.policy));
    let mut edited = plan.clone();
    edited.spec.actions[0].to = "elsewhere".into();
    assert!(!edited.is_genuine(&id, &case.policy));
    assert!(!plan.is_genuine("0011223344556677", &case.policy));
    let recreated = PlanPolicyReference {
        uid: "v".into(),
        ..case.policy.clone()
    };
    assert!(!plan.is_genuine(&id, &recreated));
}

#[test]
fn a_plan_that_was_deleted_is_approved_no_more_and_another_mode_ends_them_all() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    case.review(&id, ReviewDecision::Approved);
    case.advance();
    case.plans.forget(&id);
    case.plans.named = Some(id.clone());
    case.advance();
    assert!(case.begun().is_empty());
    let next = case.id();
    assert_ne!(next, id);
    case.plans.named = Some(next.clone());
    case.advance();
    case.plans.withdraw(|_| true, &BTreeSet::new(), at(case.now));
    assert_eq!(case.state(&next), PlanState::Cancelled);
    assert!(case.begun().is_empty() && case.plans.shown().is_none());
}

#[test]
fn a_plan_has_so_many_actions_and_old_ones_are_not_kept_for_ever() {
    let names: Vec<String> = (0..600).map(|number| format!("S{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut case = Case::of(&names);
    case.advance();
    assert_eq!(case.plans.by_id[&case.id()].spec.actions.len(), 500);
    for number in 1..20 {
        case.propose(&names[..number]);
        case.advance();
    }
    assert_eq!(case.plans.by_id.len(), 20);
    case.plans.prune();
    assert_eq!(case.plans.by_id.len(), 11);
    assert!(case.plans.shown().is_some(), "what waits stays");
}
