//! What was done, for people.

use std::time::Duration;

use leeward_api::policy_status::RecentAction;
use leeward_api::vocabulary::ActionResult;

use crate::commands::plan::table;
use crate::document::{ApplyDocument, DonePart, LeftOutPart, LeftOutState, PolicyApplied};
use crate::output::{Emphasis, Page, Screen, Table, Text, amount, part};

/// The results of each policy.
pub(super) fn render(document: &ApplyDocument, screen: Screen) -> String {
    let mut page = Page::new(screen);
    for applied in &document.applied {
        one(&mut page, applied);
    }
    page.finish()
}

fn one(page: &mut Page, applied: &PolicyApplied) {
    let in_place = &applied.in_place;
    part::about(page, &applied.about);
    let tone = match in_place.reason.as_str() {
        "AllInPlace" | "NothingSelected" => Emphasis::Good,
        _ => Emphasis::Warn,
    };
    page.line(
        Text::of(tone, in_place.reason.as_str()).and(Emphasis::Plain, format!(": {}", in_place.message)),
    );
    if !applied.done.is_empty() {
        page.heading("DONE");
        ended(page, &applied.done);
    }
    for (heading, actions) in [
        ("THE SERVERS GO ON WITH", &applied.unwatched),
        ("LEFT", &applied.left),
    ] {
        if !actions.is_empty() {
            page.heading(heading);
            table::actions(page, actions, 0, 0);
        }
    }
    left_out(page, &applied.left_out);
    table::findings(page, "NOT IN PLACE", &applied.findings, 0);
}

/// What a saved plan proposes and was not begun.
fn left_out(page: &mut Page, left_out: &[LeftOutPart]) {
    if left_out.is_empty() {
        return;
    }
    page.heading("LEFT OUT OF THE PLAN");
    let table = Table::of(left_out)
        .word("STATE", |part| match part.state {
            LeftOutState::Done => Text::of(Emphasis::Good, "Done"),
            LeftOutState::Waits => Text::of(Emphasis::Warn, "Waits"),
            LeftOutState::Changed => Text::of(Emphasis::Bad, "Changed"),
        })
        .word("ACTION", |part| table::word(part.proposed.action))
        .name("STREAM", |part| part.proposed.stream.as_str())
        .name("CONSUMER", |part| part.proposed.consumer.as_deref())
        .name("TO", |part| part.proposed.to.as_str())
        .word("REASON", |part| part.reason.clone().unwrap_or_default());
    page.table(&table);
    for LeftOutPart {
        proposed, message, ..
    } in left_out
    {
        let asset = amount::asset(&proposed.stream, proposed.consumer.as_deref());
        page.item(2, format!("{asset}: {message}"));
    }
}

fn ended(page: &mut Page, done: &[DonePart]) {
    let actions: Vec<&RecentAction> = done.iter().map(|part| &part.action).collect();
    let table = Table::of(&actions)
        .word("RESULT", |action| {
            Text::of(tone(action.result), action.result.to_string())
        })
        .word("ACTION", |action| table::word(action.action))
        .name("STREAM", |action| action.stream.as_str())
        .name("CONSUMER", |action| action.consumer.as_deref())
        .name("FROM", |action| action.from.as_deref())
        .name("TO", |action| action.to.as_deref())
        .number("TOOK", |action| {
            let took = Duration::from_millis(action.duration_milliseconds.unsigned_abs());
            format!("{:.1} s", took.as_secs_f64())
        });
    page.table(&table);
    for DonePart { action, message, .. } in done {
        if action.result != ActionResult::Succeeded {
            let asset = amount::asset(&action.stream, action.consumer.as_deref());
            page.item(2, format!("{asset}: {message}"));
        }
    }
}

fn tone(result: ActionResult) -> Emphasis {
    match result {
        ActionResult::Succeeded => Emphasis::Good,
        ActionResult::Missed | ActionResult::Abandoned => Emphasis::Warn,
        ActionResult::Stalled | ActionResult::Failed | ActionResult::TimedOut => Emphasis::Bad,
    }
}
