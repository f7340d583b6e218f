use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leeward_api::vocabulary::ActionType::{self, ConsumerStepDown, StreamPlacement, StreamStepDown};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{Opening, Window, WindowEffect, opening};
use crate::action_set::ActionSet;
use crate::schedule::Schedule;

const HOUR: Duration = Duration::from_hours(1);

fn window(kind: WindowEffect, actions: &[ActionType], cron: &str, duration: Duration) -> Window {
    Window {
        kind,
        actions: ActionSet::of(actions),
        schedule: Schedule::parse(cron, None, duration).unwrap(),
    }
}

/// 2026-11-23 is a Monday.
fn on_monday(windows: &[Window], time: &str) -> Opening {
    opening(
        windows,
        StreamPlacement,
        format!("2026-11-23T{time}Z").parse().unwrap(),
    )
}

fn monday(time: &str) -> Timestamp {
    format!("2026-11-23T{time}Z").parse().unwrap()
}

#[test]
fn without_windows_everything_may_be_done_always() {
    let expected = Opening {
        open: true,
        changes: None,
        why: "no windows are given".into(),
    };
    assert_eq!(on_monday(&[], "12:00:00"), expected);
}

#[test]
fn windows_about_other_actions_say_nothing_of_this_one() {
    let windows = [window(WindowEffect::Allow, &[StreamStepDown], "0 0 * * *", HOUR)];
    let seen = on_monday(&windows, "12:00:00");
    assert!(seen.open);
    assert_eq!(
        (seen.changes, seen.why.as_str()),
        (None, "no window is about StreamPlacement")
    );
    assert!(!opening(&windows, StreamStepDown, monday("12:00:00")).open);
}

#[test]
fn an_allow_window_closes_the_rest_of_the_time() {
    let windows = [window(WindowEffect::Allow, &[], "0 22 * * *", HOUR)];
    let closed = on_monday(&windows, "12:00:00");
    assert_eq!((closed.open, closed.changes), (false, Some(monday("22:00:00"))));
    assert_eq!(
        closed.why,
        "no Allow window is open; the next opens at 2026-11-23T22:00:00Z"
    );
    let open = on_monday(&windows, "22:00:00");
    assert_eq!((open.open, open.changes), (true, Some(monday("23:00:00"))));
    assert_eq!(
        open.why,
        "window 1 (Allow, 0 22 * * *, UTC) until 2026-11-23T23:00:00Z"
    );
}

#[test]
fn a_deny_window_wins_over_an_allow_window() {
    let windows = [
        window(WindowEffect::Allow, &[], "0 8 * * *", 10 * HOUR),
        window(WindowEffect::Deny, &[StreamPlacement], "0 12 * * *", HOUR),
    ];
    let before = on_monday(&windows, "11:00:00");
    assert_eq!((before.open, before.changes), (true, Some(monday("12:00:00"))));
    let denied = on_monday(&windows, "12:30:00");
    assert_eq!((denied.open, denied.changes), (false, Some(monday("13:00:00"))));
    assert_eq!(
        denied.why,
        "window 2 (Deny, 0 12 * * *, UTC) until 2026-11-23T13:00:00Z"
    );
    assert_eq!(on_monday(&windows, "13:00:00").changes, Some(monday("18:00:00")));
}

#[test]
fn deny_windows_alone_leave_the_rest_open() {
    let windows = [window(WindowEffect::Deny, &[], "0 12 * * *", HOUR)];
    let open = on_monday(&windows, "09:00:00");
    assert_eq!((open.open, open.changes), (true, Some(monday("12:00:00"))));
    assert_eq!(open.why, "no Deny window is open until 2026-11-23T12:00:00Z");
}

#[test]
fn what_changes_is_the_answer_and_not_just_some_window() {
    let spread = [
        window(WindowEffect::Allow, &[], "0 8 * * *", 2 * HOUR),
        window(WindowEffect::Allow, &[], "0 9 * * *", 4 * HOUR),
        window(WindowEffect::Allow, &[], "0 13 * * *", HOUR),
    ];
    assert_eq!(on_monday(&spread, "08:30:00").changes, Some(monday("14:00:00")));
    let denied_on_opening = [
        window(WindowEffect::Allow, &[], "0 8 * * *", 4 * HOUR),
        window(WindowEffect::Deny, &[], "0 6 * * *", 3 * HOUR),
        window(WindowEffect::Deny, &[], "30 8 * * *", HOUR),
    ];
    assert_eq!(
        on_monday(&denied_on_opening, "05:00:00").changes,
        Some(monday("09:30:00"))
    );
    assert_eq!(
        on_monday(&denied_on_opening, "06:30:00").changes,
        Some(monday("09:30:00"))
    );
}

#[test]
fn what_is_denied_always_never_opens() {
    let windows = [
        window(WindowEffect::Allow, &[], "0 8 * * *", HOUR),
        window(WindowEffect::Deny, &[], "@hourly", HOUR),
    ];
    let seen = on_monday(&windows, "08:00:00");
    assert_eq!((seen.open, seen.changes), (false, None));
    assert_eq!(seen.why, "window 2 (Deny, @hourly, UTC)");
    let never = on_monday(
        &[window(WindowEffect::Allow, &[], "0 0 31 4 *", HOUR)],
        "08:00:00",
    );
    assert_eq!(never.why, "no Allow window is open, and none will open");
}

#[test]
fn windows_that_take_turns_for_ever_end_the_search() {
    let windows = [
        window(WindowEffect::Allow, &[], "0 */2 * * *", HOUR),
        window(WindowEffect::Allow, &[], "0 1-23/2 * * *", HOUR),
    ];
    let seen = on_monday(&windows, "08:00:00");
    assert_eq!((seen.open, seen.changes), (true, None));
}

fn any_window() -> impl Strategy<Value = Window> {
    (
        select(vec![WindowEffect::Allow, WindowEffect::Deny]),
        subsequence(vec![ConsumerStepDown, StreamStepDown, StreamPlacement], 0..=2),
        select(vec!["0", "30", "*/20", "15,45"]),
        select(vec!["*", "3", "5-7", "*/6", "22", "0,12"]),
        select(vec!["*", "*", "1-5", "0"]),
        select(vec!["UTC", "Europe/Berlin", "America/New_York"]),
        prop_oneof![1_u64..60, 1_u64..1500],
    )
        .prop_map(|(kind, actions, minute, hour, weekday, zone, minutes)| {
            let cron = format!("{minute} {hour} * * {weekday}");
            let duration = Duration::from_secs(minutes * 60);
            Window {
                kind,
                actions: ActionSet::of(&actions),
                schedule: Schedule::parse(&cron, Some(zone), duration).unwrap(),
            }
        })
}

/// The rule, in so many words.
fn may(windows: &[Window], action: ActionType, now: Timestamp) -> bool {
    let about = || windows.iter().filter(|window| window.actions.contains(action));
    let open = |kind| about().any(|window| window.kind == kind && window.schedule.is_open(now));
    let has_allow = about().any(|window| window.kind == WindowEffect::Allow);
    !open(WindowEffect::Deny) && (!has_allow || open(WindowEffect::Allow))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn p3_nothing_may_be_done_while_a_deny_is_open_or_while_no_allow_of_those_given_is(
        windows in proptest::collection::vec(any_window(), 0..5),
        action in select(vec![ConsumerStepDown, StreamStepDown, StreamPlacement]),
        minutes in proptest::collection::vec(0_i64..40 * 24 * 60, 5),
    ) {
        let from: Timestamp = "2026-10-05T00:00:00Z".parse().unwrap();
        for minute in minutes {
            let now = from + SignedDuration::from_mins(minute);
            prop_assert_eq!(opening(&windows, action, now).open, may(&windows, action, now));
        }
    }
}

proptest! {
    // Every case looks at every minute of two days.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_next_change_is_the_first_minute_whose_answer_differs(
        windows in proptest::collection::vec(any_window(), 1..4),
        action in select(vec![ConsumerStepDown, StreamPlacement]),
        start in 0_i64..30 * 24 * 60,
    ) {
        // The clocks of Berlin and New York change within these weeks.
        let from: Timestamp = "2026-10-10T00:00:00Z".parse().unwrap();
        let now = from + SignedDuration::from_mins(start);
        let seen = opening(&windows, action, now);
        let mut minutes = (1..2 * 24 * 60).map(|minute| now + SignedDuration::from_mins(minute));
        let expected = minutes.find(|minute| may(&windows, action, *minute) != seen.open);
        match expected {
            Some(expected) => prop_assert_eq!(seen.changes, Some(expected)),
            None => prop_assert!(seen.changes.is_none_or(|changes| changes > now + SignedDuration::from_hours(47))),
        }
        if let Some(changes) = seen.changes {
            prop_assert_ne!(may(&windows, action, changes), seen.open);
            prop_assert_eq!(may(&windows, action, changes - SignedDuration::from_millis(1)), seen.open);
        }
    }
}
