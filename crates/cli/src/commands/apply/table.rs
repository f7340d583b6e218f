//! What was done, for people.

use std::time::Duration;

use leeward_api::vocabulary::ActionResult;
use leeward_core::names::AssetName;

use super::progress::short;
use crate::commands::plan::table;
use crate::document::{ApplyDocument, DonePart, PolicyApplied};
use crate::output::{Column, Emphasis, Page, Screen, Table, Text, part};

/// What came of each policy.
pub(super) fn render(document: &ApplyDocument, screen: Screen) -> String {
    let mut page = Page::new(screen);
    for applied in &document.applied {
        one(&mut page, applied);
    }
    page.finish()
}

fn one(page: &mut Page, applied: &PolicyApplied) {
    let PolicyApplied {
        about,
        done,
        left,
        unwatched,
        in_place,
        findings,
    } = applied;
    part::about(page, about);
    let tone = match in_place.reason.as_str() {
        "AllInPlace" | "NothingSelected" => Emphasis::Good,
        _ => Emphasis::Warn,
    };
    page.line(
        Text::of(tone, in_place.reason.as_str()).and(Emphasis::Plain, format!(": {}", in_place.message)),
    );
    if !done.is_empty() {
        page.heading("DONE");
        ended(page, done);
    }
    if !unwatched.is_empty() {
        page.heading("THE SERVERS GO ON WITH");
        table::actions(page, unwatched, 0, 0);
    }
    if !left.is_empty() {
        page.heading("LEFT");
        table::actions(page, left, 0, 0);
    }
    table::findings(page, "NOT IN PLACE", findings, 0);
}

fn ended(page: &mut Page, done: &[DonePart]) {
    let mut rows = Table::new([
        Column::word("RESULT"),
        Column::word("ACTION"),
        Column::name("STREAM"),
        Column::name("CONSUMER"),
        Column::name("FROM"),
        Column::name("TO"),
        Column::number("TOOK"),
    ]);
    for part in done {
        let action = &part.action;
        let took = Duration::from_millis(action.duration_milliseconds.unsigned_abs());
        rows.row([
            Text::of(tone(action.result), action.result.to_string()),
            table::word(action.action).into(),
            action.stream.clone().into(),
            action.consumer.clone().unwrap_or_default().into(),
            action.from.clone().unwrap_or_default().into(),
            action.to.clone().unwrap_or_default().into(),
            format!("{:.1} s", took.as_secs_f64()).into(),
        ]);
    }
    page.table(&rows);
    for part in done
        .iter()
        .filter(|part| part.action.result != ActionResult::Succeeded)
    {
        let action = &part.action;
        let asset = short(&AssetName::of(&action.stream, action.consumer.as_deref()));
        page.item(2, format!("{asset}: {}", part.message));
    }
}

fn tone(result: ActionResult) -> Emphasis {
    match result {
        ActionResult::Succeeded => Emphasis::Good,
        ActionResult::Missed | ActionResult::Abandoned => Emphasis::Warn,
        ActionResult::Stalled | ActionResult::Failed | ActionResult::TimedOut => Emphasis::Bad,
    }
}
