//! What people decided, and what their decisions are not about.

use leeward_api::vocabulary::{ActionType, ReviewDecision};

use super::*;

#[test]
fn an_approval_that_was_given_in_time_counts_however_late_it_is_seen() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    case.review(&id, ReviewDecision::Approved);
    case.now = 7200;
    case.advance();
    assert_eq!(case.state(&id), PlanState::Approved);
}

#[test]
fn what_a_person_said_no_to_asks_again_whatever_the_bounds_are() {
    let mut case = Case::of(&["A", "B"]);
    case.rules.auto = Some(AutoApproveRules {
        actions: [ActionType::StreamStepDown].into(),
        max_bytes: None,
        max_actions: 9,
        min_gain: None,
    });
    case.advance();
    let auto = case.id();
    assert_eq!(case.state(&auto), PlanState::Approved);
    case.review(&auto, ReviewDecision::Cancelled);
    assert!(case.begun().is_empty(), "at once");
    case.plans.cancel_reviewed(&BTreeSet::new(), at(case.now));
    case.advance();
    assert!(case.begun().is_empty());
    let asking = case.id();
    assert_eq!(case.state(&asking), PlanState::Proposed);
    // Something else begins by itself as before.
    case.propose(&["A", "B", "C"]);
    case.advance();
    assert_eq!(case.begun(), [stream("C").to_string()]);
    // So it is with one that was deleted.
    let auto = case.plans.by_id.iter().find(|(_, plan)| plan.state().may_begin());
    let auto = auto.unwrap().0.clone();
    case.plans.forget(&auto);
    case.advance();
    assert!(case.begun().is_empty());
    assert_eq!(case.plans.by_id[&case.id()].spec.actions.len(), 3);
}

#[test]
fn a_decision_about_a_plan_that_ended_is_none_about_what_is_proposed_later() {
    for decision in [ReviewDecision::Approved, ReviewDecision::Rejected] {
        let mut case = Case::of(&["A"]);
        case.advance();
        let first = case.id();
        case.propose(&["B"]);
        case.advance();
        case.review(&first, decision);
        case.propose(&["A"]);
        case.advance();
        let again = case.id();
        assert_ne!(again, first);
        assert_eq!(case.state(&again), PlanState::Proposed);
    }
}

#[test]
fn the_id_in_the_policy_stays_spent_however_many_plans_follow() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    case.plans.named = Some(id.clone());
    case.advance();
    case.becomes("A", ProposedState::Done);
    case.propose(&[]);
    case.advance();
    assert_eq!(case.state(&id), PlanState::Completed);
    for _ in 0..120 {
        case.propose(&["A"]);
        case.advance();
        assert!(case.begun().is_empty());
        case.now += 3601;
        case.advance();
        case.plans.prune();
    }
    assert!(case.plans.spent.contains(&id) && case.plans.spent.len() <= 50);
}

#[test]
fn plans_of_another_system_are_withdrawn_and_those_of_this_one_go_on() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    case.review(&id, ReviewDecision::Approved);
    case.advance();
    let (nothing, now) = (BTreeSet::new(), at(case.now));
    case.plans
        .withdraw(|spec| spec.system != "nats/prod", &nothing, now);
    assert_eq!(case.state(&id), PlanState::Approved);
    case.plans
        .withdraw(|spec| spec.system != "nats/staging", &nothing, now);
    assert_eq!(case.state(&id), PlanState::Cancelled);
}

#[test]
fn the_name_of_a_plan_fits_whatever_its_policy_is_called() {
    assert_eq!(plan_name("orders", "0011223344556677"), "orders-0011223344556677");
    let name = plan_name(&"a".repeat(253), "0011223344556677");
    assert_eq!(name.len(), 253);
    assert!(name.ends_with("a-0011223344556677"));
    // Cut where a part of the name ends.
    let dotted = format!("{}.{}", "a".repeat(235), "b".repeat(17));
    let name = plan_name(&dotted, "0011223344556677");
    assert!(name.ends_with("a-0011223344556677"), "{name}");
}
