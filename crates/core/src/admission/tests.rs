use crate::policy::Policy;
use crate::snapshot::AccountView;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::action::Move;
use crate::evaluate::evaluate;
use crate::fixtures::{
    asset, at, clients, consumer, context, ix, policy, stream, stretched, supercluster, view,
};
use crate::history::History;
use crate::plan::plan;

/// Ten streams that a step-down brings home.
fn astray() -> AccountView {
    let topology = stretched();
    let streams = (0..10).map(|number| stream(&topology, &format!("S{number}"), &["n-3", "n-0", "n-1"]));
    let streams = streams.collect();
    let home = clients(ix(&topology, "n-0"), 9);
    view(topology, vec![home], streams)
}

fn limited(disruption: &Value) -> Policy {
    policy(json!({
        "mode": "Enforce",
        "topology": {"key": "ServerTag", "tagPrefix": "region:"},
        "home": {"stabilizationWindow": "0s"},
        "disruption": disruption,
    }))
}

fn planned(view: &AccountView, policy: &Policy, history: &History) -> (Evaluation, Plan) {
    let context = context(view, policy, history, at(0));
    let mut evaluation = evaluate(&context);
    let plan = plan(&context, &evaluation);
    evaluation.hold(&plan.held);
    (evaluation, plan)
}

fn reasons(plan: &Plan) -> BTreeMap<FindingReason, usize> {
    let mut counts = BTreeMap::new();
    for reason in plan.held.values() {
        *counts.entry(*reason).or_default() += 1;
    }
    counts
}

#[test]
fn p3_a_budget_lets_so_many_begin_and_holds_the_rest() {
    let policy = limited(&json!({"budgets": [{"name": "few", "max": 3, "per": "10m"}]}));
    let (evaluation, plan) = planned(&astray(), &policy, &History::default());
    assert_eq!(plan.actions.len(), 3);
    assert_eq!(
        reasons(&plan),
        BTreeMap::from([(FindingReason::BudgetExhausted, 7)])
    );
    assert_eq!((evaluation.streams.misplaced, evaluation.streams.held), (3, 7));
}

#[test]
fn p3_what_is_under_way_and_what_was_done_lately_counts() {
    let policy = limited(&json!({"budgets": [{"name": "few", "max": 3, "per": "10m"}]}));
    let mut history = History::default();
    history.begin(&asset("X"), ActionType::StreamStepDown);
    history.ledger.begin(&asset("Y"), ActionType::StreamStepDown);
    history
        .ledger
        .end(&asset("Y"), true, at(0) - Duration::from_secs(500));
    let (_, plan) = planned(&astray(), &policy, &history);
    assert_eq!(plan.actions.len(), 1);
}

#[test]
fn p3_the_default_budget_is_a_tenth_and_an_empty_list_sets_no_limit() {
    let (_, plan) = planned(&astray(), &limited(&json!({})), &History::default());
    assert_eq!(plan.actions.len(), 1);
    let (_, plan) = planned(&astray(), &limited(&json!({"budgets": []})), &History::default());
    assert_eq!((plan.actions.len(), plan.held.len()), (10, 0));
}

#[test]
fn an_open_breaker_lets_nothing_begin_and_a_half_open_one_a_single_action() {
    let policy = limited(&json!({"budgets": [], "circuitBreaker": {"failures": 1, "openFor": "1h"}}));
    let rules = &policy.disruption.circuit_breaker;
    let failed_before = |seconds| {
        let mut history = History::default();
        assert!(
            history
                .breaker
                .failed(rules, at(0) - Duration::from_secs(seconds))
        );
        history
    };
    let (_, plan) = planned(&astray(), &policy, &failed_before(60));
    assert!(plan.actions.is_empty());
    assert_eq!(reasons(&plan), BTreeMap::from([(FindingReason::BreakerOpen, 10)]));
    let mut half_open = failed_before(3600);
    assert_eq!(planned(&astray(), &policy, &half_open).1.actions.len(), 1);
    half_open.begin(&asset("X"), ActionType::StreamStepDown);
    assert!(planned(&astray(), &policy, &half_open).1.actions.is_empty());
}

/// A stream in eu-west and one that sources it, which stays where it is.
fn sourced() -> AccountView {
    let topology = supercluster();
    let peers = ["eu-west-0", "eu-west-1", "eu-west-2"];
    let mut origin = stream(&topology, "ORIGIN", &peers);
    origin.consumers.push(consumer(&topology, "c", &peers));
    let mut reader = stream(&topology, "READER", &["us-east-0", "us-east-1", "us-east-2"]);
    reader.upstreams = vec!["ORIGIN".into()];
    let home = clients(ix(&topology, "us-east-0"), 9);
    view(topology, vec![home], vec![origin, reader])
}

fn moving_with(disruption: &Value) -> Move {
    let policy = policy(json!({
        "mode": "Enforce",
        "home": {"stabilizationWindow": "0s"},
        "disruption": disruption,
    }));
    let (_, plan) = planned(&sourced(), &policy, &History::default());
    let [action] = &plan.actions[..] else {
        panic!("one action: {plan:?}");
    };
    let ActionKind::Move(moving) = &action.kind else {
        panic!("a move: {plan:?}");
    };
    moving.as_ref().clone()
}

fn dependents_with(disruption: &Value) -> Vec<String> {
    let moving = moving_with(disruption);
    moving.dependents.iter().map(ToString::to_string).collect()
}

#[test]
fn p3_a_move_asks_for_leadership_transfers_only_while_windows_are_open_for_such_step_downs() {
    let closed_for = |action_type: &str| {
        let deny =
            json!([{"kind": "Deny", "actions": [action_type], "schedule": "0 12 * * *", "duration": "1h"}]);
        let transfers = moving_with(&json!({"budgets": [], "windows": deny})).transfers;
        (transfers.stream, transfers.consumers.len())
    };
    let open = moving_with(&json!({"budgets": []})).transfers;
    assert_eq!((open.stream, open.consumers.len()), (true, 1));
    assert_eq!(closed_for("StreamStepDown"), (false, 1));
    assert_eq!(closed_for("ConsumerStepDown"), (true, 0));
}

#[test]
fn p3_dependents_are_refreshed_only_as_far_as_limits_allow_their_step_downs() {
    assert_eq!(dependents_with(&json!({"budgets": []})), ["READER"]);
    let no_step_downs = json!([{"name": "n", "actions": ["StreamStepDown"], "max": 0, "per": "1h"}]);
    assert!(dependents_with(&json!({"budgets": no_step_downs})).is_empty());
    let one = json!([{"name": "one", "max": 1, "per": "1h"}]);
    assert!(
        dependents_with(&json!({"budgets": one})).is_empty(),
        "the move took it"
    );
    let closed =
        json!([{"kind": "Deny", "actions": ["StreamStepDown"], "schedule": "0 12 * * *", "duration": "1h"}]);
    assert!(dependents_with(&json!({"budgets": [], "windows": closed})).is_empty());
}
