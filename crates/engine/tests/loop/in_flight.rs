//! What is in flight, as it is told to whoever watches.

use std::sync::Arc;
use std::time::Duration;

use leeward_core::names::AssetName;
use leeward_engine::execute::Copied;
use leeward_engine::execute::Stage;
use leeward_engine::in_flight::OperationInFlight;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::bench::Bench;
use crate::worlds::{policy, stream_asset, stretched_of, supercluster};

/// Everything that is told until nothing is in flight any more, and when.
async fn told(
    mut underway: watch::Receiver<Arc<[OperationInFlight]>>,
) -> Vec<(Instant, Arc<[OperationInFlight]>)> {
    let mut told = Vec::new();
    loop {
        underway.changed().await.unwrap();
        let now = Arc::clone(&underway.borrow_and_update());
        let ended = now.is_empty();
        told.push((Instant::now(), now));
        if ended {
            return told;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_move_tells_how_much_is_copied_about_once_a_second_and_the_standing_is_left_alone() {
    let mut truth = supercluster(&["S00"], 0);
    truth.streams[0].bytes = 1_000;
    let bench = Bench::unwatched(truth);
    {
        let mut state = bench.fake.state();
        state.reads_until_done = 60;
        state.lacks = (0..50).rev().map(|left| left * 10).collect();
    }
    let running = bench.start(&policy(json!({"topology": {"key": "Cluster"}})));
    let told = told(running.runner.underway()).await;
    let copied = |now: &Arc<[OperationInFlight]>| now.first().and_then(|operation| operation.copied);
    let measured: Vec<(Instant, Copied)> = told
        .iter()
        .filter_map(|(at, now)| Some((*at, copied(now)?)))
        .collect();
    assert!(measured.len() >= 10, "{measured:?}");
    for pair in measured.windows(2) {
        let [(earlier, before), (later, after)] = pair else {
            panic!("a pair");
        };
        assert!(before.done_bytes <= after.done_bytes);
        assert_eq!(after.total_bytes, 3_000);
        assert!(*later - *earlier >= Duration::from_secs(1) || after.is_all() || before == after);
    }
    let (_, first) = measured[0];
    assert!(first.done_bytes < 100, "{first:?}");
    assert!(measured.iter().any(|(_, copied)| copied.done_bytes >= 900));
    let policy_state = running.policy_state();
    assert!(
        policy_state.sequence < 10,
        "published {} times",
        policy_state.sequence
    );
}

#[tokio::test(start_paused = true)]
async fn step_downs_are_told_at_every_stage_and_measure_nothing() {
    let bench = Bench::unwatched(stretched_of(3, 0));
    let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 2}})));
    let told = told(running.runner.underway()).await;
    let assets = |now: &Arc<[OperationInFlight]>| -> Vec<AssetName> {
        now.iter()
            .map(|operation| operation.action.asset.clone())
            .collect()
    };
    assert!(
        told.iter()
            .all(|(_, now)| now.len() <= 2 && assets(now).is_sorted())
    );
    let stages = |asset: &AssetName| -> Vec<Stage> {
        let all = told.iter().flat_map(|(_, now)| now.iter());
        let mut stages: Vec<Stage> = all
            .filter(|operation| operation.action.asset == *asset)
            .map(|operation| operation.stage)
            .collect();
        stages.dedup();
        stages
    };
    for name in ["S00", "S01", "S02"] {
        let stages = stages(&stream_asset(name));
        assert_eq!(stages.last(), Some(&Stage::Requested), "{name}: {stages:?}");
    }
    let measured = told.iter().flat_map(|(_, now)| now.iter());
    assert!(measured.into_iter().all(|operation| operation.copied.is_none()));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_systems_limits_is_counted() {
    let mut bench = Bench::new(stretched_of(5, 0));
    bench.limits = leeward_engine::limits::SystemLimits::new(1, 1);
    let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 5}})));
    running
        .until("one is under way and four wait", |policy_state| {
            policy_state.operations.len() == 1 && policy_state.waiting == 4
        })
        .await;
    let done = running.until_home().await;
    assert_eq!(done.waiting, 0);
}
