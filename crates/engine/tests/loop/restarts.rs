//! P10: a loop that ends at any moment leaves nothing that the next one could not go on from.

use std::time::Duration;

use leeward_api::policy_status::{PlacementPolicyStatus, RecentAction};
use leeward_api::vocabulary::{ActionResult, ActionType, FindingReason, InPlaceReason};
use leeward_engine::permit::Inhibited;
use serde_json::json;

use crate::bench::{Bench, input, results, status_of};
use crate::model::{Behaviour, Effect};
use crate::worlds::{policy, stretched_of, supercluster};

#[tokio::test(start_paused = true)]
async fn p10_a_runner_that_is_dropped_at_any_call_is_followed_by_one_that_converges() {
    let policy = policy(json!({"disruption": {"maxConcurrent": 2}}));
    for effect in [Effect::Before, Effect::After] {
        for call in 1..=24 {
            let bench = Bench::new(stretched_of(3, 1));
            let running = bench.start(&policy);
            bench.fake.halt_at(call, effect);
            bench.fake.halted.notified().await;
            let in_flight = running.policy_state().operations.len();
            drop(running);
            bench.pass(Duration::from_secs(1)).await;
            bench.fake.carry_on();

            let next = bench.start(&policy);
            let policy_state = next.until_home().await;
            let written = bench.fake.writes();
            assert!(
                written <= 6 + in_flight,
                "dropped at call {call} ({effect:?}): {written} requests, {in_flight} were in flight"
            );
            let twice = bench.fake.writes_per_asset().into_values().max();
            assert!(twice <= Some(2), "at most one more per asset");
            assert!(
                results(&policy_state.recent_actions)
                    .iter()
                    .all(|result| *result == ActionResult::Succeeded)
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p10_a_move_whose_runner_was_dropped_goes_on_and_is_not_asked_for_again() {
    for (call, effect) in [
        (1, Effect::After),
        (2, Effect::Before),
        (2, Effect::After),
        (3, Effect::After),
    ] {
        let bench = Bench::new(supercluster(&["S"], 1));
        bench.fake.state().reads_until_done = 12;
        let policy = policy(json!({"topology": {"key": "Cluster"}}));
        let running = bench.start(&policy);
        bench.fake.halt_at(call, effect);
        bench.fake.halted.notified().await;
        drop(running);
        bench.fake.carry_on();
        let next = bench.start(&policy);
        next.until_home().await;
        assert_eq!(bench.fake.writes(), 1, "dropped at call {call} ({effect:?})");
    }
}

/// A move to us-east, broken off between the two updates of a repair.
fn repair_left_behind() -> PlacementPolicyStatus {
    let operations = json!([{
        "type": "StreamPlacement",
        "stream": "S",
        "to": "us-east",
        "startTime": "2026-01-01T11:59:00Z",
        "replaces": {"cluster": "us-east", "tags": ["ssd"]},
    }]);
    serde_json::from_value(json!({"operations": operations})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn p10_a_placement_that_a_dropped_runner_had_taken_away_is_put_back_and_listed_until_then() {
    let bench = Bench::new(supercluster(&["S"], 1)).recording();
    let policy = policy(json!({"topology": {"key": "Cluster"}}));
    let left = repair_left_behind();

    let suspended = bench.start_with(input(&policy, [Inhibited::Suspended]), &left);
    bench.pass(Duration::from_mins(10)).await;
    assert_eq!(
        bench.fake.writes(),
        0,
        "without the right to act nothing is written"
    );
    assert_eq!(
        suspended.policy_state().operations,
        left.operations,
        "and nothing forgotten"
    );
    drop(suspended);

    let running = bench.start_with(input(&policy, []), &left);
    bench.written(1).await;
    let placement = bench.fake.state().truth.streams[0].placement.clone().unwrap();
    let stored = serde_json::to_value(&placement).unwrap();
    assert_eq!(
        stored,
        json!({"cluster": "us-east", "tags": ["ssd"]}),
        "what the owner wrote"
    );
    running
        .until("nothing is left behind", |policy_state| {
            let listed = |operation| policy_state.operations.contains(operation);
            !left.operations.iter().any(listed)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_writes_nothing_down_leaves_alone_what_another_began_and_is_not_held_up_by_it() {
    let bench = Bench::new(supercluster(&["S"], 1));
    let policy = policy(json!({"topology": {"key": "Cluster"}}));
    let running = bench.start_with(input(&policy, []), &repair_left_behind());
    let policy_state = running.until_home().await;
    assert_eq!(policy_state.operations, Vec::new());
    assert_eq!(bench.fake.writes(), 1, "the move, and nothing besides");
}

#[tokio::test(start_paused = true)]
async fn dropping_a_runner_gives_back_its_places_and_its_metrics() {
    let bench = Bench::new(stretched_of(2, 0));
    bench.fake.state().otherwise = Behaviour::Ignore;
    let running = bench.start(&policy(json!({})));
    bench.written(2).await;
    let in_flight = |count: usize| {
        let page = bench.metrics.page().unwrap();
        let line = format!(
            "leeward_operations_in_flight{{namespace=\"apps\",policy=\"nearby\",action=\"StreamStepDown\"}} {count}\n"
        );
        assert!(page.contains(&line), "{page}");
    };
    in_flight(2);
    drop(running);
    bench.pass(Duration::from_millis(10)).await;
    in_flight(0);
    bench.limits.set(2, 0);
    bench.fake.state().otherwise = Behaviour::Obey;
    bench.start(&policy(json!({}))).until_home().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_watches_hand_overs_to_their_end_and_starts_nothing() {
    let bench = Bench::new(stretched_of(10, 0));
    bench.fake.state().reads_until_done = 8;
    let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 3}})));
    bench.written(3).await;
    let policy_state = running.runner.policy_state();
    running.runner.shutdown().await;
    let last = policy_state.borrow().clone().unwrap();
    assert_eq!(results(&last.recent_actions), [ActionResult::Succeeded; 3]);
    assert!(last.operations.is_empty());
    bench.pass(Duration::from_hours(1)).await;
    assert_eq!(bench.fake.writes(), 3);
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_moves_nor_for_hand_overs_without_end() {
    let cases = [
        (
            stretched_of(2, 0),
            json!({}),
            Duration::from_secs(2)..Duration::from_secs(4),
        ),
        (
            supercluster(&["S"], 0),
            json!({"topology": {"key": "Cluster"}}),
            Duration::ZERO..Duration::from_secs(1),
        ),
    ];
    for (world, changes, expected) in cases {
        let bench = Bench::new(world);
        bench.fake.state().otherwise = Behaviour::Ignore;
        let running = bench.start(&policy(changes));
        bench.written(1).await;
        let before = tokio::time::Instant::now();
        running.runner.shutdown().await;
        assert!(expected.contains(&before.elapsed()), "{:?}", before.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_stops_blind_step_downs_between_two_requests() {
    let bench = Bench::new(crate::worlds::stretched(
        &["S"],
        0,
        leeward_core::topology::Version::new(2, 10, 29),
        ["n-0", "n-4"],
    ));
    let asset = crate::worlds::stream_asset("S");
    let elects = Behaviour::Elect(vec!["n-4", "n-3", "n-0"]);
    bench.fake.state().behaviour.insert(asset, elects);
    let running = bench.start(&policy(json!({})));
    bench.written(1).await;
    let policy_state = running.runner.policy_state();
    running.runner.shutdown().await;
    assert_eq!(bench.fake.writes(), 1);
    let last = policy_state.borrow().clone().unwrap();
    let last = last.recent_actions.first().unwrap();
    assert_eq!(
        (last.result, last.to.as_deref()),
        (ActionResult::Missed, Some("n-4")),
        "the last request was read back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_cooldowns_and_home_as_the_status_tells_them() {
    let policy = policy(json!({"home": {"stabilizationWindow": "10m"}}));
    let bench = Bench::new(stretched_of(2, 1));
    let running = bench.start(&policy);
    let before = running.until_home().await;
    assert_eq!(bench.fake.writes(), 4);
    let status = status_of(&before);
    drop(running);

    bench.fake.lead("S00", "n-3");
    bench.pass(Duration::from_mins(5)).await;
    let mut next = bench.start_with(input(&policy, []), &status);
    bench.pass(Duration::from_mins(20)).await;
    assert_eq!(bench.fake.writes(), 4, "the asset rests still");
    let policy_state = next.policy_state();
    assert_eq!(
        policy_state.report.findings[0].reason,
        Some(FindingReason::CoolingDown)
    );
    assert_eq!(
        policy_state.report.home.clone().unwrap().since,
        status.home.unwrap().since
    );
    let times = |actions: &[RecentAction]| actions.iter().map(|action| action.time.0).collect::<Vec<_>>();
    assert_eq!(times(&policy_state.recent_actions), times(&status.recent_actions));
    assert!(next.happened().is_empty(), "home is what it was");
    next.until_home().await;
    assert_eq!(bench.fake.writes(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_restart_gives_no_new_attempts_to_assets_that_were_given_up() {
    let policy = policy(json!({"report": {"maxFindings": 50}, "disruption": {"maxConcurrent": 50}}));
    // More assets than recent actions fit in a status.
    let bench = Bench::new(stretched_of(30, 0));
    bench.fake.state().otherwise = Behaviour::Refuse;
    let running = bench.start(&policy);
    let given_up = running
        .until("given up", |policy_state| {
            policy_state.report.in_place.0 == InPlaceReason::Unfixable
        })
        .await;
    assert_eq!(bench.fake.writes(), 90);
    let status = status_of(&given_up);
    drop(running);
    let next = bench.start_with(input(&policy, []), &status);
    bench.pass(Duration::from_hours(2)).await;
    assert_eq!(bench.fake.writes(), 90);
    assert_eq!(next.policy_state().report.in_place.0, InPlaceReason::Unfixable);
    let since = |findings: &[leeward_api::policy_status::Finding]| findings[0].since.clone();
    assert_eq!(
        since(&next.policy_state().report.findings),
        since(&status.findings)
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_status_home_has_to_stay_for_its_window_before_anything_moves() {
    // Looks are at whole tens of seconds.
    let policy = policy(json!({"home": {"stabilizationWindow": "10m5s"}}));
    let bench = Bench::new(stretched_of(1, 0));
    let running = bench.start_with(input(&policy, []), &PlacementPolicyStatus::default());
    bench.pass(Duration::from_secs(604)).await;
    assert_eq!(bench.fake.writes(), 0);
    assert_eq!(
        running.policy_state().report.findings[0].reason,
        Some(FindingReason::Stabilizing)
    );
    bench.pass(Duration::from_secs(2)).await;
    assert_eq!(bench.fake.writes(), 1, "the loop wakes when the window ends");
    let policy_state = running.until_home().await;
    assert_eq!(policy_state.recent_actions[0].action, ActionType::StreamStepDown);
}

#[tokio::test(start_paused = true)]
async fn a_blind_operation_has_only_the_attempts_that_are_left() {
    let old = leeward_core::topology::Version::new(2, 10, 29);
    let bench = Bench::new(crate::worlds::stretched(&["S"], 0, old, ["n-0", "n-4"]));
    let never_home = Behaviour::Elect(vec!["n-4", "n-3", "n-4", "n-3"]);
    bench
        .fake
        .state()
        .behaviour
        .insert(crate::worlds::stream_asset("S"), never_home);
    let policy = policy(json!({"disruption": {"maxAttempts": 3, "cooldown": "1m"}}));
    // As a first runner left it: one request, which was not heard of any more.
    let first = bench.start(&policy);
    first
        .until("a finding", |policy_state| {
            !policy_state.report.findings.is_empty()
        })
        .await;
    let mut status = status_of(&first.policy_state());
    drop(first);
    let tried = json!({"stream": "S", "time": "2026-01-01T11:00:00Z", "attempts": 2});
    status.memory.as_mut().unwrap().assets = vec![serde_json::from_value(tried).unwrap()];
    let next = bench.start_with(input(&policy, []), &status);
    next.until("given up", |policy_state| {
        policy_state.report.in_place.0 == InPlaceReason::Unfixable
    })
    .await;
    assert_eq!(bench.fake.writes(), 1);
}
