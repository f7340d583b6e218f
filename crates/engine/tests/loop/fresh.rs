//! P6 at the level of the loop: nothing starts from what is missing, stale or older than what was done.

use std::time::Duration;

use leeward_api::vocabulary::{ActionResult, InPlaceReason, ObservedReason};
use leeward_core::snapshot::Gap;
use leeward_engine::policy_event::PolicyEvent;
use serde_json::json;

use crate::bench::{Bench, STALE_AFTER, input, results};
use crate::model::Behaviour;
use crate::worlds::{policy, stream_asset, stretched_of};

#[tokio::test(start_paused = true)]
async fn p6_a_gap_in_mid_run_drops_what_was_queued_until_it_is_gone() {
    // At several moments of an operation, so that its end and the gap may arrive together.
    for step in 0..20 {
        let bench = Bench::new(stretched_of(10, 0));
        let mut running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 1}})));
        bench.written(2).await;
        bench.pass(Duration::from_millis(step * 5)).await;
        bench
            .fake
            .state()
            .truth
            .gaps
            .push(Gap::ServerMissing { server: "n-5".into() });
        bench.fake.look();
        let written = bench.fake.writes();
        bench.pass(Duration::from_mins(10)).await;
        let one_was_being_checked = bench.fake.writes() - written;
        assert!(
            one_was_being_checked <= 1,
            "{one_was_being_checked} requests after the gap"
        );
        let policy_state = running.policy_state();
        assert_eq!(policy_state.report.observed.0, ObservedReason::ServersMissing);
        assert_eq!(policy_state.progressing.1, "nothing to do");
        let incomplete =
            |policy_event: &PolicyEvent| matches!(policy_event, PolicyEvent::ObservationIncomplete { .. });
        assert_eq!(
            running.happened().iter().filter(|what| incomplete(what)).count(),
            1
        );

        bench.fake.state().truth.gaps.clear();
        running.until_home().await;
        assert_eq!(bench.fake.writes(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_shown_when_it_lasts_and_not_when_a_server_only_starts_anew() {
    let bench = Bench::new(stretched_of(10, 0));
    let mut running = bench.start(&policy(json!({})));
    running.until_home().await;
    bench.fake.look();
    bench.pass(Duration::from_secs(1)).await;
    let report_hold = running.policy_state().report.clone();
    assert_eq!(report_hold.observed.0, ObservedReason::Complete);
    let incomplete =
        |policy_event: &PolicyEvent| matches!(policy_event, PolicyEvent::ObservationIncomplete { .. });
    for _ in 0..3 {
        bench
            .fake
            .state()
            .truth
            .gaps
            .push(Gap::MemberMissing { server: "n-5".into() });
        bench.fake.look();
        bench.pass(STALE_AFTER / 2).await;
        assert_eq!(running.policy_state().report, report_hold, "it may pass");
        bench.fake.state().truth.gaps.clear();
        bench.fake.look();
        bench.pass(Duration::from_secs(1)).await;
        assert_eq!(running.policy_state().report, report_hold, "it has passed");
    }
    let told = running.happened().iter().filter(|what| incomplete(what)).count();
    assert_eq!(told, 3, "nothing was done meanwhile, and it was said each time");
    bench
        .fake
        .state()
        .truth
        .gaps
        .push(Gap::MemberMissing { server: "n-5".into() });
    for _ in 0..4 {
        bench.fake.look();
        bench.pass(STALE_AFTER / 3).await;
    }
    assert_eq!(
        running.policy_state().report.observed.0,
        ObservedReason::ServersMissing
    );
}

#[tokio::test(start_paused = true)]
async fn p6_a_queue_is_not_worked_off_from_a_view_that_grew_stale_meanwhile() {
    // Nobody looks again, and every operation takes a while: their ends must not put the clock back.
    let bench = Bench::unwatched(stretched_of(40, 0));
    bench.fake.state().reads_until_done = 30;
    let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 1}})));
    let stale = running
        .until("a stale view", |policy_state| {
            policy_state.report.observed.0 == ObservedReason::Stale
        })
        .await;
    bench.pass(Duration::from_hours(1)).await;
    let state = bench.fake.state();
    assert!(state.writes.len() > 3, "some were sent in time");
    assert!(
        state
            .writes
            .iter()
            .all(|write| write.at <= STALE_AFTER + Duration::from_millis(10))
    );
    assert!(!stale.report.findings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_asset_is_not_acted_on_again_because_of_a_view_that_began_before_its_operation_ended() {
    let bench = Bench::unwatched(stretched_of(1, 0));
    bench.fake.state().otherwise = Behaviour::Ignore;
    let running = bench.start(&policy(json!({"disruption": {"cooldown": "0s"}})));
    bench.pass(Duration::from_secs(5)).await;
    bench.fake.look();
    let policy_state = running.until_ended(1).await;
    assert_eq!(results(&policy_state.recent_actions), [ActionResult::Missed]);
    // The loop asks for a look now, but nobody answers; only the old view is shown once more.
    let old = policy_state.view.as_ref().clone();
    bench.fake.show(old);
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.fake.writes(), 3, "one attempt");
    bench.fake.look();
    bench.written(4).await;
}

#[tokio::test(start_paused = true)]
async fn an_operation_under_way_is_not_queued_again_by_the_rounds_meanwhile() {
    let bench = Bench::new(stretched_of(2, 0));
    bench.fake.state().otherwise = Behaviour::Ignore;
    let running = bench.start(&policy(json!({})));
    bench.pass(Duration::from_secs(15)).await;
    let policy_state = running.policy_state();
    assert_eq!(policy_state.operations.len(), 2);
    assert_eq!(policy_state.progressing.1, "2 step-downs, 0 waiting");
}

#[tokio::test(start_paused = true)]
async fn an_asset_that_is_never_as_the_view_says_costs_no_more_looks_than_there_would_be_anyway() {
    let bench = Bench::new(stretched_of(1, 0));
    bench.fake.state().read_as_lagging.insert(stream_asset("S00"));
    let mut running = bench.start(&policy(json!({})));
    bench.pass(Duration::from_mins(10)).await;
    let state = bench.fake.state();
    assert_eq!(state.writes.len(), 0);
    assert_eq!(state.refreshes, 0, "nothing was changed, so nothing is new");
    assert!(
        state.calls.len() <= 61,
        "{} reads in 60 sweeps",
        state.calls.len()
    );
    drop(state);
    assert!(
        running.policy_state().recent_actions.is_empty(),
        "nothing was asked of it"
    );
    assert!(running.happened().iter().all(|policy_event| {
        policy_event
            .event()
            .is_none_or(|(reason, _)| reason == leeward_api::vocabulary::EventReason::HomeChanged)
    }));
}

#[tokio::test(start_paused = true)]
async fn the_standing_carries_the_generation_that_was_evaluated() {
    for step in 0..20 {
        let bench = Bench::unwatched(stretched_of(6, 0));
        let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 1}})));
        bench.written(2).await;
        bench.pass(Duration::from_millis(step * 5)).await;
        let mut newer = input(&policy(json!({"report": {"maxFindings": 1}})), []);
        newer.generation = 2;
        running.runner.update(newer);
        let policy_state = running
            .until("generation 2", |policy_state| policy_state.generation == 2)
            .await;
        assert_eq!(
            policy_state.report.findings.len(),
            1,
            "the report is of generation 1"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_is_asked_for_once_everything_that_was_sent_has_ended() {
    let bench = Bench::unwatched(stretched_of(4, 0));
    let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 2}})));
    running.until_ended(4).await;
    bench.pass(Duration::from_secs(30)).await;
    assert_eq!(bench.fake.state().refreshes, 1);
}

#[tokio::test(start_paused = true)]
async fn p6_a_gap_that_arrives_together_with_the_end_of_an_operation_is_seen_first() {
    // Which of two things that are ready is taken up first is left to chance.
    for _ in 0..20 {
        let bench = Bench::unwatched(stretched_of(5, 0));
        bench.fake.state().on_read = Some(|fake| {
            if fake.writes() == 2 && fake.all_read_back() {
                fake.state().truth.gaps.push(Gap::WarmingUp);
                fake.look();
            }
        });
        let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 1}})));
        running.until_ended(2).await;
        bench.pass(Duration::from_mins(1)).await;
        assert_eq!(bench.fake.writes(), 2);
        let reads = bench.fake.state().calls.len() - 2;
        assert_eq!(reads, 8, "four reads each, and none for a third");
    }
}

#[tokio::test(start_paused = true)]
async fn actions_start_in_the_order_of_the_plan_however_long_they_wait() {
    let bench = Bench::unwatched(stretched_of(1, 6));
    let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 4}})));
    running.until_ended(7).await;
    let state = bench.fake.state();
    let order: Vec<String> = state.writes.iter().map(|write| write.asset.to_string()).collect();
    let consumers = (0..6).map(|number| format!("consumer S00/c{number}"));
    let planned: Vec<String> = std::iter::once("stream S00".to_owned())
        .chain(consumers)
        .collect();
    assert_eq!(order, planned);
}

#[tokio::test(start_paused = true)]
async fn the_loop_wakes_when_a_cooldown_ends_and_not_only_at_the_next_look() {
    let bench = Bench::new(stretched_of(1, 0));
    let running = bench.start(&policy(json!({"disruption": {"cooldown": "30m5s"}})));
    running.until_home().await;
    bench.fake.lead("S00", "n-3");
    // Looks are at whole tens of seconds.
    bench.pass(Duration::from_secs(1804)).await;
    assert_eq!(bench.fake.writes(), 1);
    bench.pass(Duration::from_secs(2)).await;
    assert_eq!(bench.fake.writes(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_made_anew_under_an_old_name_has_all_its_attempts() {
    let bench = Bench::new(stretched_of(1, 0));
    bench.fake.state().otherwise = Behaviour::Refuse;
    let running = bench.start(&policy(json!({"disruption": {"maxAttempts": 1}})));
    running
        .until("given up", |policy_state| {
            policy_state.report.in_place.0 == InPlaceReason::Unfixable
        })
        .await;
    let deleted = std::mem::take(&mut bench.fake.state().truth.streams);
    running
        .until("gone", |policy_state| policy_state.report.streams.total == 0)
        .await;
    bench.fake.state().truth.streams = deleted;
    bench.fake.state().otherwise = Behaviour::Obey;
    running.until_home().await;
    assert_eq!(bench.fake.writes(), 2);
}
