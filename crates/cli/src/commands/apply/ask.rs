//! Shows what is about to be done, and asks.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use crate::commands::plan::table;
use crate::document::{ActionPart, PlanDocument, PolicyPlan};
use crate::output::{self, Emphasis, Format, Page, Screen, Text, amount, part};

/// How consent is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consent {
    /// Before a table the plan is printed too; for other formats it goes to standard error.
    pub(super) format: Format,
    /// Given by `--yes`.
    pub(super) yes: bool,
}

impl Consent {
    /// Whether the actions that may begin now are to be done. Nothing is done after an incomplete look; a policy
    /// without a home begins nothing, and does not block the others.
    pub(super) fn given(self, plan: &PlanDocument, conclusive: bool) -> anyhow::Result<bool> {
        let count: usize = plan.plans.iter().map(|one| begins(one, plan.time).len()).sum();
        if !conclusive {
            print("Nothing was done: not everything could be seen.");
            return Ok(false);
        }
        if count == 0 {
            self.show(plan)?;
            return Ok(false);
        }
        if !self.yes && !io::stdin().is_terminal() {
            bail!(
                "nobody can be asked, because standard input is no terminal: give --yes to apply without asking"
            );
        }
        self.show(plan)?;
        let agreed = self.yes || asked(&question(plan, count))?;
        if !agreed {
            print("Nothing was done.");
        }
        Ok(agreed)
    }

    fn show(self, plan: &PlanDocument) -> anyhow::Result<()> {
        match self.format {
            Format::Table => output::write(&(shown(plan, Screen::stdout()) + "\n")),
            Format::Json | Format::Yaml => {
                print(shown(plan, Screen::stderr()).trim_end());
                Ok(())
            }
        }
    }
}

/// What may begin now under one policy, and what follows as soon as that is done; nothing, if another one acts instead.
pub(super) fn begins(plan: &PolicyPlan, now: Timestamp) -> Vec<ActionPart> {
    if plan.about.outranked_by.is_some() {
        return Vec::new();
    }
    let waves = plan.waves.iter().take_while(|wave| wave.time <= now);
    waves.flat_map(|wave| wave.actions.clone()).collect()
}

/// What is about to be done, and when there is more to do.
pub(super) fn shown(plan: &PlanDocument, screen: Screen) -> String {
    let mut page = Page::new(screen);
    for one in &plan.plans {
        part::about(&mut page, &one.about);
        part::home(&mut page, one.home.as_ref(), one.about.home_from_this_look);
        page.blank();
        let now = begins(one, plan.time);
        if now.is_empty() {
            page.line(nothing(one));
        } else {
            table::actions(&mut page, &now, 0, 0);
        }
        later(&mut page, one, plan.time);
    }
    page.finish()
}

/// Why nothing of a plan is done.
fn nothing(plan: &PolicyPlan) -> Text {
    match &plan.no_home {
        Some(why) => Text::of(Emphasis::Bad, format!("This policy is not applied: {why}.")),
        None if plan.waves.is_empty() && plan.held.is_empty() => Text::of(Emphasis::Good, "Nothing to do."),
        None => Text::of(Emphasis::Warn, "Nothing may be done now."),
    }
}

/// What a later plan will hold.
fn later(page: &mut Page, plan: &PolicyPlan, now: Timestamp) {
    let mut waves = plan.waves.iter().filter(|wave| wave.time > now);
    if let Some(next) = waves.next() {
        let more = waves.map(|wave| wave.actions.len()).sum::<usize>() + next.actions.len();
        page.dim(format!(
            "{} later, the next {}: leeward plan shows them.",
            amount::counted(more, "action"),
            amount::in_time(next.time, now)
        ));
    }
    if !plan.held.is_empty() {
        let held = plan.held.len();
        page.dim(format!(
            "{} {} where {}: leeward plan says why.",
            amount::counted(held, "leader"),
            if held == 1 { "stays" } else { "stay" },
            if held == 1 { "it is" } else { "they are" }
        ));
    }
}

fn question(plan: &PlanDocument, count: usize) -> String {
    let account = plan.plans.first().map_or_else(String::new, |one| {
        format!(" to account {}", part::account(&one.about.account))
    });
    let actions = amount::counted(count, "action");
    format!("Apply {actions}{account}? [y/N] ")
}

fn asked(question: &str) -> anyhow::Result<bool> {
    let mut terminal = io::stderr();
    terminal
        .write_all(question.as_bytes())
        .and_then(|()| terminal.flush())
        .context("cannot ask")?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(is_yes(&answer))
}

pub(super) fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// Prints a line to standard error, apart from the result.
pub(super) fn print(line: &str) {
    // There is nowhere to report a failure.
    let _ = writeln!(io::stderr(), "{line}");
}
