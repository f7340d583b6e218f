//! Before and after, side by side.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::scene::{AWAY, DemoTotals, HOME, LeaderTable};
use crate::load::{LoadPhase, Quantiles};

pub(super) struct DemoOutcome {
    pub(super) leaders_before: LeaderTable,
    pub(super) leaders_after: LeaderTable,
    pub(super) before: LoadPhase,
    pub(super) moving: LoadPhase,
    pub(super) after: LoadPhase,
    pub(super) totals: DemoTotals,
    pub(super) metrics: String,
    pub(super) converged: Duration,
}

pub(super) fn print(outcome: &DemoOutcome) -> anyhow::Result<()> {
    let mut text = String::new();
    row(&mut text, "", &"before", &"after")?;
    let (before, after) = (&outcome.leaders_before, &outcome.leaders_after);
    for location in [HOME, AWAY] {
        for (kind, before, after) in [
            ("stream", &before.streams, &after.streams),
            ("consumer", &before.consumers, &after.consumers),
        ] {
            let count = |leaders: &BTreeMap<String, usize>| leaders.get(location).copied().unwrap_or(0);
            let label = format!("{kind} leaders in {location}");
            row(&mut text, &label, &count(before), &count(after))?;
        }
    }
    let (before, after) = (&outcome.before, &outcome.after);
    latency(
        &mut text,
        "publish ack",
        before.publish.quantiles(),
        after.publish.quantiles(),
    )?;
    latency(
        &mut text,
        "fetch",
        before.fetch.quantiles(),
        after.fetch.quantiles(),
    )?;
    let DemoTotals {
        published,
        acknowledged,
        delivered,
        redelivered,
        lost,
    } = outcome.totals;
    writeln!(text)?;
    writeln!(
        text,
        "messages: {published} published, {acknowledged} acknowledged, {delivered} delivered, {redelivered} redelivered, {lost} lost"
    )?;
    let stall = outcome.moving.publish.quantiles().max_micros;
    writeln!(
        text,
        "worst publish ack while leaders moved: {}",
        milliseconds(stall)
    )?;
    let step_downs = actions(&outcome.metrics, "StepDown");
    let moves = actions(&outcome.metrics, "StreamPlacement");
    writeln!(
        text,
        "{step_downs} step-downs, {moves} stream moves; converged in {:.1} s",
        outcome.converged.as_secs_f64()
    )?;
    crate::print_line(text);
    Ok(())
}

fn row(text: &mut String, label: &str, before: &dyn Display, after: &dyn Display) -> std::fmt::Result {
    writeln!(text, "{label:<34}{before:>12}{after:>12}")
}

fn latency(text: &mut String, label: &str, before: Quantiles, after: Quantiles) -> std::fmt::Result {
    let p50 = |quantiles: Quantiles| quantiles.p50_micros;
    let p99 = |quantiles: Quantiles| quantiles.p99_micros;
    for (name, quantile) in [("p50", p50 as fn(_) -> _), ("p99", p99)] {
        let shown = |quantiles: Quantiles| match quantiles.count {
            0 => "-".to_owned(),
            _ => milliseconds(quantile(quantiles)),
        };
        let label = format!("{label} {name}, seen from {HOME}");
        row(text, &label, &shown(before), &shown(after))?;
    }
    Ok(())
}

fn milliseconds(micros: u64) -> String {
    format!("{:.1} ms", Duration::from_micros(micros).as_secs_f64() * 1000.0)
}

/// Requests that ended, of the kinds with this suffix, from the operator's own page.
fn actions(page: &str, kind: &str) -> u64 {
    page.lines()
        .filter(|line| line.starts_with("leeward_actions_total{"))
        .filter(|line| line.contains(&format!("{kind}\"")) && !line.contains("result=\"Abandoned\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
