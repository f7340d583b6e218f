//! Plans for people.

use jiff::Timestamp;
use leeward_api::policy_status::{BudgetStatus, Finding, WindowsStatus};
use leeward_api::vocabulary::ActionType;

use crate::document::{ActionPart, PlanDocument, PolicyPlan};
use crate::output::{Emphasis, Page, Screen, Table, Text, amount, part};

/// A sentence in a narrower column is hard to read.
const MESSAGE: usize = 24;

/// All plans; of each table at most `limit` rows, if that is not 0.
pub fn render(document: &PlanDocument, limit: usize, screen: Screen) -> String {
    let mut page = Page::new(screen);
    for plan in &document.plans {
        one(&mut page, plan, document.time, limit);
    }
    page.finish()
}

fn one(page: &mut Page, plan: &PolicyPlan, now: Timestamp, limit: usize) {
    let PolicyPlan {
        about, waves, held, ..
    } = plan;
    part::about(page, about);
    part::home(page, plan.home.as_ref(), about.home_from_this_look);
    if waves.is_empty() {
        page.blank();
        page.line(
            match (&plan.no_home, about.observed.reason.as_str(), held.is_empty()) {
                (Some(why), _, _) => Text::of(Emphasis::Bad, format!("Nothing can be planned: {why}.")),
                (None, "Complete", true) => Text::of(Emphasis::Good, "Nothing to do."),
                (None, "Complete", false) => Text::of(Emphasis::Warn, "Nothing can be done."),
                (None, _, _) => Text::of(Emphasis::Bad, "Nothing can be planned until everything is seen."),
            },
        );
    }
    let mut number = 0;
    let mut before = None;
    for wave in waves {
        page.heading(&when(wave.time, before, now));
        self::actions(page, &wave.actions, number, limit);
        number += wave.actions.len();
        before = Some(wave.time);
    }
    if let Some(cut) = &plan.cut {
        page.blank();
        page.dim(format!(
            "The plan ends {}; {} wait then.",
            amount::in_time(cut.time, now),
            amount::counted(cut.waiting, "leader")
        ));
    }
    findings(page, "STAYS", held, limit);
    limits(page, &plan.budgets, plan.windows.as_ref(), now);
    if let Some(id) = &plan.id {
        page.blank();
        page.dim(format!(
            "Plan {id}: leeward plan -o json > plan.json keeps it, leeward apply --plan plan.json does just that."
        ));
    }
}

/// When a wave begins; `before` is when the last one did.
fn when(time: Timestamp, before: Option<Timestamp>, now: Timestamp) -> String {
    if before == Some(time) {
        "THEN, as soon as that is done".to_owned()
    } else if time <= now {
        "NOW".to_owned()
    } else {
        amount::in_time(time, now)
    }
}

/// The actions of one wave, numbered from `before` on.
pub fn actions(page: &mut Page, actions: &[ActionPart], before: usize, limit: usize) {
    let numbered = (before + 1..).zip(actions.iter().take(most_rows(limit)));
    let numbered: Vec<(usize, &ActionPart)> = numbered.collect();
    let table = Table::of(&numbered)
        .number("#", |(number, _)| number.to_string())
        .word("ACTION", |(_, action)| word(action.action))
        .name("STREAM", |(_, action)| action.stream.as_str())
        .name("CONSUMER", |(_, action)| consumers(action))
        .name("FROM", |(_, action)| action.from.as_str())
        .name("TO", |(_, action)| action.to.as_deref())
        .number("BYTES", |(_, action)| {
            action.bytes.map(amount::bytes).unwrap_or_default()
        })
        .number("TIME", |(_, action)| time(action.seconds))
        .number("STALL", |(_, action)| {
            time(action.stall_seconds.filter(|stall| *stall > 0.0))
        })
        .number("GAIN", |(_, action)| gain(action.gain));
    page.table(&table);
    omitted(page, actions.len(), limit);
}

/// The columns beside it show whether it is a stream's or a consumer's.
pub fn word(action: ActionType) -> &'static str {
    match action {
        ActionType::StreamPlacement => "Move",
        ActionType::StreamStepDown | ActionType::ConsumerStepDown => "StepDown",
        ActionType::ConsumerEvacuation => "Evacuate",
    }
}

/// The consumer, or how many come along with a stream.
fn consumers(action: &ActionPart) -> String {
    match (&action.consumer, action.followers) {
        (Some(consumer), _) => consumer.clone(),
        (None, Some(0) | None) => String::new(),
        (None, Some(count)) => format!("(+{count})"),
    }
}

fn time(seconds: Option<f64>) -> String {
    seconds.map(amount::seconds).unwrap_or_default()
}

/// A gain, if it is known.
pub fn gain(gain: Option<f32>) -> String {
    gain.map_or_else(|| "-".to_owned(), amount::gain)
}

/// Assets that are not where they belong, and why.
pub fn findings(page: &mut Page, heading: &str, held: &[Finding], limit: usize) {
    if held.is_empty() {
        return;
    }
    page.heading(heading);
    let shown = &held[..held.len().min(most_rows(limit))];
    let table = Table::of(shown)
        .name("STREAM", |finding| finding.stream.as_deref())
        .name("CONSUMER", |finding| finding.consumer.as_deref())
        .name("LEADER", |finding| finding.leader.as_deref())
        .word("REASON", |finding| {
            finding.reason.as_ref().map_or("-", AsRef::as_ref)
        })
        .text("MESSAGE", MESSAGE, |finding| finding.message.as_str());
    page.table(&table);
    if table.leaves_out(page.screen()) {
        page.dim("A wider terminal, or -o json, tells more of each reason.");
    }
    omitted(page, held.len(), limit);
}

fn limits(page: &mut Page, budgets: &[BudgetStatus], windows: Option<&WindowsStatus>, now: Timestamp) {
    if budgets.is_empty() && windows.is_none() {
        return;
    }
    page.heading("LIMITS");
    for budget in budgets {
        let mut text = format!("{}: {} of {} used", budget.name, budget.used, budget.allowed);
        if !budget.active {
            text.push_str(", does not apply now");
        }
        if let Some(time) = &budget.reset_time {
            text = format!("{text}, changes {}", amount::in_time(time.0, now));
        }
        page.fact("Budget", text);
    }
    if let Some(windows) = windows {
        let state = if windows.open { "open" } else { "closed" };
        let mut text = format!("{state}: {}", windows.reason);
        if let Some(time) = &windows.next_transition_time {
            text = format!("{text}, changes {}", amount::in_time(time.0, now));
        }
        page.fact("Windows", text);
    }
}

/// How many rows are shown.
pub fn most_rows(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

fn omitted(page: &mut Page, all: usize, limit: usize) {
    let more = all.saturating_sub(most_rows(limit));
    if more > 0 {
        page.dim(format!("and {more} more; --limit 0 shows all"));
    }
}
