//! What was checked, for people.

use crate::document::{CheckDocument, CheckFinding, Checked, DefinitionSource};
use crate::output::{Column, Emphasis, Page, Screen, Table, Text, amount};

/// The table of what was checked, each finding with its place, and what could not be told.
pub fn render(document: &CheckDocument, screen: Screen) -> String {
    let mut page = Page::new(screen);
    page.table(&table(&document.checked));
    for checked in &document.checked {
        for finding in &checked.findings {
            page.blank();
            page.line(head(checked, finding));
            page.item(2, finding.message.as_str());
        }
    }
    if !document.errors.is_empty() {
        page.heading("ERRORS");
    }
    for error in &document.errors {
        page.item(2, Text::of(Emphasis::Bad, error.to_string()));
    }
    if !document.undecided.is_empty() {
        page.heading("NOT DECIDED");
    }
    for undecided in &document.undecided {
        page.item(2, Text::of(Emphasis::Warn, undecided.as_str()));
    }
    if !document.notes.is_empty() {
        page.heading("NOTES");
    }
    for note in &document.notes {
        page.item(2, note.as_str());
    }
    page.blank();
    page.line(summary(document));
    page.finish()
}

/// All definitions; of a live system only what has a finding, since the rest can be thousands.
fn table(checked: &[Checked]) -> Table {
    let mut table = Table::new([
        Column::name("CHECKED"),
        Column::word("RESULT"),
        Column::name("POLICY"),
        Column::name("WHERE"),
    ]);
    for one in checked {
        if one.source.is_none() && one.findings.is_empty() {
            continue;
        }
        table.row([
            Text::from(one.subject.as_str()),
            result(one),
            Text::from(one.policy.clone().unwrap_or_default()),
            Text::from(one.source.as_ref().map(start).unwrap_or_default()),
        ]);
    }
    table
}

fn result(checked: &Checked) -> Text {
    match (checked.findings.len(), &checked.policy) {
        (0, None) => Text::of(Emphasis::Dim, "no policy"),
        (0, Some(_)) => Text::of(Emphasis::Good, "ok"),
        (count, _) => Text::of(Emphasis::Bad, amount::counted(count as u64, "finding")),
    }
}

fn start(source: &DefinitionSource) -> String {
    format!("{}:{}", source.file, source.line)
}

/// The place first, as compilers write it, so that terminals and editors find it.
fn head(checked: &Checked, finding: &CheckFinding) -> Text {
    let place = finding.source.as_ref().or(checked.source.as_ref());
    let place = place.map_or_else(String::new, |source| {
        format!("{}:{}:{}: ", source.file, source.line, source.column)
    });
    Text::of(Emphasis::Plain, place)
        .and(Emphasis::Bad, finding.rule.as_str())
        .and(Emphasis::Plain, format!(": {}", checked.subject))
}

fn summary(document: &CheckDocument) -> Text {
    let findings: usize = document
        .checked
        .iter()
        .map(|checked| checked.findings.len())
        .sum();
    let tone = if findings == 0 {
        Emphasis::Good
    } else {
        Emphasis::Bad
    };
    let text = Text::of(Emphasis::Plain, format!("{} checked, ", document.checked.len()))
        .and(tone, amount::counted(findings as u64, "finding"));
    let text = match document.undecided.len() {
        0 => text,
        count => text.and(Emphasis::Warn, format!(", {count} not decided")),
    };
    match document.errors.len() {
        0 => text,
        count => text.and(
            Emphasis::Bad,
            format!(", {}", amount::counted(count as u64, "error")),
        ),
    }
}
