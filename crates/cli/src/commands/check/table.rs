//! What was checked, for people.

use crate::document::{CheckDocument, CheckFinding, Checked};
use crate::output::{Emphasis, Page, Screen, Table, Text, amount};

/// The table of what was checked, each finding with its place, and what was not decided.
pub fn render(document: &CheckDocument, screen: Screen) -> String {
    let mut page = Page::new(screen);
    // All definitions; of a live system only what has a finding, since the rest can be thousands.
    let is_shown = |one: &&Checked| one.source.is_some() || !one.findings.is_empty();
    let shown: Vec<&Checked> = document.checked.iter().filter(is_shown).collect();
    let table = Table::of(&shown)
        .name("CHECKED", |one| one.subject.as_str())
        .word("RESULT", |one| result(one))
        .name("POLICY", |one| one.policy.as_deref())
        .name("WHERE", |one| {
            let source = one.source.as_ref();
            source.map_or_else(String::new, |source| format!("{}:{}", source.file, source.line))
        });
    page.table(&table);
    for checked in &document.checked {
        for finding in &checked.findings {
            page.blank();
            page.line(head(checked, finding));
            page.item(2, finding.message.as_str());
        }
    }
    let errors: Vec<String> = document.errors.iter().map(ToString::to_string).collect();
    for (heading, tone, texts) in [
        ("ERRORS", Emphasis::Bad, &errors),
        ("NOT DECIDED", Emphasis::Warn, &document.undecided),
        ("NOTES", Emphasis::Plain, &document.notes),
    ] {
        if !texts.is_empty() {
            page.heading(heading);
        }
        for text in texts {
            page.item(2, Text::of(tone, text.as_str()));
        }
    }
    page.blank();
    page.line(summary(document));
    page.finish()
}

fn result(checked: &Checked) -> Text {
    match (checked.findings.len(), &checked.policy) {
        (0, None) => Text::of(Emphasis::Dim, "no policy"),
        (0, Some(_)) => Text::of(Emphasis::Good, "ok"),
        (count, _) => Text::of(Emphasis::Bad, amount::counted(count, "finding")),
    }
}

/// The place first, as compilers write it, so that terminals and editors find it.
fn head(checked: &Checked, finding: &CheckFinding) -> Text {
    let place = finding.source.as_ref().or(checked.source.as_ref());
    let place = place.map_or_else(String::new, |source| format!("{source}: "));
    Text::of(Emphasis::Plain, place)
        .and(Emphasis::Bad, finding.rule.as_str())
        .and(Emphasis::Plain, format!(": {}", checked.subject))
}

fn summary(document: &CheckDocument) -> Text {
    let findings: usize = document.checked.iter().map(|one| one.findings.len()).sum();
    let tone = if findings == 0 {
        Emphasis::Good
    } else {
        Emphasis::Bad
    };
    let text = Text::of(Emphasis::Plain, format!("{} checked, ", document.checked.len()))
        .and(tone, amount::counted(findings, "finding"));
    let text = match document.undecided.len() {
        0 => text,
        count => text.and(Emphasis::Warn, format!(", {count} not decided")),
    };
    match document.errors.len() {
        0 => text,
        count => {
            let errors = amount::counted(count, "error");
            text.and(Emphasis::Bad, format!(", {errors}"))
        }
    }
}
