//! Step-downs that somebody undoes.

use super::*;
use crate::fixtures::server;
use crate::snapshot::AccountView;
use crate::topology::Topology;

/// S has peers on `home` and on `away`, which leads it again.
fn look(second: u64, started: u64, is_current: bool) -> AccountView {
    let mut home = server("home", "c1", &[]);
    home.details.as_mut().unwrap().started = Some(at(started));
    let topology = Topology::new(
        vec![server("away", "c2", &[]), home],
        std::collections::BTreeMap::new(),
    );
    let mut led = stream(&topology, "S", &["away", "home"]);
    led.group.peers[1].current = is_current;
    let mut view = view(topology, Vec::new(), vec![led]);
    view.observed_at = at(second);
    view
}

/// What a look shows in which S is led from elsewhere.
fn taken_back(history: &mut History, view: &AccountView) -> Vec<AssetName> {
    history.notice_taken_back(&BTreeSet::from([asset("S")]), view)
}

fn step_down(second: u64) -> EndedOperation {
    EndedOperation {
        led_by: Some("home".into()),
        ..ended("S", ActionResult::Succeeded, 1, second)
    }
}

fn undone(history: &History) -> u32 {
    history.assets[&asset("S")].undone
}

#[test]
fn a_step_down_that_somebody_undoes_twice_is_contested() {
    let mut history = after(&[step_down(100)]);
    taken_back(&mut history, &look(100, 0, true));
    assert_eq!(undone(&history), 0, "an older look tells nothing");
    history.notice_taken_back(&BTreeSet::new(), &look(101, 0, true));
    assert_eq!(undone(&history), 0, "it is led from home");
    for second in [102, 103] {
        assert!(taken_back(&mut history, &look(second, 0, true)).is_empty());
        assert_eq!(undone(&history), 1, "what was undone once counts once");
    }
    history.record(&step_down(900), &rules());
    assert_eq!(taken_back(&mut history, &look(901, 0, true)), [asset("S")]);
    let against = history.blocked_by(&asset("S"), &rules(), at(1_000_000));
    assert_eq!(against, Some(FindingReason::Contested));
}

#[test]
fn what_the_servers_did_by_themselves_was_undone_by_nobody() {
    for (why, view) in [
        ("the server restarted", look(200, 150, true)),
        ("it was not up or caught up", look(200, 0, false)),
    ] {
        let mut history = after(&[step_down(100)]);
        assert!(taken_back(&mut history, &view).is_empty());
        assert_eq!(undone(&history), 0, "{why}");
        taken_back(&mut history, &look(300, 0, true));
        assert_eq!(undone(&history), 0, "{why}, and a later look tells nothing new");
    }
}

#[test]
fn a_step_down_that_held_for_an_hour_forgets_what_was_undone_before() {
    let mut history = after(&[step_down(100)]);
    taken_back(&mut history, &look(101, 0, true));
    history.record(&step_down(900), &rules());
    history.prune(&rules(), at(900 + 3599));
    assert!(taken_back(&mut history, &look(900 + 3600, 0, true)).is_empty());
    assert_eq!(undone(&history), 0);
}
