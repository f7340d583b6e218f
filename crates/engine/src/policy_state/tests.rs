use super::*;
use crate::fixtures::{at, finished, step_down, stream_move};

fn in_flight(actions: &[Action]) -> BTreeMap<AssetName, RunningOperation> {
    let entry = |action: &Action| {
        let operation = RunningOperation {
            action: action.clone(),
            started: at(0),
            deadline: at(20),
            stage: Stage::Requested,
            copied: None,
            proof: None,
            sent: Arc::default(),
        };
        (action.asset.clone(), operation)
    };
    actions.iter().map(entry).collect()
}

fn ended(stream: &str, action: ActionType, result: ActionResult, second: u64) -> RecentAction {
    RecentAction {
        time: Time(at(second)),
        action,
        stream: stream.to_owned(),
        consumer: None,
        from: None,
        to: None,
        result,
        reason: None,
        duration_milliseconds: 0,
        proof: None,
    }
}

fn limited() -> (ProgressingReason, String) {
    (ProgressingReason::OutsideWindow, "2 wait".to_owned())
}

const STEP_DOWN: ActionType = ActionType::StreamStepDown;
const MOVE: ActionType = ActionType::StreamPlacement;

#[test]
fn what_is_under_way_is_told_before_what_withholds_the_rest() {
    let both = in_flight(&[step_down("A", None), step_down("B/c", None), stream_move("C")]);
    let (reason, text) = progressing(&both, Some(Inhibited::Suspended), 7, None);
    assert_eq!(
        (reason, text.as_str()),
        (
            ProgressingReason::StreamMoving,
            "1 streams moving, 2 step-downs, 7 waiting"
        )
    );
    let (reason, text) = progressing(&in_flight(&[step_down("A", None)]), None, 0, None);
    assert_eq!(
        (reason, text.as_str()),
        (ProgressingReason::SteppingDown, "1 step-downs, 0 waiting")
    );
}

#[test]
fn everything_that_withholds_the_right_to_act_has_its_reason() {
    for (inhibited, expected) in [
        (Inhibited::Observing, ProgressingReason::Observing),
        (Inhibited::NotAccepted, ProgressingReason::Observing),
        (Inhibited::Suspended, ProgressingReason::Suspended),
        (Inhibited::SystemSuspended, ProgressingReason::Suspended),
        (Inhibited::NotActive, ProgressingReason::FenceHeldElsewhere),
    ] {
        assert_eq!(
            progressing(&BTreeMap::new(), Some(inhibited), 3, Some(limited())),
            (expected, inhibited.to_string())
        );
    }
}

#[test]
fn an_idle_policy_says_what_its_limits_let_wait() {
    assert_eq!(progressing(&BTreeMap::new(), None, 0, Some(limited())), limited());
}

#[test]
fn operations_whose_leaders_are_home_are_being_verified() {
    let mut operations = in_flight(&[step_down("A", None), stream_move("C")]);
    for operation in operations.values_mut() {
        operation.stage = Stage::Verifying;
    }
    let (reason, text) = progressing(&operations, None, 1, None);
    assert_eq!(reason, ProgressingReason::Verifying);
    assert_eq!(text, "2 done, watched until their clients go on; 1 waiting");
    operations.values_mut().next().unwrap().stage = Stage::Requested;
    assert_eq!(
        progressing(&operations, None, 1, None).0,
        ProgressingReason::StreamMoving
    );
}

#[test]
fn an_idle_policy_says_whether_it_waits() {
    assert_eq!(progressing(&BTreeMap::new(), None, 0, None).1, "nothing to do");
    let (reason, text) = progressing(&BTreeMap::new(), None, 2, Some(limited()));
    assert_eq!(
        (reason, text.as_str()),
        (ProgressingReason::Idle, "2 wait for the system's limits")
    );
}

#[test]
fn a_policy_without_failures_is_healthy() {
    let recent = [
        ended("A", STEP_DOWN, ActionResult::Succeeded, 1),
        ended("B", MOVE, ActionResult::Abandoned, 2),
    ];
    assert_eq!(
        degraded(&recent, &BTreeSet::new(), 0, None).0,
        DegradedReason::Healthy
    );
    assert_eq!(
        degraded(&[], &BTreeSet::new(), 0, None).0,
        DegradedReason::Healthy
    );
}

#[test]
fn only_the_last_operation_of_an_asset_counts_whatever_the_order_of_the_list() {
    let timed_out = ended("A", MOVE, ActionResult::TimedOut, 1);
    let done = ended("A", MOVE, ActionResult::Succeeded, 2);
    assert_eq!(
        degraded(std::slice::from_ref(&timed_out), &BTreeSet::new(), 0, None).0,
        DegradedReason::MoveTimedOut
    );
    for list in [
        [timed_out.clone(), done.clone()],
        [done.clone(), timed_out.clone()],
    ] {
        assert_eq!(
            degraded(&list, &BTreeSet::new(), 0, None).0,
            DegradedReason::Healthy
        );
    }
    let mut of_consumer = done;
    of_consumer.consumer = Some("c".to_owned());
    assert_eq!(
        degraded(&[of_consumer, timed_out], &BTreeSet::new(), 0, None).0,
        DegradedReason::MoveTimedOut,
        "another asset"
    );
}

#[test]
fn a_miss_or_two_degrade_nothing_until_an_asset_is_given_up() {
    let missed = [ended("A", STEP_DOWN, ActionResult::Missed, 1)];
    assert_eq!(
        degraded(&missed, &BTreeSet::new(), 0, None).0,
        DegradedReason::Healthy
    );
    assert_eq!(
        degraded(&missed, &BTreeSet::new(), 1, None).0,
        DegradedReason::StepDownsMissed
    );
    assert_eq!(
        degraded(&[], &BTreeSet::new(), 1, None).0,
        DegradedReason::RepeatedFailures
    );
    let failed = |count: usize| -> Vec<RecentAction> {
        let kinds = [STEP_DOWN, MOVE, ActionType::ConsumerStepDown];
        let nth = |number: usize| ended(&format!("S{number}"), kinds[number % 3], ActionResult::Failed, 1);
        (0..count).map(nth).collect()
    };
    assert_eq!(
        degraded(&failed(2), &BTreeSet::new(), 0, None).0,
        DegradedReason::Healthy
    );
    assert_eq!(
        degraded(&failed(3), &BTreeSet::new(), 0, None).0,
        DegradedReason::RepeatedFailures
    );
}

#[test]
fn an_operation_shows_where_it_leads_for_a_move_the_location() {
    let shown = |action: Action| {
        let (_, operation) = in_flight(&[action]).pop_first().unwrap();
        let status = operation_status(&operation);
        (status.stream, status.consumer, status.to)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        shown(step_down("A/c", Some("us-0"))),
        ("A".to_owned(), text("c"), text("us-0"))
    );
    assert_eq!(shown(step_down("A", None)), ("A".to_owned(), None, None));
    assert_eq!(shown(stream_move("A")), ("A".to_owned(), None, text("us")));
}

#[test]
fn a_recent_action_shows_who_leads_for_a_move_the_location_and_how_long_it_took() {
    let of = |action| recent_action(&finished(action, ActionResult::Succeeded, None));
    let step_down = of(step_down("A/c", Some("us-1")));
    assert_eq!(
        step_down.to.as_deref(),
        Some("us-0"),
        "who was read, not who was asked for"
    );
    assert_eq!((step_down.duration_milliseconds, step_down.reason), (250, None));
    assert_eq!(of(stream_move("A")).to.as_deref(), Some("us"));
    let reason = Some(leeward_api::vocabulary::FindingReason::MoveInProgress);
    let late = recent_action(&finished(stream_move("A"), ActionResult::TimedOut, reason));
    assert_eq!(late.reason.as_deref(), Some("MoveInProgress"));
}

#[test]
fn what_came_home_or_went_away_since_degrades_nothing() {
    let timed_out = recent_action(&finished(stream_move("A"), ActionResult::TimedOut, None));
    let list = [timed_out];
    assert_eq!(
        degraded(&list, &BTreeSet::new(), 0, None).0,
        DegradedReason::MoveTimedOut
    );
    let cured = BTreeSet::from([asset_of(&list[0])]);
    assert_eq!(degraded(&list, &cured, 0, None).0, DegradedReason::Healthy);
}

#[test]
fn an_open_breaker_degrades_whatever_the_last_actions_were() {
    let breaker = |state| BreakerStatus {
        state,
        retry_time: None,
        failures: vec![Time(at(1)), Time(at(2))],
    };
    let said = |state| degraded(&[], &BTreeSet::new(), 0, Some(&breaker(state)));
    assert_eq!(
        said(BreakerState::Open),
        (
            DegradedReason::RepeatedFailures,
            "2 actions failed, the circuit breaker is Open".to_owned()
        )
    );
    assert_eq!(said(BreakerState::HalfOpen).0, DegradedReason::RepeatedFailures);
    assert_eq!(said(BreakerState::Closed).0, DegradedReason::Healthy);
}
