//! Nothing that limits is forgotten by a restart (P10): what is done is written down before it is done.

use std::time::Duration;

use leeward_api::vocabulary::ProgressingReason;
use serde_json::json;

use crate::bench::{Bench, input, status_of};
use crate::model::{Behaviour, Effect};
use crate::worlds::{policy, stretched_of};

#[tokio::test(start_paused = true)]
async fn p10_no_request_is_sent_before_its_operation_is_written_down() {
    let bench = Bench::new(stretched_of(3, 0)).recording();
    let running = bench.start(&policy(json!({})));
    let begun = running
        .until("operations are published", |policy_state| {
            !policy_state.operations.is_empty()
        })
        .await;
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.fake.writes(), 0, "nobody wrote it down");
    running.runner.recorded(begun.sequence);
    bench.written(3).await;
}

#[tokio::test(start_paused = true)]
async fn p10_what_cannot_be_written_down_is_given_up_without_a_request() {
    let bench = Bench::new(stretched_of(1, 0)).recording();
    let running = bench.start(&policy(json!({})));
    bench.pass(Duration::from_mins(10)).await;
    assert_eq!(bench.fake.writes(), 0);
    running.runner.recorded(u64::MAX);
    running.until_home().await;
    assert_eq!(bench.fake.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn p10_a_budget_holds_over_a_kill_at_any_call() {
    let budgets = json!([{"name": "few", "max": 3, "per": "1h"}]);
    let policy = policy(json!({"disruption": {"budgets": budgets, "maxConcurrent": 2}}));
    for effect in [Effect::Before, Effect::After] {
        for call in 1..=12 {
            let bench = Bench::new(stretched_of(9, 0)).recording();
            let running = bench.start(&policy);
            running.runner.recorded(u64::MAX);
            bench.fake.halt_at(call, effect);
            bench.fake.halted.notified().await;
            let status = status_of(&running.policy_state());
            drop(running);
            bench.fake.carry_on();
            let next = bench.start_with(input(&policy, []), &status);
            next.runner.recorded(u64::MAX);
            bench.pass(Duration::from_mins(50)).await;
            let written = bench.fake.writes();
            assert!(
                written <= 3,
                "killed at call {call} ({effect:?}): {written} requests in an hour"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p10_cooldowns_attempts_and_an_open_breaker_survive_a_restart() {
    let breaker = json!({"failures": 2, "within": "30m", "openFor": "2h"});
    let policy = policy(json!({"disruption": {"circuitBreaker": breaker, "maxConcurrent": 1}}));
    let bench = Bench::new(stretched_of(4, 0));
    bench.fake.state().otherwise = Behaviour::Refuse;
    let running = bench.start(&policy);
    let open = running
        .until("the breaker opens", |policy_state| {
            policy_state.progressing.0 == ProgressingReason::BreakerOpen
        })
        .await;
    let status = status_of(&open);
    drop(running);
    let next = bench.start_with(input(&policy, []), &status);
    bench.pass(Duration::from_mins(115)).await;
    assert_eq!(bench.fake.writes(), 2, "open for two hours");
    let attempts: Vec<i32> = next
        .policy_state()
        .report
        .findings
        .iter()
        .map(|finding| finding.attempts)
        .collect();
    assert_eq!(attempts.iter().sum::<i32>(), 2);
}
