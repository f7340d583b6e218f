//! What comes of requests: success is what was read back (P9), and failures have an end.

use std::time::Duration;

use leeward_api::vocabulary::{ActionResult, ActionType, DegradedReason, FindingReason, InPlaceReason};
use leeward_core::topology::Version;
use leeward_engine::policy_event::PolicyEvent;
use serde_json::json;

use crate::bench::{Bench, results};
use crate::model::{Behaviour, Call, Confirms};
use crate::worlds::{consumer_asset, policy, stream_asset, stretched, stretched_of, supercluster};

const OLD: Version = Version::new(2, 10, 29);

#[tokio::test(start_paused = true)]
async fn p9_a_yes_that_changes_nothing_is_a_miss_and_is_given_up_after_the_attempts() {
    let bench = Bench::new(stretched_of(1, 0));
    bench.fake.state().otherwise = Behaviour::Ignore;
    let mut running = bench.start(&policy(json!({})));
    let policy_state = running
        .until("given up", |policy_state| {
            policy_state.report.in_place.0 == InPlaceReason::Unfixable
        })
        .await;
    assert_eq!(results(&policy_state.recent_actions), [ActionResult::Missed; 3]);
    let finding = &policy_state.report.findings[0];
    assert_eq!(
        (finding.reason, finding.attempts),
        (Some(FindingReason::AttemptsExhausted), 3)
    );
    assert_eq!(policy_state.degraded.0, DegradedReason::StepDownsMissed);

    bench.pass(Duration::from_hours(5)).await;
    let at: Vec<u64> = bench
        .fake
        .state()
        .writes
        .iter()
        .map(|write| write.at.as_secs())
        .collect();
    assert_eq!(at.len(), 9, "each attempt asks three times");
    let (first, last): (Vec<u64>, Vec<u64>) = at.chunks(3).map(|three| (three[0], three[2])).unzip();
    let rests = first[1..].iter().zip(&last).map(|(next, last)| next - last);
    assert!(rests.min() >= Some(30 * 60), "a cooldown between: {at:?}");
    let gave_up = |policy_event: &PolicyEvent| {
        matches!(policy_event, PolicyEvent::AttemptsExhausted { attempts: 3, .. })
    };
    assert_eq!(
        running
            .happened()
            .iter()
            .filter(|policy_event| gave_up(policy_event))
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn an_act_that_panics_is_a_failed_attempt_and_not_under_way_for_ever() {
    let bench = Bench::new(stretched_of(1, 0));
    bench.fake.state().otherwise = Behaviour::Panic;
    let running = bench.start(&policy(json!({})));
    let policy_state = running
        .until("given up", |policy_state| {
            policy_state.report.in_place.0 == InPlaceReason::Unfixable
        })
        .await;
    assert_eq!(results(&policy_state.recent_actions), [ActionResult::Failed; 3]);
    assert!(
        policy_state.operations.is_empty(),
        "{:?}",
        policy_state.operations
    );
}

#[tokio::test(start_paused = true)]
async fn p4_what_only_the_account_says_of_a_peer_lets_nothing_be_asked() {
    let bench = Bench::new(stretched_of(3, 1));
    bench.fake.state().confirms = Some(Confirms::Lagging);
    let running = bench.start(&policy(json!({})));
    bench.pass(Duration::from_mins(5)).await;
    assert_eq!(bench.fake.writes(), 0);
    bench.fake.state().confirms = Some(Confirms::All);
    running.until_home().await;
}

#[tokio::test(start_paused = true)]
async fn p9_a_leader_that_the_servers_do_not_confirm_is_no_success() {
    let bench = Bench::new(stretched_of(1, 0));
    bench.fake.state().confirms = Some(Confirms::All);
    // From the request on the servers say of the old leader that it leads still.
    bench.fake.state().on_read = Some(|fake| {
        let mut state = fake.state();
        if !state.writes.is_empty() {
            state.confirms = Some(Confirms::LedBy("n-4"));
        }
    });
    let running = bench.start(&policy(json!({})));
    let policy_state = running.until_ended(1).await;
    assert_eq!(results(&policy_state.recent_actions), [ActionResult::TimedOut]);
}

#[tokio::test(start_paused = true)]
async fn p9_a_leader_that_the_servers_contradict_before_a_request_is_told_and_nothing_is_asked() {
    let bench = Bench::new(stretched_of(1, 0));
    bench.fake.state().confirms = Some(Confirms::LedBy("elsewhere"));
    let running = bench.start(&policy(json!({})));
    let policy_state = running.until_ended(1).await;
    assert_eq!(
        policy_state.recent_actions[0].reason.as_deref(),
        Some("AnswersDiffer")
    );
    assert_eq!(bench.fake.writes(), 0);
    bench.fake.state().confirms = Some(Confirms::All);
    running.until_home().await;
}

#[tokio::test(start_paused = true)]
async fn p9_what_somebody_else_refuses_and_the_servers_do_is_judged_by_what_is_read_back() {
    for (scene, spec) in [
        (stretched_of(1, 1), json!({})),
        (supercluster(&["S"], 0), json!({"topology": {"key": "Cluster"}})),
    ] {
        let bench = Bench::new(scene);
        bench.fake.state().otherwise = Behaviour::Contradicted;
        bench.fake.state().reads_until_done = 1;
        bench.fake.state().confirms = Some(Confirms::All);
        let running = bench.start(&policy(spec));
        let policy_state = running.until_home().await;
        let results = results(&policy_state.recent_actions);
        assert!(
            results.iter().all(|result| *result == ActionResult::Succeeded),
            "{results:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_others_answer_for_is_tried_as_often_as_allowed_and_told() {
    let bench = Bench::new(supercluster(&["S"], 0));
    bench.fake.state().otherwise = Behaviour::Forged;
    let mut running = bench.start(&policy(json!({"topology": {"key": "Cluster"}})));
    let policy_state = running
        .until("given up", |policy_state| {
            policy_state.report.in_place.0 == InPlaceReason::Unfixable
        })
        .await;
    let reasons: Vec<_> = policy_state
        .recent_actions
        .iter()
        .map(|action| action.reason.as_deref())
        .collect();
    assert_eq!(reasons, [Some("AnswersDiffer"); 3]);
    let told = |policy_event: &PolicyEvent| matches!(policy_event, PolicyEvent::Ended(finished) if finished.requests == 0);
    assert_eq!(
        running
            .happened()
            .iter()
            .filter(|policy_event| told(policy_event))
            .count(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn an_asset_that_was_given_up_and_came_home_by_itself_degrades_nothing() {
    let bench = Bench::new(stretched_of(1, 0));
    bench.fake.state().otherwise = Behaviour::Refuse;
    let running = bench.start(&policy(json!({})));
    let degraded = running
        .until("given up", |policy_state| {
            policy_state.degraded.0 == DegradedReason::RepeatedFailures
        })
        .await;
    assert_eq!(results(&degraded.recent_actions), [ActionResult::Failed; 3]);
    bench.fake.lead("S00", "n-1");
    let policy_state = running.until_home().await;
    assert_eq!(policy_state.degraded.0, DegradedReason::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_changed_reset_token_gives_new_attempts() {
    let bench = Bench::new(stretched_of(1, 0));
    bench.fake.state().otherwise = Behaviour::Refuse;
    let running = bench.start(&policy(json!({})));
    running
        .until("given up", |policy_state| {
            policy_state.report.in_place.0 == InPlaceReason::Unfixable
        })
        .await;
    bench.fake.state().otherwise = Behaviour::Obey;
    running
        .runner
        .update(crate::bench::input(&policy(json!({"resetToken": "again"})), []));
    running.until_home().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_judged_by_what_is_read_back() {
    let bench = Bench::new(stretched_of(2, 0));
    bench.fake.state().otherwise = Behaviour::Silent;
    let running = bench.start(&policy(json!({})));
    let policy_state = running.until_home().await;
    assert_eq!(
        results(&policy_state.recent_actions),
        [ActionResult::Succeeded; 2]
    );
    assert_eq!(bench.fake.writes(), 2);
}

#[tokio::test(start_paused = true)]
async fn somebody_else_who_is_elected_is_a_miss_at_once() {
    let bench = Bench::new(stretched(&["S"], 0, Version::new(2, 15, 1), ["n-0", "n-4"]));
    let asset = stream_asset("S");
    bench
        .fake
        .state()
        .behaviour
        .insert(asset, Behaviour::Elect(vec!["n-4"]));
    let running = bench.start(&policy(json!({})));
    let policy_state = running.until_ended(1).await;
    let action = &policy_state.recent_actions[0];
    assert_eq!(
        (action.result, action.to.as_deref()),
        (ActionResult::Missed, Some("n-4"))
    );
    assert!(action.duration_milliseconds < 1000);
}

#[tokio::test(start_paused = true)]
async fn blind_step_downs_are_repeated_until_home_leads_each_read_back() {
    let bench = Bench::new(stretched(&["S"], 0, OLD, ["n-0", "n-4"]));
    let asset = stream_asset("S");
    bench
        .fake
        .state()
        .behaviour
        .insert(asset.clone(), Behaviour::Elect(vec!["n-4", "n-0"]));
    let running = bench.start(&policy(json!({})));
    let policy_state = running.until_home().await;
    assert_eq!(results(&policy_state.recent_actions), [ActionResult::Succeeded]);
    let state = bench.fake.state();
    assert_eq!(state.writes.len(), 2);
    let unread = state
        .calls
        .windows(2)
        .any(|pair| pair == [Call::Write(asset.clone()), Call::Write(asset.clone())]);
    assert!(!unread, "{:?}", state.calls);
}

#[tokio::test(start_paused = true)]
async fn blind_step_downs_stop_at_the_attempts_and_give_the_asset_up() {
    let bench = Bench::new(stretched(&["S"], 0, OLD, ["n-0", "n-4"]));
    let asset = stream_asset("S");
    let never_home = vec!["n-4", "n-3", "n-4", "n-3", "n-4"];
    bench
        .fake
        .state()
        .behaviour
        .insert(asset, Behaviour::Elect(never_home));
    let mut running = bench.start(&policy(json!({})));
    running
        .until("given up", |policy_state| {
            policy_state.report.in_place.0 == InPlaceReason::Unfixable
        })
        .await;
    bench.pass(Duration::from_hours(3)).await;
    assert_eq!(bench.fake.writes(), 3);
    assert_eq!(
        results(&running.policy_state().recent_actions),
        [ActionResult::Missed]
    );
    let gave_up = |policy_event: &PolicyEvent| matches!(policy_event, PolicyEvent::AttemptsExhausted { .. });
    assert!(running.happened().iter().any(gave_up));
}

#[tokio::test(start_paused = true)]
async fn a_blind_step_down_that_missed_counts_although_the_next_one_was_not_sent() {
    let bench = Bench::new(stretched(&["S"], 0, OLD, ["n-0", "n-4"]));
    {
        let mut state = bench.fake.state();
        let never_home = ["n-4", "n-3"].repeat(20);
        state
            .behaviour
            .insert(stream_asset("S"), Behaviour::Elect(never_home));
        // The third look sees the new leader; the one after it, right before the next request, fails.
        state.on_read = Some(|fake| {
            let mut state = fake.state();
            if let [.., Call::Write(_), Call::Read(_), Call::Read(_), Call::Read(_)] = state.calls[..] {
                state.failing_reads = 1;
            }
        });
    }
    let running = bench.start(&policy(json!({"disruption": {"cooldown": "1s"}})));
    running
        .until("given up", |policy_state| {
            policy_state.report.in_place.0 == InPlaceReason::Unfixable
        })
        .await;
    bench.pass(Duration::from_hours(3)).await;
    assert_eq!(bench.fake.writes(), 3);
    assert_eq!(
        results(&running.policy_state().recent_actions),
        [ActionResult::Missed; 3]
    );
}

#[tokio::test(start_paused = true)]
async fn a_move_that_is_not_done_in_time_is_timed_out() {
    let bench = Bench::new(supercluster(&["S"], 1));
    bench.fake.state().reads_until_done = 1_000_000;
    let running = bench.start(&policy(json!({
        "topology": {"key": "Cluster"},
        "actions": {"streamPlacement": {"timeout": "5m"}},
    })));
    let policy_state = running.until_ended(1).await;
    let action = &policy_state.recent_actions[0];
    assert_eq!(action.result, ActionResult::TimedOut);
    assert!(
        (300_000..303_000).contains(&action.duration_milliseconds),
        "{action:?}"
    );
    assert_eq!(policy_state.degraded.0, DegradedReason::MoveTimedOut);
}

#[tokio::test(start_paused = true)]
async fn p9_a_move_that_was_promised_and_not_written_fails_and_frees_its_place() {
    let bench = Bench::new(supercluster(&["S"], 1));
    bench.fake.state().otherwise = Behaviour::Ignore;
    let running = bench.start(&policy(json!({"topology": {"key": "Cluster"}})));
    let policy_state = running.until_ended(1).await;
    let action = &policy_state.recent_actions[0];
    assert_eq!(action.result, ActionResult::Failed);
    assert!(
        (30_000..33_000).contains(&action.duration_milliseconds),
        "{action:?}"
    );
    assert!(policy_state.operations.is_empty());
}

#[tokio::test(start_paused = true)]
async fn p7_an_edit_that_was_stored_with_more_changed_is_contested_wherever_the_stream_is_now() {
    let bench = Bench::new(supercluster(&["S"], 0));
    bench.fake.state().otherwise = Behaviour::Scramble;
    let running = bench.start(&policy(json!({"topology": {"key": "Cluster"}})));
    let policy_state = running.until_ended(1).await;
    let action = &policy_state.recent_actions[0];
    assert_eq!(action.result, ActionResult::Failed);
    assert_eq!(action.reason.as_deref(), Some("Contested"));
    running.until_home().await;
    assert_eq!(bench.fake.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_right_stops_its_kind_of_action_and_is_tried_again_after_five_minutes() {
    let bench = Bench::new(stretched_of(5, 1));
    for number in 0..5 {
        let asset = stream_asset(&format!("S{number:02}"));
        bench.fake.state().behaviour.insert(asset, Behaviour::Deny);
    }
    let running = bench.start(&policy(json!({"disruption": {"maxConcurrent": 1}})));
    let policy_state = running
        .until("denied", |policy_state| !policy_state.denied.is_empty())
        .await;
    assert_eq!(policy_state.denied, [ActionType::StreamStepDown]);
    bench.pass(Duration::from_mins(4)).await;
    let denied = |bench: &Bench| {
        let state = bench.fake.state();
        state
            .calls
            .iter()
            .filter(|call| matches!(call, Call::Denied(_)))
            .count()
    };
    assert_eq!(denied(&bench), 1, "one refusal is enough");
    let policy_state = running.policy_state();
    let held = policy_state
        .report
        .findings
        .iter()
        .filter(|finding| finding.reason == Some(FindingReason::PermissionDenied));
    assert_eq!(held.count(), 5);
    assert_eq!(bench.fake.writes(), 5, "the consumers are another matter");
    assert!(
        policy_state
            .recent_actions
            .iter()
            .all(|action| action.consumer.is_some())
    );

    bench.fake.state().behaviour.clear();
    bench.pass(Duration::from_secs(61)).await;
    assert!(
        bench.fake.writes() > 5,
        "the loop wakes when the five minutes are over"
    );
    running.until_home().await;
    assert_eq!(denied(&bench), 1);
    assert_eq!(bench.fake.writes(), 10);
    assert!(running.policy_state().denied.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_asset_that_drifts_away_is_left_alone_until_its_cooldown_ends() {
    let bench = Bench::new(stretched_of(1, 0));
    let running = bench.start(&policy(json!({})));
    running.until_home().await;
    bench.fake.lead("S00", "n-3");
    bench.pass(Duration::from_mins(29)).await;
    assert_eq!(bench.fake.writes(), 1);
    let finding = running.policy_state().report.findings[0].clone();
    assert_eq!(finding.reason, Some(FindingReason::CoolingDown));
    assert!(finding.next_attempt_time.is_some());
    bench.pass(Duration::from_mins(2)).await;
    assert_eq!(bench.fake.writes(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_breaks_off_leaves_its_place_to_the_others() {
    let bench = Bench::new(stretched_of(3, 1));
    let broken = consumer_asset("S01", "c0");
    bench
        .fake
        .state()
        .behaviour
        .insert(broken.clone(), Behaviour::Panic);
    let running = bench.start(&policy(
        json!({"disruption": {"maxConcurrent": 1, "cooldown": "1m"}}),
    ));
    let policy_state = running
        .until("all but one home", |policy_state| {
            policy_state.report.in_place_of.as_deref() == Some("5/6")
                && policy_state.recent_actions.len() >= 6
        })
        .await;
    assert!(results(&policy_state.recent_actions).contains(&ActionResult::Failed));
    bench.fake.state().behaviour.clear();
    running.until_home().await;
}

#[tokio::test(start_paused = true)]
async fn an_asset_that_is_gone_or_without_an_answer_is_left_alone_without_a_request() {
    let bench = Bench::unwatched(stretched_of(1, 0));
    bench.fake.state().truth.streams.clear();
    let mut running = bench.start(&policy(json!({})));
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.fake.writes(), 0);
    let ended = running
        .happened()
        .into_iter()
        .find_map(|policy_event| match policy_event {
            PolicyEvent::Ended(finished) => Some(finished),
            PolicyEvent::HomeChanged { .. }
            | PolicyEvent::ObservationIncomplete { .. }
            | PolicyEvent::Started { .. }
            | PolicyEvent::Requested { .. }
            | PolicyEvent::PlanCompleted(_)
            | PolicyEvent::Contested { .. }
            | PolicyEvent::BreakerOpened { .. }
            | PolicyEvent::BreakerClosed
            | PolicyEvent::AttemptsExhausted { .. } => None,
        });
    let ended = ended.unwrap();
    assert_eq!(
        (ended.outcome.result, ended.requests),
        (ActionResult::Abandoned, 0)
    );
    assert!(running.policy_state().recent_actions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_for_a_moment_ends_no_operation_after_its_request_and_begins_none() {
    let bench = Bench::new(stretched_of(1, 0));
    bench.fake.state().failing_reads = 1;
    let running = bench.start(&policy(json!({})));
    bench.pass(Duration::from_secs(5)).await;
    assert_eq!(bench.fake.writes(), 0, "what cannot be read is not asked");
    bench.written(1).await;
    bench.fake.state().failing_reads = 3;
    let policy_state = running.until_home().await;
    assert_eq!(bench.fake.state().failing_reads, 0);
    assert_eq!(results(&policy_state.recent_actions), [ActionResult::Succeeded]);
    assert_eq!(bench.fake.writes(), 1);
}
