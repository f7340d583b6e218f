//! What the metrics say of a policy over time, and what is put on record.

use std::time::Duration;

use serde_json::json;

use crate::bench::Bench;
use crate::worlds::{policy, stretched_of, supercluster};

/// The value of a sample of the tests' policy, whose other labels are these; `None` if there is none.
fn sample(bench: &Bench, name: &str, more: &str) -> Option<f64> {
    let page = bench.metrics.page().unwrap();
    let start = format!("leeward_{name}{{namespace=\"apps\",policy=\"nearby\"{more}}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&start))?;
    Some(value.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_is_away_grows_old_until_it_is_home_and_what_is_unknown_is_never_nothing() {
    let bench = Bench::new(stretched_of(3, 0));
    let running = bench.start(&policy(json!({"mode": "Observe"})));
    let oldest = || sample(&bench, "misplaced_oldest_seconds", "");
    assert_eq!(oldest(), None);
    bench.pass(Duration::from_hours(2)).await;
    let hours = oldest().unwrap();
    assert!(hours > 7000.0 && hours < 7300.0, "{hours}");
    assert_eq!(sample(&bench, "policy_mode", ",mode=\"Observe\""), Some(1.0));
    assert_eq!(sample(&bench, "policy_mode", ",mode=\"Enforce\""), None);
    drop(running);
    let running = bench.start(&policy(json!({})));
    running.until_home().await;
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(oldest(), Some(0.0));
    assert_eq!(sample(&bench, "policy_mode", ",mode=\"Enforce\""), Some(1.0));
    assert_eq!(sample(&bench, "policy_mode", ",mode=\"Observe\""), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_choice_of_the_policy_holds_is_counted_by_its_reason_and_does_not_grow_old() {
    let bench = Bench::new(supercluster(&["S", "T"], 0));
    let changes = json!({"topology": {"key": "Cluster"}, "actions": {"streamPlacement": {"enabled": false}}});
    let _running = bench.start(&policy(changes));
    bench.pass(Duration::from_hours(2)).await;
    assert_eq!(
        sample(&bench, "held_assets", ",reason=\"ActionDisabled\""),
        Some(2.0)
    );
    assert_eq!(sample(&bench, "misplaced_oldest_seconds", ""), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_on_the_page_with_its_beginning_until_it_is_watched_no_more() {
    let bench = Bench::new(stretched_of(2, 0));
    bench.fake.state().otherwise = crate::model::Behaviour::Ignore;
    let running = bench.start(&policy(json!({})));
    let begun = || {
        sample(
            &bench,
            "operation_oldest_start_timestamp_seconds",
            ",action=\"StreamStepDown\"",
        )
    };
    assert_eq!(begun(), None);
    bench.written(2).await;
    let epoch = crate::clock::PausedClock::epoch().as_duration().as_secs_f64();
    assert!(begun().unwrap() >= epoch);
    drop(running);
    bench.pass(Duration::from_millis(10)).await;
    assert_eq!(begun(), None);
}
