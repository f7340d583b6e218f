use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::policy_status::{Finding, HomeStatus, RecentAction};
use leeward_api::vocabulary::{ActionType, Check, Remedy};

use super::*;
use crate::fixtures::{asset, at, consumer, stream, stretched, view};
use crate::snapshot::Gap;

fn rules() -> Disruption {
    Disruption {
        max_concurrent: 4,
        cooldown: Duration::from_mins(30),
        max_attempts: 3,
    }
}

fn ended(result: ActionResult, requests: u32, second: u64) -> Ended {
    Ended {
        asset: asset("S"),
        result,
        requests,
        at: at(second),
    }
}

fn after(all: &[Ended]) -> History {
    let mut history = History::default();
    for ended in all {
        history.record(ended);
    }
    history
}

fn past(attempts: u32, second: u64) -> AssetHistory {
    AssetHistory {
        attempts,
        last: at(second),
    }
}

fn settled(location: &str, second: u64) -> HomeHistory {
    HomeHistory {
        settled: Some(SettledHome {
            location: location.into(),
            since: at(second),
        }),
        challenger: None,
    }
}

#[test]
fn requests_without_success_add_up_and_a_success_forgets_them() {
    let missed = ended(ActionResult::Missed, 1, 10);
    let failed = ended(ActionResult::Failed, 1, 20);
    let timed_out = ended(ActionResult::TimedOut, 2, 30);
    let all = [missed, failed, timed_out];
    assert_eq!(after(&all).assets[&asset("S")], past(4, 30));
    let mut history = after(&all);
    history.record(&ended(ActionResult::Succeeded, 1, 40));
    assert_eq!(history.assets[&asset("S")], past(0, 40));
}

#[test]
fn an_operation_without_a_request_leaves_no_trace() {
    for result in [
        ActionResult::Abandoned,
        ActionResult::Failed,
        ActionResult::TimedOut,
    ] {
        assert!(after(&[ended(result, 0, 10)]).assets.is_empty(), "{result}");
    }
}

#[test]
fn an_abandoned_operation_that_had_asked_rests_and_does_not_count() {
    let history = after(&[
        ended(ActionResult::Missed, 1, 10),
        ended(ActionResult::Abandoned, 1, 20),
    ]);
    assert_eq!(history.assets[&asset("S")], past(1, 20));
}

#[test]
fn a_very_long_row_of_attempts_does_not_overflow() {
    let all = [
        ended(ActionResult::Missed, u32::MAX, 1),
        ended(ActionResult::Missed, 5, 2),
    ];
    assert_eq!(after(&all).assets[&asset("S")].attempts, u32::MAX);
}

#[test]
fn cooldowns_and_attempts_end_at_their_borders() {
    let cooling = |second| past(0, 0).cooling_until(&rules(), at(second));
    assert_eq!(cooling(1799), Some(at(1800)));
    assert_eq!(cooling(1800), None);
    assert!(!past(2, 0).exhausted(&rules()));
    assert!(past(3, 0).exhausted(&rules()));
}

#[test]
fn another_home_forgets_attempts_and_keeps_cooldowns() {
    let mut history = after(&[ended(ActionResult::Missed, 3, 10)]);
    history.settle(settled("us", 0));
    assert_eq!(history.assets.len(), 1, "the first home is no change");
    history.settle(settled("us", 0));
    assert_eq!(history.assets.len(), 1);
    let challenged = HomeHistory {
        challenger: Some(crate::demand::Challenger {
            location: "eu".into(),
            since: at(1),
            confirmed: at(2),
        }),
        ..settled("us", 0)
    };
    history.settle(challenged.clone());
    assert_eq!(history.assets.len(), 1, "a challenger is no home");
    assert_eq!(history.home, challenged);
    history.settle(settled("eu", 50));
    let kept: Vec<&AssetHistory> = history.assets.values().collect();
    assert_eq!(
        kept,
        [&AssetHistory {
            attempts: 0,
            last: at(10)
        }]
    );
}

#[test]
fn a_changed_token_forgets_attempts_and_keeps_cooldowns_of_successes() {
    let mut history = after(&[ended(ActionResult::Missed, 3, 10)]);
    history.assets.insert(asset("T"), past(0, 10));
    history.reset(None);
    assert_eq!(history.assets.len(), 2, "the same token as before");
    history.reset(Some("again"));
    assert_eq!(history.assets.keys().collect::<Vec<_>>(), [&asset("T")]);
    history.record(&ended(ActionResult::Missed, 3, 20));
    history.reset(Some("again"));
    assert_eq!(history.assets.len(), 2, "it works once");
    history.reset(None);
    assert_eq!(history.assets.len(), 1, "to take it away is a change too");
}

#[test]
fn what_no_longer_stands_against_anything_is_dropped() {
    let mut history = History::default();
    history.assets.insert(asset("cooled"), past(0, 0));
    history.assets.insert(asset("cooling"), past(0, 100));
    history.assets.insert(asset("tried"), past(1, 0));
    history.prune(&rules(), at(1800));
    let left: Vec<String> = history.assets.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["stream cooling", "stream tried"]);
}

#[test]
fn assets_that_are_gone_are_forgotten_but_never_because_of_a_gap() {
    let topology = stretched();
    let mut kept = stream(&topology, "S", &["n-0"]);
    kept.consumers.push(consumer(&topology, "c", &["n-0"]));
    let mut view = view(topology, Vec::new(), vec![kept]);
    let mut history = History::default();
    for name in ["S", "S/c", "S/gone", "T", "T/c"] {
        history.assets.insert(asset(name), past(3, 0));
    }
    view.gaps.push(Gap::WarmingUp);
    history.forget_deleted(&view);
    assert_eq!(history.assets.len(), 5);
    view.gaps.clear();
    history.forget_deleted(&view);
    assert_eq!(
        history.assets.keys().collect::<Vec<_>>(),
        [&asset("S"), &asset("S/c")]
    );
}

fn action(stream: &str, result: ActionResult, second: u64) -> RecentAction {
    RecentAction {
        time: Time(at(second)),
        action: ActionType::StreamStepDown,
        stream: stream.to_owned(),
        consumer: None,
        from: None,
        to: None,
        result,
        reason: None,
        duration_milliseconds: 0,
    }
}

fn finding(stream: &str, attempts: i32, next: Option<u64>) -> Finding {
    Finding {
        check: Check::StreamLeaderMisplaced,
        stream: Some(stream.to_owned()),
        consumer: None,
        leader: None,
        location: None,
        remedy: Remedy::StreamStepDown,
        reason: None,
        message: String::new(),
        since: Some(Time(at(5))),
        attempts,
        next_attempt_time: next.map(|second| Time(at(second))),
    }
}

fn home(stable: bool) -> HomeStatus {
    HomeStatus {
        location: "us".to_owned(),
        percent: 90,
        connections: 9,
        since: Some(Time(at(3))),
        stable,
    }
}

#[test]
fn a_status_gives_back_home_cooldowns_attempts_and_the_token() {
    let mut of_consumer = action("S", ActionResult::Missed, 40);
    of_consumer.consumer = Some("c".to_owned());
    let status = PlacementPolicyStatus {
        home: Some(home(true)),
        recent_actions: vec![
            of_consumer,
            action("S", ActionResult::Succeeded, 30),
            action("S", ActionResult::Missed, 20),
            action("T", ActionResult::Abandoned, 10),
        ],
        findings: vec![finding("T", 2, None)],
        ..PlacementPolicyStatus::default()
    };
    let history = History::restore(&status, Some("token"));
    assert_eq!(history.home, settled("us", 3));
    assert_eq!(history.reset_token.as_deref(), Some("token"));
    let expected = [
        (asset("S"), past(0, 30)),
        (asset("S/c"), past(0, 40)),
        (asset("T"), past(2, 10)),
    ];
    assert_eq!(history.assets, BTreeMap::from(expected));
}

#[test]
fn attempts_survive_although_their_actions_have_left_the_status() {
    let mut general = finding("", 7, None);
    general.stream = None;
    let status = PlacementPolicyStatus {
        findings: vec![
            finding("S", 3, None),
            finding("T", 1, Some(900)),
            finding("U", 0, None),
            general,
        ],
        ..PlacementPolicyStatus::default()
    };
    let history = History::restore(&status, None);
    assert_eq!(history.assets.len(), 2);
    assert!(history.assets[&asset("S")].exhausted(&rules()));
    assert!(
        history.assets[&asset("T")]
            .cooling_until(&rules(), at(899))
            .is_some()
    );
}

#[test]
fn a_home_that_was_not_stable_or_has_no_beginning_is_not_given_back() {
    let restored = |home: Option<HomeStatus>| {
        let status = PlacementPolicyStatus {
            home,
            ..PlacementPolicyStatus::default()
        };
        History::restore(&status, None)
    };
    assert_eq!(restored(Some(home(false))), History::default());
    let mut endless = home(true);
    endless.since = None;
    assert_eq!(restored(Some(endless)), History::default());
    assert_eq!(restored(None), History::default());
}
