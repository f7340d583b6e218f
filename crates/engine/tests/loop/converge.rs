//! Convergence, and the limits on the way (P2, P3).

use std::time::Duration;

use leeward_api::vocabulary::{ActionResult, ActionType, DegradedReason, ProgressingReason};
use leeward_core::action::Successor;
use leeward_core::topology::Version;
use leeward_engine::limits::SystemLimits;
use leeward_engine::policy_event::PolicyEvent;
use serde_json::json;

use crate::bench::{Bench, results};
use crate::worlds::{policy, stretched, stretched_of, supercluster};

#[tokio::test(start_paused = true)]
async fn a_stretched_account_converges_with_one_request_per_asset_and_then_rests() {
    let bench = Bench::new(stretched_of(12, 2));
    let mut running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 3}})));
    let policy_state = running.until_home().await;

    let per_asset = bench.fake.writes_per_asset();
    assert_eq!(per_asset.len(), 36);
    assert!(per_asset.values().all(|count| *count == 1), "{per_asset:?}");
    assert_eq!(
        bench.fake.state().most_open,
        3,
        "as many at once as allowed, and no more"
    );
    assert_eq!(bench.fake.state().most_open_with_stream, 1);
    assert_eq!(policy_state.report.in_place_of.as_deref(), Some("36/36"));
    assert_eq!(policy_state.recent_actions.len(), 20, "the list is capped");
    assert!(
        results(&policy_state.recent_actions)
            .iter()
            .all(|result| *result == ActionResult::Succeeded)
    );
    assert_eq!(policy_state.degraded.0, DegradedReason::Healthy);
    let ended = running
        .happened()
        .into_iter()
        .filter(|policy_event| matches!(policy_event, PolicyEvent::Ended(_)));
    assert_eq!(ended.count(), 36);

    // P2: a plan that was carried out leaves nothing to plan.
    bench.pass(Duration::from_hours(3)).await;
    assert_eq!(bench.fake.writes(), 36);
    assert_eq!(running.policy_state().progressing.0, ProgressingReason::Idle);
}

#[tokio::test(start_paused = true)]
async fn hand_overs_are_aimed_and_spread_over_the_peers_in_home() {
    let bench = Bench::new(stretched_of(10, 0));
    let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 10}})));
    running.until_home().await;
    let state = bench.fake.state();
    let towards = |wanted: &str| {
        let aimed = |successor: &Option<Successor>| matches!(successor, Some(Successor::Peer(server)) if server.as_str() == wanted);
        state
            .writes
            .iter()
            .filter(|write| aimed(&write.successor))
            .count()
    };
    assert_eq!((towards("n-0"), towards("n-1")), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn streams_move_and_their_consumers_follow_without_a_request_of_their_own() {
    let bench = Bench::new(supercluster(&["A", "B"], 2));
    let running = bench.start(&policy(json!({"topology": {"key": "Cluster"}})));
    let moving = running
        .until("a move under way", |policy_state| {
            !policy_state.operations.is_empty()
        })
        .await;
    assert_eq!(moving.progressing.0, ProgressingReason::StreamMoving);
    let operation = &moving.operations[0];
    assert_eq!(operation.action, ActionType::StreamPlacement);
    assert_eq!(
        operation.to.as_deref(),
        Some("us-east"),
        "of a move, the location"
    );

    let policy_state = running.until_home().await;
    assert_eq!(bench.fake.writes(), 2);
    assert_eq!(
        results(&policy_state.recent_actions),
        [ActionResult::Succeeded; 2]
    );
    assert_eq!(policy_state.recent_actions[0].to.as_deref(), Some("us-east"));
}

#[tokio::test(start_paused = true)]
async fn p3_two_policies_keep_the_systems_limits_together() {
    let mut bench = Bench::new(stretched_of(16, 1));
    bench.limits = SystemLimits::new(3, 1);
    let at_once = json!({"maxConcurrent": 10});
    let one = bench.start(&policy(
        json!({"disruption": at_once, "streams": {"include": ["S0*"]}}),
    ));
    let other = bench.start(&policy(
        json!({"disruption": at_once, "streams": {"include": ["S1*"]}}),
    ));
    tokio::join!(one.until_home(), other.until_home());
    assert_eq!(bench.fake.state().most_open, 3);
    assert_eq!(bench.fake.writes(), 32);
}

#[tokio::test(start_paused = true)]
async fn p3_two_policies_never_act_on_a_stream_and_its_consumers_at_once_and_consumers_go_side_by_side() {
    let bench = Bench::new(stretched_of(1, 6));
    let one = bench.start(&policy(json!({"consumers": {"include": ["c0", "c1", "c2"]}})));
    let other = bench.start(&policy(json!({"consumers": {"include": ["c3", "c4", "c5"]}})));
    tokio::join!(one.until_home(), other.until_home());
    assert_eq!(bench.fake.state().most_open_with_stream, 1);
    assert_eq!(bench.fake.state().most_open, 3, "those of one policy");
}

#[tokio::test(start_paused = true)]
async fn p3_at_most_half_of_the_step_downs_go_to_one_server_at_once() {
    let names: Vec<String> = (0..20).map(|number| format!("S{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::new(stretched(&names, 0, Version::new(2, 15, 1), ["n-0", "n-4"]));
    bench.limits = SystemLimits::new(16, 1);
    let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 50}})));
    running.until_home().await;
    assert_eq!(bench.fake.state().most_open, 8);
}

#[tokio::test(start_paused = true)]
async fn a_move_that_ended_is_not_counted_as_under_way_because_an_older_view_shows_it() {
    let mut bench = Bench::unwatched(supercluster(&["A", "B"], 0));
    bench.limits = SystemLimits::new(100, 1);
    bench.fake.state().reads_until_done = 5;
    let running = bench.start(&policy(json!({"topology": {"key": "Cluster"}})));
    bench.written(1).await;
    bench.fake.look();
    running.until_ended(2).await;
    assert_eq!(bench.fake.writes(), 2);
}

#[tokio::test(start_paused = true)]
async fn limits_that_are_raised_let_waiting_actions_start_at_once() {
    let mut bench = Bench::unwatched(stretched_of(3, 0));
    bench.limits = SystemLimits::new(0, 0);
    let running = bench.start(&policy(json!({})));
    running
        .until("waiting for the limits", |policy_state| {
            policy_state.progressing.1 == "3 wait for the system's limits"
        })
        .await;
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.fake.writes(), 0);
    bench.limits.set(1, 1);
    running.until_ended(3).await;
    assert_eq!(bench.fake.writes(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_occurrence_receiver_that_is_dropped_does_no_harm() {
    let bench = Bench::new(stretched_of(4, 1));
    let mut running = bench.start(&policy(json!({})));
    running.policy_events.close();
    drop(std::mem::replace(
        &mut running.policy_events,
        tokio::sync::mpsc::channel(1).1,
    ));
    running.until_home().await;
}
