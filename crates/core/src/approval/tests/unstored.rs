//! Approvals that could not be stored, and plans that are gone.

use super::*;

fn bounds() -> AutoApproveRules {
    AutoApproveRules {
        actions: BTreeSet::from([ActionType::StreamStepDown]),
        max_bytes: None,
        max_actions: 10,
        min_gain: None,
    }
}

#[test]
fn an_approval_that_was_never_stored_ends_with_the_bounds_that_gave_it() {
    let mut case = Case::of(&["A"]);
    case.rules.auto = Some(bounds());
    case.advance();
    let id = case.id();
    assert_eq!(case.begun(), ["stream A"]);
    // It could not be stored, and the bounds are taken back.
    case.rules.auto = None;
    case.plans.take_back_unstored(&Plans::default());
    case.again();
    assert_eq!(case.id(), id, "its id was not spent");
    assert_eq!(case.state(&id), PlanState::Proposed);
    assert!(case.begun().is_empty());
}

#[test]
fn an_approval_by_a_person_is_tried_again_until_it_is_stored_and_then_stays() {
    let mut case = Case::of(&["A"]);
    case.advance();
    let id = case.id();
    let mut stored = case.plans.clone();
    case.review(&id, ReviewDecision::Approved);
    for _ in 0..3 {
        case.plans.take_back_unstored(&stored);
        assert_eq!(case.state(&id), PlanState::Proposed);
        case.again();
        assert_eq!(case.begun(), ["stream A"]);
        assert_eq!(case.plans.spent, std::slice::from_ref(&id));
    }
    stored = case.plans.clone();
    case.plans.take_back_unstored(&stored);
    assert_eq!(case.begun(), ["stream A"]);
}

#[test]
fn what_a_person_cancelled_or_deleted_asks_also_when_its_plan_is_gone() {
    for decision in [
        Some(ReviewDecision::Cancelled),
        Some(ReviewDecision::Rejected),
        None,
    ] {
        let mut case = Case::of(&["A"]);
        case.advance();
        let id = case.id();
        if let Some(decision) = decision {
            case.review(&id, decision);
            case.advance();
        }
        case.plans.forget(&id);
        case.rules.auto = Some(bounds());
        case.advance();
        assert!(case.begun().is_empty(), "{decision:?}");
        assert_eq!(case.state(&case.id()), PlanState::Proposed);
    }
}

#[test]
fn consumers_of_a_stream_that_moves_are_not_proposed_without_it() {
    let mut case = Case::of(&["A"]);
    case.look.proposal.actions = [("A/c", step_down())]
        .map(|(name, action)| (crate::fixtures::asset(name), action))
        .into();
    case.in_flight = BTreeSet::from([stream("A")]);
    case.advance();
    assert!(case.plans.by_id.is_empty());
    case.in_flight.clear();
    case.advance();
    assert_eq!(case.plans.by_id.len(), 1);
}
