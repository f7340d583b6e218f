use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leeward_api::policy_status::{
    BreakerState, HomeStatus, MAX_REMEMBERED, OperationStatus, PlacementPolicyStatus, SpentBudget,
};

use super::*;

/// A status with what is remembered, as it comes back from the apiserver.
fn stored(history: &History, second: u64) -> PlacementPolicyStatus {
    let status = PlacementPolicyStatus {
        memory: Some(history.memory(&rules(), at(second))),
        ..PlacementPolicyStatus::default()
    };
    read_back(&status)
}

fn read_back(status: &PlacementPolicyStatus) -> PlacementPolicyStatus {
    serde_json::from_str(&serde_json::to_string(status).unwrap()).unwrap()
}

fn operation(stream: &str, consumer: Option<&str>, action: ActionType) -> OperationStatus {
    OperationStatus {
        action,
        stream: stream.to_owned(),
        consumer: consumer.map(str::to_owned),
        from: None,
        to: None,
        start_time: Time(at(0)),
        deadline: None,
        replaces: None,
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
fn a_status_gives_back_attempts_cooldowns_moves_and_the_rate_a_second_late_at_most() {
    let mut history = after(&[
        ended("S", ActionResult::Missed, 2, 20),
        ended("S/c", ActionResult::Succeeded, 1, 30),
        moved("T", "us", 100 << 20, Duration::from_secs(10), 40),
    ]);
    history.assets.get_mut(&asset("T")).unwrap().undone = 1;
    history.reset_token = Some("token".to_owned());
    let restored = History::restore(&stored(&history, 50), Some("token"), at(60));
    let expected = [
        (asset("S"), past(2, 21)),
        (asset("S/c"), past(0, 31)),
        (
            asset("T"),
            AssetHistory {
                undone: 1,
                moved_to: Some("us".into()),
                ..past(0, 41)
            },
        ),
    ];
    assert_eq!(restored.assets, BTreeMap::from(expected));
    assert_eq!(restored.others_acted_on, None);
    assert_eq!(restored.move_bytes_per_second, Some(10 << 20));
    assert_eq!(restored.reset_token.as_deref(), Some("token"));
}

#[test]
fn times_that_lie_ahead_count_as_now() {
    let ahead = |name: &str| ended(name, ActionResult::Missed, 1, 1_000_000);
    let mut history = after(&[ahead("S")]);
    history.begin(&asset("T"), ActionType::StreamStepDown);
    history.record(&ahead("T"), &rules());
    history.others_acted_on = Some(at(1_000_000));
    let mut status = stored(&history, 1_000_000);
    status.breaker = Some(leeward_api::policy_status::BreakerStatus {
        state: BreakerState::Open,
        retry_time: None,
        failures: vec![Time(at(1_000_000))],
    });
    let restored = History::restore(&status, None, at(60));
    assert_eq!(restored.assets[&asset("S")].last, at(60));
    assert_eq!(restored.others_acted_on, Some(at(60)));
    assert!(restored.ledger.spent().iter().all(|spent| spent.at == at(60)));
    assert_eq!(restored.breaker.opened, Some(at(60)));
    assert_eq!(restored.breaker.failures, [at(60)]);
}

#[test]
fn parts_of_a_second_are_never_lost() {
    let mut late = ended("S", ActionResult::Succeeded, 1, 0);
    late.at = at(10) + Duration::from_millis(999);
    let history = after(&[late.clone()]);
    let restored = History::restore(&stored(&history, 11), None, at(12));
    assert_eq!(restored.assets[&asset("S")].last, at(11));
    assert!(restored.assets[&asset("S")].last >= late.at);
}

#[test]
fn what_was_spent_is_given_back_and_never_ends_earlier() {
    let mut history = History::default();
    for name in ["S", "T"] {
        history.begin(&asset(name), ActionType::StreamStepDown);
        let mut late = ended(name, ActionResult::Succeeded, 1, 10);
        late.at += Duration::from_millis(1);
        history.record(&late, &rules());
    }
    let status = stored(&history, 20);
    let spent = SpentBudget {
        time: Time(at(11)),
        action: ActionType::StreamStepDown,
        count: 2,
    };
    assert_eq!(status.memory.as_ref().unwrap().spent, [spent]);
    let restored = History::restore(&status, None, at(30));
    assert_eq!(restored.ledger.spent()[0].at, at(11));
    assert_eq!(restored.ledger.in_flight(), 0);
}

#[test]
fn of_too_many_those_that_limit_and_then_the_latest_are_listed_and_all_others_rest() {
    let mut history = History::default();
    for number in 0..MAX_REMEMBERED as u64 {
        history
            .assets
            .insert(asset(&format!("A{number}")), past(0, number));
    }
    history.assets.insert(asset("tried"), past(1, 0));
    let watched = AssetHistory {
        moved_to: Some("us".into()),
        ..past(0, 0)
    };
    history.assets.insert(asset("watched"), watched);
    let status = stored(&history, 1000);
    let memory = status.memory.as_ref().unwrap();
    assert_eq!(memory.assets.len(), MAX_REMEMBERED);
    let listed = |name: &str| memory.assets.iter().any(|listed| listed.stream == name);
    assert!(listed("tried") && !listed("A0") && listed("A1"));
    assert!(!listed("watched"), "it is as old as A0 and its name comes later");
    assert_eq!(
        memory.others_acted_on,
        Some(Time(at(1))),
        "the latest left out, a second later"
    );
    let restored = History::restore(&status, None, at(1000));
    let against = |name, second| restored.blocked_by(&asset(name), &rules(), at(second));
    assert_eq!(against("A0", 1800), Some(FindingReason::CoolingDown));
    assert_eq!(against("never acted on", 1800), Some(FindingReason::CoolingDown));
    assert_eq!(against("A0", 1801), None);
    let twice = History::restore(&stored(&restored, 1000), None, at(1000));
    assert!(
        twice.others_acted_on >= restored.others_acted_on,
        "over two restarts too"
    );
}

#[test]
fn what_only_tells_of_a_move_is_the_first_to_go() {
    let mut history = History::default();
    let watched = AssetHistory {
        moved_to: Some("us".into()),
        ..past(0, 3000)
    };
    history.assets.insert(asset("watched"), watched);
    for number in 0..MAX_REMEMBERED {
        history.assets.insert(asset(&format!("A{number}")), past(1, 0));
    }
    let memory = history.memory(&rules(), at(6000));
    assert!(memory.assets.iter().all(|listed| listed.stream != "watched"));
    assert_eq!(memory.others_acted_on, None, "it had cooled down");
}

#[test]
fn what_no_time_ends_is_the_last_to_go() {
    let mut history = History::default();
    for number in 0..MAX_REMEMBERED {
        history.assets.insert(asset(&format!("A{number}")), past(1, 5000));
    }
    let contested = AssetHistory {
        undone: MAX_REVERTS,
        ..past(0, 1)
    };
    history.assets.insert(asset("contested"), contested);
    history.assets.insert(asset("exhausted"), past(3, 0));
    let restored = History::restore(&stored(&history, 6000), None, at(6000));
    let against = |name| restored.blocked_by(&asset(name), &rules(), at(100_000));
    assert_eq!(against("contested"), Some(FindingReason::Contested));
    assert_eq!(against("exhausted"), Some(FindingReason::AttemptsExhausted));
}

#[test]
fn operations_under_way_when_the_past_ended_count_as_done_now() {
    let history = after(&[ended("S", ActionResult::Missed, 2, 20)]);
    let status = PlacementPolicyStatus {
        operations: vec![
            operation("S", None, ActionType::StreamPlacement),
            operation("S", Some("c"), ActionType::ConsumerStepDown),
        ],
        ..stored(&history, 50)
    };
    let restored = History::restore(&status, None, at(5000));
    assert_eq!(restored.assets[&asset("S")], past(2, 5000), "its attempts stay");
    assert_eq!(restored.assets[&asset("S/c")], past(0, 5000));
    assert_eq!(restored.ledger.in_flight(), 0);
    let spent: Vec<(ActionType, Timestamp)> = restored
        .ledger
        .spent()
        .iter()
        .map(|spent| (spent.action, spent.at))
        .collect();
    assert_eq!(
        spent,
        [
            (ActionType::ConsumerStepDown, at(5000)),
            (ActionType::StreamPlacement, at(5000)),
        ]
    );
}

#[test]
fn a_token_that_changed_while_nobody_ran_is_obeyed_at_the_first_round() {
    let mut history = after(&[ended("S", ActionResult::Missed, 3, 10)]);
    history.reset_token = Some("old".to_owned());
    let status = stored(&history, 20);
    let exhausted = |token: &str| {
        let mut restored = History::restore(&status, Some(token), at(30));
        restored.reset(Some(token));
        restored.blocked_by(&asset("S"), &rules(), at(100_000)).is_some()
    };
    assert!(exhausted("old"), "a restart is no reset");
    assert!(!exhausted("new"));
}

#[test]
fn a_status_from_before_there_was_a_memory_takes_the_token_as_obeyed() {
    let mut restored = History::restore(&PlacementPolicyStatus::default(), Some("token"), at(0));
    assert_eq!(restored.reset_token.as_deref(), Some("token"));
    restored.assets.insert(asset("S"), past(3, 0));
    restored.reset(Some("token"));
    assert_eq!(restored.assets.len(), 1);
}

#[test]
fn an_open_breaker_stays_open_and_says_so_until_its_time() {
    let failed = |second| ended("S", ActionResult::Failed, 1, second);
    let history = after(&[failed(10), failed(20), failed(30)]);
    let breaker = |state, failures: &[u64]| leeward_api::policy_status::BreakerStatus {
        state,
        retry_time: None,
        failures: failures.iter().map(|second| Time(at(*second))).collect(),
    };
    let restored = |state, failures: &[u64]| {
        let status = PlacementPolicyStatus {
            breaker: Some(breaker(state, failures)),
            ..stored(&history, 40)
        };
        History::restore(&read_back(&status), None, at(100))
    };
    let rules = rules().circuit_breaker;
    let phase = |history: &History, second| history.breaker.phase(&rules, at(second));
    let open = restored(BreakerState::Open, &[10, 20, 30]);
    assert_ne!(phase(&open, 30 + 3599), BreakerPhase::Closed);
    assert_eq!(phase(&open, 30 + 3601), BreakerPhase::HalfOpen);
    let half_open = restored(BreakerState::HalfOpen, &[10, 20, 30]);
    assert_eq!(phase(&half_open, 30 + 3601), BreakerPhase::HalfOpen);
    let unknown = restored(BreakerState::Open, &[]);
    assert_eq!(
        phase(&unknown, 101),
        BreakerPhase::Open { until: at(3700) },
        "since when is not known: from now on"
    );
    let mut two = restored(BreakerState::Closed, &[10, 20]);
    assert_eq!(phase(&two, 100), BreakerPhase::Closed);
    assert!(two.breaker.failed(&rules, at(110)), "the third opens it");
}

#[test]
fn an_open_breaker_is_not_half_open_a_part_of_a_second_earlier() {
    let rules = rules().circuit_breaker;
    let opened = at(30) + Duration::from_millis(900);
    let status = PlacementPolicyStatus {
        breaker: Some(leeward_api::policy_status::BreakerStatus {
            state: BreakerState::Open,
            retry_time: None,
            failures: vec![Time(opened)],
        }),
        ..PlacementPolicyStatus::default()
    };
    let restored = History::restore(&read_back(&status), None, at(40));
    let just_before = opened + rules.open_for - Duration::from_millis(1);
    let phase = restored.breaker.phase(&rules, just_before);
    assert!(matches!(phase, BreakerPhase::Open { until: _ }), "{phase:?}");
}

#[test]
fn a_home_is_given_back_and_one_that_was_not_stable_or_has_no_beginning_is_not() {
    let restored = |home: Option<HomeStatus>| {
        let status = PlacementPolicyStatus {
            home,
            ..PlacementPolicyStatus::default()
        };
        History::restore(&status, None, at(9))
    };
    assert_eq!(restored(Some(home(true))).home, settled("us", 3));
    assert_eq!(restored(Some(home(false))), History::default());
    let mut endless = home(true);
    endless.since = None;
    assert_eq!(restored(Some(endless)), History::default());
    assert_eq!(restored(None), History::default());
}

#[test]
fn a_status_that_somebody_wrote_nonsense_into_limits_nothing_less() {
    let mut history = after(&[ended("S", ActionResult::Missed, 3, 10)]);
    history.begin(&asset("T"), ActionType::StreamStepDown);
    history.record(&ended("T", ActionResult::Succeeded, 1, 10), &rules());
    let mut status = stored(&history, 20);
    let memory = status.memory.as_mut().unwrap();
    memory.assets[0].undone = -1;
    memory.spent[0].count = i64::MAX;
    memory.move_bytes_per_second = Some(-5);
    let restored = History::restore(&status, None, at(30));
    assert_eq!(restored.assets[&asset("S")], past(3, 11));
    assert_eq!(restored.ledger.spent()[0].count, u32::MAX);
    assert_eq!(restored.move_bytes_per_second, None);
}
