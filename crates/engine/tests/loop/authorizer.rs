//! P8: what withholds the right to act stops every request, at once.

use std::time::Duration;

use leeward_api::policy_status::PlacementPolicyStatus;
use leeward_api::vocabulary::{InPlaceReason, ProgressingReason};
use leeward_engine::permit::Inhibited;
use serde_json::{Value, json};

use crate::bench::{Bench, input};
use crate::worlds::{policy, stretched_of};

const ALL: [Inhibited; 5] = [
    Inhibited::Observing,
    Inhibited::Suspended,
    Inhibited::SystemSuspended,
    Inhibited::NotAccepted,
    Inhibited::NotActive,
];

#[tokio::test(start_paused = true)]
async fn p8_a_policy_from_which_the_right_is_withheld_writes_nothing_and_reports_all_the_same() {
    for inhibited in ALL {
        let bench = Bench::new(stretched_of(3, 1));
        let input = input(&policy(json!({})), [inhibited]);
        let running = bench.start_with(input, &PlacementPolicyStatus::default());
        bench.pass(Duration::from_hours(2)).await;
        assert_eq!(bench.fake.writes(), 0, "{inhibited:?}");
        assert_eq!(
            running.policy_state().report.in_place.0,
            InPlaceReason::ActionsPending
        );
        let policy_state = running.policy_state();
        let assets = policy_state
            .report
            .findings
            .iter()
            .filter(|finding| finding.stream.is_some());
        assert_eq!(assets.count(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn p8_a_policy_that_does_not_enforce_never_writes_even_if_its_caller_withholds_nothing() {
    let cases: [(Value, ProgressingReason); 2] = [
        (json!({"mode": "Observe"}), ProgressingReason::Observing),
        (json!({"suspend": true}), ProgressingReason::Suspended),
    ];
    for (changes, progressing) in cases {
        let bench = Bench::new(stretched_of(3, 0));
        let running = bench.start(&policy(changes));
        bench.pass(Duration::from_hours(1)).await;
        assert_eq!(bench.fake.writes(), 0);
        assert_eq!(running.policy_state().progressing.0, progressing);
    }
}

#[tokio::test(start_paused = true)]
async fn p8_withheld_in_mid_run_no_further_request_is_sent() {
    for inhibited in ALL {
        let bench = Bench::new(stretched_of(20, 0));
        let policy = policy(json!({"disruption": {"maxConcurrent": 4}}));
        let running = bench.start(&policy);
        bench.written(3).await;
        running.runner.update(input(&policy, [inhibited]));
        let written = bench.fake.writes();
        bench.pass(Duration::from_hours(1)).await;
        assert_eq!(bench.fake.writes(), written, "{inhibited:?}");
        let policy_state = running.policy_state();
        assert!(
            policy_state.operations.is_empty(),
            "what was under way was watched to its end"
        );
        assert_eq!(policy_state.recent_actions.len(), written);
    }
}

#[tokio::test(start_paused = true)]
async fn p8_a_request_that_is_on_its_way_to_the_socket_is_stopped_too() {
    let bench = Bench::unwatched(stretched_of(1, 0));
    let policy = policy(json!({}));
    let running = bench.start(&policy);
    // The read before the request takes one millisecond; then the permit is issued, and the request takes another.
    bench.pass(Duration::from_micros(1500)).await;
    running.runner.update(input(&policy, [Inhibited::NotActive]));
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(
        bench.fake.state().calls.len(),
        2,
        "it read, and it tried to write"
    );
    assert_eq!(bench.fake.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_right_that_is_given_back_wakes_the_loop_though_nothing_else_changes() {
    let bench = Bench::unwatched(stretched_of(3, 0));
    let policy = policy(json!({}));
    let suspended = input(&policy, [Inhibited::SystemSuspended]);
    let running = bench.start_with(suspended, &PlacementPolicyStatus::default());
    bench.pass(Duration::from_secs(1)).await;
    running.runner.update(input(&policy, []));
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.fake.writes(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_right_that_is_given_back_with_a_narrower_policy_acts_by_the_new_policy_only() {
    for step in 0..20 {
        let bench = Bench::unwatched(stretched_of(10, 0));
        let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 1}})));
        bench.written(1).await;
        // Some of these moments are those in which an operation ends and its place becomes free.
        bench.pass(Duration::from_millis(step * 5)).await;
        let before = bench.fake.writes();
        let narrow = policy(json!({"streams": {"include": ["S09"]}}));
        running.runner.update(input(&narrow, []));
        bench.pass(Duration::from_secs(30)).await;
        let state = bench.fake.state();
        let late = state.writes.iter().skip(before);
        let late: Vec<&str> = late.map(|write| write.asset.stream.as_str()).collect();
        let in_flight_then = late.iter().filter(|stream| **stream != "S09").count();
        assert!(in_flight_then <= 1, "after {step} steps: {late:?}");
        assert!(late.contains(&"S09"));
    }
}
