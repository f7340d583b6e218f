use super::*;
use crate::fixtures::{step_down, stream_move};

fn account() -> AccountId {
    AccountId::from("A")
}

#[track_caller]
fn start(limits: &Arc<SystemLimits>, action: &Action) -> Slot {
    limits.try_start(&account(), action).unwrap()
}

#[track_caller]
fn busy(limits: &Arc<SystemLimits>, action: &Action) -> Busy {
    limits.try_start(&account(), action).unwrap_err()
}

#[test]
fn p3_step_downs_and_moves_have_places_of_their_own() {
    let limits = SystemLimits::new(2, 1);
    let _stream = start(&limits, &step_down("A", None));
    let _consumer = start(&limits, &step_down("B/c", None));
    assert_eq!(busy(&limits, &step_down("C", None)), Busy::System);
    let _move = start(&limits, &stream_move("C"));
    assert_eq!(busy(&limits, &stream_move("D")), Busy::System);
}

#[test]
fn a_place_is_given_back_when_its_slot_is_dropped_and_whoever_waits_is_told() {
    let limits = SystemLimits::new(1, 1);
    let mut freed = limits.freed();
    let slot = start(&limits, &step_down("A", Some("us-0")));
    assert!(!freed.has_changed().unwrap());
    drop(slot);
    assert!(freed.has_changed().unwrap());
    freed.mark_unchanged();
    let _again = start(&limits, &step_down("A", Some("us-0")));
    assert_eq!(limits.lock().in_flight.len(), 1);
}

#[test]
fn nothing_is_left_behind_by_slots_that_are_gone() {
    let limits = SystemLimits::new(5, 5);
    let slots = [
        step_down("A", Some("us-0")),
        step_down("B/c", Some("us-0")),
        stream_move("C"),
    ]
    .map(|action| start(&limits, &action));
    drop(slots);
    let state = limits.lock();
    assert!(state.in_flight.is_empty());
}

#[test]
fn a_refused_start_takes_nothing() {
    let limits = SystemLimits::new(5, 0);
    let _slot = start(&limits, &step_down("A", None));
    assert_eq!(busy(&limits, &stream_move("B")), Busy::System);
    assert_eq!(busy(&limits, &step_down("A/c", Some("us-0"))), Busy::Stream);
    let state = limits.lock();
    assert_eq!((state.step_downs(), state.in_flight.len()), (1, 1));
}

#[test]
fn beside_what_is_done_to_a_stream_nothing_is_done_to_its_consumers_and_these_are_stepped_down_side_by_side()
{
    let limits = SystemLimits::new(9, 9);
    let consumers = ["A/b", "A/c"].map(|name| start(&limits, &step_down(name, None)));
    for action in [step_down("A", None), step_down("A/c", None), stream_move("A")] {
        assert_eq!(busy(&limits, &action), Busy::Stream);
    }
    drop(consumers);
    let stepping = start(&limits, &step_down("A", None));
    assert_eq!(busy(&limits, &step_down("A/c", None)), Busy::Stream);
    drop(stepping);
    let _slot = start(&limits, &stream_move("A"));
    for action in [step_down("A", None), step_down("A/c", None), stream_move("A")] {
        assert_eq!(busy(&limits, &action), Busy::Stream);
    }
    let other = limits.try_start(&AccountId::from("B"), &step_down("A", None));
    assert!(
        other.is_ok(),
        "another account's stream of that name is another stream"
    );
}

#[test]
fn at_most_half_of_the_step_downs_go_to_one_server() {
    let limits = SystemLimits::new(16, 100);
    let towards = |number: usize, server| step_down(&format!("S{number}"), Some(server));
    let mut slots: Vec<Slot> = (0..8)
        .map(|number| start(&limits, &towards(number, "us-0")))
        .collect();
    assert_eq!(busy(&limits, &towards(50, "us-0")), Busy::Target);
    let _elsewhere = start(&limits, &towards(50, "us-1"));
    let _blind = start(&limits, &step_down("S51", None));
    slots.pop();
    let _freed = start(&limits, &towards(52, "us-0"));
}

#[test]
fn p3_a_step_down_that_names_another_server_counts_there() {
    let limits = SystemLimits::new(4, 1);
    let to = |name: &str, server| start(&limits, &step_down(name, Some(server)));
    let (first, second) = (to("A", "us-0"), to("B", "us-0"));
    let _third = to("C", "us-1");
    assert_eq!(first.redirect(&"us-0".into()), Ok(()), "its own place");
    assert_eq!(first.redirect(&"us-1".into()), Ok(()));
    assert_eq!(first.redirect(&"us-0".into()), Ok(()), "there is room again");
    let _fourth = to("D", "us-1");
    assert_eq!(first.redirect(&"us-1".into()), Err(Busy::Target));
    assert_eq!(second.redirect(&"us-1".into()), Err(Busy::Target));
    assert_eq!(busy(&limits, &step_down("E", Some("us-2"))), Busy::System);
}

#[test]
fn limits_may_change_while_something_is_in_flight() {
    let limits = SystemLimits::new(3, 0);
    let mut slots: Vec<Slot> = ["A", "B", "C"]
        .map(|name| start(&limits, &step_down(name, None)))
        .into();
    let freed = limits.freed();
    limits.set(1, 1);
    assert!(freed.has_changed().unwrap(), "whoever waits looks again");
    assert_eq!(busy(&limits, &step_down("D", None)), Busy::System);
    let _move = start(&limits, &stream_move("D"));
    slots.truncate(1);
    assert_eq!(busy(&limits, &step_down("E", None)), Busy::System);
    slots.clear();
    let _next = start(&limits, &step_down("E", None));
}

fn streams(names: &[&str]) -> BTreeMap<StreamName, MoveSize> {
    let small = |name: &&str| (StreamName::from(*name), MoveSize::Small);
    names.iter().map(small).collect()
}

#[test]
fn p3_moves_that_hold_no_slot_count_against_the_moves_of_the_system_and_against_nothing_else() {
    let limits = SystemLimits::new(1, 3);
    limits.set_moving(&account(), streams(&["X"]));
    limits.set_moving(&AccountId::from("B"), streams(&["X", "Y"]));
    assert_eq!(
        busy(&limits, &stream_move("A")),
        Busy::System,
        "three in two accounts"
    );
    let _step_down = start(&limits, &step_down("B", None));
    let mut freed = limits.freed();
    freed.mark_unchanged();
    limits.set_moving(&AccountId::from("B"), BTreeMap::new());
    assert!(freed.has_changed().unwrap(), "whoever waits is told");
    let _first = start(&limits, &stream_move("A"));
    assert_eq!(busy(&limits, &stream_move("C")), Busy::System);
}

#[test]
fn moves_of_one_account_that_do_not_end_leave_a_place_to_others_and_to_nobody_where_nobody_else_has_a_policy()
{
    let (other, third) = (AccountId::from("B"), AccountId::from("C"));
    let limits = SystemLimits::new(1, 3);
    limits.set_moving(&account(), BTreeMap::new());
    let mut slots = ["A", "B", "C"]
        .map(|name| start(&limits, &stream_move(name)))
        .into_iter()
        .collect::<Vec<_>>();
    assert_eq!(busy(&limits, &stream_move("D")), Busy::System, "all three");
    slots.truncate(2);
    limits.set_moving(&other, BTreeMap::new());
    assert_eq!(busy(&limits, &stream_move("D")), Busy::System, "two of three");
    limits.set_moving(&account(), streams(&["A", "B", "X", "Y", "Z"]));
    let others = limits.try_start(&other, &stream_move("A"));
    assert!(
        others.is_ok(),
        "however many moves were begun by others than Leeward"
    );
    assert!(
        limits.try_start(&third, &stream_move("A")).is_err(),
        "three of three"
    );
    drop(others);
    assert!(limits.try_start(&third, &stream_move("A")).is_ok());
    limits.forget(&other);
    limits.set_moving(&account(), streams(&["A"]));
    let _third = start(&limits, &stream_move("C"));
    limits.set(1, 1);
    assert!(limits.try_start(&other, &stream_move("A")).is_err());
}

#[test]
fn large_moves_begin_one_after_the_other_and_keep_no_small_one_waiting() {
    let limits = SystemLimits::new(1, 4);
    let large = |name: &str| {
        let mut action = stream_move(name);
        if let ActionKind::Move(moving) = &mut action.kind {
            moving.bytes = 9 << 20;
        }
        action
    };
    let first = start(&limits, &large("A"));
    assert_eq!(busy(&limits, &large("B")), Busy::LargeMove);
    assert_eq!(
        limits.try_start(&AccountId::from("B"), &large("B")).unwrap_err(),
        Busy::LargeMove
    );
    let _small = start(&limits, &stream_move("C"));
    drop(first);
    let left_behind = [(StreamName::from("X"), MoveSize::Large)];
    limits.set_moving(&account(), left_behind.into());
    assert_eq!(busy(&limits, &large("B")), Busy::LargeMove, "that nobody watches");
    let others = limits.try_start(&AccountId::from("B"), &large("B"));
    assert!(others.is_ok(), "another account's is not waited for");
    drop(others);
    limits.set_moving(&account(), streams(&["X"]));
    let _second = start(&limits, &large("B"));
}

#[test]
fn a_move_that_holds_a_slot_is_not_counted_twice_when_it_is_seen() {
    let limits = SystemLimits::new(1, 2);
    let _first = start(&limits, &stream_move("A"));
    limits.set_moving(&account(), streams(&["A"]));
    let _second = start(&limits, &stream_move("C"));
}
