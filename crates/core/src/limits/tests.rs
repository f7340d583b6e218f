use crate::decide::decide;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::fixtures::{asset, at, clients, context, ix, policy, stream, stretched, view};

/// The limits of a policy over ten streams that could come home by step-downs, at noon.
fn limits(disruption: &Value, history: &History) -> Limits {
    let topology = stretched();
    let streams = (0..10).map(|number| stream(&topology, &format!("S{number}"), &["n-3", "n-0", "n-1"]));
    let streams = streams.collect();
    let home = clients(ix(&topology, "n-0"), 9);
    let view = view(topology, vec![home], streams);
    let policy = policy(json!({
        "mode": "Enforce",
        "topology": {"key": "ServerTag", "tagPrefix": "region:"},
        "home": {"stabilizationWindow": "0s"},
        "disruption": disruption,
    }));
    let context = context(&view, &policy, history, at(0));
    let decision = decide(&context);
    Limits::new(&policy, history, &decision.evaluation, at(0))
}

fn spent(count: usize, seconds_ago: u64) -> History {
    let mut history = History::default();
    for number in 0..count {
        let asset = asset(&format!("X{number}"));
        history.begin(&asset, ActionType::StreamStepDown);
        history
            .ledger
            .end(&asset, true, at(0) - Duration::from_secs(seconds_ago));
    }
    history
}

#[test]
fn the_tightest_active_budget_is_shown_and_a_used_up_one_is_waited_for() {
    let budgets = json!([
        {"name": "day", "max": 100, "per": "24h"},
        {"name": "burst", "max": 2, "per": "10m"},
        {"name": "night", "max": 0, "schedule": "0 22 * * *", "duration": "6h", "per": "1h"},
    ]);
    let said = limits(&json!({"budgets": budgets}), &spent(2, 60));
    assert_eq!(said.budget.as_deref(), Some("2/2"));
    let names: Vec<(&str, bool)> = said
        .budgets
        .iter()
        .map(|budget| (budget.name.as_str(), budget.active))
        .collect();
    assert_eq!(names, [("day", true), ("burst", true), ("night", false)]);
    let (reason, text) = said.waiting.unwrap();
    assert_eq!(reason, ProgressingReason::BudgetExhausted);
    assert_eq!(
        text,
        "10 wait for budget burst: 2 of 2 used, the next is free at 2026-01-01T12:09:00Z"
    );
    assert_eq!(said.next_change, Some(at(540)));
}

#[test]
fn closed_windows_are_waited_for_with_the_time_of_their_opening() {
    let windows = json!([{"kind": "Allow", "schedule": "0 22 * * *", "duration": "6h"}]);
    let said = limits(&json!({"windows": windows, "budgets": []}), &History::default());
    let status = said.windows.unwrap();
    assert!(!status.open);
    assert_eq!(status.next_transition_time, Some(Time(at(36_000))));
    assert_eq!(said.next_change, Some(at(36_000)));
    let (reason, text) = said.waiting.unwrap();
    assert_eq!(reason, ProgressingReason::OutsideWindow);
    assert!(
        text.starts_with("10 wait: ") && text.contains("2026-01-01T22:00:00Z"),
        "{text}"
    );
}

#[test]
fn actions_with_different_windows_are_told_apart() {
    let windows =
        json!([{"kind": "Deny", "actions": ["StreamPlacement"], "schedule": "0 12 * * *", "duration": "1h"}]);
    let said = limits(&json!({"windows": windows, "budgets": []}), &History::default());
    let status = said.windows.unwrap();
    assert!(status.open, "step-downs may be done");
    assert!(status.reason.contains("StreamPlacement: "), "{}", status.reason);
    assert_eq!(said.waiting, None);
}

#[test]
fn an_open_breaker_is_waited_for_and_closed_ones_show_what_failed_lately() {
    let breaker = json!({"failures": 2, "within": "30m", "openFor": "1h"});
    let rules = json!({"circuitBreaker": breaker, "budgets": []});
    assert_eq!(limits(&rules, &History::default()).breaker, None);
    let rules_of = policy(json!({"disruption": rules})).disruption.circuit_breaker;
    let mut history = History::default();
    history.breaker.failed(&rules_of, at(0) - Duration::from_mins(2));
    let closed = limits(&rules, &history);
    assert_eq!(closed.breaker.unwrap().state, BreakerState::Closed);
    history.breaker.failed(&rules_of, at(0) - Duration::from_mins(1));
    let open = limits(&rules, &history);
    let status = open.breaker.unwrap();
    assert_eq!((status.state, status.failures.len()), (BreakerState::Open, 2));
    assert_eq!(status.retry_time, Some(Time(at(3540))));
    assert_eq!(open.waiting.unwrap().0, ProgressingReason::BreakerOpen);
    assert_eq!(open.next_change, Some(at(3540)));
}

#[test]
fn where_nothing_limits_nothing_is_waited_for() {
    let said = limits(&json!({"budgets": []}), &History::default());
    assert_eq!(said, Limits::default());
}
