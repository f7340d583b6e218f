//! Plans for people.

use jiff::Timestamp;
use leeward_api::policy_status::{BudgetStatus, Finding, WindowsStatus};
use leeward_api::vocabulary::ActionType;

use crate::document::{ActionPart, PlanDocument, PolicyPlan};
use crate::output::{Column, Emphasis, Page, Screen, Table, Text, amount, part};

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
        about,
        home,
        no_home,
        waves,
        cut,
        held,
        budgets,
        windows,
    } = plan;
    part::about(page, about);
    part::home(page, home.as_ref(), about.home_from_this_look);
    if waves.is_empty() {
        page.blank();
        page.line(match (no_home, about.observed.reason.as_str(), held.is_empty()) {
            (Some(why), _, _) => Text::of(Emphasis::Bad, format!("Nothing can be planned: {why}.")),
            (None, "Complete", true) => Text::of(Emphasis::Good, "Nothing to do."),
            (None, "Complete", false) => Text::of(Emphasis::Warn, "Nothing can be done."),
            (None, _, _) => Text::of(Emphasis::Bad, "Nothing can be planned until everything is seen."),
        });
    }
    let mut number = 0;
    let mut before = None;
    for wave in waves {
        page.heading(&when(wave.time, before, now));
        self::actions(page, &wave.actions, number, limit);
        number += wave.actions.len();
        before = Some(wave.time);
    }
    if let Some(cut) = cut {
        let more = u64::try_from(cut.waiting).unwrap_or(u64::MAX);
        page.blank();
        page.line(Text::of(
            Emphasis::Dim,
            format!(
                "The plan ends {}; {} wait then.",
                amount::in_time(cut.time, now),
                amount::counted(more, "leader")
            ),
        ));
    }
    findings(page, "STAYS", held, limit);
    limits(page, budgets, windows.as_ref(), now);
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

/// The actions of one wave, counted on from `before`.
pub fn actions(page: &mut Page, actions: &[ActionPart], before: usize, limit: usize) {
    let mut table = Table::new([
        Column::number("#"),
        Column::word("ACTION"),
        Column::name("STREAM"),
        Column::name("CONSUMER"),
        Column::name("FROM"),
        Column::name("TO"),
        Column::number("BYTES"),
        Column::number("TIME"),
        Column::number("STALL"),
        Column::number("GAIN"),
    ]);
    for (number, action) in actions.iter().take(most(limit)).enumerate() {
        table.row(row(before + number + 1, action));
    }
    page.table(&table);
    omitted(page, actions.len(), limit);
}

/// Whether it is a stream's or a consumer's is told by the columns beside it.
pub fn word(action: ActionType) -> &'static str {
    match action {
        ActionType::StreamPlacement => "Move",
        ActionType::StreamStepDown | ActionType::ConsumerStepDown => "StepDown",
    }
}

fn row(number: usize, action: &ActionPart) -> [Text; 10] {
    let ActionPart {
        action,
        stream,
        consumer,
        from,
        to,
        bytes,
        seconds,
        stall_seconds,
        followers,
        gain,
    } = action;
    let consumers = match (consumer, followers) {
        (Some(consumer), _) => consumer.clone(),
        (None, Some(0) | None) => String::new(),
        (None, Some(count)) => format!("(+{count})"),
    };
    let stall = stall_seconds.filter(|stall| *stall > 0.0);
    [
        number.to_string(),
        word(*action).to_owned(),
        stream.clone(),
        consumers,
        from.clone(),
        to.clone().unwrap_or_default(),
        bytes.map(amount::bytes).unwrap_or_default(),
        seconds.map(amount::seconds).unwrap_or_default(),
        stall.map(amount::seconds).unwrap_or_default(),
        gain.map_or_else(|| "-".to_owned(), amount::gain),
    ]
    .map(Text::from)
}

/// Assets that are not where they belong, and why.
pub fn findings(page: &mut Page, heading: &str, held: &[Finding], limit: usize) {
    if held.is_empty() {
        return;
    }
    page.heading(heading);
    let mut table = Table::new([
        Column::name("STREAM"),
        Column::name("CONSUMER"),
        Column::name("LEADER"),
        Column::word("REASON"),
        Column::text("MESSAGE"),
    ]);
    let shown = held.iter().take(most(limit));
    for finding in shown.clone() {
        let reason = finding.reason.as_ref().map(ToString::to_string);
        table.row([
            finding.stream.clone().unwrap_or_default(),
            finding.consumer.clone().unwrap_or_default(),
            finding.leader.clone().unwrap_or_default(),
            reason.unwrap_or_else(|| "-".to_owned()),
            finding.message.clone(),
        ]);
    }
    page.table(&table);
    if table.leaves_out(page.screen()) {
        page.line(Text::of(
            Emphasis::Dim,
            "A wider terminal, or -o json, tells more of each reason.",
        ));
    }
    omitted(page, held.len(), limit);
}

fn limits(page: &mut Page, budgets: &[BudgetStatus], windows: Option<&WindowsStatus>, now: Timestamp) {
    if budgets.is_empty() && windows.is_none() {
        return;
    }
    page.heading("LIMITS");
    for budget in budgets {
        let BudgetStatus {
            name,
            active,
            allowed,
            used,
            reset_time,
        } = budget;
        let mut text = format!("{name}: {used} of {allowed} used");
        if !active {
            text.push_str(", does not apply now");
        }
        if let Some(time) = reset_time {
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

fn most(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

fn omitted(page: &mut Page, all: usize, limit: usize) {
    let more = all.saturating_sub(most(limit));
    if more > 0 {
        page.line(Text::of(
            Emphasis::Dim,
            format!("and {more} more; --limit 0 shows all"),
        ));
    }
}
