//! Use as people read it: a line for each stream and location.

use crate::document::{LocationUsePart, StreamUsePart};
use crate::output::{Page, Table, amount};

/// What clients do; a problem goes over several lines.
const HOW: usize = 15;

/// A stream, with a location that it is used from; without one where no client was found.
type Row<'p> = (&'p StreamUsePart, Option<&'p LocationUsePart>);

/// A line for each stream and location.
pub fn lines(page: &mut Page, used: &[StreamUsePart]) {
    let rows = used.iter().flat_map(|used| {
        let rows = used.locations.iter().chain(&used.unplaced).map(Some);
        let none = rows.clone().next().is_none().then_some(None);
        rows.chain(none).map(move |row| (used, row))
    });
    let rows: Vec<Row<'_>> = rows.collect();
    page.table(&table(&rows));
}

fn table<'p>(rows: &'p [Row<'p>]) -> Table<'p, Row<'p>> {
    Table::of(rows)
        .name("STREAM", |(used, _)| used.stream.as_str())
        .name("LED FROM", |(used, _)| used.led_from.as_deref().unwrap_or("-"))
        .name("USED FROM", |(_, row)| match row {
            Some(row) if row.name.is_empty() => "(no location)",
            Some(row) => row.name.as_str(),
            None => "-",
        })
        .number("SHARE", |(_, row)| {
            row.map_or_else(|| "-".to_owned(), |row| amount::percent(row.percent.into()))
        })
        .number("CLIENTS", |(_, row)| {
            row.map_or_else(|| "-".to_owned(), |row| row.connections.to_string())
        })
        .number("COVERAGE", |(used, _)| {
            let coverage = used.coverage_percent.map(i32::from);
            coverage.map_or_else(|| "-".to_owned(), amount::percent)
        })
        .text("HOW", HOW, |(used, row)| match (row, &used.problem) {
            (Some(row), Some(problem)) => format!("{}; {problem}", how(row)),
            (Some(row), None) => how(row),
            (None, Some(problem)) => problem.clone(),
            (None, None) if used.coverage_percent.is_some() => "clients not found".to_owned(),
            (None, None) => "no use seen".to_owned(),
        })
}

/// What the clients of a location do.
fn how(row: &LocationUsePart) -> String {
    let kinds = [
        ("publish", row.publish),
        ("pull", row.pull),
        ("push", row.push),
        ("direct get", row.direct_get),
        ("get", row.get),
    ];
    let done = kinds.into_iter().filter(|(_, rate)| *rate > 0.0);
    let done: Vec<String> = done.map(|(kind, rate)| format!("{kind} {rate:.1}/s")).collect();
    if done.is_empty() {
        "waits for messages".to_owned()
    } else {
        done.join(", ")
    }
}
