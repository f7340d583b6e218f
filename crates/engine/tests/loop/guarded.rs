//! Limits in number and time, as the whole loop keeps them (P3).

use std::time::Duration;

use leeward_api::policy_status::BreakerState;
use leeward_api::vocabulary::{ActionResult, FindingReason, InPlaceReason, ProgressingReason};
use leeward_core::action::MoveSize;
use leeward_core::names::{AccountId, StreamName};
use leeward_engine::limits::SystemLimits;
use leeward_engine::policy_event::PolicyEvent;
use serde_json::json;

use crate::bench::Bench;
use crate::model::Behaviour;
use crate::worlds::{policy, stretched_of, supercluster};

/// The most requests in any span of this length.
fn densest(bench: &Bench, span: Duration) -> usize {
    let times: Vec<Duration> = bench.fake.state().writes.iter().map(|write| write.at).collect();
    let within = |from: &Duration| {
        times
            .iter()
            .filter(|at| (*from..*from + span).contains(*at))
            .count()
    };
    times.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn p3_a_budget_is_never_exceeded_in_any_span_and_everything_comes_home_in_the_end() {
    let bench = Bench::new(stretched_of(12, 2));
    let budgets = json!([{"name": "few", "max": 5, "per": "10m"}]);
    let running = bench.start(&policy(
        json!({"disruption": {"budgets": budgets, "maxConcurrent": 10}}),
    ));
    let waiting = running
        .until("the budget is waited for", |policy_state| {
            policy_state.progressing.0 == ProgressingReason::BudgetExhausted
        })
        .await;
    assert_eq!(waiting.limits.budget.as_deref(), Some("5/5"));
    assert_eq!(waiting.report.in_place.0, InPlaceReason::Held);
    running.until_home().await;
    assert_eq!(bench.fake.writes(), 36);
    assert!(densest(&bench, Duration::from_secs(599)) <= 5);
}

#[tokio::test(start_paused = true)]
async fn p3_outside_its_windows_nothing_is_done_and_work_resumes_at_the_opening_itself() {
    // Nobody looks in between: the opening alone wakes the loop.
    let bench = Bench::unwatched(stretched_of(2, 0));
    let windows = json!([{"kind": "Allow", "schedule": "1 12 * * *", "duration": "10m"}]);
    let running = bench.start(&policy(json!({"disruption": {"windows": windows}})));
    let closed = running
        .until("outside the window", |policy_state| {
            policy_state.progressing.0 == ProgressingReason::OutsideWindow
        })
        .await;
    assert_eq!(
        closed.report.findings[0].reason,
        Some(FindingReason::OutsideWindow)
    );
    assert!(!closed.limits.windows.as_ref().unwrap().open);
    bench.pass(Duration::from_secs(59)).await;
    assert_eq!(bench.fake.writes(), 0, "it opens at 12:01");
    bench.pass(Duration::from_millis(1500)).await;
    assert_eq!(bench.fake.writes(), 2, "at once");
}

#[tokio::test(start_paused = true)]
async fn p3_what_waits_for_a_place_is_not_started_after_its_window_closed() {
    let bench = Bench::new(stretched_of(60, 0));
    bench.fake.state().reads_until_done = 12;
    let windows = json!([{"kind": "Deny", "schedule": "1 12 * * *", "duration": "1h"}]);
    let running = bench.start(&policy(
        json!({"disruption": {"windows": windows, "maxConcurrent": 1}}),
    ));
    running
        .until("the window closed", |policy_state| {
            policy_state.progressing.0 == ProgressingReason::OutsideWindow
        })
        .await;
    let late = bench
        .fake
        .state()
        .writes
        .iter()
        .filter(|write| write.at >= Duration::from_mins(1))
        .count();
    assert_eq!(late, 0);
    assert!(bench.fake.writes() > 0);
}

#[tokio::test(start_paused = true)]
async fn repeated_failures_open_the_breaker_and_one_success_closes_it() {
    let bench = Bench::new(stretched_of(6, 0));
    bench.fake.state().otherwise = Behaviour::Refuse;
    let breaker = json!({"failures": 2, "within": "30m", "openFor": "1h"});
    let changes = json!({"disruption": {"circuitBreaker": breaker, "maxConcurrent": 1, "cooldown": "1m", "maxAttempts": 9}});
    let mut running = bench.start(&policy(changes));
    let open = running
        .until("the breaker opens", |policy_state| {
            policy_state.progressing.0 == ProgressingReason::BreakerOpen
        })
        .await;
    assert_eq!(bench.fake.writes(), 2);
    assert_eq!(open.limits.breaker.as_ref().unwrap().state, BreakerState::Open);
    bench.pass(Duration::from_mins(58)).await;
    assert_eq!(bench.fake.writes(), 2, "nothing is done while it is open");
    bench.fake.state().otherwise = Behaviour::Obey;
    running.until_home().await;
    let told = running.happened();
    let opened = told
        .iter()
        .filter(|one| matches!(one, PolicyEvent::BreakerOpened { .. }))
        .count();
    let closed = told
        .iter()
        .filter(|one| matches!(one, PolicyEvent::BreakerClosed))
        .count();
    assert_eq!((opened, closed), (1, 1));
    let first = bench.fake.state().writes[2].at;
    let second = bench.fake.state().writes[3].at;
    assert!(
        first >= Duration::from_hours(1) && second > first,
        "one is tried before all others"
    );
}

/// Who has waited for a place may not take it before the failure of the one that held it is known.
#[tokio::test(start_paused = true)]
async fn p3_what_waits_for_a_place_is_not_started_after_the_breaker_opened() {
    // Each time it is left to chance which of the two the loop hears first.
    for _ in 0..20 {
        let mut bench = Bench::new(stretched_of(3, 0));
        bench.limits = SystemLimits::new(1, 1);
        bench.fake.state().otherwise = Behaviour::Refuse;
        let breaker = json!({"failures": 1, "within": "30m", "openFor": "1h"});
        let running = bench.start(&policy(
            json!({"disruption": {"circuitBreaker": breaker, "maxConcurrent": 3}}),
        ));
        running
            .until("the breaker opens", |policy_state| {
                policy_state.progressing.0 == ProgressingReason::BreakerOpen
            })
            .await;
        bench.pass(Duration::from_mins(1)).await;
        assert_eq!(bench.fake.writes(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_somebody_moves_back_twice_is_contested_and_left_alone() {
    let bench = Bench::new(supercluster(&["S"], 1));
    let changes = json!({"topology": {"key": "Cluster"}, "disruption": {"cooldown": "1m"}});
    let mut running = bench.start(&policy(changes));
    for round in 1..=2 {
        running.until_home().await;
        assert_eq!(bench.fake.writes(), round);
        bench.pass(Duration::from_secs(30)).await;
        bench
            .fake
            .state()
            .put_back(&StreamName::from("S"), &["n-3", "n-4", "n-5"]);
        running
            .until("it is seen", |policy_state| {
                policy_state.report.in_place.0 != InPlaceReason::AllInPlace
            })
            .await;
    }
    let contested = running
        .until("contested", |policy_state| {
            policy_state.report.in_place.0 == InPlaceReason::Contested
        })
        .await;
    assert_eq!(
        contested.report.findings[0].reason,
        Some(FindingReason::Contested)
    );
    bench.pass(Duration::from_hours(3)).await;
    assert_eq!(bench.fake.writes(), 2, "hands off");
    let told = running.happened();
    assert_eq!(
        told.iter()
            .filter(|one| matches!(one, PolicyEvent::Contested { .. }))
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_row_of_operations_changed_is_told_once_and_shown_with_each() {
    let bench = Bench::new(stretched_of(3, 1));
    let mut running = bench.start(&policy(json!({})));
    running.until_home().await;
    let proven = running
        .until("proven", |policy_state| {
            let proofs = policy_state
                .recent_actions
                .iter()
                .filter_map(|action| action.proof.as_ref());
            proofs.filter(|proof| proof.in_place_after.is_some()).count() == 6
        })
        .await;
    let proof = proven.recent_actions.last().unwrap().proof.clone().unwrap();
    assert_eq!(
        (proof.in_place_before.as_str(), proof.in_place_after.as_deref()),
        ("0/6", Some("6/6"))
    );
    bench.pass(Duration::from_hours(1)).await;
    let completed: Vec<String> = running
        .happened()
        .into_iter()
        .filter_map(|one| match one {
            PolicyEvent::PlanCompleted(completed) => Some(completed.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(
        completed,
        [format!(
            "{} 6; in place 0/6 before, 6/6 after",
            ActionResult::Succeeded
        )]
    );
}

#[tokio::test(start_paused = true)]
async fn p3_moves_of_other_accounts_that_hold_no_place_are_waited_for() {
    let bench = Bench::new(supercluster(&["S"], 0));
    bench.limits.set(100, 1);
    let other = AccountId::from("OTHER");
    bench
        .limits
        .set_moving(&other, [(StreamName::from("X"), MoveSize::Small)].into());
    let running = bench.start(&policy(json!({"topology": {"key": "Cluster"}})));
    bench.pass(Duration::from_mins(20)).await;
    assert_eq!(bench.fake.writes(), 0);
    bench.limits.set_moving(&other, [].into());
    running.until_home().await;
}
