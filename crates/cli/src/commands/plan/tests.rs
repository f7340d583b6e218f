use insta::assert_snapshot;
use leeward_core::forecast::ActionBatch;
use serde_json::json;

use super::table::render;
use super::*;
use crate::judge::fixtures::{edit_forecast, free, judged, loaded, noon, orders, seen};
use crate::output::Screen;

const SCREEN: Screen = Screen {
    width: 100,
    colour: false,
};

fn shown(loaded: &LoadedPolicy, width: usize) -> String {
    let seen = seen(orders());
    let (document, _) = document(std::slice::from_ref(loaded), &seen, noon());
    render(&document, 0, Screen { width, ..SCREEN })
}

#[test]
fn a_plan_says_what_is_done_when_and_what_it_costs() {
    assert_snapshot!(shown(&loaded("orders", free()), 100));
}

#[test]
fn a_plan_fits_eighty_columns() {
    let text = shown(&loaded("orders", free()), 80);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_snapshot!(text);
}

#[test]
fn what_stays_is_shown_with_its_reason() {
    let spec = json!({"mode": "Enforce", "actions": {"streamPlacement": {"enabled": false}}});
    assert_snapshot!(shown(&loaded("orders", spec), 100));
}

#[test]
fn a_limit_says_how_much_it_leaves_out() {
    let spec = json!({"mode": "Enforce", "actions": {"streamPlacement": {"enabled": false}}});
    let loaded = loaded("orders", spec);
    let seen = seen(orders());
    let (document, found) = document(&[loaded], &seen, noon());
    assert_eq!(found, LookOutcome::Findings);
    let text = render(&document, 1, SCREEN);
    assert!(text.contains("and 2 more; --limit 0 shows all"), "{text}");
}

#[test]
fn without_a_home_nothing_is_planned_and_that_is_said() {
    let mut view = orders();
    view.clients.clear();
    let (document, found) = document(&[loaded("orders", free())], &seen(view), noon());
    assert_eq!(found, LookOutcome::Incomplete);
    let text = render(&document, 0, SCREEN);
    assert!(
        text.contains("Nothing can be planned: no location is home: "),
        "{text}"
    );
}

#[test]
fn a_gain_that_is_not_known_is_a_dash() {
    let mut view = orders();
    view.streams[0].message_rate = None;
    for consumer in &mut view.streams[0].consumers {
        consumer.message_rate = None;
    }
    let (document, _) = document(&[loaded("orders", free())], &seen(view), noon());
    let text = render(&document, 0, SCREEN);
    let moving = text.lines().find(|line| line.contains(" Move ")).unwrap();
    assert!(moving.ends_with(" -"), "{text}");
    let action = serde_json::to_value(&document.plans[0].waves[0].actions[0]).unwrap();
    assert!(action.get("gain").is_none(), "{action}");
}

#[test]
fn nothing_is_planned_and_held_at_once() {
    let (loaded, seen) = (loaded("orders", free()), seen(orders()));
    let mut judged = judged(&loaded, &seen);
    let actions = judged.decision.actions.clone();
    edit_forecast(&mut judged, |waves| {
        *waves = vec![ActionBatch { at: noon(), actions }];
    });
    let part = planned(&judged);
    assert_eq!(part.waves[0].actions[0].stream, "ORDERS");
    assert_eq!(part.waves[0].actions[0].followers, Some(2));
    assert_eq!(part.held, Vec::new());
}

#[test]
fn a_document_reads_back_as_it_was_written() {
    let seen = seen(orders());
    let (document, _) = document(&[loaded("orders", free())], &seen, noon());
    let text = crate::output::json(&document).unwrap();
    assert_eq!(serde_json::from_str::<PlanDocument>(&text).unwrap(), document);
}
