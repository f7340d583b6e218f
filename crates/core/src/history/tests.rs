use std::time::Duration;

use serde_json::json;

use super::*;
use crate::breaker::BreakerPhase;
use crate::demand::SettledHome;
use crate::fixtures::{asset, at, consumer, policy, stream, stretched, view};
use crate::snapshot::Gap;

mod memory;

/// The defaults: 30m of cooldown, three attempts, three failures within 30m open the breaker for 1h.
fn rules() -> Disruption {
    policy(json!({})).disruption
}

fn ended(name: &str, result: ActionResult, requests: u32, second: u64) -> EndedOperation {
    EndedOperation {
        asset: asset(name),
        result,
        reason: None,
        attempts: requests,
        at: at(second),
        moved: None,
    }
}

fn moved(name: &str, to: &str, bytes: u64, took: Duration, second: u64) -> EndedOperation {
    EndedOperation {
        moved: Some(MoveRecord {
            to: to.into(),
            bytes,
            took,
        }),
        ..ended(name, ActionResult::Succeeded, 1, second)
    }
}

fn after(all: &[EndedOperation]) -> History {
    let mut history = History::default();
    for ended in all {
        history.record(ended, &rules());
    }
    history
}

fn past(attempts: u32, second: u64) -> AssetHistory {
    AssetHistory {
        attempts,
        last: at(second),
        undone: 0,
        moved_to: None,
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

fn reverted(names: &[&str], home: &str) -> BTreeMap<AssetName, Location> {
    names.iter().map(|name| (asset(name), home.into())).collect()
}

#[test]
fn requests_without_success_add_up_and_a_success_forgets_them() {
    let missed = ended("S", ActionResult::Missed, 1, 10);
    let failed = ended("S", ActionResult::Failed, 1, 20);
    let timed_out = ended("S", ActionResult::TimedOut, 2, 30);
    let all = [missed, failed, timed_out];
    assert_eq!(after(&all).assets[&asset("S")], past(4, 30));
    for good in [ActionResult::Succeeded, ActionResult::Stalled] {
        let mut history = after(&all);
        history.record(&ended("S", good, 1, 40), &rules());
        assert_eq!(
            history.assets[&asset("S")],
            past(0, 40),
            "{good}: its leader is home"
        );
    }
}

#[test]
fn an_operation_without_a_request_leaves_no_trace() {
    for result in [
        ActionResult::Abandoned,
        ActionResult::Failed,
        ActionResult::TimedOut,
    ] {
        let mut history = History::default();
        history.begin(&asset("S"), ActionType::StreamStepDown);
        assert_eq!(history.ledger.in_flight(), 1);
        let news = history.record(&ended("S", result, 0, 10), &rules());
        assert_eq!(news, BreakerTransition::None);
        assert_eq!(history, History::default(), "{result}");
    }
}

#[test]
fn an_operation_with_a_request_counts_against_budgets_however_it_ends() {
    for result in [
        ActionResult::Succeeded,
        ActionResult::Missed,
        ActionResult::Failed,
        ActionResult::TimedOut,
        ActionResult::Stalled,
        ActionResult::Abandoned,
    ] {
        let mut history = History::default();
        history.begin(&asset("S"), ActionType::StreamStepDown);
        history.record(&ended("S", result, 1, 10), &rules());
        assert_eq!(history.ledger.in_flight(), 0);
        let spent: Vec<(Timestamp, u32)> = history
            .ledger
            .spent()
            .iter()
            .map(|spent| (spent.at, spent.count))
            .collect();
        assert_eq!(spent, [(at(10), 1)], "{result}");
    }
}

#[test]
fn an_abandoned_operation_that_had_asked_rests_and_does_not_count() {
    let history = after(&[
        ended("S", ActionResult::Missed, 1, 10),
        ended("S", ActionResult::Abandoned, 1, 20),
    ]);
    assert_eq!(history.assets[&asset("S")], past(1, 20));
}

#[test]
fn a_very_long_row_of_attempts_does_not_overflow() {
    let all = [
        ended("S", ActionResult::Missed, u32::MAX, 1),
        ended("S", ActionResult::Missed, 5, 2),
    ];
    assert_eq!(after(&all).assets[&asset("S")].attempts, u32::MAX);
}

#[test]
fn cooldowns_and_attempts_end_at_their_borders() {
    let history = after(&[ended("S", ActionResult::Succeeded, 1, 0)]);
    let cooling = |second| history.cooling_until(&asset("S"), &rules(), at(second));
    assert_eq!(cooling(1799), Some(at(1800)));
    assert_eq!(cooling(1800), None);
    assert_eq!(
        history.cooling_until(&asset("T"), &rules(), at(1)),
        None,
        "another asset does not rest"
    );
    assert!(!past(2, 0).exhausted(&rules()));
    assert!(past(3, 0).exhausted(&rules()));
}

#[test]
fn the_weightiest_of_what_stands_against_an_asset_is_named() {
    let mut history = History::default();
    assert!(history.is_blank());
    let entries = [
        ("contested", past(3, 0), MAX_REVERTS),
        ("exhausted", past(3, 0), 1),
        ("cooling", past(2, 1000), 1),
        ("free", past(2, 0), 1),
    ];
    for (name, past, undone) in entries {
        history
            .assets
            .insert(asset(name), AssetHistory { undone, ..past });
    }
    assert!(!history.is_blank());
    let against = |name: &str| history.blocked_by(&asset(name), &rules(), at(1800));
    assert_eq!(against("contested"), Some(FindingReason::Contested));
    assert_eq!(against("exhausted"), Some(FindingReason::AttemptsExhausted));
    assert_eq!(against("cooling"), Some(FindingReason::CoolingDown));
    assert_eq!(against("free"), None);
    assert_eq!(against("unheard of"), None);
    assert_eq!(history.next_cooled(&rules(), at(1800)), Some(at(2800)));
    assert_eq!(history.next_cooled(&rules(), at(2800)), None);
}

#[test]
fn those_that_a_status_had_no_place_for_rest_although_they_are_not_listed() {
    let mut history = after(&[ended("S", ActionResult::Succeeded, 1, 0)]);
    history.others_acted_on = Some(at(500));
    let cooling = |name, second| history.cooling_until(&asset(name), &rules(), at(second));
    assert_eq!(
        cooling("S", 1799),
        Some(at(1800)),
        "it is listed: its own time holds"
    );
    assert_eq!(cooling("S", 1800), None);
    assert_eq!(cooling("anything", 2299), Some(at(2300)));
    assert_eq!(cooling("anything", 2300), None);
    assert_eq!(history.next_cooled(&rules(), at(1900)), Some(at(2300)));
    history.prune(&rules(), at(2299));
    assert!(!history.is_blank());
    history.prune(&rules(), at(2300));
    assert!(history.is_blank());
}

#[test]
fn another_home_forgets_attempts_and_moves_and_keeps_cooldowns_and_what_was_undone() {
    let mut history = after(&[ended("S", ActionResult::Missed, 3, 10)]);
    history.assets.insert(
        asset("T"),
        AssetHistory {
            undone: 1,
            moved_to: Some("us".into()),
            ..past(0, 20)
        },
    );
    let before = history.assets.clone();
    history.settle(settled("us", 0), AssetHomes::new());
    assert_eq!(history.assets, before, "the first home is no change");
    history.settle(settled("us", 0), AssetHomes::new());
    assert_eq!(history.assets, before);
    let challenged = HomeHistory {
        challenger: Some(crate::demand::Challenger {
            location: "eu".into(),
            since: at(1),
            confirmed: at(2),
        }),
        ..settled("us", 0)
    };
    history.settle(challenged.clone(), AssetHomes::new());
    assert_eq!(history.assets, before, "a challenger is no home");
    assert_eq!(history.home, challenged);
    history.settle(settled("eu", 50), AssetHomes::new());
    let undone = AssetHistory {
        undone: 1,
        ..past(0, 20)
    };
    let expected = BTreeMap::from([(asset("S"), past(0, 10)), (asset("T"), undone)]);
    assert_eq!(history.assets, expected);
}

#[test]
fn an_assets_own_home_forgets_its_attempts_when_it_changes_and_those_of_no_other() {
    let own = |location| AssetHomes::from([(asset("S"), settled(location, 0))]);
    let missed = |name, requests| ended(name, ActionResult::Missed, requests, 10);
    let mut history = after(&[missed("S", 3), missed("S/c", 2), missed("T", 1)]);
    let attempts = |history: &History| ["S", "S/c", "T"].map(|name| history.assets[&asset(name)].attempts);
    history.settle(settled("us", 0), AssetHomes::new());
    history.settle(settled("us", 0), own("eu"));
    assert_eq!(
        attempts(&history),
        [3, 2, 1],
        "as after a restart: it is no new home"
    );
    history.settle(settled("us", 0), own("ap"));
    assert_eq!(
        attempts(&history),
        [0, 0, 1],
        "its consumer's home is the stream's"
    );
    history.settle(settled("eu", 0), own("ap"));
    assert_eq!(attempts(&history), [0, 0, 0]);
}

#[test]
fn a_changed_token_forgets_attempts_what_was_undone_and_the_breaker_and_keeps_cooldowns_of_successes() {
    let failed = |second| ended("S", ActionResult::Failed, 1, second);
    let mut history = after(&[failed(10), failed(11), failed(12)]);
    let contested = AssetHistory {
        undone: MAX_REVERTS,
        ..past(0, 10)
    };
    history.assets.insert(asset("T"), contested);
    let open =
        |history: &History| history.breaker.phase(&rules().circuit_breaker, at(20)) != BreakerPhase::Closed;
    history.reset(None);
    assert_eq!(history.assets.len(), 2, "the same token as before");
    assert!(open(&history));
    history.reset(Some("again"));
    assert_eq!(history.assets, BTreeMap::from([(asset("T"), past(0, 10))]));
    assert!(!open(&history));
    history.record(&ended("S", ActionResult::Missed, 3, 20), &rules());
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
    let undone = AssetHistory {
        undone: 1,
        ..past(0, 0)
    };
    history.assets.insert(asset("undone"), undone);
    let lies = AssetHistory {
        moved_to: Some("us".into()),
        ..past(0, 0)
    };
    history.assets.insert(asset("watched"), lies);
    history.prune(&rules(), at(1800));
    let left: Vec<String> = history.assets.keys().map(ToString::to_string).collect();
    assert_eq!(
        left,
        [
            "stream cooling",
            "stream tried",
            "stream undone",
            "stream watched"
        ]
    );
}

#[test]
fn budgets_forget_what_no_span_looks_back_to() {
    let mut history = History::default();
    for (name, second) in [("S", 0), ("T", 100)] {
        history.begin(&asset(name), ActionType::StreamStepDown);
        history.record(&ended(name, ActionResult::Succeeded, 1, second), &rules());
    }
    history.prune(&rules(), at(599));
    assert_eq!(
        history.ledger.spent().len(),
        2,
        "the default budget looks back 10m"
    );
    history.prune(&rules(), at(600));
    assert_eq!(history.ledger.spent().len(), 1);
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

#[test]
fn an_edit_that_somebody_undoes_twice_is_contested() {
    let mut history = History::default();
    for (round, contested) in [(0, vec![]), (10_000, vec![asset("S")])] {
        history.record(&moved("S", "us", 0, Duration::ZERO, round), &rules());
        assert_eq!(history.assets[&asset("S")].moved_to, Some("us".into()));
        let told = |history: &mut History, names: &[&str], seen: u64| {
            history.notice_reverted(&reverted(names, "us"), at(round + seen))
        };
        assert!(
            told(&mut history, &["T"], 5).is_empty(),
            "it lies where it was moved to"
        );
        assert!(
            told(&mut history, &["S"], 0).is_empty(),
            "an older look tells nothing"
        );
        assert_eq!(history.assets[&asset("S")].moved_to, Some("us".into()));
        assert_eq!(told(&mut history, &["S"], 6), contested);
        assert!(
            told(&mut history, &["S"], 7).is_empty(),
            "what was undone once counts once"
        );
    }
    let against = |second| history.blocked_by(&asset("S"), &rules(), at(second));
    assert_eq!(
        against(1_000_000),
        Some(FindingReason::Contested),
        "it does not pass by itself"
    );
    history.prune(&rules(), at(1_000_000));
    assert_eq!(history.assets[&asset("S")].undone, MAX_REVERTS);
}

#[test]
fn a_stream_that_lies_elsewhere_because_home_changed_was_undone_by_nobody() {
    let mut history = after(&[moved("S", "us", 0, Duration::ZERO, 0)]);
    let contested = history.notice_reverted(&reverted(&["S"], "eu"), at(5));
    assert!(contested.is_empty());
    assert_eq!(history.assets[&asset("S")].undone, 0);
}

#[test]
fn an_operation_that_ends_contested_counts_as_undone() {
    let contested = EndedOperation {
        reason: Some(FindingReason::Contested),
        ..ended("S", ActionResult::Failed, 1, 10)
    };
    let history = after(&[contested.clone(), contested]);
    assert_eq!(history.assets[&asset("S")].undone, 2);
    let against = history.blocked_by(&asset("S"), &rules(), at(10));
    assert_eq!(against, Some(FindingReason::Contested));
}

#[test]
fn what_a_move_copied_a_second_is_remembered_from_moves_worth_measuring_that_succeeded() {
    let second = Duration::from_secs(1);
    let mut history = after(&[moved("S", "us", 100 << 20, 10 * second, 0)]);
    assert_eq!(history.move_bytes_per_second, Some(10 << 20));
    history.record(&moved("S", "us", (16 << 20) - 1, second, 1), &rules());
    assert_eq!(
        history.move_bytes_per_second,
        Some(10 << 20),
        "small ones tell of elections"
    );
    let slow = EndedOperation {
        result: ActionResult::TimedOut,
        ..moved("S", "us", 1 << 40, second, 2)
    };
    history.record(&slow, &rules());
    assert_eq!(history.move_bytes_per_second, Some(10 << 20));
    history.record(&moved("S", "us", 32 << 20, Duration::ZERO, 3), &rules());
    assert!(
        history.move_bytes_per_second > Some(10 << 20),
        "an instant is no division by zero"
    );
}

#[test]
fn the_breaker_hears_of_failures_and_not_of_hand_overs_that_missed() {
    let mut history = History::default();
    let mut tell = |result, second| history.record(&ended("S", result, 1, second), &rules());
    for second in 0..50 {
        assert_eq!(tell(ActionResult::Missed, second), BreakerTransition::None);
        assert_eq!(tell(ActionResult::Abandoned, second), BreakerTransition::None);
    }
    assert_eq!(tell(ActionResult::Failed, 60), BreakerTransition::None);
    assert_eq!(tell(ActionResult::TimedOut, 61), BreakerTransition::None);
    assert_eq!(tell(ActionResult::Succeeded, 62), BreakerTransition::None);
    assert_eq!(tell(ActionResult::Stalled, 63), BreakerTransition::Opened);
    assert_eq!(
        tell(ActionResult::Failed, 64),
        BreakerTransition::None,
        "it is open already"
    );
    assert_eq!(
        tell(ActionResult::Succeeded, 65),
        BreakerTransition::None,
        "begun before it opened"
    );
    assert_eq!(tell(ActionResult::Failed, 63 + 3600), BreakerTransition::Opened);
    assert_eq!(
        tell(ActionResult::Succeeded, 63 + 7200),
        BreakerTransition::Closed
    );
}
