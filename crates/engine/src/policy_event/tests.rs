use std::time::Duration;

use super::*;
use crate::fixtures::{finished, step_down, stream_move};

fn ended(
    action: Action,
    result: ActionResult,
    reason: Option<FindingReason>,
) -> Option<(EventReason, String)> {
    PolicyEvent::Ended(finished(action, result, reason)).event()
}

fn reason_of(action: Action, result: ActionResult, reason: Option<FindingReason>) -> Option<EventReason> {
    ended(action, result, reason).map(|(reason, _)| reason)
}

#[test]
fn every_end_of_an_operation_has_its_event() {
    use ActionResult::{Failed, Missed, Succeeded, TimedOut};
    for (result, of_step_down, of_move) in [
        (
            Succeeded,
            EventReason::LeaderMoved,
            EventReason::StreamMoveCompleted,
        ),
        (
            TimedOut,
            EventReason::StepDownFailed,
            EventReason::StreamMoveTimedOut,
        ),
        (Missed, EventReason::StepDownMissed, EventReason::StepDownMissed),
    ] {
        assert_eq!(reason_of(step_down("S", None), result, None), Some(of_step_down));
        assert_eq!(reason_of(stream_move("S"), result, None), Some(of_move));
    }
    assert_eq!(
        reason_of(step_down("S", None), Failed, None),
        Some(EventReason::StepDownFailed)
    );
}

#[test]
fn what_was_abandoned_is_no_event_unless_a_right_is_missing() {
    let abandoned = |reason| reason_of(step_down("S", None), ActionResult::Abandoned, reason);
    assert_eq!(abandoned(None), None);
    assert_eq!(abandoned(Some(FindingReason::TargetLagging)), None);
    assert_eq!(
        abandoned(Some(FindingReason::PermissionDenied)),
        Some(EventReason::PermissionDenied)
    );
}

#[test]
fn an_edit_that_changed_more_than_it_was_meant_to_is_contested() {
    let contested = Some(FindingReason::Contested);
    assert_eq!(
        reason_of(stream_move("S"), ActionResult::Failed, contested),
        Some(EventReason::PlacementContested)
    );
}

#[test]
fn a_note_says_what_led_from_where_and_how_long_it_took() {
    let (_, note) = ended(step_down("S/c", None), ActionResult::Succeeded, None).unwrap();
    assert_eq!(note, "consumer S/c from eu-0: as it went (250 ms)");
}

#[test]
fn the_first_request_is_an_event_only_for_a_move_and_says_what_it_costs() {
    let requested = |action| PolicyEvent::Requested { action }.event();
    assert_eq!(requested(step_down("S", None)), None);
    let (reason, note) = requested(stream_move("S")).unwrap();
    assert_eq!(
        (reason, note.as_str()),
        (
            EventReason::StreamMoveStarted,
            "stream S moves from eu-0 to us: 0 bytes, about 0 s"
        )
    );
    let mut slow = stream_move("S");
    let ActionKind::Move(moving) = &mut slow.kind else {
        panic!("a move");
    };
    moving.cost.stall = Duration::from_secs(9);
    assert!(
        requested(slow)
            .unwrap()
            .1
            .ends_with(", and blocks its writes for about 9 s")
    );
}

#[test]
fn a_row_of_operations_tells_what_it_changed() {
    let completed = Completed {
        results: BTreeMap::from([(ActionResult::Succeeded, 11), (ActionResult::Missed, 1)]),
        in_place_before: "0/12".to_owned(),
        in_place_after: "11/12".to_owned(),
        gateway_before: Some(62),
        gateway_after: Some(3),
    };
    let (reason, note) = PolicyEvent::PlanCompleted(completed).event().unwrap();
    assert_eq!(reason, EventReason::PlanCompleted);
    assert_eq!(
        note,
        "Succeeded 11, Missed 1; in place 0/12 before, 11/12 after; across gateways 62 % before, 3 % after"
    );
}

#[test]
fn a_home_that_changed_tells_where_it_was_if_that_is_known() {
    let changed = |asset: Option<AssetName>, from: Option<&str>| {
        let policy_event = PolicyEvent::HomeChanged {
            asset,
            from: from.map(Location::from),
            to: "us".into(),
            percent: 80,
            connections: 8,
        };
        policy_event.event().unwrap()
    };
    assert_eq!(
        changed(None, Some("eu")).1,
        "home is us (80 %, 8 connections), before: eu"
    );
    assert_eq!(
        changed(Some(AssetName::stream("S".into())), Some("eu")).1,
        "home of stream S is us (80 % of its use, 8 connections), before: eu"
    );
    assert_eq!(
        changed(None, None),
        (
            EventReason::HomeChanged,
            "home is us (80 %, 8 connections), before: unknown".to_owned()
        )
    );
}

#[test]
fn missing_data_and_used_up_attempts_are_events_that_say_what_to_do() {
    let incomplete = PolicyEvent::ObservationIncomplete {
        message: "server n-3 does not answer".to_owned(),
    };
    let (reason, note) = incomplete.event().unwrap();
    assert_eq!(
        (reason, note.as_str()),
        (EventReason::ObservationIncomplete, "server n-3 does not answer")
    );
    let exhausted = PolicyEvent::AttemptsExhausted {
        action: step_down("S", None),
        attempts: 3,
    };
    let (reason, note) = exhausted.event().unwrap();
    assert_eq!(reason, EventReason::AttemptsExhausted);
    assert!(
        note.contains("3 attempts") && note.contains("resetToken"),
        "{note}"
    );
}
